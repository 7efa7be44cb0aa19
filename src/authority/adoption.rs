//! Adoption: plain access tokens from the setup before relatch, accepted until a deadline.

use std::{fmt, slice, sync::Arc};

use hmac::{KeyInit, Mac};
use jsonwebtoken::{Algorithm, Header};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    binding::context::Context,
    bytes::{base64url, hmac::HmacSha256, span::Span},
    clock::{MAX_NUMERIC_DATE, numeric_date},
    counter::Counter,
    keys::master_key::MasterKey,
    rejection::{Reason, Rejection, Stage},
    token::{
        claims::{
            names::is_registered,
            registered::{Audience, RegisteredClaims},
        },
        compact::Compact,
        validity::check_validity,
    },
};

type Object = Map<String, Value>;
type Mapping = dyn Fn(&Object) -> Option<Object> + Send + Sync;

/// The settings for accepting access tokens that a plain HS256 setup issued before relatch, so that
/// the switch to relatch logs nobody out.
///
/// A token is accepted if all of these hold:
///
/// - The header has `HS256`, no other `typ` than `JWT`, and no critical parameters.
/// - The signature is valid under the legacy secret.
/// - Its `exp` and `nbf` allow it, and the deadline has not passed.
/// - The user's version still has the value that was set at the adoption.
///
/// [`Verified::is_legacy`](crate::Verified::is_legacy) is then `true`, and the token expires at the
/// deadline at the latest.
///
/// # Security
///
/// - **Everything that the legacy secret has signed is accepted as an access token**: also refresh
///   tokens, reset links and confirmations, if they were signed with the same secret. Distinguish
///   them in [`map_claims`](Self::map_claims), which rejects a token by returning `None`.
/// - **Only an increase of the version revokes these tokens.** They are bound neither to the password's hash
///   nor to an epoch. Every call of the service that sets a password or logs out everywhere or the other
///   devices increases it, and so do [`Issuance::change_password`](super::Issuance::change_password) and
///   [`Issuance::log_out_others`](super::Issuance::log_out_others). These do not: a rehash at login, a bump
///   of an epoch, the logout of one device, a session that was started with
///   [`Issuance::restart_session`](super::Issuance::restart_session), and a statement of your own that
///   replaces the hash alone. Let that statement increase the version too.
/// - They are as strong as the legacy secret: anyone who has it can forge them, for every user
///   whose version was never increased. Set the deadline no further ahead than the longest lifetime
///   of such a token.
///
/// # Example
///
/// ```
/// use relatch::{Authority, authority::Adoption, MasterKey};
/// use time::{Duration, OffsetDateTime};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let legacy_secret = b"secret";
/// let until = OffsetDateTime::now_utc() + Duration::hours(24);
/// let adoption = Adoption::hs256(legacy_secret, 0, until)
///     .issuer("https://old.example.com")
///     .map_claims(|old| (old.get("token_type")? == "access").then(|| old.clone()));
/// let authority = Authority::builder(MasterKey::generate("2026-11")?, "issuer", "audience")
///     .adopt(adoption)
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Adoption {
    secret: Zeroizing<Vec<u8>>,
    version: Counter,
    until: OffsetDateTime,
    subject: String,
    issuer: Option<String>,
    audience: Option<String>,
    mapping: Arc<Mapping>,
}

impl Adoption {
    /// Accepts tokens that `secret` signed, before `until` (exclusive), of users whose version is
    /// still `version`: the value with which the column was filled when it was added, 0 for `NULL`.
    #[must_use]
    pub fn hs256(secret: &[u8], version: impl Into<Counter>, until: OffsetDateTime) -> Self {
        Self {
            secret: Zeroizing::new(secret.to_vec()),
            version: version.into(),
            until,
            subject: "sub".to_owned(),
            issuer: None,
            audience: None,
            mapping: Arc::new(|claims| Some(claims.clone())),
        }
    }

    /// Sets the claim that holds the user's id, a string or an integer; `sub` by default.
    #[must_use]
    pub fn subject_claim(mut self, name: impl Into<String>) -> Self {
        self.subject = name.into();
        self
    }

