//! A strict codec for JWS compact serialisation (RFC 7515 §7.1) with a pinned header.

use std::mem::MaybeUninit;

use jsonwebtoken::Algorithm;
use memchr::{memchr, memrchr};
use serde::Serialize;

use crate::bytes::{base64url, scan::Scan};

/// Appends a dot and a further part to a token.
pub(crate) fn push_part(token: &mut String, part: &[u8]) {
    token.push('.');
    base64url::append(token, part);
}

/// The greatest length of a token with this header and payload, in characters.
pub(crate) const fn compact_len(header: &str, payload: &[u8]) -> usize {
    const SIGNATURE: usize = base64url::encoded_len(64);
    header.len() + base64url::encoded_len(payload.len()) + SIGNATURE + 2
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
    /// Splits a token that begins with a header of this length and a dot, at the known lengths; `None`
    /// if there is no dot before the signature. A further dot is then in a part, which is no base64url.
    #[inline]
    pub(crate) fn behind(header: usize, signature: usize, token: &'a str) -> Option<Self> {
        let (signing_input, rest) =
            token.split_at_checked(token.len().checked_sub(signature + 1)?)?;
        Some(Self {
            header: signing_input.get(..header)?,
            payload: signing_input.get(header + 1..)?,
            signature: rest.strip_prefix('.')?,
            signing_input,
        })
    }

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

    serde_json::to_vec(&Header { alg, kid, typ }).ok().map(|json| base64url::encode(&json))
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
        let json = str::from_utf8(base64url::decode_into(header, buffer)?).ok()?;
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
    use super::*;

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
    fn a_token_is_split_at_known_lengths_as_at_its_dots() {
        let behind = |header, signature, token| {
            let found = Compact::behind(header, signature, token)?;
            Some((found.header, found.payload, found.signature, found.signing_input))
        };
        assert_eq!(behind(1, 2, "a.b.cd"), Some(("a", "b", "cd", "a.b")));
        assert_eq!(behind(1, 2, "a..cd"), Some(("a", "", "cd", "a.")));
        for other in
            ["", "a", "a.", "a.b", "a.b.", "a.b.c", "a.bc.d", "a.cd", ".cd", "a.b.cde", "a.é.d"]
        {
            assert_eq!(behind(1, 2, other), None, "{other}");
        }
    }

    #[test]
    fn the_pinned_header_is_in_one_form() {
        let header = pinned_header(Algorithm::HS256, "k", "at+jwt").unwrap();
        assert_eq!(
            base64url::decode(&header).unwrap(),
            br#"{"alg":"HS256","kid":"k","typ":"at+jwt"}"#
        );
        let mut buffer = BUFFER;
        let read = UntrustedHeader::read(&header, &mut buffer).unwrap();
        assert_eq!((read.alg, read.kid, read.typ), ("HS256", "k", "at+jwt"));
    }

    const BUFFER: HeaderBuffer = [MaybeUninit::uninit(); 512];

    #[test]
    fn a_header_of_our_form_is_read_and_no_other() {
        let read = |text: &str| {
            let mut buffer = BUFFER;
            let header = UntrustedHeader::read(&base64url::encode(text.as_bytes()), &mut buffer)?;
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
}
