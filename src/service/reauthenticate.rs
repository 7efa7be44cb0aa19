//! Reauthentication: calls that ask a logged-in user for the password again.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    login::Checked,
    transact::{Proposal, transact, verify_on},
};
use crate::{
    authority::SessionTokens,
    sessions::SessionInfo,
    store::UserKey,
    token::{Token, purpose::Access},
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
    /// other devices out; this one continues with the returned tokens.
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
        let mut checked = Checked::without_rehash();
        let mut hash = None;
        transact!(self, UserKey::Id(self.authority().open(token)?.user_id()), |read, lock| {
            let authority = self.authority();
            let (verified, read) = verify_on(&authority, token, read)?;
            checked.count(self, &verified).await?;
            checked.check_present(self, read, present, lock).await?;
            let hash = match &mut hash {
                Some(hash) => &*hash,
                none => none.insert(self.0.passwords.hash(new).await?),
            };
            let edited = read.with_password(hash)?;
            let claims = |session: Option<&SessionInfo>| (self.0.claims)(edited.user(), session);
            let issue = authority.issue_with::<Access<C>>(edited.user(), &claims);
            Proposal { decision: issue.change_password(&verified)?, edited }
        })
    }

    /// Checks the password again, before a sensitive operation, and restarts this device's session. The
    /// returned tokens replace all of the session's tokens, and other devices stay logged in. The session's
    /// [`started_at`](crate::sessions::SessionInfo::started_at) becomes now
    /// ([`Authority::session_info`](crate::Authority::session_info)). A stored hash
    /// that is due is replaced as by [`login`](Self::login).
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
        self.begin_anew(token, Some(password)).await
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
        self.begin_anew(token, None).await
    }

    async fn begin_anew(
        &self,
        token: &Token<Access<C>>,
        password: Option<&str>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let mut checked = Checked::default();
        loop {
            match self.try_anew(token, password, &mut checked).await {
                Err(error) if checked.forgoes_rehash(&error) => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_anew(
        &self,
        token: &Token<Access<C>>,
        password: Option<&str>,
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
            let claims = |session: Option<&SessionInfo>| (self.0.claims)(edited.user(), session);
            let issue = authority.issue_with::<Access<C>>(edited.user(), &claims);
            Proposal { decision: issue.restart_session(&verified)?, edited }
        })
    }
}
