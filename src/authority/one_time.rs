//! Tokens that are used once: looked at, and used up.

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
    /// Looks at a token, without using it up if it can be used once: for the page that a link
    /// opens (`GET`). Mail scanners open links too.
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

    /// [`peek`](Self::peek) with a lookup that is awaited.
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

    /// The first of two steps of using up a token that can be used once: when the form behind the
    /// link is sent (`POST`). Look up [`OpenedOnce::user_id`], then go on with
    /// [`OpenedOnce::consume`].
    ///
    /// # Errors
    ///
    /// A [`Rejection`] up to [`Stage::Validity`].
    pub fn open_once<P: Purpose>(&self, token: Token<P>) -> Result<OpenedOnce<'_, P>, Rejection> {
        const {
            assert!(
                !matches!(P::USAGE, Usage::Many),
                "a token of this purpose can be used many times: `Authority::verify` is for it"
            );
        };
        OpenedOnce::new(&self.core, Kind::of::<P>(&self.core.settings), token)
    }
}

/// A token that can be used once, taken out of its holder's hands: a genuine one that has not
/// expired, before the user's record is known. See [`Authority::open_once`] and
/// [`Authority::open_refresh`].
///
/// Look up [`user_id`](Self::user_id) on the primary database, then decide; where the store's
/// compare-and-set finds that the record was changed meanwhile, look it up and decide again.
#[must_use = "nothing is used up before the decision is committed"]
pub struct OpenedOnce<'a, P> {
    pub(super) core: &'a Core,
    pub(super) token: Token<P>,
    pub(super) own_token: OwnToken<'a>,
}

impl<'a, P> OpenedOnce<'a, P> {
    pub(super) fn new(core: &'a Core, kind: Kind, token: Token<P>) -> Result<Self, Rejection> {
        let compact = core.split(token.expose())?;
        let found = core
            .find_key(compact.header, kind)
            .ok_or_else(|| core.explain_header(compact.header, kind))?;
        let own_token = OwnToken::open(&core.settings, kind, found, compact, core.now())?;
        Ok(Self { core, token, own_token })
    }

    /// The id of the user whose record is to be looked up.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.own_token.payload.subject()
    }

    /// When the token expires.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        clock::numeric_date(self.own_token.payload.claims().exp)
    }

    /// Presents the token in this context, in place of the one that it came with: for what is known
    /// only when the user's record is, such as the address that is to be confirmed.
    pub fn in_context(&mut self, context: Context) -> &mut Self {
        self.token.set_context(context);
        self
    }

    /// What to answer if the lookup finds nobody.
    pub const fn unknown_user(&self) -> Rejection {
        Rejection::new(Stage::Lookup, Reason::UnknownUser)
    }

    /// Checks the token against the user's record, up to the signature.
    pub(super) fn confirm<'r>(
        &'r self,
        user: &'r dyn User,
        now: OffsetDateTime,
    ) -> Result<Record<'r>, VerifyError> {
        let user = check_user(Some(user), self.user_id())?;
        self.own_token.confirm(&self.core.settings, self.token.presented(), user, now)
    }
}

impl<P: Purpose> OpenedOnce<'_, P> {
    /// Looks at the token without using it up, as [`Authority::peek`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Opened::verify`].
    pub fn peek<U: User>(&self, user: U) -> Result<Peeked<U, P::Claims>, VerifyError> {
        self.confirm(&user, self.core.now())?;
        Ok(Peeked { user, claims: self.claims()?, registered: self.registered() })
    }

    fn claims(&self) -> Result<P::Claims, Rejection> {
        private::read(self.own_token.payload.own())
            .map_err(|_| Rejection::new(Stage::Application, Reason::ApplicationClaims))
    }

    fn registered(&self) -> RegisteredClaims {
        self.own_token.payload.clone().into_registered()
    }

    /// Uses the token up.
    ///
    /// [`Usage::OnceByLane`]: the decision's change moves the user's counter for this purpose
    /// ([`Change::lane`]). [`Usage::OnceByCredential`]: the change logs the user out everywhere, by
    /// the version, and the application stores the new credential **in that very statement**: a
    /// password reset stores the new hash. Of two requests at once one wins, either way.
    ///
    /// # Errors
    ///
    /// Those of [`Opened::verify`], and a
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

/// What a token said that was used up: its claims are to be acted on once.
#[must_use]
pub struct Used<C> {
    claims: C,
    registered: RegisteredClaims,
}

impl<C> Used<C> {
    /// The application's own claims.
    pub const fn claims(&self) -> &C {
        &self.claims
    }

    /// The registered claims.
    pub const fn registered(&self) -> &RegisteredClaims {
        &self.registered
    }
}

/// What a token says that was looked at and not used up.
///
/// It is no [`Verified`](crate::Verified): it shows a page ("set a new password"), and whatever
/// changes something takes the token again, to be used up.
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

    /// The application's own claims.
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
