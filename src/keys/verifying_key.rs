//! Public keys that verify stamp-mode tokens, and their JWK form (RFC 7517).

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use jsonwebtoken::{
    Algorithm,
    crypto::JwtVerifier,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
        EllipticCurveKeyType, Jwk, KeyAlgorithm, OctetKeyPairParameters, OctetKeyPairType,
        PublicKeyUse,
    },
    signature::{self, Verifier},
};

use crate::{
    bytes::base64url,
    keys::error::{KeyError, Kind},
};

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
    /// [`KeyError`] if the JWK is of another kind, if its `alg` or `use` excludes such signatures, or if
    /// its coordinates are not those of a key.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return Err(KeyError::new(Kind::Algorithm));
        }
        let is_for = |algorithm| jwk.common.key_algorithm.is_none_or(|named| named == algorithm);
        let coordinate =
            |text: &str| base64url::decode_array::<32>(text).ok_or(KeyError::new(Kind::Key));
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
            _ => Err(KeyError::new(Kind::Algorithm)),
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
                    x: base64url::encode(x),
                    y: base64url::encode(y),
                };
                (KeyAlgorithm::ES256, AlgorithmParameters::EllipticCurve(parameters))
            }
            _ => {
                let parameters = OctetKeyPairParameters {
                    key_type: OctetKeyPairType::OctetKeyPair,
                    curve: EllipticCurve::Ed25519,
                    x: base64url::encode(key),
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

    pub(super) fn ed25519(key: &[u8]) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::new(&ED25519, key).map_err(|_| KeyError::new(Kind::Key))?;
        Ok(Self(Public { algorithm: Algorithm::EdDSA, key }))
    }

    /// From an uncompressed point (SEC 1 §2.3.3).
    pub(super) fn p256(point: &[u8]) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| KeyError::new(Kind::Key))?;
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