    /// Requires this `iss`. By default any is accepted.
    #[must_use]
    pub fn issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Requires this `aud`. By default a token that has one is rejected.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Converts the plain token's claims to the private claims of the application's access tokens;
    /// `None` rejects the token. By default they are used unchanged, without the registered ones.
    #[must_use]
    pub fn map_claims(
        mut self,
        mapping: impl Fn(&Map<String, Value>) -> Option<Map<String, Value>> + Send + Sync + 'static,
    ) -> Self {
        self.mapping = Arc::new(mapping);
        self
    }

    /// Whether the secret must not be adopted: it is empty, or it is this master key, as bytes or
    /// as the base64 text.
    pub(crate) fn is_unfit_beside(&self, key: &MasterKey) -> bool {
        let as_text = || {
            let text = str::from_utf8(&self.secret).ok()?;
            MasterKey::from_base64(key.kid(), text).ok()
        };
        self.secret.is_empty()
            || key.is(&self.secret)
            || as_text().is_some_and(|decoded| decoded.same_as(key))
    }

    /// Whether this is the header of a plain HS256 token.
    pub(crate) fn recognises(&self, header: &str) -> bool {
        let json = base64url::decode(header).unwrap_or_default();
        serde_json::from_slice::<Header>(&json).is_ok_and(|header| {
            header.alg == Algorithm::HS256
                && header.typ.is_none_or(|typ| typ.eq_ignore_ascii_case("JWT"))
                && header.crit.is_none()
                && header.enc.is_none()
                && header.zip.is_none()
        })
    }

