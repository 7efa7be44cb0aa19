//! Tokens made outside the library, with all of the server's secrets, for states that no sequence
//! of calls reaches, such as a refresh token of the last sequence number.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use hmac::{Hmac, KeyInit, Mac};
use relatch::RefreshToken;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::common::{AUDIENCE, Account, ISSUER};

/// The claims in which refresh tokens of one user differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forged {
    pub(crate) slot: u16,
    pub(crate) generation: u64,
    pub(crate) seq: u64,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    /// Members of the payload after the registered claims, with a comma in front.
    pub(crate) more: &'static str,
}

impl Forged {
    /// The token, under the key of `common::authority`, for this record.
    pub(crate) fn sign(&self, user: &Account) -> RefreshToken {
        let Self { slot, generation, seq, iat, exp, more } = self;
        let id = user.id.as_bytes();
        let exp_bytes = exp.unsigned_abs().to_be_bytes();
        let of_token = [&slot.to_be_bytes()[..], &generation.to_be_bytes(), &seq.to_be_bytes(), id];
        let nonce = hmac(&subkey("nonce", REFRESH_TYP), &of_token)[..8].to_vec();
        let guard = hmac(&subkey("guard", REFRESH_TYP), &[&exp_bytes, &nonce, id])[..8].to_vec();
        let jti = B64.encode([nonce, guard].concat());

        let secret = frame(&[b"relatch/1 credential", user.password_hash.as_bytes()]);
        let version = user.version.unsigned_abs().to_be_bytes();
        let body = [&Sha256::digest(secret)[..], &version, &frame(&[id, b"", b"", b""])];
        let key = hmac(&subkey("key", REFRESH_TYP), &body);

        let payload = format!(
            r#"{{"iss":"{ISSUER}","sub":"{}","aud":"{AUDIENCE}","exp":{exp},"iat":{iat},"jti":"{jti}","ver":{},"sid":"{slot}.{generation}","seq":{seq}{more}}}"#,
            user.id, user.version
        );
        RefreshToken::new(sign(REFRESH_TYP, payload, &key))
    }
}

/// The signing key of `common::authority` in stamp mode.
pub(crate) fn server_key(typ: &str) -> Vec<u8> {
    subkey("server", typ)
}

/// A token of this type under the `kid` of `common::authority`.
pub(crate) fn sign(typ: &str, payload: impl AsRef<[u8]>, key: &[u8]) -> String {
    jws(&header(typ), payload, key)
}

/// A plain token, as the setup before relatch issued it.
pub(crate) fn plain(claims: &Value, key: &[u8]) -> String {
    jws(&B64.encode(r#"{"alg":"HS256","typ":"JWT"}"#), claims.to_string(), key)
}

fn jws(header: &str, payload: impl AsRef<[u8]>, key: &[u8]) -> String {
    let input = format!("{header}.{}", B64.encode(payload));
    format!("{input}.{}", B64.encode(hmac(key, &[input.as_bytes()])))
}

/// The first part of such a token.
pub(crate) fn header(typ: &str) -> String {
    B64.encode(format!(r#"{{"alg":"HS256","kid":"k1","typ":"{typ}"}}"#))
}

const REFRESH_TYP: &str = "rt+jwt";

fn subkey(label: &str, typ: &str) -> Vec<u8> {
    let label = format!("relatch/1 {label}");
    hmac(&[1; 32], &[&frame(&[label.as_bytes(), typ.as_bytes(), ISSUER.as_bytes()])])
}

fn frame(pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend(u32::try_from(piece.len()).unwrap().to_be_bytes());
        bytes.extend(*piece);
    }
    bytes
}

fn hmac(key: &[u8], message: &[&[u8]]) -> Vec<u8> {
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.chain_update(message.concat()).finalize().into_bytes().to_vec()
}
