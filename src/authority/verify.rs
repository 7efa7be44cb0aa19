//! Verifying a token: the one kernel, for every purpose and either binding mode.

use std::fmt;

use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use super::{
    Authority,
    builder::{BindingMode, Settings},
    record::Record,
};
use crate::{
    adoption::LegacyToken,
    application, claims,
    credential::CredentialError,
    derivation,
    jws::{self, Compact, UntrustedHeader},
    payload::{Bytes16, Payload},
    purpose::{ACCESS_TYP, Purpose},
    rejection::{Reason, Rejection, Stage, VerifyError},
    secret::MasterKey,
    session::Session,
    token::Token,
    user::{RecordError, User},
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

enum Inner<'a> {
    Ours(Ours<'a>),
    Legacy(LegacyToken<'a>),
}

/// One of relatch's own tokens. What its payload says is a hint, but for the subject and the
/// expiry, until the signature is checked.
struct Ours<'a> {
    key: &'a MasterKey,
    until: Option<OffsetDateTime>,
    signing_input: &'a str,
    signature: Vec<u8>,
    json: String,
    payload: Payload,
}

impl<'a, P: Purpose> Opened<'a, P> {
    pub(super) fn new(authority: &'a Authority, token: &'a Token<P>) -> Result<Self, Rejection> {
        let settings = &*authority.settings;
        let text = token.expose();
        if text.len() > settings.max_token_bytes {
            return Err(Rejection::new(Stage::Length, Reason::TooLong));
        }
        let compact =
            Compact::split(text).ok_or(Rejection::new(Stage::Shape, Reason::Malformed))?;
        let now = authority.now();
        let inner = match (authority.find_key(compact.header, P::TYP), &settings.adoption) {
            (Some((key, until)), _) => {
                Inner::Ours(Ours::open::<P>(authority, key, until, compact, now)?)
            }
            (None, Some(adoption))
                if P::TYP == ACCESS_TYP && adoption.recognises(compact.header) =>
            {
                Inner::Legacy(adoption.open(compact, now, settings.leeway)?)
            }
            _ => return Err(authority.explain_header(compact.header, P::TYP)),
        };
        Ok(Self { authority, token, inner })
    }

    /// The id of the user whose record is to be looked up.
    #[must_use]
    pub fn user_id(&self) -> &str {
        match &self.inner {
            Inner::Ours(ours) => &ours.payload.subject,
            Inner::Legacy(legacy) => legacy.user_id(),
        }
    }

    /// When the token expires.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        match &self.inner {
            Inner::Ours(ours) => claims::numeric_date(ours.payload.exp),
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
    pub fn verify<U: User>(self, user: Option<U>) -> Result<Session<U, P::Claims>, VerifyError> {
        let user = check_user(user, self.user_id())?;
        let now = self.authority.now();
        let settings = &*self.authority.settings;
        match &self.inner {
            Inner::Ours(ours) => ours.check_time(settings, now)?,
            Inner::Legacy(legacy) => legacy.check_time(now, settings.leeway)?,
        }
        let record = match Record::of::<P>(settings, &user) {
            Err(RecordError::Credential(CredentialError::Empty)) => {
                return Err(Rejection::new(Stage::Binding, Reason::NoCredential).into());
            }
            other => other.map_err(VerifyError::Record)?,
        };
        match self.inner {
            Inner::Ours(ours) => {
                ours.check_binding::<P>(self.authority, self.token, &record)?;
                let claims = application::read(&ours.json)
                    .map_err(|_| Rejection::new(Stage::Application, Reason::ApplicationClaims))?;
                Ok(Session::new(user, claims, ours.payload.into_registered(), false))
            }
            Inner::Legacy(legacy) => {
                legacy.check_binding(record.version, self.token.context())?;
                let (claims, registered) = legacy.into_claims()?;
                Ok(Session::new(user, claims, registered, true))
            }
        }
    }
}

impl<'a> Ours<'a> {
    fn open<P: Purpose>(
        authority: &Authority,
        key: &'a MasterKey,
        until: Option<OffsetDateTime>,
        compact: Compact<'a>,
        now: OffsetDateTime,
    ) -> Result<Self, Rejection> {
        let settings = &*authority.settings;
        let malformed = |stage| Rejection::new(stage, Reason::Malformed);
        check_deadline(until, now)?;
        let signature = jws::decode(compact.signature)
            .filter(|signature| signature.len() == settings.mode.signature_bytes())
            .ok_or(malformed(Stage::Shape))?;
        let payload = jws::decode(compact.payload).ok_or(malformed(Stage::Shape))?;
        let json = String::from_utf8(payload).map_err(|_| malformed(Stage::Claims))?;
        let payload = Payload::read(&json).ok_or(malformed(Stage::Claims))?;
        let has_stamp = settings.mode != BindingMode::Key;
        if payload.stamp.is_some() != has_stamp || payload.lane.is_some() != P::LANE {
            return Err(malformed(Stage::Claims));
        }
        let ours =
            Self { key, until, signing_input: compact.signing_input, signature, json, payload };
        if !ours.passes_guard::<P>(authority) {
            return Err(Rejection::new(Stage::Guard, Reason::Forged));
        }
        ours.check_time(settings, now)?;
        if ours.payload.issuer != settings.issuer {
            return Err(Rejection::new(Stage::Validity, Reason::WrongIssuer));
        }
        if !ours.payload.audience.0.contains(&settings.audience) {
            return Err(Rejection::new(Stage::Validity, Reason::WrongAudience));
        }
        Ok(ours)
    }

    /// What a token must pass before anything is looked up for it: the guard in key mode, the
    /// server's signature in stamp mode.
    fn passes_guard<P: Purpose>(&self, authority: &Authority) -> bool {
        let scope = authority.scope::<P>();
        match authority.settings.mode {
            BindingMode::Key => {
                let (nonce, guard) = self.payload.jti.0.split_at(8);
                let Ok(nonce) = nonce.try_into() else { return false };
                let Payload { subject, exp, .. } = &self.payload;
                let genuine = derivation::guard(self.key.mac(), scope, subject, *exp, nonce);
                genuine.ct_eq(guard).into()
            }
            BindingMode::StampHs256 => {
                self.is_signed_with(&derivation::server_key(self.key.mac(), scope))
            }
            #[cfg(feature = "asymmetric")]
            BindingMode::StampAsymmetric => self.key.signing_key().is_some_and(|key| {
                key.verifying_key().verify(self.signing_input.as_bytes(), &self.signature)
            }),
        }
    }

    fn is_signed_with(&self, key: &[u8; 32]) -> bool {
        let genuine = derivation::hs256(key, self.signing_input.as_bytes());
        genuine.ct_eq(&*self.signature).into()
    }

    fn check_time(&self, settings: &Settings, now: OffsetDateTime) -> Result<(), Rejection> {
        check_deadline(self.until, now)?;
        let Payload { iat, exp, .. } = self.payload;
        check_validity(exp, Some(iat), now, settings.leeway)
    }

    /// Versions first, so that a log can tell a revocation; then what proves the rest.
    fn check_binding<P: Purpose>(
        &self,
        authority: &Authority,
        token: &Token<P>,
        record: &Record,
    ) -> Result<(), Rejection> {
        let reject = |reason| Err(Rejection::new(Stage::Binding, reason));
        if self.payload.ver < record.version {
            return reject(Reason::RevokedByVersion);
        }
        if self.payload.ver > record.version {
            return reject(Reason::AheadOfRecord);
        }
        if self.payload.lane != record.lane {
            return reject(Reason::RevokedByLane);
        }
        let scope = authority.scope::<P>();
        let body = record.body(&self.payload.subject, token.context());
        match self.payload.stamp {
            None => {
                let key = derivation::user_key(self.key.mac(), scope, &body);
                if !self.is_signed_with(&key) {
                    return reject(Reason::BadSignature);
                }
            }
            Some(Bytes16(stamp)) => {
                let Payload { jti, exp, .. } = &self.payload;
                let jti = jws::encode(&jti.0);
                let genuine = derivation::stamp(self.key.mac(), scope, &body, &jti, *exp);
                if !bool::from(genuine.ct_eq(&stamp)) {
                    return reject(Reason::RevokedByStamp);
                }
            }
        }
        Ok(())
    }
}

impl Authority {
    /// The key whose pinned header this is.
    fn find_key(&self, header: &str, typ: &str) -> Option<(&MasterKey, Option<OffsetDateTime>)> {
        self.keys.iter().find(|(key, _)| {
            self.settings.pinned_header(key, typ).is_some_and(|pinned| pinned == header)
        })
    }

    /// What is wrong with a header that is not one of the pinned ones.
    fn explain_header(&self, header: &str, typ: &str) -> Rejection {
        let reason = match UntrustedHeader::read(header) {
            None => Reason::Malformed,
            Some(header) => match self.keys.iter().find(|(key, _)| key.kid() == header.kid) {
                None => Reason::UnknownKey,
                Some((key, _)) if header.alg.parse().ok() != self.settings.mode.algorithm(key) => {
                    Reason::WrongAlgorithm
                }
                Some(_) if header.typ != typ => Reason::WrongType,
                Some(_) => Reason::Malformed,
            },
        };
        Rejection::new(Stage::Header, reason)
    }
}

fn check_user<U: User>(user: Option<U>, id: &str) -> Result<U, Rejection> {
    let reject = |reason| Err(Rejection::new(Stage::Lookup, reason));
    match user {
        None => reject(Reason::UnknownUser),
        Some(user) if user.id() != id => reject(Reason::UserMismatch),
        Some(user) if !user.is_active() => reject(Reason::InactiveUser),
        Some(user) => Ok(user),
    }
}

fn check_deadline(until: Option<OffsetDateTime>, now: OffsetDateTime) -> Result<(), Rejection> {
    match until.is_some_and(|until| now >= until) {
        true => Err(Rejection::new(Stage::Header, Reason::RetiredKey)),
        false => Ok(()),
    }
}

/// `exp` is exclusive; `iat` (or `nbf`) is inclusive; all in seconds.
pub(crate) fn check_validity(
    exp: u64,
    not_before: Option<u64>,
    now: OffsetDateTime,
    leeway: u64,
) -> Result<(), Rejection> {
    let now = i128::from(now.unix_timestamp());
    if now >= i128::from(exp) + i128::from(leeway) {
        return Err(Rejection::new(Stage::Validity, Reason::Expired));
    }
    if not_before.is_some_and(|start| i128::from(start) > now + i128::from(leeway)) {
        return Err(Rejection::new(Stage::Validity, Reason::NotYetValid));
    }
    Ok(())
}

impl<P> fmt::Debug for Opened<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened").field("token", &self.token).finish_non_exhaustive()
    }
}
