//! One-time tokens to be issued for a user of the store.

use std::fmt;

use time::Duration;

use super::{ContextOf, MadeOf};
use crate::{
    authority::{self, Authority},
    binding::context::Context,
    service::{
        Service, ServiceError,
        transact::{Proposal, transact},
    },
    store::{StoredUser, UserKey},
    token::{
        Token, TokenOptions,
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
        self.issuance(key, ClaimsFor::Given(claims))
    }

    /// As [`issue`](Self::issue), with private claims that a function makes from the user's record. With
    /// [`supersede`](Issuance::supersede) the function may run more than once.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{
    ///     Token,
    ///     service::{Service, ServiceError},
    ///     store::{StoredUser, UserKey},
    ///     token::{Purpose, Usage},
    /// };
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Clone, Deserialize)]
    /// struct Account {
    ///     plan: String,
    /// }
    ///
    /// /// A link to renew the plan that the user has.
    /// struct Renewal;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Plan {
    ///     plan: String,
    /// }
    ///
    /// impl Purpose for Renewal {
    ///     const TYP: &'static str = "renewal+jwt";
    ///     const USAGE: Usage = Usage::OnceByLane;
    ///     type Claims = Plan;
    /// }
    ///
    /// async fn renewal(
    ///     service: &Service<Account>,
    ///     id: &str,
    /// ) -> Result<Option<Token<Renewal>>, ServiceError> {
    ///     let claims = |user: &StoredUser<Account>| Plan { plan: user.fields().plan.clone() };
    ///     let issued = service.issue_with::<Renewal>(UserKey::Id(id), claims).sign().await?;
    ///     Ok(issued.map(|(_user, token)| token))
    /// }
    /// ```
    pub fn issue_with<'a, P: Purpose>(
        &'a self,
        key: UserKey<'a>,
        claims: impl Fn(&StoredUser<F>) -> P::Claims + Send + Sync + 'a,
    ) -> Issuance<'a, P, F, C> {
        self.issuance(key, ClaimsFor::OfUser(Box::new(claims)))
    }

    const fn issuance<'a, P: Purpose>(
        &'a self,
        key: UserKey<'a>,
        claims: ClaimsFor<'a, F, P::Claims>,
    ) -> Issuance<'a, P, F, C> {
        let context = ContextFor::Given(Context::new());
        Issuance { service: self, key, claims, options: TokenOptions::new(), context }
    }
}

/// A token that is to be issued for a user of the store: see [`Service::issue`]. It has the settings of
/// the authority's [`Issuance`](crate::authority::Issuance).
#[must_use = "nothing is issued before `sign` or `supersede`"]
pub struct Issuance<'a, P: Purpose, F = (), C = NoClaims> {
    service: &'a Service<F, C>,
    key: UserKey<'a>,
    claims: ClaimsFor<'a, F, P::Claims>,
    options: TokenOptions,
    context: ContextFor<'a, F>,
}

/// The private claims of a token that is to be issued.
enum ClaimsFor<'a, F, T> {
    Given(&'a T),
    OfUser(MadeOf<'a, F, T>),
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
    /// Sets the token's lifetime: [`TokenOptions::lifetime`].
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.options.lifetime = Some(lifetime);
        self
    }

    /// Sets the token's audience, in place of the authority's. Each further call adds one:
    /// [`TokenOptions::audience`].
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.options = self.options.audience(audience);
        self
    }

    /// Sets the lifetime and the audience at once.
    pub fn options(mut self, options: TokenOptions) -> Self {
        self.options = options;
        self
    }

    /// Binds the token to a context, which it does not carry: the call that presents the token must
    /// set the context again.
    pub fn context(mut self, context: Context) -> Self {
        self.context = ContextFor::Given(context);
        self
    }

    /// Binds the token to a context that is computed from the user's record, such as the address to be
    /// confirmed. [`OneTime::in_context`](super::OneTime::in_context) presents it.
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
        let token = self.issue(&authority, read.user(), |issuance| issuance.sign())?;
        Ok(Some((read.user().clone(), token)))
    }

    /// [`sign`](Self::sign) that revokes all older tokens of this user and purpose, for a link that
    /// replaces the one that was sent before. Only for a purpose with
    /// [`Usage::OnceByLane`](crate::token::Usage::OnceByLane); it does not compile for others.
    ///
    /// # Security
    ///
    /// Anybody who can request a link for a user can then revoke the link that the user has just received.
    ///
    /// # Errors
    ///
    /// Those of [`sign`](Self::sign), and the errors common to all calls.
    pub async fn supersede(self) -> Result<Issued<F, P>, ServiceError> {
        let authority = self.service.authority();
        transact!(self.service, self.key, |read| {
            let Some(read) = read.filter(|read| read.user().is_active()) else { return Ok(None) };
            let user = read.user().clone();
            let decision = self.issue(&authority, &user, |issuance| issuance.supersede())?;
            Proposal::unedited(decision.map(|token| Some((user, token))), read)
        })
    }

    fn issue<T>(
        &self,
        authority: &Authority,
        user: &StoredUser<F>,
        issue: impl FnOnce(authority::Issuance<'_, P>) -> T,
    ) -> T {
        let context = match &self.context {
            ContextFor::Given(context) => context.clone(),
            ContextFor::OfUser(context) => context(user),
        };
        let made;
        let claims = match &self.claims {
            ClaimsFor::Given(claims) => *claims,
            ClaimsFor::OfUser(claims) => {
                made = claims(user);
                &made
            }
        };
        let issuance = authority.issue::<P>(user, claims);
        issue(issuance.context(context).options(self.options.clone()))
    }
}

impl<P: Purpose, F, C> fmt::Debug for Issuance<'_, P, F, C> {
    /// Without the claims and the context.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuance")
            .field("typ", &P::TYP)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
