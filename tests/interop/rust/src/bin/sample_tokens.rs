//! Prints one JSON document: a key-mode token with its exposed key, one token per asymmetric
//! algorithm, and the JWK set that verifies those.

use std::error::Error;

use relatch::{
    Access, Authority, Binding, BindingMode, Context, MasterKey, User,
    keys::{Algorithm, SigningKey},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

struct Account;

impl User for Account {
    fn id(&self) -> &str {
        "zoë"
    }
    fn binding(&self) -> Binding<'_> {
        Binding::password_hash("$argon2id$v=19$…").version(3)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let master = MasterKey::generate("key")?;
    let authority = Authority::new(master, ISSUER, AUDIENCE)?;
    let token = authority.issue_for_user(&Account)?;
    let key = authority.danger_expose_key::<Access>(&Account, &Context::new())?;
    let hs256 = json!({ "token": token.expose(), "key": key.to_vec() });

    let mut signed = Vec::new();
    let mut keys = Vec::new();
    for (kid, algorithm) in [("ed", Algorithm::EdDSA), ("ec", Algorithm::ES256)] {
        let master = MasterKey::generate(kid)?.with_signing_key(SigningKey::generate(algorithm)?);
        let authority = Authority::builder(master, ISSUER, AUDIENCE)
            .mode(BindingMode::StampAsymmetric)
            .build()?;
        signed.push(Value::from(authority.issue_for_user(&Account)?.expose()));
        keys.extend(authority.keys().jwk_set(OffsetDateTime::now_utc()).keys);
    }
    let document = json!({
        "issuer": ISSUER, "audience": AUDIENCE, "subject": Account.id(),
        "hs256": hs256, "signed": signed, "jwks": { "keys": keys },
    });
    println!("{document}");
    Ok(())
}
