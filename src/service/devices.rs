//! A user's own devices: listing them, and logging them out.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    to_the_end::to_the_end,
    transact::{Proposal, transact, verify_on},
};
use crate::{
    authority::{SessionTokens, decision::Decision, verified::Verified},
    rejection::{Reason, Rejection, Stage},
    sessions::{NewSession, SessionData, SessionId, SessionInfo},
    store::{StoredUser, UserKey},
    token::{Token, purpose::Access},
    user::User,
};

impl<F: Clone + Send + Sync + 'static, C: 'static> Service<F, C> {
    /// Lists the user's live sessions as they are now, the most recently used first. The caller's own
    /// has the [`id`](Verified::session_id) of `verified`.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] if the caller's own session has ended meanwhile, and the errors
    /// common to all calls.
    pub async fn sessions<D>(
        &self,
        verified: &Verified<StoredUser<F>, D>,
    ) -> Result<Vec<SessionInfo>, ServiceError> {
        let authority = self.authority();
        let read = self.0.records.read_bare(UserKey::Id(verified.user().id())).await?;
        let user = read.as_ref().ok_or(ServiceError::NoSuchUser)?.user();
        let sessions = authority.sessions(user)?;
        Caller::of(verified).is_alive(user, &sessions)?;
        Ok(sessions)
    }

    /// Logs this device out, and returns whether its session was still there. A device whose access
    /// token has expired refreshes first.
    ///
    /// An adopted plain token ([`Verified::is_legacy`]) has no session that could end, and only a higher
    /// version revokes it. So the user is **logged out everywhere**, unless the version has increased
    /// since the token was verified.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSession`] for a token of relatch without a session, and the errors common to
    /// all calls.
    pub async fn log_out<D>(
        &self,
        verified: &Verified<StoredUser<F>, D>,
    ) -> Result<bool, ServiceError> {
        match verified.session_id() {
            Some(own) => self.end(verified.user().id(), own, None).await,
            None if verified.is_legacy() => self.end_adoption(verified.user()).await,
            None => Err(ServiceError::NoSession),
        }
    }

    /// Logs one of the user's devices out, by an id from the list, and returns whether there was such a
    /// session.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] if the caller's own session has ended meanwhile, and the errors
    /// common to all calls.
    pub async fn log_out_device<D>(
        &self,
        verified: &Verified<StoredUser<F>, D>,
        device: SessionId,
    ) -> Result<bool, ServiceError> {
        self.end(verified.user().id(), device, Some(Caller::of(verified))).await
    }

    /// Logs out the listed devices for which `is_out` returns `true`, and returns their number.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_device`](Self::log_out_device).
    pub async fn log_out_where<D>(
        &self,
        verified: &Verified<StoredUser<F>, D>,
        is_out: impl Fn(&SessionInfo) -> bool,
    ) -> Result<usize, ServiceError> {
        let caller = Caller::of(verified);
        self.end_where(verified.user().id(), is_out, Some(&caller)).await
    }

    /// Replaces the application's data in one of the user's sessions, or removes it with `None`, and
    /// returns whether there was such a session. For example, a user switches to another tenant in
    /// the caller's own session, [`verified.session_id()`](Verified::session_id). Private claims
    /// that are made from the data ([`ServiceBuilder::claims`](super::ServiceBuilder::claims))
    /// change at the next refresh.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] if the caller's own session has ended meanwhile;
    /// [`ServiceError::Issue`] with [`IssueError::SessionData`](crate::IssueError::SessionData) for
    /// data that is longer than the policy allows; and the errors common to all calls.
    pub async fn set_session_data<D>(
        &self,
        verified: &Verified<StoredUser<F>, D>,
        session: SessionId,
        data: Option<SessionData>,
    ) -> Result<bool, ServiceError> {
        let caller = Caller::of(verified);
        self.replace_data(verified.user().id(), session, data, Some(&caller)).await
    }

    /// Revokes the adopted tokens of this user by a higher version, and with them all others. Returns
    /// `false` if another change has already done that.
    async fn end_adoption(&self, verified_on: &StoredUser<F>) -> Result<bool, ServiceError> {
        let (this, id) = (self.clone(), verified_on.id().to_owned());
        let version = verified_on.binding().current_version();
        to_the_end(|decided| async move {
            let authority = this.authority();
            let ended = this.decide_bare(UserKey::Id(&id), |read| {
                let user = read.ok_or(ServiceError::NoSuchUser)?.user();
                if user.binding().current_version() != version {
                    return Ok(Decision::new(None, false));
                }
                let decision = authority.log_out_everywhere(user)?;
                decided.note(&decision);
                Ok(decision.map(|_| true))
            });
            let ended = ended.await?;
            if !ended {
                this.0.records.forget(&id);
            }
            Ok(ended)
        })
        .await
    }

