//! Plain `jsonwebtoken` with the same user and the same claims: a token that cannot be revoked.

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use relatch_benches::{AUDIENCE, Claims, ISSUER, MASTER, user_id};
use serde::{Deserialize, Serialize};

/// The claims of a plain token, all owned.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plain {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
    pub(crate) jti: String,
    pub(crate) role: String,
    pub(crate) tenant: u64,
}

impl Plain {
    pub(crate) fn of(user: usize) -> Self {
        let Claims { role, tenant } = Claims::of(user);
        let iat = jsonwebtoken::get_current_timestamp();
        Self {
            iss: ISSUER.to_owned(),
            sub: user_id(user),
            aud: AUDIENCE.to_owned(),
            exp: iat + 86_400,
            iat,
            jti: jti(user),
            role,
            tenant,
        }
    }
}

/// The id of a user's token.
pub(crate) fn jti(user: usize) -> String {
    format!("{user:022}")
}

/// `jsonwebtoken` with one key for all.
pub(crate) struct PlainJwt {
    pub(crate) header: Header,
    encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
    pub(crate) validation: Validation,
}

impl PlainJwt {
    pub(crate) fn new() -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("2026-11".to_owned());
        header.typ = Some("at+jwt".to_owned());
        Self {
            header,
            encoding: EncodingKey::from_secret(&MASTER).expect("a key"),
            decoding: DecodingKey::from_secret(&MASTER).expect("a key"),
            validation,
        }
    }

    pub(crate) fn encode(&self, claims: &Plain) -> String {
        jsonwebtoken::encode(&self.header, claims, &self.encoding).expect("a token")
    }

    pub(crate) fn decode(&self, token: &str) -> Plain {
        jsonwebtoken::decode(token, &self.decoding, &self.validation).expect("a right token").claims
    }
}
