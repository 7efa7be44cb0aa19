//! Asymmetric keys for stamp mode: EdDSA (Ed25519, RFC 8037), ES256 (RFC 7518 §3.4) and JWK sets
//! (RFC 7517).
//!
//! With [`BindingMode::StampAsymmetric`](crate::BindingMode::StampAsymmetric) the server signs
//! with a [`SigningKey`], and other services verify with the public keys that
//! [`KeyRing::jwk_set`](crate::KeyRing::jwk_set) publishes. These services do not see revocations,
//! and a thief of the signing key can deceive them, as with any JWT. The issuer's own verification
//! also compares the stamp, for which the thief would need the master key and the users' table too.
//!
//! # Security
//!
//! The stamp covers the user, the `jti` and the `exp`, but not the other claims. A thief of the
//! signing key who also has a live token can change the other claims of *that token*, and the
//! issuer accepts them. In stamp mode, read roles and permissions from the user's record, never
//! from the token.
//!
//! # Example
//!
//! ```
//! use relatch::{Authority, BindingMode, MasterKey};
//! use relatch::asymmetric::{Algorithm, SigningKey};
//! use time::OffsetDateTime;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let signing_key = SigningKey::generate(Algorithm::EdDSA)?;
//! let key = MasterKey::generate("2026-11")?.with_signing_key(signing_key);
//! let authority = Authority::builder(key, "https://login.example.com", "api")
//!     .mode(BindingMode::StampAsymmetric)
//!     .build()?;
//!
//! // For the well-known document that other services read:
//! let document = authority.keys().jwk_set(OffsetDateTime::now_utc());
//! assert_eq!(document.keys[0].common.key_id.as_deref(), Some("2026-11"));
//! # Ok(())
//! # }
//! ```

// The curve library was chosen by measurement (`benches/curves.rs`): it is the fastest, or within
// noise of the fastest, at signing and verifying with both curves.

use std::{collections::BTreeMap, error, fmt};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
        Ed25519KeyPair, KeyPair, ParsedPublicKey,
    },
};
pub use jsonwebtoken::{
    Algorithm,
    jwk::{Jwk, JwkSet},
};
use jsonwebtoken::{
    crypto::{JwtSigner, JwtVerifier},
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
        EllipticCurveKeyType, KeyAlgorithm, OctetKeyPairParameters, OctetKeyPairType, PublicKeyUse,
    },
    signature::{self, Signer, Verifier},
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{keys::key_ring::KeyRing, token::compact};

/// A private key that signs tokens: Ed25519 or P-256.
///
/// Its `Debug` output is redacted. Only [`expose_pkcs8_der`](Self::expose_pkcs8_der) serialises it.
pub struct SigningKey {
    pair: Pair,
    public: VerifyingKey,
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    P256(EcdsaKeyPair),
}

impl SigningKey {
    /// A new key for [`Algorithm::EdDSA`] or [`Algorithm::ES256`], from the random generator of the
    /// cryptographic library.
    ///
    /// # Errors
    ///
    /// [`KeyError::Algorithm`] for any other algorithm, and [`KeyError::Key`] if the generator
    /// fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::EdDSA => Ed25519KeyPair::generate().map(Pair::Ed25519),
            Algorithm::ES256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256)
            }
            _ => return Err(KeyError::Algorithm),
        };
        Self::from_pair(pair.map_err(|_| KeyError::Key)?)
    }

    /// A key from PKCS #8 in DER (RFC 5958), which contains the algorithm.
    ///
    /// # Errors
    ///
    /// [`KeyError::Key`] if it is neither an Ed25519 nor a P-256 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(der)
            .map(Pair::Ed25519)
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256)
            })
            .map_err(|_| KeyError::Key)?;
        Self::from_pair(pair)
    }

    /// A key from PKCS #8 in PEM (`-----BEGIN PRIVATE KEY-----`), as `openssl genpkey -algorithm
    /// ed25519` writes it.
    ///
    /// # Errors
    ///
    /// [`KeyError::Pem`], and the errors of [`from_pkcs8_der`](Self::from_pkcs8_der).
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes())
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Pem)?;
        Self::from_pkcs8_der(der.secret_pkcs8_der())
    }

    /// [`Algorithm::EdDSA`] or [`Algorithm::ES256`].
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        JwtSigner::algorithm(&self.pair)
    }

    /// The public key of this key.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }

    /// The key as PKCS #8 in DER, for a secret store.
    ///
    /// # Errors
    ///
    /// [`KeyError::Key`] if the cryptographic library cannot write it.
    ///
    /// # Security
    ///
    /// This is the secret itself.
    pub fn expose_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
            Pair::P256(pair) => pair.to_pkcs8v1(),
        };
        document.map(|der| Zeroizing::new(der.as_ref().to_vec())).map_err(|_| KeyError::Key)
    }

    /// A signature in JWS form (RFC 7518 §3.4, RFC 8037 §3.1): 64 bytes.
    pub(crate) fn sign(&self, signing_input: &[u8]) -> Option<Vec<u8>> {
        self.pair.try_sign(signing_input).ok()
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let public = match &pair {
            Pair::Ed25519(pair) => VerifyingKey::ed25519(pair.public_key().as_ref()),
            Pair::P256(pair) => VerifyingKey::p256(pair.public_key().as_ref()),
        }?;
        Ok(Self { pair, public })
    }
}

