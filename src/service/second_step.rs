//! Login in two steps: the password, then a second factor.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use super::{Client, LoginRefusal, Service, ServiceError};
use crate::{
    authority::{
        SessionTokens,
        decision::{Change, Decision},
    },
    one_time::SecondStep,
    store::{Record, StoredUser, UserKey},
    token::{Token, purpose::NoClaims},
    user::User,
};

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Checks a name and a password as [`login`](Self::login) does: with the same limits, the same cost, the
    /// same replacement of the hash and the same refusals. It starts no session and ends none.
    ///
    /// A user with a second factor gets a token of the pending login ([`VerifiedLogin::pending`]), which
    /// [`second_step`](Self::second_step) takes. A user without one gets a session
    /// ([`VerifiedLogin::start_session`]).
    ///
    /// # Security
    ///
    /// An application with second factors calls this for every login, and not `login`. A magic link, too, is
    /// only a first step for such a user: consume it
    /// ([`OneTime::consume_with_user`](super::OneTime::consume_with_user)), then issue a token of the pending
    /// login (`service.issue::<SecondStep>(…)`), in the client's context if it has one.
    ///
    /// # Errors
    ///
    /// Those of [`login`](Self::login), except for the errors of a new session.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{
    ///     SessionTokens, Token,
    ///     one_time::SecondStep,
    ///     service::{Service, ServiceError},
    /// };
    ///
    /// #[derive(Clone)]
    /// struct Profile {
    ///     has_second_factor: bool,
    /// }
    ///
    /// enum Answer {
    ///     LoggedIn(SessionTokens),
    ///     /// The client shows the form for the code, and sends this back with the code.
    ///     CodeRequired(Token<SecondStep>),
    /// }
    ///
    /// async fn first(
    ///     service: &Service<Profile>,
    ///     (name, password): (&str, &str),
    /// ) -> Result<Answer, ServiceError> {
    ///     let login = service.verify_login(name, password, "Firefox on Linux").await?;
    ///     match login.user().fields().has_second_factor {
    ///         true => Ok(Answer::CodeRequired(login.pending()?)),
    ///         false => Ok(Answer::LoggedIn(login.start_session().await?)),
    ///     }
    /// }
    ///
    /// # fn is_right(_secret: &str, _code: &str) -> bool { true }
    /// async fn second(
    ///     service: &Service<Profile>,
    ///     pending: Token<SecondStep>,
    ///     code: &str,
    /// ) -> Result<SessionTokens, ServiceError> {
    ///     let login = service.second_step(pending, "Firefox on Linux").await?;
    ///     match login.expose_secret().is_some_and(|secret| is_right(secret, code)) {
    ///         true => login.start_session().await,
    ///         false => Err(ServiceError::WrongCode),
    ///     }
    /// }
    /// ```
    pub async fn verify_login(
        &self,
        login: &str,
        password: &str,
        client: impl Into<Client>,
    ) -> Result<VerifiedLogin<F, C>, ServiceError> {
        let client = client.into();
        let decide = |record: &Record<F>, is_rehashed: bool| {
            let change = is_rehashed.then(|| Change::none(record.user()));
            Ok(Decision::new(change, record.user().clone()))
        };
        let user = self.check_login(login, password, &client, decide).await?;
        Ok(VerifiedLogin { service: self.clone(), user, client })
    }

    /// Begins the second step of a login, and counts an attempt: check one code with the result, then finish
    /// the login ([`PendingLogin::start_session`]). The token is presented in the context of this client,
    /// which must be that of the first step.
    ///
    /// The token itself is not used up: after a wrong code the client tries again with the same one, within
    /// its 5 minutes and the limits.
    ///
    /// # Security
    ///
    /// It counts by the user and by the client's address
    /// ([`Throttle::per_second_step`](crate::throttle::Throttle::per_second_step)); on a device of the user
    /// ([`Client::device`]) by the device and not by the user. A token that is not accepted is not counted,
    /// so only somebody who has the password can use up the limit.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] if the token is not accepted: it has expired, a login was finished
    /// meanwhile, or the password has changed. Then the login begins again. [`ServiceError::TooManyAttempts`];
    /// [`ServiceError::Store`] and [`ServiceError::Record`].
    pub async fn second_step(
        &self,
        token: Token<SecondStep>,
        client: impl Into<Client>,
    ) -> Result<PendingLogin<F, C>, ServiceError> {
        let client = client.into();
        let token = token.in_context(client.context.clone());
        let authority = self.authority();
        let opened = authority.open_once(token.again())?;
        let read = self.0.records.read(UserKey::Id(opened.user_id())).await?;
        let read = read.ok_or_else(|| opened.unknown_user())?;
        opened.peek(read.user())?;
        self.count_second_step(read.user(), &client).await?;
        Ok(PendingLogin { service: self.clone(), token, read, client })
    }
}

