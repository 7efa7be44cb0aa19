//! The authority: issues and verifies tokens, and computes changes of sessions, without I/O.
//!
//! It is for applications that do the storage themselves. Others use the module `service`.

pub(crate) mod adoption;
mod builder;
#[cfg(feature = "live")]
mod current;
pub(crate) mod decision;
#[cfg(feature = "service")]
pub(crate) mod device;
pub(crate) mod error;
mod exchange;
mod issue;
mod kernel;
mod not_me;
mod one_time;
mod refresh;
mod session_tokens;
mod sessions;
pub(crate) mod verified;
mod verify;

use std::{fmt, future::Future, sync::Arc};

#[cfg(feature = "live")]
use time::Duration;
use time::OffsetDateTime;
use zeroize::Zeroizing;

#[cfg(feature = "live")]
#[cfg_attr(docsrs, doc(cfg(feature = "live")))]
pub use self::current::CurrentAuthority;
pub use self::{
    adoption::Adoption,
    builder::AuthorityBuilder,
    decision::{Change, Committed, Decision},
    error::{IssueError, RefreshError, VerifyError},
    issue::Issuance,
    kernel::settings::BindingMode,
    one_time::{OpenedOnce, Peeked, Used},
    refresh::Refreshed,
    session_tokens::SessionTokens,
    verified::Verified,
    verify::Opened,
};
use self::{
    issue::ClaimsFor,
    kernel::{core::Core, kind::Kind, record::Record},
};
use crate::{
    binding::context::Context,
    bytes::base64url,
    error::ConfigError,
    keys::key_ring::KeyRing,
    rejection::Rejection,
    sessions::SessionInfo,
    token::{
        Token,
        purpose::{Access, NoClaims, Purpose, Usage},
    },
    user::User,
};
pub use crate::{
    clock::{Clock, SystemClock},
    entropy::{Entropy, EntropyError, SystemEntropy},
    rejection::Stage,
};

/// An issuer and verifier of tokens, against users' records.
///
/// It does no I/O and keeps no state: the application looks up its users. A clone is cheap, and
/// threads can share it.
///
/// # Example
///
/// ```
/// use std::{collections::HashMap, convert::Infallible};
///
/// use relatch::{Authority, Binding, MasterKey, User};
///
/// #[derive(Clone)]
/// struct Account {
///     id: String,
///     password_hash: String,
///     token_version: i64,
/// }
///
/// impl User for Account {
///     fn id(&self) -> &str {
///         &self.id
///     }
///     fn binding(&self) -> Binding<'_> {
///         Binding::password_hash(&self.password_hash).version(self.token_version)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = MasterKey::generate("2026-11")?;
/// let authority = Authority::new(key, "https://login.example.com", "https://api.example.com")?;
/// let mut users = HashMap::from([(
///     "alice".to_owned(),
///     Account { id: "alice".into(), password_hash: "$argon2id$…".into(), token_version: 0 },
/// )]);
///
/// let token = authority.issue_for_user(&users["alice"])?;
/// let lookup = |id: &str| Ok::<_, Infallible>(users.get(id).cloned());
/// assert_eq!(authority.verify(&token, lookup)?.user().id, "alice");
///
/// users.get_mut("alice").unwrap().token_version += 1;
/// let lookup = |id: &str| Ok::<_, Infallible>(users.get(id).cloned());
/// assert!(authority.verify(&token, lookup).is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a changed authority is a new value, which must replace the old one"]
pub struct Authority {
    core: Core,
}

impl Authority {
    /// The same authority with another key ring, for a rotation while the process runs.
    ///
    /// This authority and its clones keep their ring: replace them all with the new authority
    /// (`CurrentAuthority::replace`, `Service::replace_authority`).
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a key that the binding mode or the adoption cannot use, as in
    /// [`AuthorityBuilder::build`].
    pub fn with_keys(&self, keys: impl Into<KeyRing>) -> Result<Self, ConfigError> {
        let keys = keys.into();
        self.core.settings.check_keys(&keys)?;
        Ok(Self { core: Core::new(Arc::clone(&self.core.settings), keys) })
    }

    /// The key ring.
    pub fn keys(&self) -> &KeyRing {
        self.core.keys()
    }

