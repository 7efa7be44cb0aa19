//! The one verification kernel, for every purpose and either binding mode.

use std::mem::MaybeUninit;

use time::OffsetDateTime;

use super::{
    Authority,
    builder::{BindingMode, Settings},
    kind::{Kind, OfSession},
    pinned::PinnedKey,
    record::Record,
};
use crate::{
    constant_time,
    context::Context,
    credential::CredentialError,
    derivation,
    jws::{self, Compact, UntrustedHeader},
    key_cache::UserMac,
    payload::{Claims, Payload},
    rejection::{Reason, Rejection, Stage, VerifyError},
    user::{RecordError, User},
};

/// One of relatch's own tokens, without its text. What its payload says is a hint, but for the
/// subject and the expiry, until the signature is checked.
pub(super) struct Ours<'a, 't> {
    kind: Kind,
    key: PinnedKey<'a>,
    /// How much of the text is signed, in bytes.
    signed: usize,
    signature: Signature,
    pub(super) payload: Payload<'t>,
}

enum Signature {
    Hs256([u8; 32]),
    #[cfg(feature = "asymmetric")]
    Asymmetric([u8; 64]),
}

/// Payloads up to this length, in bytes, are decoded without an allocation.
const USUAL_BYTES: usize = 1024;

impl<'a> Ours<'a, 'static> {
    /// All that can be checked before the user's record is known.
    pub(super) fn open(
        authority: &Authority,
        kind: Kind,
        key: PinnedKey<'a>,
        compact: Compact<'_>,
        now: OffsetDateTime,
    ) -> Result<Self, Rejection> {
        let malformed = |stage| Rejection::new(stage, Reason::Malformed);
        check_deadline(key.until, now)?;
        let signature =
            Signature::decode(kind.mode, compact.signature).ok_or(malformed(Stage::Shape))?;
        let mut stack = [const { MaybeUninit::uninit() }; USUAL_BYTES];
        let mut heap;
        let json = if jws::decoded_len(compact.payload.len()) <= USUAL_BYTES {
            jws::decode_into(compact.payload, &mut stack)
        } else {
            heap = jws::decode(compact.payload);
            heap.as_deref_mut()
        };
        let json = json.ok_or(malformed(Stage::Shape))?;
        let payload = Payload::read(json).ok_or(malformed(Stage::Claims))?;
        if !kind.has_claims_of(payload.claims()) {
            return Err(malformed(Stage::Claims));
        }
        let signed = compact.signing_input.len();
        let ours = Ours { kind, key, signed, signature, payload };
        if !ours.passes_guard(compact.signing_input) {
            return Err(Rejection::new(Stage::Guard, Reason::Forged));
        }
        ours.check_time(&authority.settings, now)?;
        ours.check_names(&authority.settings)?;
        Ok(Ours { payload: ours.payload.into_owned(), ..ours })
    }
}

