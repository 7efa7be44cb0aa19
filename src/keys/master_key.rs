//! Master keys: the server's secret.

use std::{env, ffi::OsString, fmt};

use base64_simd::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hmac::{KeyInit, Mac};
use zeroize::Zeroizing;

#[cfg(feature = "asymmetric")]
use std::sync::Arc;

#[cfg(feature = "asymmetric")]
use crate::keys::{signing_key::SigningKey, verifying_key::VerifyingKey};
use crate::{
    bytes::{base64url, constant_time, hmac::HmacSha256},
    entropy::{Entropy, SystemEntropy},
    keys::error::{self, KeyError, Kind},
};

/// A master key of the server, named by its `kid` (RFC 7515 §4.1.4).
///
/// It is at least 32 random bytes. A user's key is derived from it and from the user's record, so a
/// thief of the master key alone cannot make a token in key mode (`SECURITY.md` says what the thief can
/// do). Keep it
/// outside the database. It is zeroized on drop, its `Debug` output is redacted, and it cannot be
/// serialised.
///
/// # Example
///
/// ```
/// use relatch::MasterKey;
///
/// # fn main() -> Result<(), relatch::keys::KeyError> {
/// // Once, to make a key: put this text into the secret store of the deployment.
/// let text = MasterKey::generate("2026-11")?.expose_base64();
///
/// // At each start: MasterKey::from_env("2026-11", "RELATCH_MASTER_KEY")?, or
/// let key = MasterKey::from_base64("2026-11", &text)?;
/// assert_eq!(key.kid(), "2026-11");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct MasterKey {
    kid: String,
    bytes: Zeroizing<Vec<u8>>,
    mac: HmacSha256,
    #[cfg(feature = "asymmetric")]
    signing: Option<Arc<SigningKey>>,
}

impl MasterKey {
    /// The least length of a master key, in bytes.
    pub const MIN_BYTES: usize = error::MIN_BYTES;

    /// The greatest length of a `kid`, in bytes.
    pub const MAX_KID_BYTES: usize = error::MAX_KID_BYTES;

    /// A key from at least [`MIN_BYTES`](Self::MIN_BYTES) raw bytes.
    ///
    /// `kid` is 1 to [`MAX_KID_BYTES`](Self::MAX_KID_BYTES) characters of `A–Z a–z 0–9 - . _ ~`. It
    /// is in the header of every token, so it should say when the key was made, never what it is
    /// for.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_bytes(kid: impl Into<String>, bytes: &[u8]) -> Result<Self, KeyError> {
        let kid = kid.into();
        if !is_kid(&kid) {
            return Err(KeyError::new(Kind::Kid));
        }
        if bytes.len() < Self::MIN_BYTES {
            return Err(KeyError::too_short(bytes.len()));
        }
        let mac = HmacSha256::new_from_slice(bytes).map_err(|_| KeyError::too_short(0))?;
        Ok(Self {
            kid,
            bytes: Zeroizing::new(bytes.to_vec()),
            mac,
            #[cfg(feature = "asymmetric")]
            signing: None,
        })
    }

    /// A key from base64 or base64url text (RFC 4648 §4, §5), padded or not; surrounding white
    /// space is ignored.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the text is not base64, and those of [`from_bytes`](Self::from_bytes).
    pub fn from_base64(kid: impl Into<String>, text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let unpadded = text.trim_end_matches('=');
        if text.len() - unpadded.len() > 2 {
            return Err(KeyError::new(Kind::Base64));
        }
        let alphabet = if text.contains(['-', '_']) { URL_SAFE_NO_PAD } else { STANDARD_NO_PAD };
        // In place: what was decoded before an error is zeroized too.
        let mut buffer = Zeroizing::new(unpadded.as_bytes().to_vec());
        let bytes =
            alphabet.decode_inplace(&mut buffer).map_err(|_| KeyError::new(Kind::Base64))?;
        Self::from_bytes(kid, bytes)
    }

    /// A key from the environment variable `variable`, which holds it as base64.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it is not set or not Unicode, and those of
    /// [`from_base64`](Self::from_base64).
    pub fn from_env(kid: impl Into<String>, variable: &str) -> Result<Self, KeyError> {
        // Not `env::var`: its error has the value, which may be raw key material.
        Self::from_variable(kid, variable, env::var_os(variable))
    }

    fn from_variable(
        kid: impl Into<String>,
        name: &str,
        value: Option<OsString>,
    ) -> Result<Self, KeyError> {
        let unreadable = || KeyError::new(Kind::Variable { name: name.to_owned() });
        let value = Zeroizing::new(value.ok_or_else(unreadable)?.into_encoded_bytes());
        Self::from_base64(kid, str::from_utf8(&value).map_err(|_| unreadable())?)
    }

    /// A new random key of 32 bytes from the operating system.
    ///
    /// It is lost when the process ends unless you store it: see
    /// [`expose_base64`](Self::expose_base64).
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn generate(kid: impl Into<String>) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; Self::MIN_BYTES]);
        SystemEntropy.fill(&mut *bytes)?;
        Self::from_bytes(kid, &*bytes)
    }

    /// Adds the asymmetric key that signs stamp-mode tokens under this `kid`
    /// ([`BindingMode::StampAsymmetric`](crate::BindingMode::StampAsymmetric)).
    #[cfg(feature = "asymmetric")]
    #[cfg_attr(docsrs, doc(cfg(feature = "asymmetric")))]
    #[must_use]
    pub fn with_signing_key(mut self, key: SigningKey) -> Self {
        self.signing = Some(Arc::new(key));
        self
    }

    /// The key's name, in the header of its tokens.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key as base64url without padding, for a secret store.
    ///
    /// # Security
    ///
    /// This is the secret itself. Together with a copy of the users' table it can forge any token.
    #[must_use]
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(base64url::encode(&self.bytes))
    }

    pub(crate) fn mac(&self) -> &HmacSha256 {
        &self.mac
    }

    /// Whether `secret` and this key are the same HMAC key.
    pub(crate) fn is(&self, secret: &[u8]) -> bool {
        HmacSha256::new_from_slice(secret)
            .is_ok_and(|other| constant_time::equal(&probe(self.mac.clone()), &probe(other)))
    }

    /// Whether the two keys share a secret: the master key's bytes or the asymmetric key.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.trace().shares_secret_with(&other.trace())
    }

    pub(crate) fn trace(&self) -> KeyTrace {
        KeyTrace {
            kid: self.kid.clone(),
            probe: probe(self.mac.clone()),
            #[cfg(feature = "asymmetric")]
            public: self.signing.as_ref().map(|key| key.verifying_key().clone()),
        }
    }

    #[cfg(feature = "asymmetric")]
    pub(crate) fn signing_key(&self) -> Option<&SigningKey> {
        self.signing.as_deref()
    }
}

