//! Prints one JSON document for JWT libraries of other languages: a key-mode token with its exposed
//! key, an access token and tokens that are not portable of each stamp mode, the JWK set that verifies
//! the asymmetric ones, and the master key of the others.

use std::{convert::Infallible, error::Error};

use relatch::{
    Access, Authority, Binding, BindingMode, Context, MasterKey, NoClaims, Purpose, User,
    axum::Csrf,
    keys::{Algorithm, SigningKey},
    one_time::{EmailConfirmation, Invitation, MagicLink, PasswordReset},
    sessions::SessionTable,
    user::Counter,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

#[derive(Default)]
struct Account {
    sessions: SessionTable,
}

impl User for Account {
    fn id(&self) -> &str {
        "zoë"
    }
    fn binding(&self) -> Binding<'_> {
        Binding::password_hash("$argon2id$v=19$…").version(3)
    }
    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }
    fn lane(&self, _: &str) -> Option<Counter> {
        Some(Counter::INITIAL)
    }
}

/// A purpose of the application.
struct Download;

impl Purpose for Download {
    type Claims = NoClaims;
    const TYP: &'static str = "download+jwt";
}

fn main() -> Result<(), Box<dyn Error>> {
    let account = Account::default();
    let authority = Authority::new(MasterKey::generate("key")?, ISSUER, AUDIENCE)?;
    let token = authority.issue_for_user(&account)?;
    let key = authority.danger_expose_key::<Access>(&account, &Context::new())?;
    let hs256 = json!({ "token": token.expose(), "key": key.to_vec() });

    let master = [7; 32];
    let authority = Authority::builder(MasterKey::from_bytes("hs", &master)?, ISSUER, AUDIENCE)
        .mode(BindingMode::StampHs256)
        .build()?;
    let mut others = not_portable(&authority, &account)?;
    let stamped =
        json!({ "token": authority.issue_for_user(&account)?.expose(), "master": master });

    let mut signed = Vec::new();
    let mut keys = Vec::new();
    for (kid, algorithm) in [("ed", Algorithm::EdDSA), ("ec", Algorithm::ES256)] {
        let master = MasterKey::generate(kid)?.with_signing_key(SigningKey::generate(algorithm)?);
        let authority = Authority::builder(master, ISSUER, AUDIENCE)
            .mode(BindingMode::StampAsymmetric)
            .build()?;
        signed.push(Value::from(authority.issue_for_user(&account)?.expose()));
        others.extend(not_portable(&authority, &account)?);
        keys.extend(authority.keys().jwk_set(OffsetDateTime::now_utc()).keys);
    }
    let document = json!({
        "issuer": ISSUER, "audience": AUDIENCE, "subject": account.id(),
        "hs256": hs256, "stamped": stamped, "signed": signed, "not_portable": others,
        "jwks": { "keys": keys },
    });
    println!("{document}");
    Ok(())
}

/// A token of each purpose that is not portable.
fn not_portable(authority: &Authority, user: &Account) -> Result<Vec<String>, Box<dyn Error>> {
    let Ok(session) = authority.start_session(user, "")?.commit(|_| Ok::<_, Infallible>(true));
    let session = session.stored().ok_or("not stored")?;
    Ok(vec![
        session.refresh().expose().to_owned(),
        issued::<PasswordReset>(authority, user)?,
        issued::<EmailConfirmation>(authority, user)?,
        issued::<MagicLink>(authority, user)?,
        issued::<Invitation>(authority, user)?,
        issued::<Csrf>(authority, user)?,
        issued::<Download>(authority, user)?,
    ])
}

fn issued<P: Purpose<Claims = NoClaims>>(
    authority: &Authority,
    user: &Account,
) -> Result<String, Box<dyn Error>> {
    let context = P::CONTEXT.iter().fold(Context::new(), |context, kind| context.with(*kind, "x"));
    let token = authority.issue::<P>(user, &NoClaims {}).context(context).sign()?;
    Ok(token.expose().to_owned())
}
