//! The callers that may introspect tokens, and their HTTP Basic credentials.

use std::fmt;

use http::{HeaderMap, header::AUTHORIZATION};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::{axum::refusal::Refusal, bytes::constant_time};

/// The minimum length of a caller's secret, in bytes. Secrets are hashed without stretching.
const MIN_SECRET_BYTES: usize = 32;

/// The authorised callers, as digests of their credentials.
pub(crate) struct Callers(Vec<[u8; 32]>);

impl Callers {
    /// Returns `None` if a secret is too short or an id is empty.
    pub(crate) fn new(callers: Vec<(String, Zeroizing<String>)>) -> Option<Self> {
        let digests = callers.into_iter().map(|(id, secret)| {
            (!id.is_empty() && secret.len() >= MIN_SECRET_BYTES).then(|| digest(&id, &secret))
        });
        digests.collect::<Option<_>>().map(Self)
    }

    /// Checks the request's HTTP Basic credentials. RFC 6749 §2.3.1 encodes both parts as in a form, and
    /// many clients, such as `curl -u`, do not: both readings are accepted.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let presented = basic(headers).ok_or(Refusal::UnknownCaller)?;
        // Compare all, so that the time does not depend on which one matches.
        let is_known = self.0.iter().fold(false, |is_known, caller| {
            presented.iter().fold(is_known, |is_known, presented| {
                constant_time::equal(caller, presented) | is_known
            })
        });
        if is_known { Ok(()) } else { Err(Refusal::UnknownCaller) }
    }
}

/// The digests of the credentials as they are, and decoded as in a form.
fn basic(headers: &HeaderMap) -> Option<[[u8; 32]; 2]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().filter(|_| values.next().is_none())?.to_str().ok()?;
    let (scheme, credentials) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let mut buffer = Zeroizing::new(credentials.trim().as_bytes().to_vec());
    let text = base64_simd::STANDARD.decode_inplace(&mut buffer).ok()?;
    let (id, secret) = str::from_utf8(text).ok()?.split_once(':')?;
    let decode = |text: &str| {
        let text = Zeroizing::new(text.replace('+', " "));
        percent_decode_str(&text).decode_utf8().ok().map(|text| Zeroizing::new(text.into_owned()))
    };
    let raw = digest(id, secret);
    let decoded = decode(id).zip(decode(secret)).map(|(id, secret)| digest(&id, &secret));
    Some([raw, decoded.unwrap_or(raw)])
}

fn digest(id: &str, secret: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for piece in [id, secret] {
        hash.update(piece.len().to_be_bytes());
        hash.update(piece);
    }
    hash.finalize().into()
}

impl fmt::Debug for Callers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Callers").field(&self.0.len()).finish()
    }
}
