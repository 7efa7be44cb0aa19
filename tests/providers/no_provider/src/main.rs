//! An application that has neither of `jsonwebtoken`'s providers and brings its own.

use exercise::{Outcome, jsonwebtoken_accepts, own_hs256_works, relatch_works, the_global_panics};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{
    Algorithm,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    signature::{self, Signer, Verifier},
};
use sha2::Sha256;

fn main() -> Outcome {
    the_global_panics()?;
    let before = relatch_works("before a provider is installed")?;

    HS256_ALONE.install_default().map_err(|_| "the global was used before")?;
    println!("the application installs its provider");
    own_hs256_works()?;

    let after = relatch_works("after a provider is installed")?;
    for sample in before.iter().chain(&after) {
        match sample.algorithm() {
            Algorithm::HS256 => jsonwebtoken_accepts(sample)?,
            // The application's provider lacks these. relatch does not need them.
            other => assert!(jsonwebtoken_accepts(sample).is_err(), "{other:?}"),
        }
    }
    println!("no_provider: all as expected");
    Ok(())
}

static HS256_ALONE: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(Hs256::new(*algorithm, key.as_bytes())?)),
    verifier_factory: |algorithm, key| {
        Ok(Box::new(Hs256::new(*algorithm, key.try_get_as_bytes()?)?))
    },
    key_utils: KeyUtils::new_unimplemented(),
};

struct Hs256(Hmac<Sha256>);

impl Hs256 {
    fn new(algorithm: Algorithm, key: &[u8]) -> Result<Self> {
        if algorithm != Algorithm::HS256 {
            return Err(ErrorKind::UnsupportedAlgorithm.into());
        }
        Hmac::new_from_slice(key).map(Self).map_err(|_| ErrorKind::InvalidKeyFormat.into())
    }
}

impl Signer<Vec<u8>> for Hs256 {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, signature::Error> {
        Ok(self.0.clone().chain_update(message).finalize().into_bytes().to_vec())
    }
}

impl Verifier<Vec<u8>> for Hs256 {
    fn verify(
        &self,
        message: &[u8],
        signature: &Vec<u8>,
    ) -> std::result::Result<(), signature::Error> {
        let mac = self.0.clone().chain_update(message);
        mac.verify_slice(signature).map_err(signature::Error::from_source)
    }
}

impl JwtSigner for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}