impl Signer<Vec<u8>> for Pair {
    fn try_sign(&self, message: &[u8]) -> Result<Vec<u8>, signature::Error> {
        let signature = match self {
            Self::Ed25519(pair) => pair.try_sign(message),
            Self::P256(pair) => pair.sign(&SystemRandom::new(), message),
        };
        signature
            .map(|signature| signature.as_ref().to_vec())
            .map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Pair {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::P256(_) => Algorithm::ES256,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

/// A public key that verifies tokens: Ed25519 or P-256.
#[derive(Clone)]
pub struct VerifyingKey(Public);

#[derive(Clone)]
struct Public {
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl VerifyingKey {
    /// Reads a public key from a JWK: `OKP` with `Ed25519` (RFC 8037 §2), or `EC` with `P-256`
    /// (RFC 7518 §6.2).
    ///
    /// # Errors
    ///
    /// [`KeyError::Algorithm`] if it is another kind of key, or its `alg` or `use` excludes these
    /// signatures; [`KeyError::Key`] if its coordinates are not a valid key.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return Err(KeyError::Algorithm);
        }
        let is_for = |algorithm| jwk.common.key_algorithm.is_none_or(|named| named == algorithm);
        let coordinate = |text: &str| compact::decode_array::<32>(text).ok_or(KeyError::Key);
        match &jwk.algorithm {
            AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
                curve: EllipticCurve::Ed25519,
                x,
                ..
            }) if is_for(KeyAlgorithm::EdDSA) => Self::ed25519(&coordinate(x)?),
            AlgorithmParameters::EllipticCurve(EllipticCurveKeyParameters {
                curve: EllipticCurve::P256,
                x,
                y,
                ..
            }) if is_for(KeyAlgorithm::ES256) => {
                Self::p256(&[&[UNCOMPRESSED][..], &coordinate(x)?, &coordinate(y)?].concat())
            }
            _ => Err(KeyError::Algorithm),
        }
    }

    /// The key as a JWK for signatures, with this `kid`.
    #[must_use]
    pub fn to_jwk(&self, kid: &str) -> Jwk {
        let key = self.0.key.as_ref();
        let (key_algorithm, algorithm) = match self.0.algorithm {
            Algorithm::ES256 => {
                let (x, y) = key[1..].split_at(32);
                let parameters = EllipticCurveKeyParameters {
                    key_type: EllipticCurveKeyType::EC,
                    curve: EllipticCurve::P256,
                    x: compact::encode(x),
                    y: compact::encode(y),
                };
                (KeyAlgorithm::ES256, AlgorithmParameters::EllipticCurve(parameters))
            }
            _ => {
                let parameters = OctetKeyPairParameters {
                    key_type: OctetKeyPairType::OctetKeyPair,
                    curve: EllipticCurve::Ed25519,
                    x: compact::encode(key),
                };
                (KeyAlgorithm::EdDSA, AlgorithmParameters::OctetKeyPair(parameters))
            }
        };
        let common = CommonParameters {
            public_key_use: Some(PublicKeyUse::Signature),
            key_algorithm: Some(key_algorithm),
            key_id: Some(kid.to_owned()),
            ..CommonParameters::default()
        };
        Jwk { common, algorithm }
    }

    /// [`Algorithm::EdDSA`] or [`Algorithm::ES256`].
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }

    /// Whether `signature`, in JWS form of 64 bytes, is a signature of `message` by this key.
    #[must_use]
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        Verifier::verify(&self.0, message, &signature.to_vec()).is_ok()
    }

    fn ed25519(key: &[u8]) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::new(&ED25519, key).map_err(|_| KeyError::Key)?;
        Ok(Self(Public { algorithm: Algorithm::EdDSA, key }))
    }

    /// From an uncompressed point (SEC 1 §2.3.3).
    fn p256(point: &[u8]) -> Result<Self, KeyError> {
        let key =
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).map_err(|_| KeyError::Key)?;
        Ok(Self(Public { algorithm: Algorithm::ES256, key }))
    }
}

/// The first byte of an uncompressed point (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

impl Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.key.verify_sig(message, signature).map_err(signature::Error::from_source)
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl PartialEq for VerifyingKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key.as_ref() == other.0.key.as_ref()
    }
}

impl Eq for VerifyingKey {}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

/// Reads the keys that can verify relatch's tokens from a JWK set (RFC 7517 §5), by `kid`. It skips
/// keys of other kinds, keys without a `kid`, and malformed keys, as the RFC requires.
#[must_use]
pub fn read_jwk_set(set: &JwkSet) -> BTreeMap<String, VerifyingKey> {
    let named = |jwk: &Jwk| Some((jwk.common.key_id.clone()?, VerifyingKey::from_jwk(jwk).ok()?));
    set.keys.iter().filter_map(named).collect()
}

impl KeyRing {
    /// The public keys as a JWK set for other services: those of the current key and of each
    /// retiring key before its deadline.
    #[cfg_attr(docsrs, doc(cfg(feature = "asymmetric")))]
    #[must_use]
    pub fn jwk_set(&self, now: OffsetDateTime) -> JwkSet {
        let live = self.iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        let public = |key: &crate::MasterKey| {
            key.signing_key().map(|signing| signing.verifying_key().to_jwk(key.kid()))
        };
        JwkSet { keys: live.filter_map(|(key, _)| public(key)).collect() }
    }
}

/// Why an asymmetric key could not be made or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The algorithm is neither EdDSA with Ed25519 nor ES256.
    Algorithm,
    /// The text is not a private key in PEM.
    Pem,
    /// The bytes are not an Ed25519 or P-256 key.
    Key,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Algorithm => "the key is not for EdDSA with Ed25519, nor for ES256",
            Self::Pem => "this is not a PKCS #8 private key in PEM (BEGIN PRIVATE KEY)",
            Self::Key => "the bytes are not those of an Ed25519 or P-256 key",
        })
    }
}

impl error::Error for KeyError {}