/// A login whose password is right: see [`Service::verify_login`]. No session was started.
#[must_use = "nobody is logged in yet"]
pub struct VerifiedLogin<F = (), C = NoClaims> {
    service: Service<F, C>,
    user: StoredUser<F>,
    client: Client,
}

impl<F, C> VerifiedLogin<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// The user, as read with the password that was checked.
    pub const fn user(&self) -> &StoredUser<F> {
        &self.user
    }

    /// Changes the client that the session is started for, for example its
    /// [policy](Client::policy).
    pub fn map_client(self, map: impl FnOnce(Client) -> Client) -> Self {
        Self { client: map(self.client), ..self }
    }

    /// The token of the pending login, for the client, in the context of the client. It is valid for 5
    /// minutes, and [`Service::second_step`] takes it.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Issue`] and [`ServiceError::Record`].
    pub fn pending(&self) -> Result<Token<SecondStep>, ServiceError> {
        let authority = self.service.authority();
        let issue = authority.issue::<SecondStep>(&self.user, &NoClaims {});
        Ok(issue.context(self.client.context.clone()).sign()?)
    }

    /// Starts the session, for a user without a second factor.
    ///
    /// # Errors
    ///
    /// [`ServiceError::LoginRefused`] as for a wrong password if the password or the user's version has
    /// changed since it was checked; and those of [`Service::start_session`].
    pub async fn start_session(self) -> Result<SessionTokens<C>, ServiceError> {
        let Self { service, user, client } = self;
        let refused = |refusal| Err(ServiceError::LoginRefused(refusal));
        let decide = |read: Option<&Record<F>>| match read {
            None => refused(LoginRefusal::UnknownLogin),
            Some(read) if !read.user().is_active() => refused(LoginRefusal::InactiveUser),
            Some(read) if !user.has_binding_of(read.user()) => refused(LoginRefusal::WrongPassword),
            Some(read) => service.login_for(read, &client),
        };
        let login = service.decide_on(UserKey::Id(user.id()), decide).await?;
        Ok(service.notified(login, &client))
    }
}

/// A login that waits for its second factor: see [`Service::second_step`]. One attempt is counted.
///
/// # Security
///
/// Check one code with each. A code that is used once (RFC 6238 §5.2, a recovery code) is used up by the
/// application, by a compare-and-set of its own, before [`start_session`](Self::start_session).
#[must_use = "nobody is logged in yet"]
pub struct PendingLogin<F = (), C = NoClaims> {
    service: Service<F, C>,
    token: Token<SecondStep>,
    read: Record<F>,
    client: Client,
}

impl<F, C> PendingLogin<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// The user, as read from the primary database for this attempt.
    pub const fn user(&self) -> &StoredUser<F> {
        self.read.user()
    }

    /// The secret in the user's row ([`Columns::secret`](crate::store::Columns::secret)), to check a code
    /// with it (RFC 6238). `None` for a user without one.
    ///
    /// If the secret changes after this read, [`start_session`](Self::start_session) fails: the token is bound
    /// to it.
    ///
    /// # Security
    ///
    /// The holder of the secret can make codes. Keep it out of logs and answers. It is zeroized with this
    /// value; a [`StoredUser`] never holds it.
    #[must_use]
    pub fn expose_secret(&self) -> Option<&str> {
        self.read.columns().secret.as_deref().filter(|secret| !secret.is_empty())
    }

    /// Changes the client that the session is started for, for example its [policy](Client::policy) or the
    /// session [in whose place](Client::in_place_of) it starts.
    pub fn map_client(self, map: impl FnOnce(Client) -> Client) -> Self {
        Self { client: map(self.client), ..self }
    }

    /// Uses the token up and starts the session, in one statement, after the code was right. Of two
    /// simultaneous calls with one token, one succeeds. The user's other pending logins end.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] as for [`Service::second_step`]; those of [`Service::start_session`]. After
    /// [`ServiceError::SessionsFull`] the token is not used up: the client repeats the second step, with
    /// another code, [in the place](Client::in_place_of) of a session.
    pub async fn start_session(self) -> Result<SessionTokens<C>, ServiceError> {
        let Self { service, token, read: _, client } = self;
        let authority = service.authority();
        let opened = authority.open_once(token)?;
        let decide = |read: Option<&Record<F>>| {
            let stored = read.ok_or_else(|| opened.unknown_user())?.user();
            let used = opened.consume(stored)?;
            let started = used.and_then(stored, |user| service.log_in(user, stored, &client))?;
            Ok(started.map(|(_, login)| login))
        };
        let login = service.decide_on(UserKey::Id(opened.user_id()), decide).await?;
        Ok(service.notified(login, &client))
    }
}

impl<F, C> fmt::Debug for VerifiedLogin<F, C> {
    /// Without the device token of the client.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedLogin").field("user", &self.user).finish_non_exhaustive()
    }
}

impl<F: Clone, C> fmt::Debug for PendingLogin<F, C> {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingLogin").field("user", self.read.user()).finish_non_exhaustive()
    }
}
