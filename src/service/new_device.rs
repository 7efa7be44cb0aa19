//! The notice of a login on a new device.

use std::{
    fmt,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::{one_time::NotMe, sessions::SessionInfo, store::StoredUser, token::Token, user::User};

/// A login on a device without a valid [device token](crate::throttle::DeviceToken) of its user: see
/// [`ServiceBuilder::on_new_device`](super::ServiceBuilder::on_new_device).
pub struct NewDevice<'a, F = ()> {
    pub(super) user: &'a StoredUser<F>,
    pub(super) session: &'a SessionInfo,
    pub(super) address: Option<IpAddr>,
    pub(super) link: &'a Token<NotMe>,
}

impl<F> NewDevice<'_, F> {
    /// The user, as read for the login.
    #[must_use]
    pub const fn user(&self) -> &StoredUser<F> {
        self.user
    }

    /// The session that has started.
    ///
    /// # Security
    ///
    /// The client can choose its [label](SessionInfo::label). Escape it in an HTML mail, and show
    /// it as the client's own text, for example in quotation marks.
    #[must_use]
    pub const fn session(&self) -> &SessionInfo {
        self.session
    }

    /// The client's address, if the caller has set it ([`Client::address`](super::Client::address)).
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The token of a link for this notice: "this was not me". It ends this login
    /// ([`Service::not_me`](super::Service::not_me)).
    ///
    /// # Security
    ///
    /// Send it to the user's mailbox alone, and never to the client that has logged in.
    #[must_use]
    pub const fn link(&self) -> &Token<NotMe> {
        self.link
    }

    /// Calls back. The session has started: the client gets its tokens, also if the callback panics.
    pub(super) fn tell(&self, on_new_device: &OnNewDevice<F>) {
        if catch_unwind(AssertUnwindSafe(|| on_new_device(self))).is_err() {
            log_panic();
        }
    }
}

/// The callback for logins on new devices.
pub(super) type OnNewDevice<F> = Box<dyn Fn(&NewDevice<'_, F>) + Send + Sync>;

fn log_panic() {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "relatch",
        "the callback for logins on new devices panicked: the user may not have been notified"
    );
}

impl<F> fmt::Debug for NewDevice<'_, F> {
    /// Without the fields of the user.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewDevice")
            .field("user", &self.user.id())
            .field("session", &self.session)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}
