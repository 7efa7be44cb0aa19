//! The verification of relatch's own tokens, for every purpose and both binding modes.
//!
//! The steps are inlined, with the functions that they call: to copy their results from one to the
//! next takes a twentieth of the time of a verification.

use super::{
    core::check_deadline,
    kind::{Kind, OfSession},
    pinned::PinnedKey,
    record::Record,
};
use crate::{
    authority::{
        error::VerifyError,
        kernel::settings::{BindingMode, Settings},
    },
    binding::{
        context::Context,
        credential::CredentialError,
        derivation::{Body, Derivation},
    },
    bytes::{base64url, constant_time},
    rejection::{Reason, Rejection, Stage},
    token::{
        claims::{payload::Payload, spans::ClaimSpans, stamp},
        compact::Compact,
        validity::check_validity,
    },
    user::{RecordError, User},
};

/// One of relatch's own tokens, without its text. Until the signature is checked, only the subject
/// and the expiry of its payload are authentic; the other claims are hints.
pub(crate) struct OwnToken<'a> {
    kind: Kind,
    key: PinnedKey<'a>,
    /// The length of the signed part of the text, in bytes.
    signed: usize,
    signature: Signature,
    pub(crate) payload: Payload<'static>,
}

enum Signature {
    Hs256([u8; 32]),
    #[cfg(feature = "asymmetric")]
    Asymmetric([u8; 64]),
}

impl<'a> OwnToken<'a> {
    /// Checks the token as far as possible before the user's record is known.
    #[inline(always)]
    pub(crate) fn open(
        settings: &Settings,
        kind: Kind,
        key: PinnedKey<'a>,
        compact: Compact<'_>,
        second: i64,
    ) -> Result<Self, Rejection> {
        let malformed = |stage| Rejection::new(stage, Reason::Malformed);
        let signature =
            Signature::decode(kind.mode, compact.signature).ok_or(malformed(Stage::Shape))?;
        let mut buffer = base64url::Buffer::new();
        let json = buffer.decode(compact.payload).ok_or(malformed(Stage::Shape))?;
        let payload = Payload::read(json, key.claims()).ok_or(malformed(Stage::Claims))?;
        let jti = payload.jti_bytes().ok_or(malformed(Stage::Claims))?;
        if !kind.has_claims_of(&payload) {
            return Err(malformed(Stage::Claims));
        }
        let is_issued_here = match kind.mode {
            BindingMode::Key => passes_guard(key, &payload, jti),
            _ => signature.is_of_server(key, compact.signing_input),
        };
        if !is_issued_here {
            return Err(Rejection::new(Stage::Guard, Reason::Forged));
        }
        check_validity(payload.claims().exp, Some(payload.claims().iat), second, settings.leeway)?;
        if !payload.is_pinned {
            check_names(&payload, settings)?;
        }
        let signed = compact.signing_input.len();
        Ok(Self { kind, key, signed, signature, payload: payload.into_owned() })
    }

