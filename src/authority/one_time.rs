//! Tokens that are used once: checking them (*peek*), and using them up (*consume*).

use std::{fmt, future::Future};

use time::OffsetDateTime;

use super::{
    Authority,
    kernel::{
        kind::Kind,
        own_token::{OwnToken, check_user},
        record::{Record, next_lane},
    },
    verify::Opened,
};
use crate::{
    authority::{
        decision::{Change, Decision},
        error::VerifyError,
        kernel::core::Core,
        verified::Verified,
    },
    binding::context::Context,
    clock,
    rejection::{Reason, Rejection, Stage},
    token::{
        Token,
        claims::{private, registered::RegisteredClaims},
        purpose::{Purpose, Usage},
    },
    user::User,
};

impl Authority {
    /// Verifies a token without using it up, for the page that a link opens (`GET`). Mail scanners
    /// open links too.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify).
    pub fn peek<P: Purpose, U: User, E>(
        &self,
        token: &Token<P>,
        lookup: impl FnOnce(&str) -> Result<Option<U>, E>,
    ) -> Result<Peeked<U, P::Claims>, VerifyError<E>> {
        let opened = Opened::new(&self.core, token)?;
        let user = lookup(opened.user_id()).map_err(VerifyError::Lookup)?;
        Ok(Peeked::of(opened.verify(user).map_err(VerifyError::of_lookup)?))
    }

    /// [`peek`](Self::peek) with an asynchronous lookup.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify).
    pub async fn peek_async<P, U, E, F>(
        &self,
        token: &Token<P>,
        lookup: impl FnOnce(String) -> F,
    ) -> Result<Peeked<U, P::Claims>, VerifyError<E>>
    where
        P: Purpose,
        U: User,
        F: Future<Output = Result<Option<U>, E>>,
    {
        let opened = Opened::new(&self.core, token)?;
        let user = lookup(opened.user_id().to_owned()).await.map_err(VerifyError::Lookup)?;
        Ok(Peeked::of(opened.verify(user).map_err(VerifyError::of_lookup)?))
    }

    /// Checks a token that can be used once as far as possible without the user's record: the first
    /// of two steps of using it up, when the form behind the link is sent (`POST`). Look up
    /// [`OpenedOnce::user_id`], then call [`OpenedOnce::consume`].
    ///
    /// # Errors
    ///
    /// A [`Rejection`] up to [`Stage::Validity`].
    pub fn open_once<P: Purpose>(&self, token: Token<P>) -> Result<OpenedOnce<'_, P>, Rejection> {
        const {
            assert!(
                !matches!(P::USAGE, Usage::Many),
                "a token of this purpose can be used many times: use `Authority::verify`"
            );
        };
        OpenedOnce::new(&self.core, Kind::of::<P>(&self.core.settings), token)
    }
}

/// A token that can be used once, checked as far as possible without the user's record: it is
/// genuine and has not expired. It owns the token. See [`Authority::open_once`] and
/// [`Authority::open_refresh`].
///
/// Look up [`user_id`](Self::user_id) on the primary database, then decide. If the store's
/// compare-and-set finds that the record was changed since then, look it up and decide again.
#[must_use = "nothing is used up before the decision is committed"]
pub struct OpenedOnce<'a, P> {
    pub(super) core: &'a Core,
    pub(super) token: Token<P>,
    pub(super) own_token: OwnToken<'a>,
}

impl<'a, P> OpenedOnce<'a, P> {
    pub(super) fn new(core: &'a Core, kind: Kind, token: Token<P>) -> Result<Self, Rejection> {
        let text = token.expose();
        let Some((key, compact)) = core.locate(text, kind) else {
            return Err(core.explain(core.split(text)?, kind));
        };
        let own_token = OwnToken::open(&core.settings, kind, key, compact, core.second())?;
        Ok(Self { core, token, own_token })
    }

