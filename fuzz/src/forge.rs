//! Tokens made outside the library, with the server's keys.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

/// Replaces placeholders (characters that JSON does not use) with values that an input cannot know,
/// such as those that depend on the master key.
pub fn fill<'v>(template: &[u8], value: impl Fn(u8) -> Option<&'v str>) -> Vec<u8> {
    let mut filled = Vec::with_capacity(template.len());
    for byte in template {
        match value(*byte) {
            Some(value) => filled.extend(value.bytes()),
            None => filled.push(*byte),
        }
    }
    filled
}

/// The JWS of any header and payload.
pub fn sign(header: &[u8], payload: &[u8], key: &EncodingKey) -> String {
    let mut token = [header, payload].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    let signature = crypto::sign(token.as_bytes(), key, Algorithm::HS256).unwrap();
    token.push('.');
    token.push_str(&signature);
    token
}
