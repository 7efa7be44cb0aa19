//! Tokens made outside the library, with all of the server's secrets, for states that no sequence
//! of calls reaches, such as a refresh token of the last sequence number.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use hmac::{Hmac, KeyInit, Mac};
use relatch::RefreshToken;
use sha2::{Digest, Sha256};

use crate::common::{AUDIENCE, Account, ISSUER};

/// The claims in which refresh tokens of one user differ.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Forged {
    pub(crate) slot: u32,
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
        let of_token = [id, &slot.to_be_bytes(), &generation.to_be_bytes(), &seq.to_be_bytes()];
        let nonce = hmac(&[head("nonce", REFRESH_TYP), frame(&of_token)])[..8].to_vec();
        let guard =
            hmac(&[head("guard", REFRESH_TYP), frame(&[id, &exp_bytes, &nonce])])[..8].to_vec();
        let jti = B64.encode([nonce, guard].concat());

        let secret = frame(&[b"relatch/1 credential", user.password_hash.as_bytes()]);
        let version = user.version.unsigned_abs().to_be_bytes();
        let body = frame(&[id, &Sha256::digest(secret), b"", &version, b"", b""]);
        let key = hmac(&[head("key", REFRESH_TYP), body]);

        let payload = format!(
            r#"{{"iss":"{ISSUER}","sub":"{}","aud":"{AUDIENCE}","exp":{exp},"iat":{iat},"jti":"{jti}","ver":{},"sid":"{slot}.{generation}","seq":{seq}{more}}}"#,
            user.id, user.version
        );
        RefreshToken::new(sign(REFRESH_TYP, payload, &key))
    }
}

/// The signing key of `common::authority` in stamp mode.
pub(crate) fn server_key(typ: &str) -> Vec<u8> {
    hmac(&[head("server", typ)])
}

/// A token of this type under the `kid` of `common::authority`.
pub(crate) fn sign(typ: &str, payload: impl AsRef<[u8]>, key: &[u8]) -> String {
    let header = format!(r#"{{"alg":"HS256","kid":"k1","typ":"{typ}"}}"#);
    let input = format!("{}.{}", B64.encode(header), B64.encode(payload));
    let mac = Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(&input);
    format!("{input}.{}", B64.encode(mac.finalize().into_bytes()))
}

const REFRESH_TYP: &str = "rt+jwt";

fn head(label: &str, typ: &str) -> Vec<u8> {
    frame(&[format!("relatch/1 {label}").as_bytes(), typ.as_bytes(), ISSUER.as_bytes()])
}

fn frame(pieces: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in pieces {
        bytes.extend(u32::try_from(piece.len()).unwrap().to_be_bytes());
        bytes.extend(*piece);
    }
    bytes
}

fn hmac(pieces: &[Vec<u8>]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&[1; 32]).unwrap();
    pieces.iter().for_each(|piece| mac.update(piece));
    mac.finalize().into_bytes().to_vec()
}
