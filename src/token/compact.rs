//! A strict codec for JWS compact serialisation (RFC 7515 §7.1) with a pinned header.

use std::mem::MaybeUninit;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use memchr::{memchr, memrchr};
use serde::Serialize;

use crate::bytes::scan::Scan;

/// Encodes as base64url without padding (RFC 7515 §2).
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// [`encode`] for 16 bytes.
pub(crate) fn encode_16<'b>(bytes: &[u8; 16], buffer: &'b mut [u8; encoded_len(16)]) -> &'b str {
    URL_SAFE_NO_PAD.encode_as_str(bytes, buffer.as_mut_slice().as_out())
}

/// Appends a dot and a further part to a token.
pub(crate) fn push_part(token: &mut String, part: &[u8]) {
    token.push('.');
    URL_SAFE_NO_PAD.encode_append(part, token);
}

/// Decodes only canonical base64url: no padding, no white space, no non-zero bits at the end.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// [`decode`] into a buffer; also `None` if the buffer is too small.
pub(crate) fn decode_into<'b>(
    text: &str,
    buffer: &'b mut [MaybeUninit<u8>],
) -> Option<&'b mut [u8]> {
    if decoded_len(text.len()) > buffer.len() {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text.as_bytes(), buffer.as_out()).ok()
}

/// [`decode`] for text of exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: impl AsRef<[u8]>) -> Option<[u8; N]> {
    let text = text.as_ref();
    let mut bytes = [0; N];
    if text.len() != encoded_len(N) {
        return None;
    }
    let len = URL_SAFE_NO_PAD.decode(text, bytes.as_mut_slice().as_out()).ok()?.len();
    (len == N).then_some(bytes)
}

/// The encoded length of `bytes` bytes, in characters.
pub(crate) const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The decoded length of `characters` characters, in bytes.
pub(crate) const fn decoded_len(characters: usize) -> usize {
    characters * 3 / 4
}

/// The greatest length of a token with this header and payload, in characters.
pub(crate) const fn compact_len(header: &str, payload: &[u8]) -> usize {
    const SIGNATURE: usize = encoded_len(64);
    header.len() + encoded_len(payload.len()) + SIGNATURE + 2
}

/// The three parts of a token.
#[derive(Clone, Copy)]
pub(crate) struct Compact<'a> {
    pub(crate) header: &'a str,
    pub(crate) payload: &'a str,
    pub(crate) signature: &'a str,
    /// `header.payload`, the signed text.
    pub(crate) signing_input: &'a str,
}

impl<'a> Compact<'a> {
    /// Splits a token at its dots; `None` unless there are exactly two.
    pub(crate) fn split(token: &'a str) -> Option<Self> {
        let last = memrchr(b'.', token.as_bytes())?;
        let (signing_input, signature) = (&token[..last], &token[last + 1..]);
        let first = memchr(b'.', signing_input.as_bytes())?;
        let (header, payload) = (&token[..first], &token[first + 1..last]);
        if memchr(b'.', payload.as_bytes()).is_some() {
            return None;
        }
        Some(Self { header, payload, signature, signing_input })
    }
}

/// The only header, encoded, for tokens of this algorithm, key and type.
pub(crate) fn pinned_header(alg: Algorithm, kid: &str, typ: &str) -> Option<String> {
    #[derive(Serialize)]
    struct Header<'a> {
        alg: Algorithm,
        kid: &'a str,
        typ: &'a str,
    }

    serde_json::to_vec(&Header { alg, kid, typ }).ok().map(|json| encode(&json))
}

/// The header's `alg` for an algorithm of relatch.
pub(crate) const fn alg_name(alg: Algorithm) -> &'static str {
    match alg {
        Algorithm::EdDSA => "EdDSA",
        Algorithm::ES256 => "ES256",
        _ => "HS256",
    }
}

/// The unverified values of a header that is not the pinned one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UntrustedHeader<'b> {
    pub(crate) alg: &'b str,
    pub(crate) kid: &'b str,
    pub(crate) typ: &'b str,
}

/// A buffer for the longest header that is decoded, in bytes.
pub(crate) type HeaderBuffer = [MaybeUninit<u8>; 512];

