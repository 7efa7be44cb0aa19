//! An application whose features select one of `jsonwebtoken`'s providers, which it then takes by
//! itself.

use exercise::{Outcome, ed25519_pair, jsonwebtoken_accepts, own_tokens_work, relatch_works};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};

fn main() -> Outcome {
    let before = relatch_works("before the application's own use")?;

    let secret = b"the application's own";
    own_tokens_work(
        Algorithm::HS256,
        &EncodingKey::from_secret(secret),
        &DecodingKey::from_secret(secret),
    )?;
    let (signing, verifying) = ed25519_pair()?;
    own_tokens_work(Algorithm::EdDSA, &signing, &verifying)?;

    let after = relatch_works("after the application's own use")?;
    before.iter().chain(&after).try_for_each(jsonwebtoken_accepts)?;
    println!("aws_lc_rs_only: all as expected");
    Ok(())
}
