//! Verifying a token in two steps: before the lookup, and after it.

use std::fmt;

use time::OffsetDateTime;

use super::{
    Authority,
    kernel::{
        kind::Kind,
        own_token::{Ours, check_user, unusable},
        record::Record,
    },
    one_time::Peeked,
};
use crate::{
    authority::{adoption::LegacyToken, session::Session},
    clock,
    rejection::{Reason, Rejection, Stage, VerifyError},
    token::{
        Token,
        claims::private,
        purpose::{ACCESS_TYP, Purpose},
    },
    user::User,
};

/// A token that this server issued for this user and that has not expired, before the user's
/// record is known: see [`Authority::open`].
///
/// It proves nothing yet about revocation, nor in key mode about the other claims.
#[must_use = "nothing is verified before `verify`"]
pub struct Opened<'a, P> {
    authority: &'a Authority,
    token: &'a Token<P>,
    inner: Inner<'a>,
}

#[allow(clippy::large_enum_variant, reason = "the large one is the usual one")]
enum Inner<'a> {
    Ours(Ours<'a>),
    Legacy(LegacyToken<'a>),
}

impl<'a, P: Purpose> Opened<'a, P> {
    #[inline(always)]
    pub(super) fn new(authority: &'a Authority, token: &'a Token<P>) -> Result<Self, Rejection> {
        let settings = &*authority.settings;
        let kind = Kind::of::<P>(settings);
        let compact = authority.split(token.expose())?;
        let inner = match (authority.find_key(compact.header, kind), &settings.adoption) {
            (Some(key), _) => {
                Inner::Ours(Ours::open(authority, kind, key, compact, authority.now())?)
            }
            (None, Some(adoption))
                if P::TYP == ACCESS_TYP && adoption.recognises(compact.header) =>
            {
                Inner::Legacy(adoption.open(compact, authority.now(), settings.leeway)?)
            }
            _ => return Err(authority.explain_header(compact.header, kind)),
        };
        Ok(Self { authority, token, inner })
    }

    /// The id of the user whose record is to be looked up.
    #[must_use]
    pub fn user_id(&self) -> &str {
        match &self.inner {
            Inner::Ours(ours) => ours.payload.subject(),
            Inner::Legacy(legacy) => legacy.user_id(),
        }
    }

    /// When the token expires.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        match &self.inner {
            Inner::Ours(ours) => clock::numeric_date(ours.payload.claims().exp),
            Inner::Legacy(legacy) => legacy.expires_at(),
        }
    }

    /// The second step: verifies the token against the user's record, `None` if there is no such
    /// user.
    ///
    /// # Errors
    ///
    /// [`VerifyError::Rejected`], also because the token has expired or its key has retired since
    /// the first step, and [`VerifyError::Record`] if the record cannot be used.
    #[inline(always)]
    pub fn verify<U: User>(self, user: Option<U>) -> Result<Session<U, P::Claims>, VerifyError> {
        let user = check_user(user, self.user_id())?;
        let now = self.authority.now();
        let settings = &*self.authority.settings;
        match self.inner {
            Inner::Ours(ours) => {
                ours.confirm(self.authority, self.token.presented(), &user, now)?;
                ours.check_session(self.authority, &user, now)?;
                let claims = private::read(ours.payload.own())
                    .map_err(|_| Rejection::new(Stage::Application, Reason::ApplicationClaims))?;
                let context = self.token.context().clone();
                Ok(Session::new(user, claims, ours.payload.into_registered(), context))
            }
            Inner::Legacy(legacy) => {
                legacy.check_time(now, settings.leeway)?;
                let record = Record::of(settings, Kind::of::<P>(settings), &user);
                let version = record.map_err(unusable)?.version;
                legacy.check_binding(version, self.token.context())?;
                let (claims, registered) = legacy.into_claims()?;
                Ok(Session::legacy(user, claims, registered))
            }
        }
    }

    /// [`verify`](Self::verify), for a token that can be used once.
    pub(super) fn peek<U: User>(
        self,
        user: Option<U>,
    ) -> Result<Peeked<U, P::Claims>, VerifyError> {
        let (user, claims, registered) = self.verify(user)?.into_parts();
        Ok(Peeked::new(user, claims, registered))
    }
}

impl<P> fmt::Debug for Opened<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("token", &self.token).finish_non_exhaustive()
    }
}