impl Ours<'_, '_> {
    /// What binds the token, whose text this is, to the user's record. The time is checked again,
    /// because the lookup took some.
    pub(super) fn confirm<'r>(
        &self,
        authority: &'r Authority,
        (text, context): (&str, &Context),
        user: &'r dyn User,
        now: OffsetDateTime,
    ) -> Result<Record<'r>, VerifyError> {
        self.check_time(&authority.settings, now)?;
        let record = Record::of(&authority.settings, self.kind, user);
        let record = record.map_err(unusable)?;
        let signing_input = text.get(..self.signed).unwrap_or_default();
        self.check_binding(signing_input, context, &record)?;
        Ok(record)
    }

    /// The session that the token is of, if any, must be alive.
    pub(super) fn check_session(
        &self,
        authority: &Authority,
        user: &dyn User,
        now: OffsetDateTime,
    ) -> Result<(), VerifyError> {
        let Some(id) = self.payload.claims().session else { return Ok(()) };
        let table = user.sessions().ok_or(VerifyError::Record(RecordError::Sessions))?;
        match table.admit(id, &authority.settings.sessions, now) {
            Ok(_) => Ok(()),
            Err(reason) => Err(Rejection::new(Stage::Session, reason).into()),
        }
    }

    /// What a token must pass before anything is looked up for it: the guard in key mode, the
    /// server's signature in stamp mode.
    fn passes_guard(&self, signing_input: &str) -> bool {
        match (self.kind.mode, &self.signature) {
            (BindingMode::Key, _) => {
                let Claims { exp, jti, .. } = *self.payload.claims();
                let [nonce, guard] = halves(jti);
                let subject = self.payload.subject();
                let genuine = self.key.derivation().guard(subject, exp, &nonce);
                constant_time::equal(&genuine, &guard)
            }
            (BindingMode::StampHs256, Signature::Hs256(signature)) => {
                self.key.server_mac().is_some_and(|mac| {
                    let genuine = derivation::sign(mac.clone(), signing_input);
                    constant_time::equal(&genuine, signature)
                })
            }
            #[cfg(feature = "asymmetric")]
            (BindingMode::StampAsymmetric, Signature::Asymmetric(signature)) => {
                let key = self.key.key.signing_key();
                key.is_some_and(|key| {
                    key.verifying_key().verify(signing_input.as_bytes(), signature)
                })
            }
            #[cfg(feature = "asymmetric")]
            _ => false,
        }
    }

    fn check_time(&self, settings: &Settings, now: OffsetDateTime) -> Result<(), Rejection> {
        check_deadline(self.key.until, now)?;
        let Claims { iat, exp, .. } = *self.payload.claims();
        check_validity(exp, Some(iat), now, settings.leeway)
    }

    fn check_names(&self, settings: &Settings) -> Result<(), Rejection> {
        let reject = |reason| Err(Rejection::new(Stage::Validity, reason));
        if self.payload.issuer() != settings.issuer {
            return reject(Reason::WrongIssuer);
        }
        if !self.payload.audience().any(|audience| audience == settings.audience) {
            return reject(Reason::WrongAudience);
        }
        Ok(())
    }

    /// Versions first, so that a log can tell a revocation; then what proves the rest.
    fn check_binding(
        &self,
        signing_input: &str,
        context: &Context,
        record: &Record<'_>,
    ) -> Result<(), Rejection> {
        let reject = |reason| Err(Rejection::new(Stage::Binding, reason));
        let Claims { ver, lane, exp, stamp, .. } = *self.payload.claims();
        if ver < record.version {
            return reject(Reason::RevokedByVersion);
        }
        if ver > record.version {
            return reject(Reason::AheadOfRecord);
        }
        if lane != record.lane {
            return reject(Reason::RevokedByLane);
        }
        let derivation = self.key.derivation();
        let body = record.body(self.payload.subject(), context);
        match (stamp, &self.signature) {
            (None, Signature::Hs256(signature)) => {
                let user = UserMac::new(derivation, &body, record.key_cache);
                let genuine = user.sign(signing_input);
                if !constant_time::equal(&genuine, signature) {
                    return reject(Reason::BadSignature);
                }
                user.keep(derivation, &body);
                Ok(())
            }
            (Some(stamp), _) => {
                let token_id = self.payload.token_id();
                let genuine = derivation.stamp(&body, token_id, exp);
                match constant_time::equal(&genuine, &stamp) {
                    true => Ok(()),
                    false => reject(Reason::RevokedByStamp),
                }
            }
            #[cfg(feature = "asymmetric")]
            (None, Signature::Asymmetric(_)) => reject(Reason::BadSignature),
        }
    }
}

impl Signature {
    fn decode(mode: BindingMode, text: &str) -> Option<Self> {
        match mode {
            BindingMode::Key | BindingMode::StampHs256 => jws::decode_array(text).map(Self::Hs256),
            #[cfg(feature = "asymmetric")]
            BindingMode::StampAsymmetric => jws::decode_array(text).map(Self::Asymmetric),
        }
    }
}

/// A `jti` of key mode: the nonce, and the guard.
fn halves(jti: [u8; 16]) -> [[u8; 8]; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = jti;
    [[a, b, c, d, e, f, g, h], rest]
}

impl Kind {
    /// Whether the claims that depend on the kind are there, and no others of them.
    const fn has_claims_of(self, claims: &Claims) -> bool {
        let has_stamp = !matches!(self.mode, BindingMode::Key);
        let is_of_session = match self.session {
            OfSession::Never => claims.session.is_none() && claims.seq.is_none(),
            OfSession::Perhaps => claims.seq.is_none(),
            OfSession::Always => claims.session.is_some() && claims.seq.is_some(),
        };
        claims.stamp.is_some() == has_stamp
            && claims.lane.is_some() == self.has_lane
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
    pub(super) fn find_key(&self, header: &str, kind: Kind) -> Option<PinnedKey<'_>> {
        self.pinned_keys(kind).find(|key| key.header() == Some(header))
    }

    /// What is wrong with a header that is not one of the pinned ones.
    pub(super) fn explain_header(&self, header: &str, kind: Kind) -> Rejection {
        let mut buffer = [const { MaybeUninit::uninit() }; _];
        let reason = match UntrustedHeader::read(header, &mut buffer) {
            None => Reason::Malformed,
            Some(header) => match self.keys().iter().find(|(key, _)| key.kid() == header.kid) {
                None => Reason::UnknownKey,
                Some(_) if header.typ != kind.typ => Reason::WrongType,
                Some((key, _)) if Some(header.alg) != kind.algorithm(key).map(jws::alg_name) => {
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