    /// Ends one session. Without a caller, for an administrator.
    pub(super) async fn end(
        &self,
        user_id: &str,
        device: SessionId,
        caller: Option<Caller<F>>,
    ) -> Result<bool, ServiceError> {
        let (this, id) = (self.clone(), user_id.to_owned());
        to_the_end(|decided| async move {
            let authority = this.authority();
            let ended = this.decide_bare(UserKey::Id(&id), |read| {
                let user = read.ok_or(ServiceError::NoSuchUser)?.user();
                if let Some(caller) = &caller {
                    caller.is_alive(user, &authority.sessions(user)?)?;
                }
                let decision = authority.log_out(user, device)?;
                decided.note(&decision);
                Ok(decision)
            });
            let ended = ended.await?;
            if !ended {
                // It has already ended, perhaps unseen by the cache.
                this.0.records.forget(&id);
            }
            Ok(ended)
        })
        .await
    }

    /// Ends the sessions for which `is_out` returns `true`. Without a caller, for an administrator.
    pub(super) async fn end_where(
        &self,
        user_id: &str,
        is_out: impl Fn(&SessionInfo) -> bool,
        caller: Option<&Caller<F>>,
    ) -> Result<usize, ServiceError> {
        let authority = self.authority();
        self.decide_bare(UserKey::Id(user_id), |read| {
            let user = read.ok_or(ServiceError::NoSuchUser)?.user();
            if let Some(caller) = caller {
                caller.is_alive(user, &authority.sessions(user)?)?;
            }
            Ok(authority.log_out_where(user, &is_out)?)
        })
        .await
    }

    /// Replaces a session's data. Without a caller, for an administrator.
    pub(super) async fn replace_data(
        &self,
        user_id: &str,
        session: SessionId,
        data: Option<SessionData>,
        caller: Option<&Caller<F>>,
    ) -> Result<bool, ServiceError> {
        let authority = self.authority();
        self.decide_bare(UserKey::Id(user_id), |read| {
            let user = read.ok_or(ServiceError::NoSuchUser)?.user();
            if let Some(caller) = caller {
                caller.is_alive(user, &authority.sessions(user)?)?;
            }
            Ok(authority.set_session_data(user, session, data.clone())?)
        })
        .await
    }
}

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Logs out all of the user's devices except this one, which continues with the returned
    /// tokens. Every other token of the user is revoked, also copies of the caller's own tokens, tokens
    /// without a session and adopted plain tokens. The caller's own live connections end as well; they
    /// reconnect with the new token.
    ///
    /// If the token is an adopted plain one ([`Verified::is_legacy`]), its device continues in a new
    /// session, whose label is empty (see [`change_password`](Self::change_password)).
    ///
    /// # Security
    ///
    /// It gives a refresh token to the holder of an access token. Ask for the password first
    /// ([`check_password`](Self::check_password)), so that the thief of an access token, or of the
    /// secret of adopted ones, gains nothing by it.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], [`ServiceError::NoSession`] for a token of relatch without a session,
    /// and the errors common to all calls.
    pub async fn log_out_others(
        &self,
        token: &Token<Access<C>>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.log_out_others_of(token, &NewSession::new("")).await
    }

    /// [`log_out_others`](Self::log_out_others), with the session that an adopted token is exchanged
    /// for.
    pub(crate) async fn log_out_others_of(
        &self,
        token: &Token<Access<C>>,
        new: &NewSession,
    ) -> Result<SessionTokens<C>, ServiceError> {
        transact!(self, UserKey::Id(self.authority().open(token)?.user_id()), |read| {
            let authority = self.authority();
            let (verified, read) = verify_on(&authority, token, read)?;
            let decision = self.issue_access(&authority, read.user(), read.user(), |issue| {
                issue.legacy_session(new.clone()).log_out_others(&verified)
            });
            Proposal::unedited(decision?, read)
        })
    }
}

/// The session that a call about devices is made from.
pub(super) struct Caller<F> {
    user: StoredUser<F>,
    session: Option<SessionId>,
}

impl<F> Caller<F> {
    fn of<D>(verified: &Verified<StoredUser<F>, D>) -> Self {
        Self { user: verified.user().clone(), session: verified.session_id() }
    }

    /// Checks that the session is still in the user's present record: a token that was revoked during
    /// its request must not end sessions that started after the revocation.
    fn is_alive(&self, user: &StoredUser, sessions: &[SessionInfo]) -> Result<(), Rejection> {
        let has_ended = |own| sessions.iter().all(|info| info.id() != own);
        let reason = match () {
            () if !user.is_active() => Reason::InactiveUser,
            () if !self.user.has_binding_of(user) => Reason::RevokedByVersion,
            () if self.session.is_some_and(has_ended) => Reason::SessionEnded,
            () => return Ok(()),
        };
        Err(Rejection::new(Stage::Session, reason))
    }
}
