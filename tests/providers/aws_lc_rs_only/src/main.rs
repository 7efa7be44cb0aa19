//! An application whose features select one of `jsonwebtoken`'s providers, which is then used
//! automatically.

use exercise::{Outcome, jsonwebtoken_accepts, own_eddsa_works, own_hs256_works, relatch_works};

fn main() -> Outcome {
    let before = relatch_works("before the application's own use")?;

    own_hs256_works()?;
    own_eddsa_works()?;

    let after = relatch_works("after the application's own use")?;
    before.iter().chain(&after).try_for_each(jsonwebtoken_accepts)?;
    println!("aws_lc_rs_only: all as expected");
    Ok(())
}
