//! Verification in two steps: before the lookup of the user's record, and after it.

use std::fmt;

use time::OffsetDateTime;

use super::kernel::{
    kind::Kind,
    own_token::{OwnToken, check_user, unusable},
    record::Record,
};
use crate::{
    authority::{
        adoption::LegacyToken, error::VerifyError, kernel::core::Core, verified::Verified,
    },
    clock,
    rejection::{Reason, Rejection, Stage},
    token::{
        Token,
        claims::private,
        purpose::{ACCESS_TYP, Purpose},
    },
    user::User,
};

/// A token that was checked as far as possible without the user's record: this server issued it for
/// this user, and it has not expired. See [`Authority::open`](crate::Authority::open).
///
/// It proves nothing yet about revocation, and in key mode nothing about the other claims.
#[must_use = "nothing is verified before `verify`"]
pub struct Opened<'a, P> {
    core: &'a Core,
    token: &'a Token<P>,
    inner: Inner<'a>,
}

#[allow(clippy::large_enum_variant, reason = "the large variant is the common one")]
enum Inner<'a> {
    Own(OwnToken<'a>),
    Legacy(Box<LegacyToken<'a>>),
}

impl<'a, P: Purpose> Opened<'a, P> {
    #[inline(always)]
    pub(super) fn new(core: &'a Core, token: &'a Token<P>) -> Result<Self, Rejection> {
        let settings = &*core.settings;
        let kind = Kind::of::<P>(settings);
        let inner = match core.locate(token.expose(), kind) {
            Some((key, compact)) => {
                Inner::Own(OwnToken::open(settings, kind, key, compact, core.second())?)
            }
            None => Inner::Legacy(Self::open_legacy(core, kind, token.expose())?),
        };
        Ok(Self { core, token, inner })
    }

    /// Opens a plain token that the adoption covers, or says why the token is rejected.
    #[cold]
    fn open_legacy(
        core: &'a Core,
        kind: Kind,
        text: &str,
    ) -> Result<Box<LegacyToken<'a>>, Rejection> {
        let compact = core.split(text)?;
        match &core.settings.adoption {
            Some(adoption) if P::TYP == ACCESS_TYP && adoption.recognises(compact.header) => {
                adoption.open(compact, core.now(), core.settings.leeway).map(Box::new)
            }
            _ => Err(core.explain(compact, kind)),
        }
    }

    /// The id of the user to look up.
    #[must_use]
    pub fn user_id(&self) -> &str {
        match &self.inner {
            Inner::Own(own_token) => own_token.payload.subject(),
            Inner::Legacy(legacy) => legacy.user_id(),
        }
    }

    /// When the token expires.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        match &self.inner {
            Inner::Own(own_token) => clock::numeric_date(own_token.payload.claims().exp),
            Inner::Legacy(legacy) => legacy.expires_at(),
        }
    }

    /// A rejection without a record. It takes the work of a check against one.
    #[cold]
    fn rejected(&self, rejection: Rejection) -> Rejection {
        if let Inner::Own(own_token) = &self.inner {
            own_token.spend_a_check(&self.core.settings, self.token.presented());
        }
        rejection
    }

    /// Verifies the token against the user's record: the second step. Pass `None` if there is no
    /// such user.
    ///
    /// # Security
    ///
    /// A missing or inactive user, a revoked token and a wrong signature take the same work, so that
    /// the time of the answer does not tell whether there is such a user. Call it with `None` too.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Rejected`], also if the token has expired or its key has been retired since
    /// the first step, and [`VerifyError::Record`] if the record cannot be used.
    #[inline(always)]
    pub fn verify<U: User>(self, user: Option<U>) -> Result<Verified<U, P::Claims>, VerifyError> {
        let user =
            check_user(user, self.user_id()).map_err(|rejection| self.rejected(rejection))?;
        let settings = &*self.core.settings;
        match self.inner {
            Inner::Own(own_token) => {
                let second = self.core.second();
                own_token.confirm(settings, self.token.presented(), &user, second)?;
                own_token.check_session(settings, &user, second)?;
                let claims = private::read(own_token.payload.own())
                    .map_err(|_| Rejection::new(Stage::Application, Reason::ApplicationClaims))?;
                let context = self.token.context().clone();
                Ok(Verified::new(user, claims, own_token.payload.into_registered(), context))
            }
            Inner::Legacy(legacy) => verify_legacy(*legacy, self.core, self.token, user),
        }
    }
}

/// [`Opened::verify`] for a plain token that the adoption covers.
#[cold]
fn verify_legacy<P: Purpose, U: User>(
    legacy: LegacyToken<'_>,
    core: &Core,
    token: &Token<P>,
    user: U,
) -> Result<Verified<U, P::Claims>, VerifyError> {
    let settings = &*core.settings;
    legacy.check_time(core.now(), settings.leeway)?;
    let record = Record::of(settings, Kind::of::<P>(settings), &user);
    let version = record.map_err(unusable)?.version;
    legacy.check_binding(version, token.context())?;
    let (claims, registered) = legacy.into_claims()?;
    Ok(Verified::legacy(user, claims, registered))
}

impl<P> fmt::Debug for Opened<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("token", &self.token).finish_non_exhaustive()
    }
}
