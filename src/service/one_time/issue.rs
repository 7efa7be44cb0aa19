//! One-time tokens to be issued for a user of the store.

use std::fmt;

use time::Duration;

use super::ContextOf;
use crate::{
    authority::{self, Authority},
    binding::context::Context,
    service::{
        Service, ServiceError,
        transact::{Proposal, transact},
    },
    store::{StoredUser, UserKey},
    token::{
        Token,
        purpose::{NoClaims, Purpose},
    },
    user::User,
};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// A token of the purpose `P` that is to be issued for this user, for example for a link by mail.
    /// Set options on the result, then call [`Issuance::sign`] or [`Issuance::supersede`].
    ///
    /// # Security
    ///
    /// - Send the link to the address **of the record** ([`StoredUser::login`], or a field), and not to
    ///   the one that was typed: under a collation that ignores accents, a look-alike address finds the
    ///   user too, and may belong to somebody else.
    /// - Answer "we have sent you a link" whether or not the user exists, and send the link after the
    ///   answer.
    /// - Put the token into the query of the link (`?token=`), so that the page can
    ///   [`peek`](Self::peek) without a script. The page needs `Referrer-Policy: no-referrer` and no
    ///   content of other sites, and access logs must leave out its query.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{
    ///     NoClaims,
    ///     one_time::PasswordReset,
    ///     service::{Service, ServiceError},
    ///     store::UserKey,
    /// };
    ///
    /// # fn send(_address: &str, _text: &str) {}
    /// async fn forgot(service: &Service, typed: &str) -> Result<(), ServiceError> {
    ///     let key = UserKey::Login(typed);
    ///     let issued = service.issue::<PasswordReset>(key, &NoClaims {}).sign().await?;
    ///     let Some((user, token)) = issued else { return Ok(()) };
    ///     let link = format!("https://example.com/reset?token={}", token.expose());
    ///     if let Some(address) = user.login() {
    ///         send(address, &link);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub const fn issue<'a, P: Purpose>(
        &'a self,
        key: UserKey<'a>,
        claims: &'a P::Claims,
    ) -> Issuance<'a, P, F, C> {
        Issuance {
            service: self,
            key,
            claims,
            lifetime: None,
            audience: Vec::new(),
            context: ContextFor::Given(Context::new()),
        }
    }
}

/// A token that is to be issued for a user of the store: see [`Service::issue`]. It has the settings of
/// the authority's [`Issuance`](crate::authority::Issuance).
#[must_use = "nothing is issued before `sign` or `supersede`"]
pub struct Issuance<'a, P: Purpose, F = (), C = NoClaims> {
    service: &'a Service<F, C>,
    key: UserKey<'a>,
    claims: &'a P::Claims,
    lifetime: Option<Duration>,
    audience: Vec<String>,
    context: ContextFor<'a, F>,
}

/// The context of a token that is to be issued.
enum ContextFor<'a, F> {
    Given(Context),
    OfUser(ContextOf<'a, F>),
}

/// The user and the token that was issued; `None` if there is no such user, or if it is not active.
type Issued<F, P> = Option<(StoredUser<F>, Token<P>)>;