    /// Checks the token as far as possible before the lookup. The signature takes the guard's
    /// place.
    pub(crate) fn open(
        &self,
        compact: Compact<'_>,
        now: OffsetDateTime,
        leeway: u64,
    ) -> Result<LegacyToken<'_>, Rejection> {
        self.check_deadline(now)?;
        let malformed = |stage| Rejection::new(stage, Reason::Malformed);
        let signature = base64url::decode(compact.signature).ok_or(malformed(Stage::Shape))?;
        let payload = base64url::decode(compact.payload).ok_or(malformed(Stage::Shape))?;
        if !self.signed(compact.signing_input, &signature) {
            return Err(Rejection::new(Stage::Guard, Reason::Forged));
        }
        let claims: Object =
            serde_json::from_slice(&payload).map_err(|_| malformed(Stage::Claims))?;
        let token = LegacyToken::read(self, claims).ok_or(malformed(Stage::Claims))?;
        token.check_time(now, leeway)?;
        token.check_names()?;
        Ok(token)
    }

    /// Checks again a token that this adoption has accepted, when its record has this version.
    pub(crate) fn check_accepted(&self, version: u64, now: OffsetDateTime) -> Result<(), Reason> {
        match () {
            () if now >= self.until => Err(Reason::AdoptionOver),
            () if self.version.checked() != Some(version) => Err(Reason::RevokedByVersion),
            () => Ok(()),
        }
    }

    fn signed(&self, signing_input: &str, signature: &[u8]) -> bool {
        HmacSha256::new_from_slice(&self.secret)
            .is_ok_and(|mac| mac.chain_update(signing_input).verify_slice(signature).is_ok())
    }

    /// The deadline, if it has passed.
    #[cfg(feature = "service")]
    pub(super) fn ended(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        (now >= self.until).then_some(self.until)
    }

    fn check_deadline(&self, now: OffsetDateTime) -> Result<(), Rejection> {
        match now >= self.until {
            true => Err(Rejection::new(Stage::Header, Reason::AdoptionOver)),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for Adoption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Adoption")
            .field("version", &self.version)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// A plain token whose signature is valid.
pub(crate) struct LegacyToken<'a> {
    adoption: &'a Adoption,
    claims: Object,
    user_id: String,
    exp: u64,
    not_before: Option<u64>,
}

impl<'a> LegacyToken<'a> {
    /// `None` without a subject or an `exp`, or if a registered claim is malformed.
    fn read(adoption: &'a Adoption, claims: Object) -> Option<Self> {
        let user_id = match claims.get(&adoption.subject)? {
            Value::String(id) => id.clone(),
            Value::Number(id) if id.is_i64() || id.is_u64() => id.to_string(),
            _ => return None,
        };
        let exp = numeric_date_of(claims.get("exp")?)?;
        let not_before = match claims.get("nbf") {
            Some(claim) => Some(numeric_date_of(claim)?),
            None => None,
        };
        Some(Self { adoption, claims, user_id, exp, not_before })
    }

    pub(crate) fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The token's `exp` or the deadline, whichever is earlier.
    pub(crate) fn expires_at(&self) -> OffsetDateTime {
        numeric_date(self.exp).min(self.adoption.until)
    }

    pub(crate) fn check_time(&self, now: OffsetDateTime, leeway: u64) -> Result<(), Rejection> {
        self.adoption.check_deadline(now)?;
        check_validity(self.exp, self.not_before, now.unix_timestamp(), leeway)
    }

    fn check_names(&self) -> Result<(), Rejection> {
        let reject = |reason| Err(Rejection::new(Stage::Validity, reason));
        if self.adoption.issuer.is_some() && self.text("iss") != self.adoption.issuer.as_deref() {
            return reject(Reason::WrongIssuer);
        }
        match (&self.adoption.audience, self.claims.get("aud")) {
            (None, None) => Ok(()),
            (Some(wanted), Some(_)) if self.audience().any(|one| one == wanted) => Ok(()),
            _ => reject(Reason::WrongAudience),
        }
    }

    /// A plain token is bound only to the version. It fits no context, because it was bound to
    /// none.
    pub(crate) fn check_binding(&self, version: u64, context: &Context) -> Result<(), Rejection> {
        let reject = |reason| Err(Rejection::new(Stage::Binding, reason));
        if self.adoption.version.checked() != Some(version) {
            return reject(Reason::RevokedByVersion);
        }
        if !context.is_empty() {
            return reject(Reason::BadSignature);
        }
        Ok(())
    }

    /// The private claims, converted by the adoption's mapping, and the registered claims.
    pub(crate) fn into_claims<C: DeserializeOwned>(
        self,
    ) -> Result<(C, RegisteredClaims), Rejection> {
        let reject = Rejection::new(Stage::Application, Reason::ApplicationClaims);
        let mut own = (self.adoption.mapping)(&self.claims).ok_or(reject)?;
        own.retain(|name, _| !is_registered(name.as_bytes()));
        let claims = serde_json::from_value(Value::Object(own)).map_err(|_| reject)?;
        let mut text = String::new();
        let mut span = |piece: &str| Span::push(&mut text, piece);
        let registered = RegisteredClaims {
            issuer: self.text("iss").map(&mut span),
            subject: span(&self.user_id),
            audience: Audience::Several(self.audience().map(&mut span).collect()),
            jti: self.text("jti").map(&mut span),
            // The deadline can have a fraction of a second, which is dropped.
            exp: u64::try_from(self.expires_at().unix_timestamp()).unwrap_or(0),
            iat: self.claims.get("iat").and_then(numeric_date_of),
            version: self.adoption.version,
            session_id: None,
            text,
        };
        Ok((claims, registered))
    }

    fn text(&self, claim: &str) -> Option<&str> {
        self.claims.get(claim)?.as_str()
    }

    fn audience(&self) -> impl Iterator<Item = &str> {
        let claims = match self.claims.get("aud") {
            Some(Value::Array(several)) => several,
            Some(one) => slice::from_ref(one),
            None => &[],
        };
        claims.iter().filter_map(Value::as_str)
    }
}

/// The seconds of a NumericDate, whose fraction of a second is dropped (RFC 7519 §2).
fn numeric_date_of(claim: &Value) -> Option<u64> {
    let seconds = match claim.as_u64() {
        Some(seconds) => seconds,
        // `as` saturates, and the range is checked below.
        None => claim.as_f64().filter(|seconds| *seconds >= 0.0)? as u64,
    };
    (seconds <= MAX_NUMERIC_DATE).then_some(seconds)
}