impl<'b> UntrustedHeader<'b> {
    /// Reads a header in relatch's form, so that the log can say what is wrong with it; `None` for
    /// any other form.
    pub(crate) fn read(header: &str, buffer: &'b mut HeaderBuffer) -> Option<Self> {
        // The base64url of the start of `{"alg":"`: a header in another form is not decoded.
        const START: &str = "eyJhbGciOi";
        if !header.starts_with(START) {
            return None;
        }
        let json = str::from_utf8(decode_into(header, buffer)?).ok()?;
        let mut scan = Scan::new(json.as_bytes())?;
        let alg = scan.text(br#"{"alg":""#)?.of(json);
        let kid = scan.text(br#","kid":""#)?.of(json);
        let typ = scan.text(br#","typ":""#)?.of(json);
        scan.skip(b"}")?;
        scan.is_at_end().then_some(Self { alg, kid, typ })
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn base64url_is_canonical() {
        assert_eq!(decode("QQ").as_deref(), Some(&b"A"[..]));
        for stray in ["QR", "QQ=", "QQ==", "Q", " QQ", "QQ\n", "Q+", "Q/", "Qé"] {
            assert_eq!(decode(stray), None, "{stray}");
        }
        assert_eq!(decode_array::<2>("QQ"), None);
        assert_eq!(decode_array::<1>("QQ"), Some([b'A']));
    }

    #[test]
    fn a_token_has_three_parts() {
        let split =
            |t| Compact::split(t).map(|c| (c.header, c.payload, c.signature, c.signing_input));
        assert_eq!(split("a.b.c"), Some(("a", "b", "c", "a.b")));
        assert_eq!(split(".."), Some(("", "", "", ".")));
        for other in ["", ".", "a", "a.b", "a.b.c.d", "...", "a.b.c."] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn the_pinned_header_is_in_one_form() {
        let header = pinned_header(Algorithm::HS256, "k", "at+jwt").unwrap();
        assert_eq!(decode(&header).unwrap(), br#"{"alg":"HS256","kid":"k","typ":"at+jwt"}"#);
        let mut buffer = BUFFER;
        let read = UntrustedHeader::read(&header, &mut buffer).unwrap();
        assert_eq!((read.alg, read.kid, read.typ), ("HS256", "k", "at+jwt"));
    }

    const BUFFER: HeaderBuffer = [MaybeUninit::uninit(); 512];

    #[test]
    fn a_header_of_our_form_is_read_and_no_other() {
        let read = |text: &str| {
            let mut buffer = BUFFER;
            let header = UntrustedHeader::read(&encode(text.as_bytes()), &mut buffer)?;
            Some([header.alg, header.kid, header.typ].map(str::to_owned))
        };
        let header = read(r#"{"alg":"none","kid":"k","typ":"at+jwt"}"#).unwrap();
        assert_eq!(header, ["none", "k", "at+jwt"]);
        for other in [
            r#"{"alg":"HS256","typ":"at+jwt","kid":"k"}"#,
            r#"{"alg":"HS256","kid":"k","typ":"at+jwt","crit":["x"]}"#,
            r#"{"alg":"HS256","kid":"k","kid":"l","typ":"at+jwt"}"#,
            r#"{"alg":"HS256","kid":"\u006b","typ":"at+jwt"}"#,
            r#"{"alg": "HS256","kid":"k","typ":"at+jwt"}"#,
            r#"{"alg":"HS256","kid":"k","typ":"at+jwt"} "#,
            r#"{"typ":"JWT","alg":"HS256"}"#,
            r#"{"alg":"HS256"}"#,
            "{}",
            "",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        let long = format!(r#"{{"alg":"HS256","kid":"{}","typ":"at+jwt"}}"#, "k".repeat(600));
        assert_eq!(read(&long), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_and_has_one_form(bytes in vec(any::<u8>(), 0..80), flip in any::<(usize, u8)>()) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len(), encoded_len(bytes.len()));
            prop_assert_eq!(decode(&text), Some(bytes.clone()));
            if !text.is_empty() {
                let mut other = text.clone().into_bytes();
                let at = flip.0 % other.len();
                other[at] ^= 1 << (flip.1 % 7);
                let other = String::from_utf8(other).unwrap();
                prop_assert_ne!(decode(&other), Some(bytes));
            }
        }
    }
}
