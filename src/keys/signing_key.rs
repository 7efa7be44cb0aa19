//! Private keys that sign stamp-mode tokens: EdDSA with Ed25519 (RFC 8037), and ES256 (RFC 7518 §3.4).

// The curve library was chosen by measurement (`benches/speed/curves.rs`): it is the fastest, or
// within noise of the fastest, at signing and verifying with both curves.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair},
};
use base64_simd::STANDARD;
use jsonwebtoken::{
    Algorithm,
    crypto::JwtSigner,
    signature::{self, Signer},
};
use zeroize::Zeroizing;

use crate::keys::{
    error::{KeyError, Kind},
    verifying_key::VerifyingKey,
};

/// A private key that signs tokens: Ed25519 or P-256.
///
/// Its `Debug` output is redacted. Only [`expose_pkcs8_der`](Self::expose_pkcs8_der) serialises it.
///
/// With [`BindingMode::StampAsymmetric`](crate::BindingMode::StampAsymmetric) the server signs
/// with a [`SigningKey`], and other services verify with the public keys that
/// [`KeyRing::jwk_set`](crate::KeyRing::jwk_set) publishes. These services do not see revocations,
/// and a thief of the signing key can deceive them, as with any JWT. The issuer's own verification
/// also compares the stamp, which covers the header and all other claims. For the stamp the thief would
/// need the master key and the users' table too.
///
/// # Example
///
/// ```
/// use relatch::{Authority, BindingMode, MasterKey};
/// use relatch::keys::{Algorithm, SigningKey};
/// use time::OffsetDateTime;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let signing_key = SigningKey::generate(Algorithm::EdDSA)?;
/// let key = MasterKey::generate("2026-11")?.with_signing_key(signing_key);
/// let authority = Authority::builder(key, "https://login.example.com", "api")
///     .mode(BindingMode::StampAsymmetric)
///     .build()?;
///
/// // For the well-known document that other services read:
/// let document = authority.keys().jwk_set(OffsetDateTime::now_utc());
/// assert_eq!(document.keys[0].common.key_id.as_deref(), Some("2026-11"));
/// # Ok(())
/// # }
/// ```
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
    /// [`KeyError`] for any other algorithm, and if the generator fails.
    pub fn generate(algorithm: Algorithm) -> Result<Self, KeyError> {
        let pair = match algorithm {
            Algorithm::EdDSA => Ed25519KeyPair::generate().map(Pair::Ed25519),
            Algorithm::ES256 => {
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::P256)
            }
            _ => return Err(KeyError::new(Kind::Algorithm)),
        };
        Self::from_pair(pair.map_err(|_| KeyError::new(Kind::Key))?)
    }

    /// A key from PKCS #8 in DER (RFC 5958), which contains the algorithm.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if it is neither an Ed25519 nor a P-256 key.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(der)
            .map(Pair::Ed25519)
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256)
            })
            .map_err(|_| KeyError::new(Kind::Key))?;
        Self::from_pair(pair)
    }

    /// A key from PKCS #8 in PEM (`-----BEGIN PRIVATE KEY-----`), as `openssl genpkey -algorithm
    /// ed25519` writes it.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the text is not such a PEM, or its key is neither Ed25519 nor P-256.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let mut buffer = Zeroizing::new(Vec::with_capacity(pem.len()));
        let der = decode_pem(pem, &mut buffer).ok_or(KeyError::new(Kind::Pem))?;
        Self::from_pkcs8_der(der)
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
    /// [`KeyError`] if the cryptographic library cannot write it.
    ///
    /// # Security
    ///
    /// The result is the private key itself.
    pub fn expose_pkcs8_der(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
            Pair::P256(pair) => pair.to_pkcs8v1(),
        };
        document
            .map(|der| Zeroizing::new(der.as_ref().to_vec()))
            .map_err(|_| KeyError::new(Kind::Key))
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

/// The first PKCS #8 private key of a PEM text (RFC 7468 §10). The buffer, which must have the capacity
/// for the text, is the only place for a copy of the key.
fn decode_pem<'b>(pem: &str, buffer: &'b mut Vec<u8>) -> Option<&'b [u8]> {
    let (_, rest) = pem.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (text, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    buffer.extend(text.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    STANDARD.decode_inplace(buffer).ok().map(|der| &*der)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8410 §10.3.
    const KEY: &str = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";

    #[test]
    fn a_pem_is_read_as_tools_write_it() {
        let pem =
            |text: &str| format!("-----BEGIN PRIVATE KEY-----{text}-----END PRIVATE KEY-----");
        let (first, second) = KEY.split_at(32);
        for good in [
            pem(&format!("\n{KEY}\n")),
            pem(&format!("\r\n{first}\r\n{second}\r\n")),
            format!("Key Attributes: none\n{}\nfurther text", pem(&format!("\n{KEY}\n"))),
        ] {
            assert_eq!(
                SigningKey::from_pem(&good).unwrap().algorithm(),
                Algorithm::EdDSA,
                "{good}"
            );
        }
        for bad in [
            KEY.to_owned(),
            pem(&KEY[1..]),
            pem(&format!("{KEY}!")),
            pem("").replace("PRIVATE", "PUBLIC"),
            format!("-----BEGIN PRIVATE KEY-----\n{KEY}"),
        ] {
            let error = SigningKey::from_pem(&bad).unwrap_err();
            assert_eq!(error, KeyError::new(Kind::Pem), "{bad}");
        }
    }
}
