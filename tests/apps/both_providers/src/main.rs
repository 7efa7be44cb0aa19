//! An application whose features select both of `jsonwebtoken`'s providers.

use exercise::{
    Outcome, ed25519_pair, jsonwebtoken_accepts, own_tokens_work, relatch_works, the_global_panics,
};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto::rust_crypto::DEFAULT_PROVIDER};

fn main() -> Outcome {
    the_global_panics()?;
    let before = relatch_works("before a provider is installed")?;

    DEFAULT_PROVIDER.install_default().map_err(|_| "the global was used before")?;
    println!("the application installs its provider");
    let secret = b"the application's own";
    own_tokens_work(
        Algorithm::HS256,
        &EncodingKey::from_secret(secret),
        &DecodingKey::from_secret(secret),
    )?;
    let (signing, verifying) = ed25519_pair()?;
    own_tokens_work(Algorithm::EdDSA, &signing, &verifying)?;

    let after = relatch_works("after a provider is installed")?;
    before.iter().chain(&after).try_for_each(jsonwebtoken_accepts)?;
    println!("both_providers: all as expected");
    Ok(())
}
