//! A user's own sessions: listed, started anew and ended.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    login::Checked,
    transact::{Proposal, transact, verified},
};
use crate::{
    authority::{SessionTokens, session::Session},
    rejection::{Reason, Rejection, Stage},
    sessions::{SessionId, SessionInfo},
    store::{Key, Record, StoredUser},
    token::{Token, purpose::Access},
    user::User,
};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// The user's sessions that are alive, the one that was used last first, as they are now. The
    /// caller's own is the one with the session's [`id`](Session::id).
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] if the caller's own session has ended meanwhile, and the others.
    pub async fn sessions<D>(
        &self,
        session: &Session<StoredUser<F>, D>,
    ) -> Result<Vec<SessionInfo>, ServiceError> {
        let authority = self.authority();
        let read = self.0.records.read(Key::Id(session.user().id())).await?;
        let user = read.as_ref().ok_or(ServiceError::NoSuchUser)?.user();
        let sessions = authority.sessions(user)?;
        is_alive(session, user, &sessions)?;
        Ok(sessions)
    }

    /// Logs this device out; whether its session was still there. A device whose access token has
    /// expired refreshes first.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSession`] for a token without a session, and the others.
    pub async fn log_out<D>(
        &self,
        session: &Session<StoredUser<F>, D>,
    ) -> Result<bool, ServiceError> {
        let own = session.id().ok_or(ServiceError::NoSession)?;
        self.end(session.user().id(), own, |_, _| Ok(())).await
    }

    /// Logs one of the user's devices out, by an id out of the list; whether there was such a
    /// session.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] if the caller's own session has ended meanwhile, and the others.
    pub async fn log_out_device<D>(
        &self,
        session: &Session<StoredUser<F>, D>,
        device: SessionId,
    ) -> Result<bool, ServiceError> {
        let check = |user: &_, sessions: &[_]| is_alive(session, user, sessions);
        self.end(session.user().id(), device, check).await
    }

    /// Logs out those of the user's devices for which `is_out` says so, out of those that are
    /// listed; how many these are.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_device`](Self::log_out_device).
    pub async fn log_out_where<D>(
        &self,
        session: &Session<StoredUser<F>, D>,
        is_out: impl Fn(&SessionInfo) -> bool,
    ) -> Result<usize, ServiceError> {
        let authority = self.authority();
        self.decide(Key::Id(session.user().id()), |read| {
            let user = read.ok_or(ServiceError::NoSuchUser)?.user();
            is_alive(session, user, &authority.sessions(user)?)?;
            Ok(authority.revoke_where(user, &is_out)?)
        })
        .await
    }

    async fn end(
        &self,
        user_id: &str,
        device: SessionId,
        check: impl Fn(&StoredUser<F>, &[SessionInfo]) -> Result<(), Rejection>,
    ) -> Result<bool, ServiceError> {
        let authority = self.authority();
        let ended = self.decide(Key::Id(user_id), |read| {
            let user = read.ok_or(ServiceError::NoSuchUser)?.user();
            check(user, &authority.sessions(user)?)?;
            Ok(authority.log_out(user, device)?)
        });
        let ended = ended.await?;
        if !ended {
            // It is over already, perhaps past what is kept here.
            self.0.records.forget(user_id);
        }
        Ok(ended)
    }
}

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Logs all of the user's devices out but this one, which goes on with the tokens in the answer:
    /// every other token is dead, copies of this one too.
    ///
    /// # Security
    ///
    /// It hands a refresh token to whoever holds an access token: ask for the password first.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], [`ServiceError::NoSession`] for a token without a session, and
    /// the others.
    pub async fn log_out_others(
        &self,
        token: &Token<Access<C>>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let user_id = self.authority().open(token)?.user_id().to_owned();
        transact!(self, Key::Id(&user_id), |read| {
            let authority = self.authority();
            let (session, read) = verified(&authority, token, read)?;
            let claims = (self.0.claims)(read.user());
            let issue = authority.issue::<Access<C>>(*session.user(), &claims);
            Proposal::unedited(issue.log_out_others(&session)?, read)
        })
    }

    /// Whether this is the password of the token's user: before what
    /// [`log_out_others`](Self::log_out_others) and its like give away. It changes nothing.
    ///
    /// # Security
    ///
    /// It does not count attempts: limit them, by user and by address.
    ///
    /// # Errors
    ///
    /// [`ServiceError::WrongPassword`] if it is another one, or if there is none;
    /// [`ServiceError::Rejected`] and the others.
    pub async fn check_password(
        &self,
        token: &Token<Access<C>>,
        password: &str,
    ) -> Result<(), ServiceError> {
        let authority = self.authority();
        let user_id = authority.open(token)?.user_id().to_owned();
        let read = self.0.records.read(Key::Id(&user_id)).await?;
        let (_, read) = verified(&authority, token, read.as_ref())?;
        Checked::default().check_present(self, read, password).await
    }

    /// Changes the user's password, for which the present one is asked. All other devices are logged
    /// out, in the same statement; this one goes on with the tokens in the answer.
    ///
    /// # Errors
    ///
    /// [`ServiceError::WrongPassword`] if the present password is another one, or if there is none
    /// ([`set_password`](Self::set_password) is for that); [`ServiceError::Password`] if the new one
    /// is too short or too long to be hashed; and those of
    /// [`log_out_others`](Self::log_out_others).
    pub async fn change_password(
        &self,
        token: &Token<Access<C>>,
        present: &str,
        new: &str,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let mut checked = Checked::default();
        let mut hash = None;
        let user_id = self.authority().open(token)?.user_id().to_owned();
        transact!(self, Key::Id(&user_id), |read| {
            let authority = self.authority();
            let (session, read) = verified(&authority, token, read)?;
            checked.check_present(self, read, present).await?;
            let hash = match &mut hash {
                Some(hash) => &*hash,
                none => none.insert(self.0.passwords.hash(new).await?),
            };
            let edited = read.with_password(hash)?;
            let claims = (self.0.claims)(edited.user());
            let issue = authority.issue::<Access<C>>(edited.user(), &claims);
            Proposal { decision: issue.change_password(&session)?, edited }
        })
    }

    /// Asks for the password once more, before something grave, and starts this device's session anew:
    /// the tokens in the answer take the place of all that it had, and other devices stay logged in.
    /// From then on the session's [`started_at`](SessionInfo::started_at) is now
    /// ([`Authority::session_info`]). In the same statement the hash is replaced if it is due.
    ///
    /// # Security
    ///
    /// It does not count attempts: limit them, by user.
    ///
    /// # Errors
    ///
    /// [`ServiceError::WrongPassword`] if the password is another one, or if there is none
    /// ([`restart_session`](Self::restart_session) is for that); and those of
    /// [`log_out_others`](Self::log_out_others).
    pub async fn reauthenticate(
        &self,
        token: &Token<Access<C>>,
        password: &str,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.begin_anew(token, Some(password)).await
    }

    /// [`reauthenticate`](Self::reauthenticate) for a user whom the application itself has
    /// authenticated once more: by a passkey, by OAuth, by a one-time code.
    ///
    /// # Security
    ///
    /// It gives a session at its beginning to whoever holds an access token: call it for nobody who
    /// has not just authenticated as this very user.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_others`](Self::log_out_others).
    pub async fn restart_session(
        &self,
        token: &Token<Access<C>>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.begin_anew(token, None).await
    }

    async fn begin_anew(
        &self,
        token: &Token<Access<C>>,
        password: Option<&str>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let mut checked = Checked::default();
        let user_id = self.authority().open(token)?.user_id().to_owned();
        transact!(self, Key::Id(&user_id), |read| {
            let authority = self.authority();
            let (session, read) = verified(&authority, token, read)?;
            if let Some(password) = password {
                checked.check_present(self, read, password).await?;
            }
            let edited = checked.rehashed(read)?;
            let claims = (self.0.claims)(edited.user());
            let issue = authority.issue::<Access<C>>(edited.user(), &claims);
            Proposal { decision: issue.restart_session(&session)?, edited }
        })
    }
}

/// Whether the session that was verified is one of the user as the record is now: what a thief still
/// holds in a request that is under way should not end what was started after it was revoked.
fn is_alive<F, D>(
    session: &Session<StoredUser<F>, D>,
    user: &StoredUser<F>,
    sessions: &[SessionInfo],
) -> Result<(), Rejection> {
    let has_ended = |own| sessions.iter().all(|info| info.id() != own);
    let reason = match () {
        () if !user.is_active() => Reason::InactiveUser,
        () if !session.user().has_binding_of(user) => Reason::RevokedByVersion,
        () if session.id().is_some_and(has_ended) => Reason::SessionEnded,
        () => return Ok(()),
    };
    Err(Rejection::new(Stage::Session, reason))
}
