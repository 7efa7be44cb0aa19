//! Public keys that verify stamp-mode tokens, and their JWK form (RFC 7517).

use std::fmt;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey};
use jsonwebtoken::{
    Algorithm,
    crypto::JwtVerifier,
    jwk::{
        AlgorithmParameters, CommonParameters, EllipticCurve, EllipticCurveKeyParameters,
        EllipticCurveKeyType, Jwk, KeyAlgorithm, KeyOperations, OctetKeyPairParameters,
        OctetKeyPairType, PublicKeyUse,
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
    /// [`KeyError`] if the JWK is of another kind, if its `alg`, its `use` or its `key_ops` (RFC 7517
    /// §4.2–4.4) does not allow to verify these signatures, or if its coordinates are not those of a
    /// key. An Ed25519 point of small order is no key: with it, some signatures fit every message.
    pub fn from_jwk(jwk: &Jwk) -> Result<Self, KeyError> {
        if !is_to_verify(&jwk.common) {
            return Err(KeyError::new(Kind::Use));
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
        if !is_ed25519(key) {
            return Err(KeyError::new(Kind::Key));
        }
        let key = ParsedPublicKey::new(&ED25519, key).map_err(|_| KeyError::new(Kind::Key))?;
        Ok(Self(Public { algorithm: Algorithm::EdDSA, key }))
    }

    /// A key from an uncompressed point (SEC 1 §2.3.3).
    pub(super) fn p256(point: &[u8]) -> Result<Self, KeyError> {
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
            .map_err(|_| KeyError::new(Kind::Key))?;
        Ok(Self(Public { algorithm: Algorithm::ES256, key }))
    }
}

/// The first byte of an uncompressed point (SEC 1 §2.3.3).
const UNCOMPRESSED: u8 = 4;

/// The prime of the field of Ed25519, 2^255 - 19 (RFC 8032 §5.1), in little-endian bytes.
const P: [u8; 32] = {
    let mut bytes = [0xff; 32];
    (bytes[0], bytes[31]) = (0xed, 0x7f);
    bytes
};

/// The y coordinates of the eight points of small order of Ed25519, in little-endian bytes: 0, 1, -1 and
/// those of the points of order 8. A y coordinate has up to two points.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [0; 32],
    {
        let mut bytes = [0; 32];
        bytes[0] = 1;
        bytes
    },
    {
        let mut bytes = P;
        bytes[0] -= 1;
        bytes
    },
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// Whether the bytes can be an Ed25519 public key: a y coordinate below the prime (RFC 8032 §5.1.3),
/// and not that of a point of small order. The top bit is the sign of x.
fn is_ed25519(key: &[u8]) -> bool {
    let Ok(mut y) = <[u8; 32]>::try_from(key) else { return false };
    y[31] &= 0x7f;
    y.iter().rev().lt(P.iter().rev()) && !SMALL_ORDER.contains(&y)
}

/// Whether a JWK's `use` and `key_ops` allow to verify signatures.
fn is_to_verify(common: &CommonParameters) -> bool {
    use KeyOperations::{Sign, Verify};
    matches!(common.public_key_use, None | Some(PublicKeyUse::Signature))
        && matches!(
            common.key_operations.as_deref(),
            None | Some([Verify] | [Sign, Verify] | [Verify, Sign])
        )
}

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
