//! A user's own devices: listing them, and logging them out.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    transact::{Proposal, transact, verified},
};
use crate::{
    authority::{SessionTokens, session::Session},
    rejection::{Reason, Rejection, Stage},
    sessions::{SessionId, SessionInfo},
    store::{Key, StoredUser},
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