    /// The `iss` of this authority's tokens.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.core.settings.issuer
    }

    /// The `aud` that this authority accepts.
    #[must_use]
    pub fn audience(&self) -> &str {
        &self.core.settings.audience
    }

    /// Issues an access token without a session, at login.
    ///
    /// # Security
    ///
    /// Pass the same record whose password was verified, not one that was read again: the password
    /// may have changed between the two reads, and the token would outlive that change.
    ///
    /// # Errors
    ///
    /// [`IssueError`] if the user is not active or has no credential, or if the source of
    /// randomness fails.
    pub fn issue_for_user(&self, user: &dyn User) -> Result<Token<Access>, IssueError> {
        self.issue::<Access>(user, &NoClaims {}).sign()
    }

    /// Prepares a token for the purpose `P` with these private claims. The lifetime, the audience
    /// and the context can be set before [`Issuance::sign`] issues it.
    ///
    /// # Example
    ///
    /// ```
    /// # use relatch::{Access, Authority, IssueError, Token, User};
    /// use serde::{Deserialize, Serialize};
    /// use time::Duration;
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Role {
    ///     role: String,
    /// }
    ///
    /// fn admin(authority: &Authority, user: &dyn User) -> Result<Token<Access<Role>>, IssueError> {
    ///     let claims = Role { role: "admin".into() };
    ///     authority.issue::<Access<Role>>(user, &claims).lifetime(Duration::minutes(5)).sign()
    /// }
    /// ```
    pub fn issue<'a, P: Purpose>(
        &'a self,
        user: &'a dyn User,
        claims: &'a P::Claims,
    ) -> Issuance<'a, P> {
        Issuance::new(&self.core, user, ClaimsFor::Given(claims))
    }

    /// As [`issue`](Self::issue), with private claims that a function makes from the token's session,
    /// for example from its [data](SessionInfo::data). The function gets the session as it will be
    /// stored. It gets `None` for a token without a session, such as that of [`Issuance::sign`].
    ///
    /// # Example
    ///
    /// ```
    /// # use relatch::{Access, Authority, IssueError, SessionTokens, User, authority::Decision};
    /// # use relatch::sessions::{DataError, NewSession, SessionData};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Default, Serialize, Deserialize)]
    /// struct Tenant {
    ///     tenant: Option<String>,
    /// }
    ///
    /// fn log_in(
    ///     authority: &Authority,
    ///     user: &dyn User,
    ///     data: SessionData,
    /// ) -> Result<Decision<SessionTokens<Tenant>>, IssueError> {
    ///     authority
    ///         .issue_with::<Access<Tenant>>(user, &|session| {
    ///             let data = session.and_then(|session| session.data());
    ///             data.and_then(|data| data.read().ok()).unwrap_or_default()
    ///         })
    ///         .start_session(NewSession::new("Firefox on Linux").data(data))
    /// }
    /// ```
    pub fn issue_with<'a, P: Purpose>(
        &'a self,
        user: &'a dyn User,
        claims: &'a dyn Fn(Option<&SessionInfo>) -> P::Claims,
    ) -> Issuance<'a, P> {
        Issuance::new(&self.core, user, ClaimsFor::OfSession(claims))
    }

    /// Verifies a token, on each request.
    ///
    /// `lookup` receives the user's id and returns the user's record, `None` if there is no such
    /// user, or its own error. It is called only for a token that this server issued for that user
    /// and that has not expired.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Rejected`] if the token is not accepted, [`VerifyError::Lookup`] if the
    /// lookup failed, and [`VerifyError::Record`] if the record cannot be used. For `?`, the
    /// lookup's error must implement [`Error`](std::error::Error). Convert any other error
    /// (`anyhow`'s, a boxed one) with [`VerifyError::map_lookup`]. A lookup that cannot fail
    /// returns `Ok::<_, Infallible>(user)`.
    pub fn verify<P: Purpose, U: User, E>(
        &self,
        token: &Token<P>,
        lookup: impl FnOnce(&str) -> Result<Option<U>, E>,
    ) -> Result<Verified<U, P::Claims>, VerifyError<E>> {
        let opened = self.open(token)?;
        let user = lookup(opened.user_id()).map_err(VerifyError::Lookup)?;
        opened.verify(user).map_err(VerifyError::of_lookup)
    }

    /// [`verify`](Self::verify) with an asynchronous lookup.
    ///
    /// The lookup receives an owned id, so that the future is [`Send`] if the lookup's is.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify).
    ///
    /// # Example
    ///
    /// ```
    /// # use std::convert::Infallible;
    /// # use relatch::{AccessToken, Authority, User, VerifyError};
    /// # struct Db;
    /// # impl Db { async fn find<U>(&self, id: &str) -> Result<Option<U>, Infallible> { Ok(None) } }
    /// # async fn f<U: User>(authority: Authority, token: AccessToken, db: Db) -> Result<U, VerifyError<Infallible>> {
    /// let verified = authority.verify_async(&token, async |id| db.find(&id).await).await?;
    /// # Ok(verified.into_user())
    /// # }
    /// ```
    pub async fn verify_async<P, U, E, F>(
        &self,
        token: &Token<P>,
        lookup: impl FnOnce(String) -> F,
    ) -> Result<Verified<U, P::Claims>, VerifyError<E>>
    where
        P: Purpose,
        U: User,
        F: Future<Output = Result<Option<U>, E>>,
    {
        let opened = self.open(token)?;
        let user = lookup(opened.user_id().to_owned()).await.map_err(VerifyError::Lookup)?;
        opened.verify(user).map_err(VerifyError::of_lookup)
    }

    /// Checks a token as far as possible without the user's record: the first of two steps of
    /// [`verify`](Self::verify).
    ///
    /// Look up [`Opened::user_id`] in any way, then call [`Opened::verify`].
    ///
    /// # Errors
    ///
    /// A [`Rejection`] up to [`Stage::Validity`].
    pub fn open<'a, P: Purpose>(&'a self, token: &'a Token<P>) -> Result<Opened<'a, P>, Rejection> {
        const {
            assert!(
                matches!(P::USAGE, Usage::Many),
                "a token of this purpose is used once: look at it with `Authority::peek`, and use \
                 it up with `Authority::open_once` (`Service::peek`, `Service::one_time`)"
            );
        };
        Opened::new(&self.core, token)
    }

    /// The HS256 key of this user's key-mode tokens of purpose `P` under the current master key, for a
    /// JWT library in another language that verifies them, or signs their claims again.
    ///
    /// The other program cannot issue whole tokens with it: the `jti` of a key-mode token contains a
    /// guard over `sub` and `exp`, and the guard depends on the master key alone.
    ///
    /// # Errors
    ///
    /// [`IssueError::Record`] if the record cannot be used, and [`IssueError::AmbiguousType`].
    ///
    /// # Security
    ///
    /// Until the user's record changes, a holder of the key who also has a token of this user and
    /// purpose can change all of its claims except `sub`, `exp` and `jti`. This works until the token
    /// expires.
    pub fn danger_expose_key<P: Purpose>(
        &self,
        user: &dyn User,
        context: &Context,
    ) -> Result<Zeroizing<[u8; 32]>, IssueError> {
        let kind = Kind::of::<P>(&self.core.settings);
        let record = Record::of(&self.core.settings, kind, user)?;
        let body = record.body(user.id(), context);
        Ok(self.core.current_key(kind)?.derivation().user_key(&body))
    }

    /// The claim `stamp`, 22 characters, of a stamp-mode token of this user and purpose under the
    /// current master key. It is for a token that another program or an HSM signs with the server's
    /// key.
    ///
    /// `header` is the first part of the token, in base64url, and must name the current key. `payload`
    /// is the JSON text of the payload up to the stamp: all other claims, without the closing brace.
    /// The token's payload is then `payload`, `,"stamp":"`, the stamp and `"}`, with no other byte in
    /// between. The stamp fits no other header or payload.
    ///
    /// # Errors
    ///
    /// [`IssueError::Record`] if the record cannot be used, and [`IssueError::AmbiguousType`].
    ///
    /// # Security
    ///
    /// With the server's signing key, its holder can make this one token, with these claims.
    pub fn danger_expose_stamp<P: Purpose>(
        &self,
        user: &dyn User,
        context: &Context,
        header: &str,
        payload: &str,
    ) -> Result<String, IssueError> {
        const {
            assert!(P::PORTABLE, "tokens of this purpose have no stamp: Purpose::PORTABLE is false")
        };
        let kind = Kind::of::<P>(&self.core.settings);
        let record = Record::of(&self.core.settings, kind, user)?;
        let body = record.body(user.id(), context);
        let derivation = self.core.current_key(kind)?.derivation();
        Ok(base64url::encode(&derivation.stamp(&body, header, payload.as_bytes())))
    }

    /// The kinds of the epochs that come from users' records, outermost first.
    #[cfg(feature = "service")]
    pub(crate) fn user_epochs(&self) -> &[String] {
        &self.core.settings.user_epochs
    }

    /// The deadline of the adoption, if it has passed.
    #[cfg(feature = "service")]
    pub(crate) fn ended_adoption(&self) -> Option<OffsetDateTime> {
        self.core.settings.adoption.as_ref()?.ended(self.now())
    }

    #[cfg(feature = "live")]
    pub(crate) fn leeway(&self) -> Duration {
        Duration::seconds(self.core.settings.leeway.cast_signed())
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.core.now()
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("settings", &self.core.settings)
            .field("keys", self.keys())
            .finish()
    }
}
