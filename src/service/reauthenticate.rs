//! Reauthentication: calls that ask a logged-in user for the password again.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    login::Checked,
    transact::{Proposal, transact, verify_on},
};
use crate::{
    authority::SessionTokens,
    sessions::NewSession,
    store::UserKey,
    token::{Token, purpose::Access},
    user::User,
};

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Checks that this is the password of the token's user: before
    /// [`log_out_others`](Self::log_out_others) and similar calls. It changes nothing.
    ///
    /// # Security
    ///
    /// It counts attempts by session and by user ([`throttle`](crate::throttle)), and not by address:
    /// [`admit_address`](Self::admit_address).
    ///
    /// # Errors
    ///
    /// [`ServiceError::WrongPassword`] if it is wrong, or if the user has none;
    /// [`ServiceError::TooManyAttempts`]; [`ServiceError::Rejected`] and the errors common to all calls.
    pub async fn check_password(
        &self,
        token: &Token<Access<C>>,
        password: &str,
    ) -> Result<(), ServiceError> {
        let authority = self.authority();
        let user_id = authority.open(token)?.user_id().to_owned();
        let read = self.0.records.read_bare(UserKey::Id(&user_id)).await?;
        let (verified, read) = verify_on(&authority, token, read.as_ref())?;
        let mut checked = Checked::without_rehash();
        checked.count(self, &verified).await?;
        checked.check_present(self, read, password, &mut None).await
    }

    /// Changes the user's password, for which the current one is required. The same statement logs all
    /// other devices out; this one continues with the returned tokens. If the token is an adopted plain
    /// one, it is revoked with all others, and its device continues in a new session, whose label is
    /// empty. `relatch::axum::Web::change_password` gives it the client's label. So can your own
    /// [`decide`](Self::decide), by [`Issuance::legacy_session`](crate::authority::Issuance::legacy_session).
    ///
    /// # Errors
    ///
    /// [`ServiceError::WrongPassword`] if the current password is wrong, or if the user has none
    /// ([`set_password`](Self::set_password) is for that); [`ServiceError::TooManyAttempts`];
    /// [`ServiceError::PasswordRefused`] if the policy refuses the new one; and those of
    /// [`log_out_others`](Self::log_out_others).
    pub async fn change_password(
        &self,
        token: &Token<Access<C>>,
        present: &str,
        new: &str,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.change_password_of(token, present, new, &NewSession::new("")).await
    }

    /// [`change_password`](Self::change_password), with the session that an adopted token is exchanged
    /// for.
    pub(crate) async fn change_password_of(
        &self,
        token: &Token<Access<C>>,
        present: &str,
        new: &str,
        session: &NewSession,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let mut checked = Checked::without_rehash();
        let mut hash = None;
        transact!(self, UserKey::Id(self.authority().open(token)?.user_id()), |read, lock| {
            let authority = self.authority();
            let (verified, read) = verify_on(&authority, token, read)?;
            checked.count(self, &verified).await?;
            checked.check_present(self, read, present, lock).await?;
            let hash = match &mut hash {
                Some(hash) => &*hash,
                none => {
                    let turn = self.0.passwords.turn_for(new).await?;
                    // Another call may have used the token for the same meanwhile.
                    let now = self.0.records.read_bare(UserKey::Id(read.user().id())).await?;
                    let _good = verify_on(&authority, token, now.as_ref())?;
                    none.insert(self.0.passwords.hash_in(turn, new).await?)
                }
            };
            let edited = read.with_password(hash)?;
            let user = edited.user();
            let decision = self.issue_access(&authority, user, user, |issue| {
                issue.legacy_session(session.clone()).change_password(&verified)
            });
            Proposal { decision: decision?, edited }
        })
    }

    /// Checks the password again, before a sensitive operation, and restarts this device's session. The
    /// returned tokens replace all of the session's tokens, and other devices stay logged in. The session's
    /// [`started_at`](crate::sessions::SessionInfo::started_at) becomes now
    /// ([`Authority::session_info`](crate::Authority::session_info)). A stored hash
    /// that is due is replaced as by [`login`](Self::login).
    ///
    /// If the token is an adopted plain one, a new session starts, whose label is empty (see
    /// [`change_password`](Self::change_password)). The plain token stays valid beside it.
    ///
    /// # Security
    ///
    /// It counts attempts by session and by user ([`throttle`](crate::throttle)), and not by address:
    /// [`admit_address`](Self::admit_address).
    ///
    /// # Errors
    ///
    /// [`ServiceError::WrongPassword`] if the password is wrong, or if the user has none
    /// ([`restart_session`](Self::restart_session) is for that); [`ServiceError::TooManyAttempts`]; and those of
    /// [`log_out_others`](Self::log_out_others).
    pub async fn reauthenticate(
        &self,
        token: &Token<Access<C>>,
        password: &str,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.begin_anew(token, Some(password), &NewSession::new("")).await
    }

    /// [`reauthenticate`](Self::reauthenticate), with the session that an adopted token is exchanged for.
    #[cfg(feature = "axum")]
    pub(crate) async fn reauthenticate_of(
        &self,
        token: &Token<Access<C>>,
        password: &str,
        session: &NewSession,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.begin_anew(token, Some(password), session).await
    }

    /// [`reauthenticate`](Self::reauthenticate) for a user whom the application has authenticated again
    /// itself: by a passkey, by OAuth, by a one-time code.
    ///
    /// # Security
    ///
    /// It gives a new session to the holder of an access token: call it only for a client that has just
    /// authenticated as this very user.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_others`](Self::log_out_others).
    pub async fn restart_session(
        &self,
        token: &Token<Access<C>>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.begin_anew(token, None, &NewSession::new("")).await
    }

    async fn begin_anew(
        &self,
        token: &Token<Access<C>>,
        password: Option<&str>,
        session: &NewSession,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let mut checked = Checked::default();
        loop {
            match self.try_anew(token, password, session, &mut checked).await {
                Err(error) if checked.forgoes_rehash(&error) => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_anew(
        &self,
        token: &Token<Access<C>>,
        password: Option<&str>,
        session: &NewSession,
        checked: &mut Checked,
    ) -> Result<SessionTokens<C>, ServiceError> {
        transact!(self, UserKey::Id(self.authority().open(token)?.user_id()), |read, lock| {
            let authority = self.authority();
            let (verified, read) = verify_on(&authority, token, read)?;
            if let Some(password) = password {
                checked.count(self, &verified).await?;
                checked.check_present(self, read, password, lock).await?;
            }
            let edited = checked.rehashed(read)?;
            let user = edited.user();
            let decision = self.issue_access(&authority, user, user, |issue| {
                issue.legacy_session(session.clone()).restart_session(&verified)
            });
            Proposal { decision: decision?, edited }
        })
    }
}
