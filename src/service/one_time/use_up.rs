//! One-time tokens that are used up: consume, set a password, log in.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};

use super::ContextOf;
use crate::{
    authority::{Authority, OpenedOnce, Peeked, SessionTokens, Used, decision::Decision},
    binding::context::Context,
    service::{
        Client, Service, ServiceError,
        passwords::Turn,
        transact::{Proposal, transact},
    },
    store::{Record, StoredUser, UserKey},
    token::{
        Token,
        purpose::{NoClaims, Purpose, SECOND_STEP_TYP, Usage, is_same},
    },
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::{service::Uncommitted, store::InTransaction};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Verifies a token without using it up: for the page that a link opens (`GET`). For a context
    /// that is computed from the user's record, call [`OneTime::peek`].
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
    /// options on the result, then call [`OneTime::consume`], [`OneTime::consume_with_user`] or
    /// [`OneTime::login`].
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
    ///
    /// A login that waits for its second step is none of these, because its attempts are counted
    /// ([`second_step`](Self::second_step)):
    ///
    /// ```compile_fail,E0080
    /// use relatch::{Token, one_time::SecondStep, service::Service};
    ///
    /// fn finish(service: &Service, text: &str) {
    ///     let _ = service.one_time(Token::<SecondStep>::new(text));
    /// }
    /// # let _: fn(&Service, &str) = finish;
    /// ```
    pub fn one_time<P: Purpose>(&self, token: Token<P>) -> OneTime<'_, P, F, C> {
        const {
            assert!(
                !is_same(P::TYP, SECOND_STEP_TYP),
                "a login is finished by `Service::second_step`, which counts the attempts"
            );
        };
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
    /// everywhere. The service checks the token before it hashes the password, again when it is the
    /// call's turn to hash: a link that was used up meanwhile costs no hash. A purpose that is
    /// [`Usage::OnceByCredential`], such as [`PasswordReset`](crate::one_time::PasswordReset), takes one.
    pub const fn set_password(mut self, new: &'a str) -> Self {
        self.password = Some(new);
        self
    }

    /// Verifies the token without using it up, as [`Service::peek`] does, in the context that is
    /// computed from the user's record.
    ///
    /// # Errors
    ///
    /// Those of [`Service::authenticate`].
    pub async fn peek(&self) -> Result<Peeked<StoredUser<F>, P::Claims>, ServiceError> {
        let authority = self.service.authority();
        let mut opened = authority.open_once(self.token.again())?;
        let read = self.service.0.records.read(UserKey::Id(opened.user_id())).await?;
        let user = read.as_ref().ok_or(opened.unknown_user())?.user().clone();
        if let Some(context) = &self.context {
            opened.in_context(context(&user));
        }
        Ok(opened.peek(user)?)
    }

    /// Uses the token up. Of two simultaneous calls, one fails with [`ServiceError::Rejected`].
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], [`ServiceError::NewPasswordRequired`],
    /// [`ServiceError::PasswordRefused`] and the errors common to all calls.
    pub async fn consume(self) -> Result<Used<P::Claims>, ServiceError> {
        if self.context.is_some() {
            return self.consume_with_user().await.map(|(_, used)| used);
        }
        let Self { service, token, password, context: _ } = self;
        let authority = service.authority();
        let mut using = Using::begin(&authority, token, password)?;
        let id = using.opened.user_id().to_owned();
        // A reset is a revocation: it needs none of the application's fields.
        transact!(bare service, UserKey::Id(&id), |read| {
            using.hash_in_turn(service, read, None).await?;
            using.propose(read, None)?
        })
    }

    /// [`consume`](Self::consume) that also returns the user, as read before the token was used up.
    /// It fails for a user whose fields cannot be read; `consume` does so only with a
    /// [context](Self::in_context).
    ///
    /// # Errors
    ///
    /// Those of [`consume`](Self::consume).
    pub async fn consume_with_user(self) -> Result<(StoredUser<F>, Used<P::Claims>), ServiceError> {
        let Self { service, token, password, context } = self;
        let authority = service.authority();
        let mut using = Using::begin(&authority, token, password)?;
        let id = using.opened.user_id().to_owned();
        transact!(service, UserKey::Id(&id), |read| {
            using.hash_in_turn(service, read, context.as_ref()).await?;
            using.propose_with_user(read, context.as_ref())?
        })
    }

    /// Uses the token up and starts a session for this client, in one statement: a magic link, an
    /// invitation. For a purpose with claims, call [`login_with_user`](Self::login_with_user).
    ///
    /// # Security
    ///
    /// It asks for no second factor ([`verify_login`](Service::verify_login)).
    ///
    /// # Errors
    ///
    /// Those of [`consume`](Self::consume), and of [`Service::login`].
    pub async fn login(self, client: impl Into<Client>) -> Result<SessionTokens<C>, ServiceError>
    where
        C: Serialize + DeserializeOwned,
    {
        self.log_in(client.into()).await.map(|(_, tokens)| tokens)
    }

    /// [`login`](Self::login) that also returns the user, as read before the token was used up, and the
    /// token's claims: for example the page to continue on.
    ///
    /// # Errors
    ///
    /// Those of [`login`](Self::login).
    pub async fn login_with_user(
        self,
        client: impl Into<Client>,
    ) -> Result<(StoredUser<F>, Used<P::Claims>, SessionTokens<C>), ServiceError>
    where
        C: Serialize + DeserializeOwned,
    {
        let ((user, used), tokens) = self.log_in(client.into()).await?;
        Ok((user, used, tokens))
    }

    async fn log_in(
        self,
        client: Client,
    ) -> Result<(UsedBy<F, P::Claims>, SessionTokens<C>), ServiceError>
    where
        C: Serialize + DeserializeOwned,
    {
        let Self { service, token, password, context } = self;
        let authority = service.authority();
        let mut using = Using::begin(&authority, token, password)?;
        let id = using.opened.user_id().to_owned();
        let done: Result<_, ServiceError> = transact!(service, UserKey::Id(&id), |read| {
            using.hash_in_turn(service, read, context.as_ref()).await?;
            let Proposal { decision, edited } = using.propose_with_user(read, context.as_ref())?;
            let stored = edited.user();
            let decision =
                decision.and_then(stored, |user| service.log_in(user, stored, &client))?;
            Proposal { decision, edited }
        });
        let (used, login) = done?;
        Ok((used, service.notified(login, &client)))
    }

    /// [`consume`](Self::consume) in a transaction of the application's.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(in crate::service) async fn consume_in(
        self,
        mut transaction: impl InTransaction<F>,
    ) -> Result<Uncommitted<UsedBy<F, P::Claims>>, ServiceError> {
        let Self { service, token, password, context } = self;
        let authority = service.authority();
        let mut using = Using::begin(&authority, token, password)?;
        let id = using.opened.user_id().to_owned();
        let (key, context) = (UserKey::Id(&id), context.as_ref());
        if password.is_some() {
            // It is hashed here, before the row is locked.
            let read = transaction.read(key).await?.map(Record::read).transpose()?;
            if let Some(turn) = using.turn(service, read.as_ref(), context).await? {
                let read = transaction.read(key).await?.map(Record::read).transpose()?;
                using.hash(service, turn, read.as_ref()).await?;
            }
        }
        let read = transaction.lock(key).await?.map(Record::read).transpose()?;
        let proposal = using.propose_with_user(read.as_ref(), context)?;
        let read = read.ok_or(ServiceError::NoSuchUser)?;
        service.commit_in(transaction, &read, proposal).await
    }
}

