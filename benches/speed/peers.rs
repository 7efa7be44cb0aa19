//! The peers: the same user and the same claims, without revocation, or with the usual ways of
//! revoking.

use std::collections::HashSet;

use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{DecodingKey, EncodingKey, dangerous};
use jwt_simple::prelude::{
    Claims as SimpleClaims, Duration as SimpleDuration, HS256Key, MACLike, VerificationOptions,
};
use relatch_benches::{AUDIENCE, Account, Claims, ISSUER, MASTER, Pool, Users, user_id};
use serde::Deserialize;
use sha2::Sha256;

use crate::plain::{Plain, PlainJwt, jti};

impl PlainJwt {
    pub(crate) fn tokens(&self, users: &Users) -> Pool<String> {
        users.pool(|user| self.encode(&Plain::of(user)))
    }

    /// The idea of relatch in its simplest form: read the subject, look the user up, derive a key,
    /// decode.
    pub(crate) fn derive_and_decode(&self, token: &str, users: &Users) -> Plain {
        #[derive(Deserialize)]
        struct Subject {
            sub: String,
        }

        let Subject { sub } = dangerous::insecure_decode_claims(token).expect("claims");
        let Ok(Some(account)) = users.find(&sub) else { panic!("no such user") };
        let key = DecodingKey::from_secret(&derived(account)).expect("a key");
        jsonwebtoken::decode(token, &key, &self.validation).expect("a right token").claims
    }

    pub(crate) fn derived_tokens(&self, users: &Users) -> Pool<String> {
        users.pool(|user| {
            let key = EncodingKey::from_secret(&derived(users.get(user))).expect("a key");
            jsonwebtoken::encode(&self.header, &Plain::of(user), &key).expect("a token")
        })
    }
}

fn derived(account: &Account) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&MASTER).expect("any length");
    mac.update(account.password_hash.as_bytes());
    mac.update(&account.version.to_be_bytes());
    mac.finalize().into_bytes().into()
}

/// A million revoked tokens, none of the pool.
pub(crate) fn denylist() -> HashSet<String> {
    (0..1_000_000).map(|token| jti(10_000_000 + token)).collect()
}

/// `jwt-simple` with one key for all.
pub(crate) struct Simple {
    key: HS256Key,
    options: VerificationOptions,
}

impl Simple {
    pub(crate) fn new() -> Self {
        let options = VerificationOptions {
            allowed_issuers: Some([ISSUER.to_owned()].into()),
            allowed_audiences: Some([AUDIENCE.to_owned()].into()),
            time_tolerance: Some(SimpleDuration::from_secs(0)),
            ..VerificationOptions::default()
        };
        Self { key: HS256Key::from_bytes(&MASTER).with_key_id("2026-11"), options }
    }

    pub(crate) fn tokens(&self, users: &Users) -> Pool<String> {
        users.pool(|user| {
            let claims =
                SimpleClaims::with_custom_claims(Claims::of(user), SimpleDuration::from_days(1))
                    .with_issuer(ISSUER)
                    .with_audience(AUDIENCE)
                    .with_subject(user_id(user))
                    .with_jwt_id(jti(user));
            self.key.authenticate(claims).expect("a token")
        })
    }

    pub(crate) fn verify(&self, token: &str) -> Claims {
        self.key.verify_token(token, Some(self.options.clone())).expect("a right token").custom
    }
}
