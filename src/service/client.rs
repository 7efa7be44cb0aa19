//! The client that a session is started for.

use std::net::IpAddr;

use time::OffsetDateTime;

use crate::{
    binding::context::Context,
    sessions::{NewSession, SessionData, SessionId},
    throttle::DeviceToken,
};

/// The client that a session is started for: the new session, and the context that its tokens are
/// bound to. A [`NewSession`] converts into a client without a context. So does a string, which is
/// then the session's label in the list of devices.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) session: NewSession,
    pub(super) context: Context,
    pub(super) address: Option<IpAddr>,
    pub(super) device: Option<DeviceToken>,
    /// Whether the user is notified if the device is a new one.
    pub(super) gets_notice: bool,
}

impl Client {
    /// A client with this new session. A string is the session's label.
    pub fn new(session: impl Into<NewSession>) -> Self {
        Self {
            session: session.into(),
            context: Context::new(),
            address: None,
            device: None,
            gets_notice: true,
        }
    }

    /// The new session: for a session that is started [by hand](super::Service::decide).
    pub const fn session(&self) -> &NewSession {
        &self.session
    }

    /// Sets the application's data in the session: [`NewSession::data`].
    #[must_use]
    pub fn data(mut self, data: SessionData) -> Self {
        self.session = self.session.data(data);
        self
    }

    /// Sets the kind of client, by the name of a policy: [`NewSession::policy`].
    #[must_use]
    pub fn policy(mut self, name: impl Into<String>) -> Self {
        self.session = self.session.policy(name);
        self
    }

    /// Sets a time at which the session ends: [`NewSession::ends_at`].
    #[must_use]
    pub fn ends_at(mut self, end: OffsetDateTime) -> Self {
        self.session = self.session.ends_at(end);
        self
    }

    /// Sets a session of the same user that ends when this one starts: [`NewSession::in_place_of`].
    #[must_use]
    pub fn in_place_of(mut self, session: SessionId) -> Self {
        self.session = self.session.in_place_of(session);
        self
    }

    /// Binds the client's tokens to this context, which it must present with each token:
    /// [`Token::in_context`](crate::Token::in_context).
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// Sets the client's address. A login counts attempts [by address](crate::throttle) if it is known.
    ///
    /// # Security
    ///
    /// The client must not be able to choose it. Behind a proxy the peer's address is that of the proxy.
    #[must_use]
    pub const fn address(mut self, address: IpAddr) -> Self {
        self.address = Some(address);
        self
    }

    /// Sets the device token that the client has sent, if it has one from an earlier login
    /// ([`Service::device_token`](super::Service::device_token)). If it is a valid one of the user
    /// who logs in, the login has the limit of the [device](crate::throttle) and not that of the name, and
    /// is not one on a [new device](super::ServiceBuilder::on_new_device). Any other token has no effect.
    #[must_use]
    pub fn device(mut self, token: DeviceToken) -> Self {
        self.device = Some(token);
        self
    }

    /// Starts the session without a [notice](super::ServiceBuilder::on_new_device) of a new device: after a
    /// sign-up, for example, where every device is new.
    #[must_use]
    pub const fn without_notice(mut self) -> Self {
        self.gets_notice = false;
        self
    }
}

impl<S: Into<NewSession>> From<S> for Client {
    fn from(session: S) -> Self {
        Self::new(session)
    }
}
