//! The one verification kernel, for every purpose and either binding mode.

use subtle::ConstantTimeEq;
use time::OffsetDateTime;

use super::{
    Authority,
    builder::{BindingMode, Settings},
    kind::{Kind, OfSession},
    record::Record,
};
use crate::{
    context::Context,
    credential::CredentialError,
    derivation,
    jws::{self, Compact, UntrustedHeader},
    payload::{Bytes16, Payload},
    rejection::{Reason, Rejection, Stage, VerifyError},
    secret::MasterKey,
    user::{RecordError, User},
};

/// One of relatch's own tokens, without its text. What its payload says is a hint, but for the
/// subject and the expiry, until the signature is checked.
pub(super) struct Ours<'a> {
    kind: Kind,
    key: &'a MasterKey,
    until: Option<OffsetDateTime>,
    /// How much of the text is signed, in bytes.
    signed: usize,
    signature: Vec<u8>,
    pub(super) json: String,
    pub(super) payload: Payload,
}

/// A key of the ring and its deadline.
pub(super) type Found<'a> = (&'a MasterKey, Option<OffsetDateTime>);

impl<'a> Ours<'a> {
    /// All that can be checked before the user's record is known.
    pub(super) fn open(
        authority: &Authority,
        kind: Kind,
        (key, until): Found<'a>,
        compact: Compact<'_>,
        now: OffsetDateTime,
    ) -> Result<Self, Rejection> {
        let settings = &*authority.settings;
        let malformed = |stage| Rejection::new(stage, Reason::Malformed);
        check_deadline(until, now)?;
        let signature = jws::decode(compact.signature)
            .filter(|signature| signature.len() == kind.mode.signature_bytes())
            .ok_or(malformed(Stage::Shape))?;
        let payload = jws::decode(compact.payload).ok_or(malformed(Stage::Shape))?;
        let json = String::from_utf8(payload).map_err(|_| malformed(Stage::Claims))?;
        let payload = Payload::read(&json).ok_or(malformed(Stage::Claims))?;
        if !kind.has_claims_of(&payload) {
            return Err(malformed(Stage::Claims));
        }
        let signed = compact.signing_input.len();
        let ours = Self { kind, key, until, signed, signature, json, payload };
        if !ours.passes_guard(authority, compact.signing_input) {
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

    /// What binds the token, whose text this is, to the user's record. The time is checked again,
    /// because the lookup took some.
    pub(super) fn confirm(
        &self,
        authority: &Authority,
        (text, context): (&str, &Context),
        user: &dyn User,
        now: OffsetDateTime,
    ) -> Result<Record, VerifyError> {
        self.check_time(&authority.settings, now)?;
        let record = Record::of(&authority.settings, self.kind, user);
        let record = record.map_err(unusable)?;
        let signing_input = text.get(..self.signed).unwrap_or_default();
        self.check_binding(authority, signing_input, context, &record)?;
        Ok(record)
    }

    /// The session that the token is of, if any, must be alive.
    pub(super) fn check_session(
        &self,
        authority: &Authority,
        user: &dyn User,
        now: OffsetDateTime,
    ) -> Result<(), VerifyError> {
        let Some(id) = self.payload.session else { return Ok(()) };
        let table = user.sessions().ok_or(VerifyError::Record(RecordError::Sessions))?;
        match table.admit(id, &authority.settings.sessions, now) {
            Ok(_) => Ok(()),
            Err(reason) => Err(Rejection::new(Stage::Session, reason).into()),
        }
    }

    /// What a token must pass before anything is looked up for it: the guard in key mode, the
    /// server's signature in stamp mode.
    fn passes_guard(&self, authority: &Authority, signing_input: &str) -> bool {
        let scope = authority.scope(self.kind);
        match self.kind.mode {
            BindingMode::Key => {
                let (nonce, guard) = self.payload.jti.0.split_at(8);
                let Ok(nonce) = nonce.try_into() else { return false };
                let Payload { subject, exp, .. } = &self.payload;
                let genuine = derivation::guard(self.key.mac(), scope, subject, *exp, nonce);
                genuine.ct_eq(guard).into()
            }
            BindingMode::StampHs256 => {
                self.is_signed_with(&derivation::server_key(self.key.mac(), scope), signing_input)
            }
            #[cfg(feature = "asymmetric")]
            BindingMode::StampAsymmetric => self.key.signing_key().is_some_and(|key| {
                key.verifying_key().verify(signing_input.as_bytes(), &self.signature)
            }),
        }
    }

    fn is_signed_with(&self, key: &[u8; 32], signing_input: &str) -> bool {
        derivation::hs256(key, signing_input.as_bytes()).ct_eq(&*self.signature).into()
    }

    fn check_time(&self, settings: &Settings, now: OffsetDateTime) -> Result<(), Rejection> {
        check_deadline(self.until, now)?;
        let Payload { iat, exp, .. } = self.payload;
        check_validity(exp, Some(iat), now, settings.leeway)
    }

    /// Versions first, so that a log can tell a revocation; then what proves the rest.
    fn check_binding(
        &self,
        authority: &Authority,
        signing_input: &str,
        context: &Context,
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
        let scope = authority.scope(self.kind);
        let body = record.body(&self.payload.subject, context);
        match self.payload.stamp {
            None => {
                let key = derivation::user_key(self.key.mac(), scope, &body);
                if !self.is_signed_with(&key, signing_input) {
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

impl Kind {
    /// Whether the claims that depend on the kind are there, and no others of them.
    const fn has_claims_of(self, payload: &Payload) -> bool {
        let has_stamp = !matches!(self.mode, BindingMode::Key);
        let is_of_session = match self.session {
            OfSession::Never => payload.session.is_none() && payload.seq.is_none(),
            OfSession::Perhaps => payload.seq.is_none(),
            OfSession::Always => payload.session.is_some() && payload.seq.is_some(),
        };
        payload.stamp.is_some() == has_stamp
            && payload.lane.is_some() == self.has_lane
            && is_of_session
    }
}

impl Authority {
    /// The token's parts, if it is not too long and has as many as it must.
    pub(super) fn split<'t>(&self, text: &'t str) -> Result<Compact<'t>, Rejection> {
        if text.len() > self.settings.max_token_bytes {
            return Err(Rejection::new(Stage::Length, Reason::TooLong));
        }
        Compact::split(text).ok_or(Rejection::new(Stage::Shape, Reason::Malformed))
    }

    /// The key whose pinned header this is.
    pub(super) fn find_key(&self, header: &str, kind: Kind) -> Option<Found<'_>> {
        self.keys
            .iter()
            .find(|(key, _)| kind.pinned_header(key).is_some_and(|pinned| pinned == header))
    }

    /// What is wrong with a header that is not one of the pinned ones.
    pub(super) fn explain_header(&self, header: &str, kind: Kind) -> Rejection {
        let reason = match UntrustedHeader::read(header) {
            None => Reason::Malformed,
            Some(header) => match self.keys.iter().find(|(key, _)| key.kid() == header.kid) {
                None => Reason::UnknownKey,
                Some(_) if header.typ != kind.typ => Reason::WrongType,
                Some((key, _)) if header.alg.parse().ok() != kind.algorithm(key) => {
                    Reason::WrongAlgorithm
                }
                Some(_) => Reason::Malformed,
            },
        };
        Rejection::new(Stage::Header, reason)
    }
}

/// The user must be there, be the one that was asked for, and be active.
pub(super) fn check_user<U: User>(user: Option<U>, id: &str) -> Result<U, Rejection> {
    let reject = |reason| Err(Rejection::new(Stage::Lookup, reason));
    match user {
        None => reject(Reason::UnknownUser),
        Some(user) if user.id() != id => reject(Reason::UserMismatch),
        Some(user) if !user.is_active() => reject(Reason::InactiveUser),
        Some(user) => Ok(user),
    }
}

/// A user without a credential cannot have a token; other faults say nothing of the token.
pub(super) fn unusable(error: RecordError) -> VerifyError {
    match error {
        RecordError::Credential(CredentialError::Empty) => {
            Rejection::new(Stage::Binding, Reason::NoCredential).into()
        }
        other => VerifyError::Record(other),
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