    /// The id of the user to look up.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.own_token.payload.subject()
    }

    /// When the token expires.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        clock::numeric_date(self.own_token.payload.claims().exp)
    }

    /// Replaces the context in which the token is presented, for a context that is part of the
    /// user's record, such as the address to confirm.
    pub fn in_context(&mut self, context: Context) -> &mut Self {
        self.token.set_context(context);
        self
    }

    /// The rejection to return if there is no such user.
    ///
    /// It takes the work of a check of the token, so that the time of the answer does not tell whether
    /// there is such a user. So call it only if there is none (`ok_or_else`, not `ok_or`).
    pub fn unknown_user(&self) -> Rejection {
        self.rejected(Rejection::new(Stage::Lookup, Reason::UnknownUser))
    }

    /// A rejection without a record. It takes the work of a check against one.
    #[cold]
    fn rejected(&self, rejection: Rejection) -> Rejection {
        self.own_token.spend_a_check(&self.core.settings, self.token.presented());
        rejection
    }

    /// Checks the token against the user's record, up to and including the signature.
    pub(super) fn confirm<'r>(
        &'r self,
        user: &'r dyn User,
        now: OffsetDateTime,
    ) -> Result<Record<'r>, VerifyError> {
        let user =
            check_user(Some(user), self.user_id()).map_err(|rejection| self.rejected(rejection))?;
        let second = now.unix_timestamp();
        self.own_token.confirm(&self.core.settings, self.token.presented(), user, second)
    }
}

impl<P: Purpose> OpenedOnce<'_, P> {
    /// Verifies the token without using it up, as [`Authority::peek`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Opened::verify`].
    pub fn peek<U: User>(&self, user: U) -> Result<Peeked<U, P::Claims>, VerifyError> {
        self.confirm(&user, self.core.now())?;
        Ok(Peeked { user, claims: self.claims()?, registered: self.registered() })
    }

    pub(super) fn claims(&self) -> Result<P::Claims, Rejection> {
        private::read(self.own_token.payload.own())
            .map_err(|_| Rejection::new(Stage::Application, Reason::ApplicationClaims))
    }

    fn registered(&self) -> RegisteredClaims {
        self.own_token.payload.clone().into_registered()
    }

    /// Uses the token up.
    ///
    /// [`Usage::OnceByLane`]: the decision's change increases the user's counter for this purpose
    /// ([`Change::lane`]). [`Usage::OnceByCredential`]: the change increases the version, which
    /// logs the user out everywhere, and the application stores the new credential **in the same
    /// statement**: a password reset stores the new hash. Of two concurrent requests, one succeeds,
    /// in both cases.
    ///
    /// # Errors
    ///
    /// Those of [`Opened::verify`], and
    /// [`RecordError::Exhausted`](crate::user::RecordError::Exhausted).
    pub fn consume(&self, user: &dyn User) -> Result<Decision<Used<P::Claims>>, VerifyError> {
        let now = self.core.now();
        self.confirm(user, now)?;
        let claims = self.claims()?;
        let change = match P::USAGE {
            Usage::OnceByLane => {
                let lane = next_lane::<P>(user, now).map_err(VerifyError::Record)?;
                Change::none(user).with_lane(P::TYP, lane)
            }
            Usage::OnceByCredential | Usage::Many => {
                Change::logged_out(user, now).map_err(VerifyError::Record)?
            }
        };
        Ok(Decision::new(Some(change), Used { claims, registered: self.registered() }))
    }
}

/// The claims of a token that was used up. Act on them once.
#[must_use]
pub struct Used<C> {
    claims: C,
    registered: RegisteredClaims,
}

impl<C> Used<C> {
    /// The private claims.
    pub const fn claims(&self) -> &C {
        &self.claims
    }

    /// The registered claims.
    pub const fn registered(&self) -> &RegisteredClaims {
        &self.registered
    }
}

/// The user's record and the claims of a token that was verified and not used up.
///
/// It is not a [`Verified`](crate::Verified): use it to show a page ("set a new password"). The
/// request that changes something must send the token again, to use it up.
pub struct Peeked<U, C> {
    user: U,
    claims: C,
    registered: RegisteredClaims,
}

impl<U, C> Peeked<U, C> {
    fn of(verified: Verified<U, C>) -> Self {
        let (user, claims, registered) = verified.into_parts();
        Self { user, claims, registered }
    }

    /// The user's record, as the lookup returned it.
    pub const fn user(&self) -> &U {
        &self.user
    }

    /// The private claims.
    pub const fn claims(&self) -> &C {
        &self.claims
    }

    /// The registered claims.
    pub const fn registered(&self) -> &RegisteredClaims {
        &self.registered
    }
}

impl<P> fmt::Debug for OpenedOnce<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedOnce").field("token", &self.token).finish_non_exhaustive()
    }
}

impl<C> fmt::Debug for Used<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Used").field("registered", &self.registered).finish_non_exhaustive()
    }
}

impl<U, C> fmt::Debug for Peeked<U, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peeked").field("registered", &self.registered).finish_non_exhaustive()
    }
}
