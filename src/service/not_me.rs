//! The use of a "this was not me" link.

use super::{
    Service, ServiceError,
    transact::{Proposal, transact},
};
use crate::{one_time::NotMe, store::UserKey, token::Token};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Uses up a "this was not me" link ([`NewDevice::link`](super::NewDevice::link)), in one statement:
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