impl<'a, P: Purpose, F, C> Issuance<'a, P, F, C>
where
    F: Clone + Send + Sync + 'static,
{
    /// Sets the token's lifetime: 1 second to [`MAX_LIFETIME`](crate::token::MAX_LIFETIME). A fraction
    /// of a second is dropped. Default: that of the purpose, or else of the authority.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets the token's audience, in place of the authority's. Each further call adds one. The service
    /// itself accepts the token only if the authority's audience is among them.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// Binds the token to a context, which it does not carry: the call that presents the token must
    /// set the context again.
    pub fn context(mut self, context: Context) -> Self {
        self.context = ContextFor::Given(context);
        self
    }

    /// Binds the token to a context that is computed from the user's record, such as the address to be
    /// confirmed. [`OneTime::in_context`] presents it.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{
    ///     Context, NoClaims, Token,
    ///     one_time::EmailConfirmation,
    ///     service::{Service, ServiceError},
    ///     store::{StoredUser, UserKey},
    /// };
    /// use serde::Deserialize;
    ///
    /// #[derive(Clone, Deserialize)]
    /// struct Profile {
    ///     new_email: String,
    /// }
    ///
    /// fn address(user: &StoredUser<Profile>) -> Context {
    ///     Context::new().with_email(&user.fields().new_email)
    /// }
    ///
    /// /// The address to send to, and the token.
    /// async fn send(
    ///     service: &Service<Profile>,
    ///     id: &str,
    /// ) -> Result<Option<(String, Token<EmailConfirmation>)>, ServiceError> {
    ///     let confirm = service.issue::<EmailConfirmation>(UserKey::Id(id), &NoClaims {});
    ///     let issued = confirm.in_context(address).sign().await?;
    ///     Ok(issued.map(|(user, token)| (user.fields().new_email.clone(), token)))
    /// }
    ///
    /// async fn confirm(service: &Service<Profile>, text: &str) -> Result<String, ServiceError> {
    ///     let token = Token::<EmailConfirmation>::new(text);
    ///     let (user, _used) =
    ///         service.one_time(token).in_context(address).consume_with_user().await?;
    ///     Ok(user.fields().new_email.clone())
    /// }
    /// ```
    pub fn in_context(
        mut self,
        context: impl Fn(&StoredUser<F>) -> Context + Send + Sync + 'a,
    ) -> Self {
        self.context = ContextFor::OfUser(Box::new(context));
        self
    }

    /// Issues the token, and returns it with the user. It returns `None` if the user does not exist or
    /// is not active.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`], [`ServiceError::Issue`] and [`ServiceError::Record`].
    pub async fn sign(self) -> Result<Issued<F, P>, ServiceError> {
        let Some(read) = self.service.0.records.read(self.key).await? else { return Ok(None) };
        if !read.user().is_active() {
            return Ok(None);
        }
        let authority = self.service.authority();
        let token = self.prepared(&authority, read.user()).sign()?;
        Ok(Some((read.user().clone(), token)))
    }

    /// [`sign`](Self::sign) that revokes all older tokens of this user and purpose, for a link that
    /// replaces the one that was sent before. Only for a purpose with [`Usage::OnceByLane`](crate::token::Usage::OnceByLane); it does not
    /// compile for others.
    ///
    /// # Security
    ///
    /// Whoever can request a link for a user can then revoke the link that the user has just received.
    ///
    /// # Errors
    ///
    /// Those of [`sign`](Self::sign), and the errors common to all calls.
    pub async fn supersede(self) -> Result<Issued<F, P>, ServiceError> {
        let authority = self.service.authority();
        transact!(self.service, self.key, |read| {
            let Some(read) = read.filter(|read| read.user().is_active()) else { return Ok(None) };
            let user = read.user().clone();
            let decision = self.prepared(&authority, read.user()).supersede()?;
            Proposal::unedited(decision.map(|token| Some((user, token))), read)
        })
    }

    fn prepared<'u>(
        &'u self,
        authority: &'u Authority,
        user: &'u StoredUser<F>,
    ) -> authority::Issuance<'u, P> {
        let context = match &self.context {
            ContextFor::Given(context) => context.clone(),
            ContextFor::OfUser(context) => context(user),
        };
        let mut issuance = authority.issue::<P>(user, self.claims).context(context);
        if let Some(lifetime) = self.lifetime {
            issuance = issuance.lifetime(lifetime);
        }
        self.audience.iter().fold(issuance, authority::Issuance::audience)
    }
}

impl<P: Purpose, F, C> fmt::Debug for Issuance<'_, P, F, C> {
    /// Without the claims and the context.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuance")
            .field("typ", &P::TYP)
            .field("lifetime", &self.lifetime)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}
