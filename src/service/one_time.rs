//! One-time tokens, such as links by mail: issue, peek and consume.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Client, Service, ServiceError,
    transact::{Proposal, transact},
};
use crate::{
    authority::{Authority, OpenedOnce, Peeked, SessionTokens, Used, decision::Decision},
    binding::context::Context,
    store::{Record, StoredUser, UserKey},
    token::{
        Token,
        purpose::{NoClaims, Purpose, Usage},
    },
    user::User,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::{service::Uncommitted, store::InTransaction};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Issues a token of the purpose `P` for this user, for example for a link by mail. The token is
    /// bound to the context, unless the context is empty. It also returns the user, whose fields say
    /// where to send the link. It returns `None` if the user does not exist or is not active.
    ///
    /// # Security
    ///
    /// Answer "we have sent you a link" in both cases, and send the link after the answer.
    ///
    /// Put the token into the query of the link (`?token=`), so that the page can
    /// [`peek`](Self::peek) without a script. The page needs `Referrer-Policy: no-referrer` and no
    /// content of other sites, and access logs must leave out its query.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`], [`ServiceError::Issue`] and [`ServiceError::Record`].
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{
    ///     Context, NoClaims,
    ///     one_time::PasswordReset,
    ///     service::{Service, ServiceError},
    ///     store::UserKey,
    /// };
    ///
    /// async fn forgot(service: &Service, email: &str) -> Result<(), ServiceError> {
    ///     let key = UserKey::Login(email);
    ///     let issued = service.issue::<PasswordReset>(key, &NoClaims {}, Context::new()).await?;
    ///     if let Some((_user, token)) = issued {
    ///         let link = format!("https://example.com/reset?token={}", token.expose());
    /// #       drop(link);
    ///         // … send it
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub async fn issue<P: Purpose>(
        &self,
        key: UserKey<'_>,
        claims: &P::Claims,
        context: Context,
    ) -> Result<Option<(StoredUser<F>, Token<P>)>, ServiceError> {
        let Some(read) = self.0.records.read(key).await? else { return Ok(None) };
        if !read.user().is_active() {
            return Ok(None);
        }
        let authority = self.authority();
        let token = authority.issue::<P>(read.user(), claims).context(context).sign()?;
        Ok(Some((read.user().clone(), token)))
    }

    /// Verifies a token without using it up: for the page that a link opens (`GET`).
    ///
    /// # Errors
    ///
    /// Those of [`authenticate`](Self::authenticate).
    pub async fn peek<P: Purpose>(
        &self,
        token: &Token<P>,
    ) -> Result<Peeked<StoredUser<F>, P::Claims>, ServiceError> {
        let lookup = async |id: String| {
            let read = self.0.records.read(UserKey::Id(&id)).await;
            read.map(|read| read.map(|read| read.user().clone()))
        };
        Ok(self.authority().peek_async(token, lookup).await?)
    }

    /// A call that uses up a one-time token: for the form on the page that a link opens (`POST`). Set
    /// options on the result, then call [`OneTime::consume`] or [`OneTime::login`].
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{
    ///     SessionTokens, Token,
    ///     one_time::{MagicLink, PasswordReset},
    ///     service::{Service, ServiceError},
    /// };
    ///
    /// async fn reset(service: &Service, text: &str, password: &str) -> Result<(), ServiceError> {
    ///     let token = Token::<PasswordReset>::new(text);
    ///     let _used = service.one_time(token).set_password(password).consume().await?;
    ///     Ok(())
    /// }
    ///
    /// async fn log_in(service: &Service, text: &str) -> Result<SessionTokens, ServiceError> {
    ///     service.one_time(Token::<MagicLink>::new(text)).login("Firefox on Linux").await
    /// }
    /// ```
    pub fn one_time<P: Purpose>(&self, token: Token<P>) -> OneTime<'_, P, F, C> {
        OneTime { service: self, token, password: None, context: None }
    }
}

/// A one-time token that is about to be used up: see [`Service::one_time`].
#[must_use = "nothing is used up before `consume` or `login`"]
pub struct OneTime<'a, P, F = (), C = NoClaims> {
    service: &'a Service<F, C>,
    token: Token<P>,
    password: Option<&'a str>,
    context: Option<ContextOf<'a, F>>,
}

type ContextOf<'a, F> = Box<dyn Fn(&StoredUser<F>) -> Context + Send + Sync + 'a>;