/// What is kept of a key to recognise it. It contains no secret.
#[derive(Clone)]
pub(crate) struct KeyTrace {
    kid: String,
    /// The same for all master keys that HMAC cannot tell apart: it pads a short key with zeros, and
    /// replaces a key of more than 64 bytes by its hash (RFC 2104 §2).
    probe: [u8; 32],
    #[cfg(feature = "asymmetric")]
    public: Option<VerifyingKey>,
}

impl KeyTrace {
    /// Whether a ring must not have both keys: they share the `kid` or a secret.
    pub(crate) fn excludes(&self, other: &Self) -> bool {
        self.kid == other.kid || self.shares_secret_with(other)
    }

    fn shares_secret_with(&self, other: &Self) -> bool {
        #[cfg(feature = "asymmetric")]
        if self.public.is_some() && self.public == other.public {
            return true;
        }
        constant_time::equal(&self.probe, &other.probe)
    }
}

/// A value that identifies a key to HMAC.
fn probe(mac: HmacSha256) -> [u8; 32] {
    mac.chain_update(b"relatch/1 same").finalize().into_bytes().into()
}

impl fmt::Debug for KeyTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyTrace").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// Whether the text is a valid `kid`, which needs no escape in JSON, logs or file names.
fn is_kid(kid: &str) -> bool {
    (1..=MasterKey::MAX_KID_BYTES).contains(&kid.len())
        && kid.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b))
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn a_short_key_is_refused_with_its_length() {
        let error = MasterKey::from_bytes("k", &[7; 31]).unwrap_err();
        assert!(error.to_string().contains("31"));
        assert!(MasterKey::from_bytes("k", &[7; 32]).is_ok());
    }

    #[test]
    fn base64_in_either_alphabet_padded_or_not_is_the_same_key() {
        let key = MasterKey::from_bytes("k", &[0xfb; 32]).unwrap();
        for text in [
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s=",
            "+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/v7+/s",
            "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s=",
            " -_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s\n",
            &key.expose_base64(),
        ] {
            assert!(MasterKey::from_base64("k", text).unwrap().same_as(&key), "{text}");
        }
        for text in ["no base64!", &format!("{}===", *key.expose_base64())] {
            assert_eq!(
                MasterKey::from_base64("k", text).unwrap_err(),
                KeyError::new(Kind::Base64),
                "{text}"
            );
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = MasterKey::from_env("k", "RELATCH_NO_SUCH_VARIABLE").unwrap_err();
        assert!(error.to_string().contains("RELATCH_NO_SUCH_VARIABLE"));
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_unicode_is_named_and_not_shown() {
        use std::os::unix::ffi::OsStringExt;

        let raw = OsString::from_vec([&b"SECRET"[..], &[0xff; 32]].concat());
        let error = MasterKey::from_variable("k", "RELATCH_KEY", Some(raw)).unwrap_err();
        for text in [error.to_string(), format!("{error:?}"), format!("{error:#?}")] {
            assert!(text.contains("RELATCH_KEY") && !text.contains("SECRET"), "{text}");
        }
    }

    #[test]
    fn a_kid_that_would_need_an_escape_is_refused() {
        for kid in ["", "a b", "a\"b", "ключ", "a/b", &"k".repeat(65)] {
            assert_eq!(
                MasterKey::from_bytes(kid, &[7; 32]).unwrap_err(),
                KeyError::new(Kind::Kid),
                "{kid}"
            );
        }
    }

    /// HMAC pads a short key with zeros, and replaces a long one by its hash.
    #[test]
    fn a_key_that_hmac_cannot_tell_apart_is_the_same() {
        let key = MasterKey::from_bytes("a", &[7; 32]).unwrap();
        let other = |bytes: &[u8]| MasterKey::from_bytes("b", bytes).unwrap();
        for zeros in 1..=32 {
            assert!(key.same_as(&other(&[&[7; 32][..], &vec![0; zeros]].concat())), "{zeros}");
        }
        assert!(!key.same_as(&other(&[&[7; 32][..], &[0; 33]].concat())));
        let long = other(&[7; 65]);
        assert!(long.same_as(&other(&Sha256::digest([7; 65]))));
        assert!(!long.same_as(&other(&[7; 64])));
        assert!(!key.is(&[8; 32]));
        assert!(!key.is(b""));
    }

    #[test]
    fn generated_keys_differ() {
        let (a, b) = (MasterKey::generate("a").unwrap(), MasterKey::generate("b").unwrap());
        assert!(!a.same_as(&b));
    }
}
