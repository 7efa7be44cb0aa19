//! The checks of the applications beside this package, each of which has another crypto provider.
//!
//! `jsonwebtoken` uses a process-wide provider, and panics if the application's features select two
//! or none. Cargo unifies features, so each application is its own package. relatch must work in
//! all of them without using that provider.

use std::{convert::Infallible, error::Error, panic};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, crypto::CryptoProvider,
};
use relatch::{
    Access, Authority, Binding, BindingMode, Context, MasterKey, Reason, User,
    keys::{JwkSet, SigningKey, read_jwk_set},
};
use serde_json::{Value, json};
use time::OffsetDateTime;

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// A token issued by relatch, and the key with which another library verifies it.
pub struct Sample {
    algorithm: Algorithm,
    token: String,
    key: DecodingKey,
}

impl Sample {
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// Checks every binding mode: an issued token is accepted, and rejected after a bump.
pub fn relatch_works(when: &str) -> Outcome<Vec<Sample>> {
    let samples =
        vec![key_mode()?, stamp_asymmetric(Algorithm::EdDSA)?, stamp_asymmetric(Algorithm::ES256)?];
    issue_verify_revoke(&authority(master_key()?, BindingMode::StampHs256)?)?;
    println!("relatch {when}: every binding mode issues, verifies and revokes");
    Ok(samples)
}

/// `jsonwebtoken::decode` accepts the token, through the application's provider.
pub fn jsonwebtoken_accepts(sample: &Sample) -> Outcome {
    let Sample { algorithm, token, key } = sample;
    let mut validation = Validation::new(*algorithm);
    validation.leeway = 0;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    let data = jsonwebtoken::decode::<Value>(token, key, &validation)?;
    assert_eq!(data.claims["sub"], ALICE);
    assert_eq!(data.header.kid.as_deref(), Some(KID));
    println!("jsonwebtoken accepts relatch's {algorithm:?} token");
    Ok(())
}

/// The application's own HS256 tokens, which have nothing to do with relatch.
pub fn own_hs256_works() -> Outcome {
    let secret = b"the application's own";
    let signing = EncodingKey::from_secret(secret)?;
    own_tokens_work(Algorithm::HS256, &signing, &DecodingKey::from_secret(secret)?)
}

/// The application's own EdDSA tokens.
pub fn own_eddsa_works() -> Outcome {
    let key = SigningKey::generate(Algorithm::EdDSA)?;
    let verifying = DecodingKey::from_jwk(&key.verifying_key().to_jwk("own"))?;
    let signing = EncodingKey::from_ed_der(&key.expose_pkcs8_der()?);
    own_tokens_work(Algorithm::EdDSA, &signing, &verifying)
}

fn own_tokens_work(
    algorithm: Algorithm,
    signing: &EncodingKey,
    verifying: &DecodingKey,
) -> Outcome {
    let claims = json!({ "sub": "bob", "exp": jsonwebtoken::get_current_timestamp() + 60 });
    let token = jsonwebtoken::encode(&Header::new(algorithm), &claims, signing)?;
    let data = jsonwebtoken::decode::<Value>(&token, verifying, &Validation::new(algorithm))?;
    assert_eq!(data.claims, claims);
    println!("the application encodes and decodes its own {algorithm:?} token");
    Ok(())
}

/// Checks that the process-wide provider is missing, and that its use panics. So [`relatch_works`]
/// before a provider is installed proves that relatch does not use it.
pub fn the_global_panics() -> Outcome {
    assert!(CryptoProvider::try_get_default().is_none(), "a provider is installed");
    let key = EncodingKey::from_secret(b"own")?;
    let print = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let used = panic::catch_unwind(|| jsonwebtoken::encode(&Header::default(), &json!({}), &key));
    panic::set_hook(print);
    assert!(used.is_err(), "the global works without being installed");
    println!("jsonwebtoken's global panics before a provider is installed");
    Ok(())
}

fn key_mode() -> Outcome<Sample> {
    let authority = authority(master_key()?, BindingMode::Key)?;
    let token = issue_verify_revoke(&authority)?;
    let key = authority.danger_expose_key::<Access>(&Account { version: 0 }, &Context::new())?;
    Ok(Sample { algorithm: Algorithm::HS256, token, key: DecodingKey::from_secret(&*key)? })
}

/// Also publishes the public key, and verifies the token as another service would.
fn stamp_asymmetric(algorithm: Algorithm) -> Outcome<Sample> {
    let key = master_key()?.with_signing_key(SigningKey::generate(algorithm)?);
    let authority = authority(key, BindingMode::StampAsymmetric)?;
    let token = issue_verify_revoke(&authority)?;

    let document = serde_json::to_string(&authority.keys().jwk_set(OffsetDateTime::now_utc()))?;
    let set: JwkSet = serde_json::from_str(&document)?;
    let sample = Sample { algorithm, token, key: DecodingKey::from_jwk(&set.keys[0])? };
    let (message, signature) = sample.token.rsplit_once('.').ok_or("no token")?;
    let signature = URL_SAFE_NO_PAD.decode(signature)?;
    assert!(read_jwk_set(&set)[KID].verify(message.as_bytes(), &signature));
    assert!(!read_jwk_set(&set)[KID].verify(b"another message", &signature));
    Ok(sample)
}

fn issue_verify_revoke(authority: &Authority) -> Outcome<String> {
    let token = authority.issue_for_user(&Account { version: 0 })?;
    let with_version =
        |version| authority.verify(&token, |_| Ok::<_, Infallible>(Some(Account { version })));
    assert_eq!(with_version(0)?.registered().subject(), ALICE);
    let rejection = with_version(1).err().and_then(|error| error.reason());
    assert_eq!(rejection, Some(Reason::RevokedByVersion));
    Ok(token.expose().to_owned())
}

fn authority(key: MasterKey, mode: BindingMode) -> Outcome<Authority> {
    Ok(Authority::builder(key, ISSUER, AUDIENCE).mode(mode).build()?)
}

fn master_key() -> Outcome<MasterKey> {
    Ok(MasterKey::generate(KID)?)
}

struct Account {
    version: i64,
}

impl User for Account {
    fn id(&self) -> &str {
        ALICE
    }
    fn binding(&self) -> Binding<'_> {
        Binding::password_hash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA").version(self.version)
    }
}

const KID: &str = "2026-11";
const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const ALICE: &str = "alice";