impl<'a, P: Purpose, F, C> OneTime<'a, P, F, C>
where
    F: Clone + Send + Sync + 'static,
{
    /// Presents the token in a context that is computed from the user's record, such as the address to
    /// be confirmed, if that is one of its fields.
    pub fn in_context(
        mut self,
        context: impl Fn(&StoredUser<F>) -> Context + Send + Sync + 'a,
    ) -> Self {
        self.context = Some(Box::new(context));
        self
    }

    /// Sets a new password in the statement that uses the token up. This logs the user out
    /// everywhere. The token is checked before the password is hashed. A purpose that is [`Usage::OnceByCredential`], such as
    /// [`PasswordReset`](crate::one_time::PasswordReset), takes one.
    pub const fn set_password(mut self, new: &'a str) -> Self {
        self.password = Some(new);
        self
    }

    /// Uses the token up. Of two simultaneous calls, one fails with [`ServiceError::Rejected`].
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], [`ServiceError::NewPasswordRequired`],
    /// [`ServiceError::PasswordRefused`] and the errors common to all calls.
    pub async fn consume(self) -> Result<Used<P::Claims>, ServiceError> {
        let Self { service, token, password, context } = self;
        let authority = service.authority();
        let mut using = Using::begin(&authority, token, password)?;
        let id = using.opened.user_id().to_owned();
        match &context {
            Some(context) => transact!(service, UserKey::Id(&id), |read| {
                using.propose(service, read, Some(context)).await?
            }),
            // A reset is a revocation.
            None => transact!(bare service, UserKey::Id(&id), |read| {
                using.propose(service, read, None).await?
            }),
        }
    }

    /// Uses the token up and starts a session for this client, in one statement: a magic link, an
    /// invitation.
    ///
    /// # Errors
    ///
    /// Those of [`consume`](Self::consume), and of [`Service::login`].
    pub async fn login(self, client: impl Into<Client>) -> Result<SessionTokens<C>, ServiceError>
    where
        C: Serialize + DeserializeOwned,
    {
        let client = client.into();
        let Self { service, token, password, context } = self;
        let authority = service.authority();
        let mut using = Using::begin(&authority, token, password)?;
        let id = using.opened.user_id().to_owned();
        transact!(service, UserKey::Id(&id), |read| {
            let used = using.propose(service, read, context.as_ref()).await?;
            let Proposal { decision, edited } = used;
            let stored = edited.user();
            let started = decision.and_then(stored, |user| service.start(user, stored, &client))?;
            Proposal { decision: started.map(|(_, tokens)| tokens), edited }
        })
    }

    /// [`consume`](Self::consume) in a transaction of the application's.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(super) async fn consume_in(
        self,
        mut transaction: impl InTransaction<F>,
    ) -> Result<Uncommitted<(StoredUser<F>, Used<P::Claims>)>, ServiceError> {
        let Self { service, token, password, context } = self;
        let authority = service.authority();
        let mut using = Using::begin(&authority, token, password)?;
        let id = using.opened.user_id().to_owned();
        let (key, context) = (UserKey::Id(&id), context.as_ref());
        if password.is_some() {
            // It is hashed here, before the row is locked.
            let read = transaction.read(key).await?.map(Record::read).transpose()?;
            drop(using.propose(service, read.as_ref(), context).await?);
        }
        let read = transaction.lock(key).await?.map(Record::read).transpose()?;
        let Proposal { decision, edited } = using.propose(service, read.as_ref(), context).await?;
        let read = read.ok_or(ServiceError::NoSuchUser)?;
        let user = read.user().clone();
        let decision = decision.map(|used| (user, used));
        service.commit_in(transaction, &read, Proposal { decision, edited }).await
    }
}

/// A token that is being used up, across attempts.
struct Using<'a, P> {
    authority: &'a Authority,
    opened: OpenedOnce<'a, P>,
    password: Option<&'a str>,
    /// That of the password, once it was needed.
    hash: Option<String>,
}

impl<'a, P: Purpose> Using<'a, P> {
    fn begin(
        authority: &'a Authority,
        token: Token<P>,
        password: Option<&'a str>,
    ) -> Result<Self, ServiceError> {
        if P::USAGE == Usage::OnceByCredential && password.is_none() {
            return Err(ServiceError::NewPasswordRequired);
        }
        Ok(Self { authority, opened: authority.open_once(token)?, password, hash: None })
    }

    async fn propose<F, C, G>(
        &mut self,
        service: &Service<F, C>,
        read: Option<&Record<G>>,
        context: Option<&ContextOf<'_, G>>,
    ) -> Result<Proposal<Used<P::Claims>, G>, ServiceError>
    where
        F: Clone + Send + Sync + 'static,
        G: Clone,
    {
        let read = read.ok_or(self.opened.unknown_user())?;
        if let Some(context) = context {
            self.opened.in_context(context(read.user()));
        }
        if let (Some(new), None) = (self.password, &self.hash) {
            // A bad token is refused before the work of a hash.
            self.opened.peek(read.user())?;
            self.hash = Some(service.0.passwords.hash(new).await?);
        }
        let edited = match &self.hash {
            Some(hash) => read.with_password(hash)?,
            None => read.clone(),
        };
        let decision = use_up(self.authority, &self.opened, read, &edited)?;
        Ok(Proposal { decision, edited })
    }
}

/// A new password logs the user out everywhere, whatever the purpose's usage.
fn use_up<P: Purpose, F: Clone>(
    authority: &Authority,
    opened: &OpenedOnce<'_, P>,
    read: &Record<F>,
    edited: &Record<F>,
) -> Result<Decision<Used<P::Claims>>, ServiceError> {
    let used = opened.consume(read.user())?;
    if P::USAGE == Usage::OnceByCredential || read.password_hash() == edited.password_hash() {
        return Ok(used);
    }
    let both = used.and_then(edited.user(), |user| authority.log_out_everywhere(user))?;
    Ok(both.map(|(used, ())| used))
}

impl<P, F, C> fmt::Debug for OneTime<'_, P, F, C> {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTime").field("token", &self.token).finish_non_exhaustive()
    }
}
