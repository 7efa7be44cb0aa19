//! Login.

use std::mem::replace;

use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{
    Client, LoginRefusal, Service, ServiceError,
    logged_in::LoggedIn,
    passwords::log_failed_rehash,
    throttling::LoginAttempt,
    transact::{Proposal, transact},
};
use crate::{
    authority::{SessionTokens, decision::Decision, error::IssueError, verified::Verified},
    password::{PasswordError, PasswordForms},
    store::{Record, RowLock, StoredUser, UserKey},
    user::User,
};

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Logs in by name and password, and starts a session for this client. If the stored hash is of
    /// another kind than argon2id or weaker than the hasher's
    /// ([`PasswordHasher::needs_rehash`](crate::password::PasswordHasher::needs_rehash)), the same
    /// statement replaces it, which logs nobody out. If the store refuses the new hash, for example because
    /// the column is too short, the refusal is logged (feature `tracing`), the old hash stays, and the user
    /// is let in. The store compares the name as it is: trim it and fold its case before the call.
    ///
    /// The call does one read and the work of one
    /// [verification](crate::password::PasswordHasher::verify) whether or not the user exists, so its time
    /// does not reveal which names exist. A password that cannot be hashed is refused before the read. (A
    /// stored hash of another cost takes another time, until its user logs in again.) If the password
    /// changes during the call, the call checks the password again: the old
    /// password yields no token.
    ///
    /// # Security
    ///
    /// It counts attempts, by the name and the user's id, and by the address if the client has one
    /// ([`Client::address`]). A refused attempt costs no hash. See [`throttle`](crate::throttle).
    ///
    /// It asks for no second factor: for users who may have one, call [`verify_login`](Self::verify_login).
    ///
    /// # Errors
    ///
    /// [`ServiceError::LoginRefused`]; [`ServiceError::TooManyAttempts`]; [`ServiceError::SessionsFull`] if
    /// all slots are taken and the policy refuses further logins; [`ServiceError::Issue`] with the error of a
    /// client whose end, policy or data is wrong ([`IssueError::SessionEnd`], [`IssueError::UnknownPolicy`],
    /// [`IssueError::SessionData`]); and the errors common to all calls.
    pub async fn login(
        &self,
        login: &str,
        password: &str,
        client: impl Into<Client>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let client = client.into();
        let decide = |record: &Record<F>, _| self.login_for(record, &client);
        let login = self.check_login(login, password, &client, decide).await?;
        Ok(self.notified(login, &client))
    }

    /// Checks the name and the password within the limits, and stores what is decided on the checked
    /// record, which has a new hash if the second argument is `true`.
    pub(super) async fn check_login<T>(
        &self,
        login: &str,
        password: &str,
        client: &Client,
        decide: impl Fn(&Record<F>, bool) -> Result<Decision<T>, ServiceError>,
    ) -> Result<T, ServiceError> {
        if PasswordForms::new(password).is_none() {
            return Err(ServiceError::LoginRefused(LoginRefusal::InvalidPassword));
        }
        let mut attempt = self.attempt(login, client)?;
        let mut checked = Checked::default();
        loop {
            match self.try_login(&mut attempt, password, &decide, &mut checked).await {
                Err(error) if checked.forgoes_rehash(&error) => {}
                outcome => return outcome,
            }
        }
    }

    async fn try_login<T>(
        &self,
        attempt: &mut LoginAttempt<'_>,
        password: &str,
        decide: &impl Fn(&Record<F>, bool) -> Result<Decision<T>, ServiceError>,
        checked: &mut Checked,
    ) -> Result<T, ServiceError> {
        transact!(self, UserKey::Login(attempt.login()), |read, lock| {
            attempt.count(read.map(Record::user)).await?;
            checked.check(self, read, password, lock).await?;
            let Some(read) = read else {
                return Err(ServiceError::LoginRefused(LoginRefusal::UnknownLogin));
            };
            if !read.user().is_active() {
                return Err(ServiceError::LoginRefused(LoginRefusal::InactiveUser));
            }
            let edited = checked.rehashed(read)?;
            Proposal { decision: decide(&edited, checked.rehash.is_some())?, edited }
        })
    }

    /// Starts a session for a user whom the application has authenticated itself: by a passkey, by
    /// OAuth.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`]; [`ServiceError::SessionsFull`] and [`ServiceError::Issue`] as for
    /// [`login`](Self::login); and the errors common to all calls.
    pub async fn start_session(
        &self,
        user_id: &str,
        client: impl Into<Client>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let client = client.into();
        let login = self.decide_on(UserKey::Id(user_id), |read| {
            self.login_for(read.ok_or(ServiceError::NoSuchUser)?, &client)
        });
        Ok(self.notified(login.await?, &client))
    }

    /// [`log_in`](Self::log_in) for this record.
    pub(super) fn login_for(
        &self,
        record: &Record<F>,
        client: &Client,
    ) -> Result<Decision<LoggedIn<F, C>>, ServiceError> {
        Ok(self.log_in(record.user(), record.user(), client)?)
    }

    /// Starts a session for this user, who is the stored one after other changes.
    pub(super) fn start(
        &self,
        user: &dyn User,
        stored: &StoredUser<F>,
        client: &Client,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        self.issue_access(&self.authority(), user, stored, |issue| {
            issue.context(client.context.clone()).start_session(client.session.clone())
        })
    }
}

/// The check of one password across attempts. It is repeated only if the stored hash has changed.
pub(super) struct Checked {
    stored: Option<Zeroizing<String>>,
    /// Whether a stored hash that is due is replaced.
    rehashes: bool,
    /// A new hash of the same password, if the stored one is to be replaced.
    rehash: Option<String>,
    /// Whether the password of a logged-in user is counted.
    is_counted: bool,
}

impl Default for Checked {
    fn default() -> Self {
        Self { stored: None, rehashes: true, rehash: None, is_counted: false }
    }
}

impl Checked {
    /// A check for a call that does not store the same password again.
    pub(super) fn without_rehash() -> Self {
        Self { rehashes: false, ..Self::default() }
    }

    /// Counts the password that a logged-in user gives, before the [check](Self::check_present). A
    /// further call does nothing.
    pub(super) async fn count<F, C, U, D>(
        &mut self,
        service: &Service<F, C>,
        verified: &Verified<U, D>,
    ) -> Result<(), ServiceError>
    where
        F: Clone + Send + Sync + 'static,
        U: User,
    {
        match replace(&mut self.is_counted, true) {
            true => Ok(()),
            false => service.count_within(verified).await,
        }
    }

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
        let Some(password) = PasswordForms::new(password) else {
            return refused(LoginRefusal::InvalidPassword);
        };
        // For a user who is refused anyway, another hash would show that the password is right.
        let rehashes = self.rehashes && read.is_some_and(|read| read.user().is_active());
        let matched = match service.0.passwords.verify(password, stored, rehashes).await {
            Err(ServiceError::Password(PasswordError::UnsupportedHash)) => {
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
        self.rehash = matched.rehash;
        Ok(())
    }

    /// Whether the call is to be repeated without a new hash, because the store has refused the change
    /// with it. The refusal is logged.
    pub(super) fn forgoes_rehash(&mut self, error: &ServiceError) -> bool {
        let is_refusal = matches!(error, ServiceError::Store(error) if !error.is_unreachable());
        if !is_refusal || self.rehash.take().is_none() {
            return false;
        }
        log_failed_rehash(error);
        self.rehashes = false;
        true
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