    /// Checks that the token with this text is bound to the user's record. The time is checked
    /// again, because the lookup took some.
    #[inline(always)]
    pub(crate) fn confirm<'r>(
        &self,
        settings: &'r Settings,
        (text, context): (&str, &Context),
        user: &'r (impl User + ?Sized),
        second: i64,
    ) -> Result<Record<'r>, VerifyError> {
        check_deadline(self.key.until, settings)?;
        let ClaimSpans { exp, iat, .. } = *self.payload.claims();
        check_validity(exp, Some(iat), second, settings.leeway)?;
        let record = Record::of(settings, self.kind, user);
        let record = record.map_err(unusable)?;
        let signing_input = text.get(..self.signed).unwrap_or_default();
        self.check_binding(signing_input, context, &record)?;
        Ok(record)
    }

    /// Checks that the token's session, if it has one, is alive.
    #[inline]
    pub(crate) fn check_session(
        &self,
        settings: &Settings,
        user: &(impl User + ?Sized),
        second: i64,
    ) -> Result<(), VerifyError> {
        let Some(id) = self.payload.claims().session else { return Ok(()) };
        let table = user.sessions().ok_or(VerifyError::Record(RecordError::Sessions))?;
        match table.admit(id, &settings.sessions, second) {
            Ok(_) => Ok(()),
            Err(reason) => Err(Rejection::new(Stage::Session, reason).into()),
        }
    }

    /// The beginning that the user's other tokens are expected to have: up to the expiry.
    fn stable<'t>(&self, signing_input: &'t str) -> &'t str {
        let header = self.key.header().map_or(0, |header| header.len() + 1);
        // Three bytes are four characters.
        let len = header + self.payload.before_expiry() / 3 * 4;
        signing_input.get(..len).unwrap_or_default()
    }

    /// Checks the counters first, so that the log shows a revocation; then the signature or the
    /// stamp.
    #[inline(always)]
    fn check_binding(
        &self,
        signing_input: &str,
        context: &Context,
        record: &Record<'_>,
    ) -> Result<(), Rejection> {
        let reject = |reason| Err(Rejection::new(Stage::Binding, reason));
        let ClaimSpans { ver, lane, .. } = *self.payload.claims();
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
        match (self.payload.stamp, &self.signature) {
            (None, Signature::Hs256(signature)) => {
                let keys = record.keys;
                let kept = keys.and_then(|keys| keys.sign(derivation, &body, signing_input));
                let is_genuine = |mac| constant_time::equal(&mac, signature);
                if let Some(kept) = kept {
                    return if is_genuine(kept) { Ok(()) } else { reject(Reason::BadSignature) };
                }
                let mac = derivation.user_mac(&body);
                if !is_genuine(mac.sign(signing_input.as_bytes())) || !context.is_sound() {
                    return reject(Reason::BadSignature);
                }
                if let Some(keys) = keys {
                    keys.keep(derivation, &body, mac, self.stable(signing_input));
                }
                Ok(())
            }
            (Some(stamp), _) => {
                let is_genuine = stamp_of(signing_input, derivation, &body)
                    .is_some_and(|genuine| constant_time::equal(&genuine, &stamp));
                match is_genuine && context.is_sound() {
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
            BindingMode::Key | BindingMode::StampHs256 => {
                base64url::decode_array(text).map(Self::Hs256)
            }
            #[cfg(feature = "asymmetric")]
            BindingMode::StampAsymmetric => base64url::decode_array(text).map(Self::Asymmetric),
        }
    }

    /// Whether the server's key made this signature: the check before the lookup in stamp mode.
    fn is_of_server(&self, key: PinnedKey<'_>, signing_input: &str) -> bool {
        match self {
            Self::Hs256(signature) => {
                let genuine = key.derivation().server_mac().sign(signing_input.as_bytes());
                constant_time::equal(&genuine, signature)
            }
            #[cfg(feature = "asymmetric")]
            Self::Asymmetric(signature) => key
                .signing_key()
                .is_some_and(|key| key.verifying_key().verify(signing_input.as_bytes(), signature)),
        }
    }
}

/// The genuine stamp of a token. The payload is decoded again, because it must be as it was received,
/// and the reader changed it.
fn stamp_of(signing_input: &str, derivation: &Derivation, body: &Body) -> Option<[u8; 16]> {
    let (header, payload) = signing_input.split_once('.')?;
    let mut buffer = base64url::Buffer::new();
    let (before, _) = stamp::split(buffer.decode(payload)?)?;
    Some(derivation.stamp(body, header, before))
}

/// Whether the guard in the `jti` is genuine: the check before the lookup in key mode.
fn passes_guard(key: PinnedKey<'_>, payload: &Payload<'_>, jti: [u8; 16]) -> bool {
    let [a, b, c, d, e, f, g, h, guard @ ..] = jti;
    let nonce = [a, b, c, d, e, f, g, h];
    let genuine = key.derivation().guard(payload.subject(), payload.claims().exp, &nonce);
    constant_time::equal(&genuine, &guard)
}

#[cold]
fn check_names(payload: &Payload<'_>, settings: &Settings) -> Result<(), Rejection> {
    let reject = |reason| Err(Rejection::new(Stage::Validity, reason));
    if payload.issuer() != settings.issuer {
        return reject(Reason::WrongIssuer);
    }
    if !payload.audience().any(|audience| audience == settings.audience) {
        return reject(Reason::WrongAudience);
    }
    Ok(())
}

impl Kind {
    /// Whether the payload has exactly those kind-dependent claims that this kind has.
    fn has_claims_of(self, payload: &Payload<'_>) -> bool {
        let claims = payload.claims();
        let is_stamped = match self.mode {
            BindingMode::Key => payload.stamp.is_none(),
            _ => payload.stamp.is_some(),
        };
        let is_of_session = match self.session {
            OfSession::Never => claims.session.is_none() && claims.seq.is_none(),
            OfSession::Perhaps => claims.seq.is_none(),
            OfSession::Always => claims.session.is_some() && claims.seq.is_some(),
        };
        is_stamped && claims.lane.is_some() == self.has_lane && is_of_session
    }
}

/// Checks that the user exists, has the requested id, and is active.
pub(crate) fn check_user<U: User>(user: Option<U>, id: &str) -> Result<U, Rejection> {
    let reject = |reason| Err(Rejection::new(Stage::Lookup, reason));
    match user {
        None => reject(Reason::UnknownUser),
        Some(user) if user.id() != id => reject(Reason::UserMismatch),
        Some(user) if !user.is_active() => reject(Reason::InactiveUser),
        Some(user) => Ok(user),
    }
}

/// The error of a record that cannot be used. A user without a credential cannot have a token, so
/// it is then a rejection; other errors are no statement about the token.
pub(crate) fn unusable(error: RecordError) -> VerifyError {
    match error {
        RecordError::Credential(CredentialError::Empty | CredentialError::Placeholder) => {
            Rejection::new(Stage::Binding, Reason::NoCredential).into()
        }
        other => VerifyError::Record(other),
    }
}
