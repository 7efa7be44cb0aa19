//! An application whose features select both of `jsonwebtoken`'s providers.

use exercise::{
    Outcome, jsonwebtoken_accepts, own_eddsa_works, own_hs256_works, relatch_works,
    the_global_panics,
};
use jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER;

fn main() -> Outcome {
    the_global_panics()?;
    let before = relatch_works("before a provider is installed")?;

    DEFAULT_PROVIDER.install_default().map_err(|_| "the global was used before")?;
    println!("the application installs its provider");
    own_hs256_works()?;
    own_eddsa_works()?;

    let after = relatch_works("after a provider is installed")?;
    before.iter().chain(&after).try_for_each(jsonwebtoken_accepts)?;
    println!("both_providers: all as expected");
    Ok(())
}