/// The user whose token was used up, as read before, and the token's claims.
type UsedBy<F, C> = (StoredUser<F>, Used<C>);

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

    /// Hashes the new password, if there is one and it is not hashed yet. A bad token is refused before
    /// the wait for a turn, and one that was used up during the wait before the hash: many uses of one
    /// link at once cost few hashes.
    async fn hash_in_turn<F, C, G>(
        &mut self,
        service: &Service<F, C>,
        read: Option<&Record<G>>,
        context: Option<&ContextOf<'_, G>>,
    ) -> Result<(), ServiceError>
    where
        F: Clone + Send + Sync + 'static,
        G: Clone,
    {
        let Some(turn) = self.turn(service, read, context).await? else { return Ok(()) };
        let id = UserKey::Id(self.opened.user_id());
        let read = service.0.records.read_bare(id).await?;
        self.hash(service, turn, read.as_ref()).await
    }

    /// A turn to hash the new password, once there is one to hash and the token is good.
    async fn turn<F, C, G: Clone>(
        &mut self,
        service: &Service<F, C>,
        read: Option<&Record<G>>,
        context: Option<&ContextOf<'_, G>>,
    ) -> Result<Option<Turn>, ServiceError> {
        let Some(new) = self.password.filter(|_| self.hash.is_none()) else { return Ok(None) };
        let read = self.present(read, context)?;
        self.opened.peek(read.user())?;
        Ok(Some(service.0.passwords.turn_for(new).await?))
    }

    /// Hashes the new password, if the token is still good for the record as it is now.
    async fn hash<F, C, G: Clone>(
        &mut self,
        service: &Service<F, C>,
        turn: Turn,
        now: Option<&Record<G>>,
    ) -> Result<(), ServiceError> {
        self.opened.peek(now.ok_or_else(|| self.opened.unknown_user())?.user())?;
        if let Some(new) = self.password {
            self.hash = Some(service.0.passwords.hash_in(turn, new).await?);
        }
        Ok(())
    }

    /// Presents the token in the context of the record.
    fn present<'r, G: Clone>(
        &mut self,
        read: Option<&'r Record<G>>,
        context: Option<&ContextOf<'_, G>>,
    ) -> Result<&'r Record<G>, ServiceError> {
        let read = read.ok_or_else(|| self.opened.unknown_user())?;
        if let Some(context) = context {
            self.opened.in_context(context(read.user()));
        }
        Ok(read)
    }

    fn propose<G: Clone>(
        &mut self,
        read: Option<&Record<G>>,
        context: Option<&ContextOf<'_, G>>,
    ) -> Result<Proposal<Used<P::Claims>, G>, ServiceError> {
        let read = self.present(read, context)?;
        let edited = match &self.hash {
            Some(hash) => read.with_password(hash)?,
            None => read.clone(),
        };
        let decision = use_up(self.authority, &self.opened, read, &edited)?;
        Ok(Proposal { decision, edited })
    }

    /// [`propose`](Self::propose) with the user as read.
    fn propose_with_user<G: Clone>(
        &mut self,
        read: Option<&Record<G>>,
        context: Option<&ContextOf<'_, G>>,
    ) -> Result<Proposal<UsedBy<G, P::Claims>, G>, ServiceError> {
        let Proposal { decision, edited } = self.propose(read, context)?;
        let user = read.ok_or(ServiceError::NoSuchUser)?.user().clone();
        Ok(Proposal { decision: decision.map(|used| (user, used)), edited })
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
    Ok(both.map(|(used, _)| used))
}

impl<P, F, C> fmt::Debug for OneTime<'_, P, F, C> {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OneTime").field("token", &self.token).finish_non_exhaustive()
    }
}
