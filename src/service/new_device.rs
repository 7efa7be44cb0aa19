//! The notice of a login on a new device, and the link by which the user says "this was not me".

use std::{
    fmt,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Client, Service, ServiceError,
    transact::{Proposal, transact},
};
use crate::{
    authority::{SessionTokens, decision::Decision, error::IssueError},
    one_time::{NotMe, ReportedSession},
    sessions::SessionInfo,
    store::{StoredUser, UserKey},
    token::Token,
    user::User,
};

/// A login on a device without a good [device token](crate::throttle::DeviceToken) of its user: see
/// [`ServiceBuilder::on_new_device`](super::ServiceBuilder::on_new_device).
pub struct NewDevice<'a, F = ()> {
    user: &'a StoredUser<F>,
    session: &'a SessionInfo,
    address: Option<IpAddr>,
    link: &'a Token<NotMe>,
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
    /// The client can choose its [label](SessionInfo::label). Escape it in a mail of HTML, and do not let it
    /// stand where it could be taken for your own text.
    #[must_use]
    pub const fn session(&self) -> &SessionInfo {
        self.session
    }

    /// The client's address, if the caller has set it ([`Client::address`]).
    #[must_use]
    pub const fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// The token of a link for this notice: "this was not me". It ends this login
    /// ([`Service::not_me`]).
    ///
    /// # Security
    ///
    /// Send it to the user's mailbox alone, and never to the client that has logged in.
    #[must_use]
    pub const fn link(&self) -> &Token<NotMe> {
        self.link
    }
}

/// The callback for logins on new devices.
pub(super) type OnNewDevice<F> = Box<dyn Fn(&NewDevice<'_, F>) + Send + Sync>;

/// The tokens of a login, and what the user receives if the device is a new one.
pub(super) struct LoggedIn<F, C> {
    tokens: SessionTokens<C>,
    notice: Option<Notice<F>>,
}

struct Notice<F> {
    user: StoredUser<F>,
    link: Token<NotMe>,
}

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// A login: [`start`](Self::start), and the link for the notice. Pass the outcome to
    /// [`notified`](Self::notified) when it is stored.
    pub(super) fn log_in(
        &self,
        user: &dyn User,
        stored: &StoredUser<F>,
        client: &Client,
    ) -> Result<Decision<LoggedIn<F, C>>, IssueError> {
        let started = self.start(user, stored, client)?;
        if !self.is_on_new_device(user, client) {
            return Ok(started.map(|tokens| LoggedIn { tokens, notice: None }));
        }
        let authority = self.authority();
        started.try_map(|tokens| {
            let claims = ReportedSession::new(tokens.session().id());
            let link = authority.issue::<NotMe>(user, &claims).sign()?;
            let notice = Notice { user: stored.clone(), link };
            Ok(LoggedIn { tokens, notice: Some(notice) })
        })
    }

    fn is_on_new_device(&self, user: &dyn User, client: &Client) -> bool {
        if self.0.on_new_device.is_none() || !client.gets_notice {
            return false;
        }
        let authority = self.authority();
        let device = client.device.as_ref().and_then(|token| authority.open_device_token(token));
        !device.is_some_and(|device| device.is_of(user))
    }

    /// The tokens of a login that was stored. The user is notified if the device is a new one.
    pub(super) fn notified(&self, login: LoggedIn<F, C>, client: &Client) -> SessionTokens<C> {
        let LoggedIn { tokens, notice } = login;
        if let (Some(on_new_device), Some(Notice { user, link })) = (&self.0.on_new_device, notice)
        {
            let address = client.address.filter(|address| !address.is_unspecified());
            let session = tokens.session();
            let login = NewDevice { user: &user, session, address, link: &link };
            // The session has started: the client gets its tokens, whatever becomes of the notice.
            if catch_unwind(AssertUnwindSafe(|| on_new_device(&login))).is_err() {
                log_panic();
            }
        }
        tokens
    }
}

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Uses up a "this was not me" link ([`NewDevice::link`]), in one statement:
    ///
    /// - The session that it names ends, and so do all sessions of the user that have begun or restarted
    ///   since. A stranger who has logged in can log in again, or restart the session under a new id.
    ///   Sessions from before stay.
    /// - All [device tokens](crate::throttle::DeviceToken) of the user end: the next login on each device
    ///   is one on a new device.
    /// - The user's other links of this kind end.
    ///
    /// Call it for the `POST` of the page behind the link; its `GET` only [peeks](Self::peek). It needs no
    /// login. Then offer a password reset: somebody knows the password.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] for a link that was used, has expired or was revoked, for example by a new
    /// password (offer the reset then too); and the errors common to all calls.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{
    ///     NoClaims, Token,
    ///     one_time::PasswordReset,
    ///     service::{Service, ServiceError},
    ///     store::UserKey,
    /// };
    ///
    /// # fn send(_address: &str, _text: &str) {}
    /// async fn report(service: &Service, text: &str) -> Result<(), ServiceError> {
    ///     let reported = service.not_me(Token::new(text)).await?;
    ///     let user = UserKey::Id(reported.user_id());
    ///     let reset = service.issue::<PasswordReset>(user, &NoClaims {}).sign().await?;
    ///     if let Some((user, token)) = reset {
    ///         let link = format!("https://example.com/reset?token={}", token.expose());
    ///         send(user.login().unwrap_or_default(), &link);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn not_me(&self, token: Token<NotMe>) -> Result<ReportedLogin, ServiceError> {
        let authority = self.authority();
        let opened = authority.open_once(token)?;
        let user_id = opened.user_id().to_owned();
        let ended: Result<usize, ServiceError> = transact!(bare self, UserKey::Id(&user_id), |read| {
            let read = read.ok_or_else(|| opened.unknown_user())?;
            Proposal::unedited(opened.end_sessions(read.user())?, read)
        });
        let ended = ended?;
        Ok(ReportedLogin { user_id, ended })
    }
}

/// A login that its user has reported: see [`Service::not_me`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedLogin {
    user_id: String,
    ended: usize,
}

impl ReportedLogin {
    /// The user's id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The number of sessions that have ended. It is 0 if they had ended before.
    #[must_use]
    pub const fn ended(&self) -> usize {
        self.ended
    }
}

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
