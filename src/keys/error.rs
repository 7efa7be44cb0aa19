//! The error of making, reading and changing keys.

use std::{error, fmt};

use crate::entropy::EntropyError;

/// A key that cannot be made or read, or a key ring that cannot be changed.
///
/// The text says how to correct it. It never contains key material.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyError(Kind);

/// The minimum length of a master key, in bytes.
pub(crate) const MIN_BYTES: usize = 32;

/// The maximum length of a `kid`, in bytes.
pub(crate) const MAX_KID_BYTES: usize = 64;

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    TooShort {
        bytes: usize,
    },
    Base64,
    Variable {
        name: String,
    },
    Kid,
    Entropy(EntropyError),
    Duplicate,
    Unknown,
    Current,
    #[cfg(feature = "asymmetric")]
    Algorithm,
    #[cfg(feature = "asymmetric")]
    Use,
    #[cfg(feature = "asymmetric")]
    Pem,
    #[cfg(feature = "asymmetric")]
    Key,
}

impl KeyError {
    pub(crate) const fn new(kind: Kind) -> Self {
        Self(kind)
    }

    pub(crate) const fn too_short(bytes: usize) -> Self {
        Self(Kind::TooShort { bytes })
    }
}

impl From<EntropyError> for KeyError {
    fn from(error: EntropyError) -> Self {
        Self(Kind::Entropy(error))
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::TooShort { bytes } => write!(
                f,
                "a master key must have at least {} bytes, but this one has {bytes}: make one with \
                 `MasterKey::generate` or `openssl rand -base64 32`",
                MIN_BYTES
            ),
            Kind::Base64 => f.write_str("the master key is not valid base64"),
            Kind::Variable { name } => write!(
                f,
                "the environment variable {name} is not set or not Unicode: set it to a master key \
                 in base64"
            ),
            Kind::Kid => write!(
                f,
                "a kid must have 1 to {} characters of A–Z a–z 0–9 - . _ ~",
                MAX_KID_BYTES
            ),
            Kind::Entropy(_) => f.write_str("no master key could be generated"),
            Kind::Duplicate => {
                f.write_str("the ring already has, or had, this kid, this key or its signing key")
            }
            Kind::Unknown => f.write_str("the ring has no key with this kid"),
            Kind::Current => {
                f.write_str("the current key cannot be removed: rotate to a new one first")
            }
            #[cfg(feature = "asymmetric")]
            Kind::Algorithm => {
                f.write_str("the key is neither for EdDSA with Ed25519 nor for ES256")
            }
            #[cfg(feature = "asymmetric")]
            Kind::Use => f.write_str(
                "the JWK is not to verify signatures: its use must be `sig`, and its key_ops `verify`, \
                 where it has them",
            ),
            #[cfg(feature = "asymmetric")]
            Kind::Pem => {
                f.write_str("the text is not a PKCS #8 private key in PEM (BEGIN PRIVATE KEY)")
            }
            #[cfg(feature = "asymmetric")]
            Kind::Key => f.write_str("the bytes are not those of an Ed25519 or P-256 key"),
        }
    }
}

impl fmt::Debug for KeyError {
    /// The text for people: a `main` that returns the error prints it so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyError: {self}")
    }
}

impl error::Error for KeyError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Kind::Entropy(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_that_returns_it_prints_a_sentence() {
        let error = KeyError::new(Kind::Variable { name: "RELATCH_KEY".to_owned() });
        let boxed: Box<dyn error::Error> = error.into();
        let printed = format!("Error: {boxed:?}");
        let begin = "Error: KeyError: the environment variable RELATCH_KEY is not set";
        assert!(printed.starts_with(begin), "{printed}");
    }
}
