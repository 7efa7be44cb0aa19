//! The settings of an authority.

use std::{fmt, sync::Arc};

use jsonwebtoken::Algorithm;
use time::Duration;

#[cfg(feature = "asymmetric")]
use crate::keys::signing_key::SigningKey;
use crate::{
    authority::adoption::Adoption,
    bytes::base64url,
    clock::{Clock, MAX_LIFETIME},
    counter::Counter,
    entropy::Entropy,
    error::ConfigError,
    keys::{key_ring::KeyRing, master_key::MasterKey},
    sessions::SessionPolicy,
    token::{MAX_TOKEN_BYTES, claims::names::MAX_EPOCHS},
};

/// How a token is bound to the user's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindingMode {
    /// Each user's tokens are signed (HS256) under a key that is derived from the user's record.
    /// The default, and the strongest: no single leak suffices to forge a token.
    #[default]
    Key,
    /// Access tokens, and tokens of other portable purposes
    /// ([`Purpose::PORTABLE`](crate::Purpose::PORTABLE)), are signed (HS256) under one key of the server,
    /// and have a stamp that is derived from the user's record and covers all other claims. Other
    /// tokens are as in key mode.
    StampHs256,
    /// The same, but signed with the asymmetric key of the master key
    /// ([`MasterKey::with_signing_key`]). Other services can verify these tokens with only the public
    /// key, but cannot check the stamp, and so do not see revocations.
    #[cfg(feature = "asymmetric")]
    #[cfg_attr(docsrs, doc(cfg(feature = "asymmetric")))]
    StampAsymmetric,
}

impl BindingMode {
    /// The length of the signature, in characters.
    pub(crate) const fn signature_len(self) -> usize {
        match self {
            Self::Key | Self::StampHs256 => base64url::encoded_len(32),
            #[cfg(feature = "asymmetric")]
            Self::StampAsymmetric => base64url::encoded_len(64),
        }
    }

    /// The header's `alg` under this key; `None` if the key has no asymmetric key and the mode
    /// needs one.
    #[cfg_attr(not(feature = "asymmetric"), expect(unused_variables))]
    pub(crate) fn algorithm(self, key: &MasterKey) -> Option<Algorithm> {
        match self {
            Self::Key | Self::StampHs256 => Some(Algorithm::HS256),
            #[cfg(feature = "asymmetric")]
            Self::StampAsymmetric => key.signing_key().map(SigningKey::algorithm),
        }
    }
}

/// The greatest leeway: 5 minutes.
pub(crate) const MAX_LEEWAY: Duration = Duration::minutes(5);

/// The lowest cap on a token's length, in bytes.
pub(crate) const MIN_TOKEN_BYTES: usize = 512;

/// The settings of an authority, checked by the builder.
pub(crate) struct Settings {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) mode: BindingMode,
    pub(crate) lifetime: Duration,
    /// Seconds.
    pub(crate) leeway: u64,
    pub(crate) max_token_bytes: usize,
    pub(crate) fixed_epochs: Vec<(String, Counter)>,
    pub(crate) user_epochs: Vec<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) sessions: SessionPolicy,
    pub(crate) adoption: Option<Adoption>,
}

impl Settings {
    pub(crate) fn check_keys(&self, keys: &KeyRing) -> Result<(), ConfigError> {
        for (key, _) in keys.iter() {
            if self.mode.algorithm(key).is_none() {
                return Err(ConfigError::new(
                    "signing_key",
                    format!(
                        "the key {:?} has no asymmetric key, with which this binding mode signs: \
                         add one with `MasterKey::with_signing_key`",
                        key.kid()
                    ),
                ));
            }
            if self.adoption.as_ref().is_some_and(|adoption| adoption.is_unfit_beside(key)) {
                return Err(ConfigError::new(
                    "adopt",
                    "the legacy secret of the adoption is empty, or is also a master key: generate \
                     another master key",
                ));
            }
        }
        Ok(())
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let is_name = |name: &str| (1..=512).contains(&name.len());
        if !is_name(&self.issuer) {
            return Err(ConfigError::new("issuer", "the issuer takes 1 to 512 bytes"));
        }
        if !is_name(&self.audience) {
            return Err(ConfigError::new("audience", "the audience takes 1 to 512 bytes"));
        }
        if !(Duration::SECOND..=MAX_LIFETIME).contains(&self.lifetime) {
            let days = MAX_LIFETIME.whole_days();
            return Err(ConfigError::new(
                "lifetime",
                format!("the lifetime takes 1 second to {days} days"),
            ));
        }
        if self.leeway > MAX_LEEWAY.whole_seconds().unsigned_abs() {
            return Err(out_of_leeway());
        }
        if !(MIN_TOKEN_BYTES..=MAX_TOKEN_BYTES).contains(&self.max_token_bytes) {
            return Err(ConfigError::new(
                "max_token_bytes",
                format!(
                    "the cap on a token's length takes {MIN_TOKEN_BYTES} to {MAX_TOKEN_BYTES} bytes"
                ),
            ));
        }
        self.sessions.check()?;
        self.check_epochs()
    }

    fn check_epochs(&self) -> Result<(), ConfigError> {
        let fixed = self.fixed_epochs.iter().map(|(kind, _)| kind.as_str());
        let kinds: Vec<_> = fixed.chain(self.user_epochs.iter().map(String::as_str)).collect();
        for (i, kind) in kinds.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let is_kind = (1..=64).contains(&kind.len()) && kind.bytes().all(plain);
            if !is_kind || i >= MAX_EPOCHS || kinds[..i].contains(kind) {
                return Err(bad_epoch(kind));
            }
        }
        match self.fixed_epochs.iter().find(|(_, counter)| counter.checked().is_none()) {
            Some((kind, _)) => Err(bad_epoch(kind)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

pub(crate) fn out_of_leeway() -> ConfigError {
    let seconds = MAX_LEEWAY.whole_seconds();
    ConfigError::new("leeway", format!("the leeway takes 0 to {seconds} seconds"))
}

fn bad_epoch(kind: &str) -> ConfigError {
    ConfigError::new(
        "epoch",
        format!(
            "the epoch {kind:?} is not allowed: a kind takes 1 to 64 characters of A–Z a–z 0–9 - _ . \
             and occurs once; at most {MAX_EPOCHS} epochs; no negative counter"
        ),
    )
}
