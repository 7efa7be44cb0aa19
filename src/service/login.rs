//! Login.

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    Client, LoginRefusal, Service, ServiceError,
    transact::{Proposal, transact},
};
use crate::{
    authority::{SessionTokens, decision::Decision, error::IssueError},
    password::PasswordError,
    sessions::SessionInfo,
    store::{Record, RowLock, StoredUser, UserKey},
    token::purpose::Access,
    user::User,
};

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Logs in by name and password, and starts a session for this client. If the stored hash has other
    /// parameters than the hasher, the same statement replaces it, which logs nobody out. The store
    /// compares the name as it is: trim it and fold its case before the call.
    ///
    /// The call does one read and one hash whether or not the user exists, so its time does not reveal
    /// which names exist. (A stored hash of another cost takes another time, until its user logs in
    /// again.) If the password changes during the call, the call checks the password again: the old
    /// password yields no token.
    ///
    /// # Security
    ///
    /// It counts attempts, by the name and the user's id, and by the address if the client has one
    /// ([`Client::address`]). A refused attempt costs no hash. See [`throttle`](crate::throttle).
    ///
    /// # Errors
    ///
    /// [`ServiceError::LoginRefused`]; [`ServiceError::TooManyAttempts`]; [`ServiceError::Issue`] with [`IssueError::SessionsFull`] if
    /// all slots are taken and the policy refuses further logins, or with the error of a client whose
    /// end, policy or data is wrong ([`IssueError::SessionEnd`], [`IssueError::UnknownPolicy`],
    /// [`IssueError::SessionData`]); and the errors common to all calls.
    pub async fn login(
        &self,
        login: &str,
        password: &str,
        client: impl Into<Client>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let client = client.into();
        let mut attempt = self.attempt(login, &client)?;
        let mut checked = Checked::default();
        transact!(self, UserKey::Login(login), |read, lock| {
            attempt.count(read.map(|read| read.user().id())).await?;
            checked.check(self, read, password, lock).await?;
            let Some(read) = read else {
                return Err(ServiceError::LoginRefused(LoginRefusal::UnknownLogin));
            };
            if !read.user().is_active() {
                return Err(ServiceError::LoginRefused(LoginRefusal::InactiveUser));
            }
            let edited = checked.rehashed(read)?;
            Proposal { decision: self.session_for(&edited, &client)?, edited }
        })
    }

    /// Starts a session for a user whom the application has authenticated itself: by a passkey, by
    /// OAuth.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`]; [`ServiceError::Issue`] as for [`login`](Self::login); and the
    /// errors common to all calls.
    pub async fn start_session(
        &self,
        user_id: &str,
        client: impl Into<Client>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let client = client.into();
        self.decide(UserKey::Id(user_id), |read| {
            self.session_for(read.ok_or(ServiceError::NoSuchUser)?, &client)
        })
        .await
    }

    pub(super) fn session_for(
        &self,
        record: &Record<F>,
        client: &Client,
    ) -> Result<Decision<SessionTokens<C>>, ServiceError> {
        Ok(self.start(record.user(), record.user(), client)?)
    }

    /// Starts a session for this user, who is the stored one after other changes.
    pub(super) fn start(
        &self,
        user: &dyn User,
        stored: &StoredUser<F>,
        client: &Client,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let authority = self.authority();
        let claims = |session: Option<&SessionInfo>| (self.0.claims)(stored, session);
        let issue = authority.issue_with::<Access<C>>(user, &claims);
        issue.context(client.context.clone()).start_session(client.session.clone())
    }
}

/// The check of one password across attempts. It is repeated only if the stored hash has changed.
#[derive(Default)]
pub(super) struct Checked {
    stored: Option<Zeroizing<String>>,
    /// A new hash of the same password, if the stored one is to be replaced.
    rehash: Option<String>,
}

impl Checked {
    pub(super) async fn check<F: Clone + Send + Sync + 'static, C, G: Clone>(
        &mut self,
        service: &Service<F, C>,
        read: Option<&Record<G>>,
        password: &str,
        lock: &mut Option<RowLock>,
    ) -> Result<(), ServiceError> {
        let stored = read.and_then(Record::password_hash);
        if stored.is_some() && stored == self.stored.as_deref().map(String::as_str) {
            return Ok(());
        }
        // Nobody waits for a row while a password is hashed.
        *lock = None;
        let refused = |refusal| Err(ServiceError::LoginRefused(refusal));
        let matched = match service.0.passwords.verify(password, stored).await {
            Err(ServiceError::Password(PasswordError::UnsupportedHash)) => {
                // As much work as for any other, or the time would reveal that the user exists.
                service.0.passwords.verify(password, None).await?;
                return refused(LoginRefusal::UnsupportedHash);
            }
            matched => matched?,
        };
        let (Some(stored), Some(matched)) = (stored, matched) else {
            return refused(match (read, stored) {
                (None, _) => LoginRefusal::UnknownLogin,
                (_, None) => LoginRefusal::NoPassword,
                _ => LoginRefusal::WrongPassword,
            });
        };
        self.stored = Some(Zeroizing::new(stored.to_owned()));
        self.rehash = match matched.needs_rehash() {
            true => Some(service.0.passwords.hash(password).await?),
            false => None,
        };
        Ok(())
    }

    /// [`check`](Self::check) of the current password of a user who is logged in.
    pub(super) async fn check_present<F: Clone + Send + Sync + 'static, C, G: Clone>(
        &mut self,
        service: &Service<F, C>,
        read: &Record<G>,
        present: &str,
        lock: &mut Option<RowLock>,
    ) -> Result<(), ServiceError> {
        self.check(service, Some(read), present, lock).await.map_err(|error| match error {
            ServiceError::LoginRefused(refusal) => ServiceError::WrongPassword(refusal),
            other => other,
        })
    }

    /// The checked record, with a new hash if one is due.
    pub(super) fn rehashed<F: Clone>(&self, read: &Record<F>) -> Result<Record<F>, ServiceError> {
        match &self.rehash {
            Some(hash) => Ok(read.rehashed(hash)?),
            None => Ok(read.clone()),
        }
    }
}
