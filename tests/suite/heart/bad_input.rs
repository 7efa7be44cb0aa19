//! Hostile text: each kind is refused with its own reason, before the lookup.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use relatch::{Reason, authority::Stage};

use crate::common::{Account, Refusal, account, authority, refusal};

/// A genuine token whose parts can be replaced.
struct Parts {
    authority: relatch::Authority,
    user: Account,
    header: String,
    payload: String,
    signature: String,
}

fn parts() -> Parts {
    let (authority, _) = authority();
    let user = account("alice");
    let text = authority.issue_for_user(&user).unwrap().expose().to_owned();
    let [header, payload, signature] =
        text.split('.').map(str::to_owned).collect::<Vec<_>>().try_into().unwrap();
    Parts { authority, user, header, payload, signature }
}

impl Parts {
    fn json(&self) -> String {
        String::from_utf8(B64.decode(&self.payload).unwrap()).unwrap()
    }

    fn text(&self, text: &str) -> Option<Refusal> {
        refusal(&self.authority, text, &self.user)
    }

    fn with_header(&self, json: &str) -> Option<Refusal> {
        self.text(&format!("{}.{}.{}", B64.encode(json), self.payload, self.signature))
    }

    fn with_payload(&self, json: impl AsRef<[u8]>) -> Option<Refusal> {
        self.text(&format!("{}.{}.{}", self.header, B64.encode(json), self.signature))
    }

    /// The payload with one text replaced, under the genuine signature.
    fn replaced(&self, from: &str, to: &str) -> Option<Refusal> {
        let json = self.json();
        assert!(json.contains(from), "{from} is not in {json}");
        self.with_payload(json.replacen(from, to, 1))
    }
}

const fn unseen(stage: Stage, reason: Reason) -> Option<Refusal> {
    Some(Refusal { stage, reason, looked_up: false })
}

#[test]
fn the_genuine_token_is_accepted() {
    let parts = parts();
    assert_eq!(parts.with_payload(parts.json()), None);
}

#[test]
fn length_is_checked_before_anything_is_read() {
    let parts = parts();
    let too_long = unseen(Stage::Length, Reason::TooLong);
    assert_eq!(parts.text(&"x".repeat(4097)), too_long);
    assert_eq!(parts.text(&".".repeat(5 << 20)), too_long);
    assert_eq!(parts.text(&"é".repeat(3 << 20)), too_long);
    let padded =
        format!("{}.{}.{}{}", parts.header, parts.payload, parts.signature, "A".repeat(4096));
    assert_eq!(parts.text(&padded), too_long);
}

#[test]
fn a_shape_that_is_not_three_parts_of_canonical_base64url_is_malformed() {
    let p = parts();
    let (h, b, s) = (&p.header, &p.payload, &p.signature);
    let shape = unseen(Stage::Shape, Reason::Malformed);
    for text in [
        String::new(),
        ".".into(),
        h.clone(),
        format!("{h}.{b}"),
        format!("{h}.{b}.{s}."),
        format!(".{h}.{b}.{s}"),
        format!("{h}..{b}.{s}"),
        format!("{h}.{b}.{s}.{s}.{s}"),
        format!("{h}.{b}.{s}="),
        format!("{h}.{b}=.{s}"),
        format!("{h}.{b}.{s}\n"),
        format!("{h}.{b}.{s} "),
        format!("{h}.{b} .{s}"),
        format!("{h}.{b}é.{s}"),
        format!("{h}.{}+/.{s}", &b[..b.len() - 2]),
        format!("{h}.{b}.{}/", &s[..42]),
        format!("{h}.{}%.{s}", &b[..b.len() - 1]),
    ] {
        assert_eq!(p.text(&text), shape, "{text}");
    }
    // The last of 43 characters has two bits that must be zero.
    let last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = last.find(s.chars().last().unwrap()).unwrap();
    for stray in 1..4 {
        let other = &last[at + stray..=at + stray];
        assert_eq!(p.text(&format!("{h}.{b}.{}{other}", &s[..42])), shape);
    }
}

#[test]
fn a_header_that_is_not_the_pinned_one_is_refused_for_what_is_wrong_with_it() {
    let p = parts();
    let header = |reason| unseen(Stage::Header, reason);
    for (json, reason) in [
        (r#"{"alg":"none","kid":"k1","typ":"at+jwt"}"#, Reason::WrongAlgorithm),
        (r#"{"alg":"hs256","kid":"k1","typ":"at+jwt"}"#, Reason::WrongAlgorithm),
        (r#"{"alg":"HS512","kid":"k1","typ":"at+jwt"}"#, Reason::WrongAlgorithm),
        (r#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#, Reason::WrongAlgorithm),
        (r#"{"alg":"EdDSA","kid":"k1","typ":"at+jwt"}"#, Reason::WrongAlgorithm),
        (r#"{"alg":"RS256","kid":"k1","typ":"at+jwt"}"#, Reason::WrongAlgorithm),
        (r#"{"alg":"","kid":"k1","typ":"at+jwt"}"#, Reason::WrongAlgorithm),
        (r#"{"alg":"HS256","kid":"k2","typ":"at+jwt"}"#, Reason::UnknownKey),
        (r#"{"alg":"HS256","kid":"","typ":"at+jwt"}"#, Reason::UnknownKey),
        (r#"{"alg":"HS256","kid":"K1","typ":"at+jwt"}"#, Reason::UnknownKey),
        (r#"{"alg":"HS256","kid":"k1","typ":"rt+jwt"}"#, Reason::WrongType),
        (r#"{"alg":"HS256","kid":"k1","typ":"AT+JWT"}"#, Reason::WrongType),
        (r#"{"alg":"HS256","kid":"k1","typ":""}"#, Reason::WrongType),
        (r#"{"alg":"HS256","typ":"at+jwt","kid":"k1"}"#, Reason::Malformed),
        (r#"{"alg":"HS256","kid":"k1","typ":"at+jwt","x":1}"#, Reason::Malformed),
        (r#"{"alg":"HS256","alg":"HS256","kid":"k1","typ":"at+jwt"}"#, Reason::Malformed),
        (r#"{"alg":"HS256","kid":"\u006b1","typ":"at+jwt"}"#, Reason::Malformed),
        (r#"{ "alg":"HS256","kid":"k1","typ":"at+jwt"}"#, Reason::Malformed),
        (r#"{"typ":"JWT","alg":"HS256"}"#, Reason::Malformed),
        (r#"{"alg":null,"kid":"k1","typ":"at+jwt"}"#, Reason::Malformed),
        ("[]", Reason::Malformed),
        ("", Reason::Malformed),
        ("not json", Reason::Malformed),
    ] {
        assert_eq!(p.with_header(json), header(reason), "{json}");
    }
    let kid = "k".repeat(2000);
    let long = format!(r#"{{"alg":"HS256","kid":"{kid}","typ":"at+jwt"}}"#);
    assert_eq!(p.with_header(&long), header(Reason::Malformed));
    let padded = format!("{}=.{}.{}", p.header, p.payload, p.signature);
    assert_eq!(p.text(&padded), header(Reason::Malformed));
}

#[test]
fn claims_that_are_not_in_their_form_are_malformed() {
    let p = parts();
    let malformed = unseen(Stage::Claims, Reason::Malformed);
    for json in
        [&b""[..], b"{}", b"[]", b"null", b"0", b"\"\"", b"{", b"\xff\xfe", b"{\"iss\":\"\xff\"}"]
    {
        assert_eq!(p.with_payload(json), malformed, "{json:?}");
    }
    for bad in [
        "1.0",
        "1e3",
        "\"1\"",
        "-1",
        "-0",
        "null",
        "true",
        "{}",
        "99999999999999999999",
        "253402300800",
    ] {
        for (claim, value) in [("exp", "4000000900"), ("iat", "4000000000")] {
            let (from, to) = (format!("\"{claim}\":{value}"), format!("\"{claim}\":{bad}"));
            assert_eq!(p.replaced(&from, &to), malformed, "{to}");
        }
    }
    for (from, to) in [
        ("\"ver\":0", "\"ver\":-1"),
        ("\"ver\":0", "\"ver\":9223372036854775808"),
        ("\"ver\":0", "\"ver\":0.0"),
        ("\"ver\":0", "\"ver\":0,\"ver\":0"),
        ("\"ver\":0", "\"ver\":0,\"nbf\":1"),
        ("\"ver\":0", "\"ver\":0,\"sid\":\"0.01\""),
        ("\"ver\":0", "\"ver\":0,\"sid\":\"0\""),
        ("\"ver\":0", "\"ver\":0,\"sid\":\"0.1\",\"seq\":0"),
        ("\"ver\":0", "\"ver\":0,\"lane\":0"),
        ("\"ver\":0", "\"ver\":0,\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\""),
        ("\"ver\":0", "\"ver\":0,\"epochs\":[]"),
        ("\"ver\":0", "\"ver\":0,\"epochs\":{\"a\":1,\"a\":1}"),
        ("\"ver\":0", "\"ver\":0,\"role\":1,\"role\":2"),
        ("\"sub\":\"alice\"", "\"sub\":\"alice\",\"sub\":\"bob\""),
        ("\"sub\":\"alice\"", "\"sub\":[\"alice\"]"),
        ("\"sub\":\"alice\"", "\"sub\":1"),
        ("\"sub\":\"alice\",", ""),
        ("\"jti\":\"", "\"jti\":\"A"),
        ("\"jti\":\"", "\"jti\":\"=="),
    ] {
        assert_eq!(p.replaced(from, to), malformed, "{to}");
    }
    assert_eq!(p.with_payload(format!("{} x", p.json())), malformed);
}

#[test]
fn deep_nesting_does_no_harm() {
    let p = parts();
    let deep = format!("\"ver\":0,\"x\":{}{}", "[".repeat(1000), "]".repeat(1000));
    let refused = p.replaced("\"ver\":0", &deep).unwrap();
    assert!(matches!(refused.reason, Reason::Malformed | Reason::BadSignature), "{refused:?}");
    assert_eq!(p.with_payload("[".repeat(2000)), unseen(Stage::Claims, Reason::Malformed));
    assert_eq!(p.with_payload("{\"a\":".repeat(500)), unseen(Stage::Claims, Reason::Malformed));
}

#[test]
fn only_the_subject_and_expiry_that_were_issued_reach_the_lookup() {
    let p = parts();
    let forged = unseen(Stage::Guard, Reason::Forged);
    for (from, to) in [
        ("\"sub\":\"alice\"", "\"sub\":\"bob\""),
        ("\"sub\":\"alice\"", "\"sub\":\"Alice\""),
        ("\"sub\":\"alice\"", "\"sub\":\"alice \""),
        ("\"sub\":\"alice\"", "\"sub\":\"alice\\u0000\""),
        ("\"sub\":\"alice\"", "\"sub\":\"\u{430}lice\""),
        ("\"sub\":\"alice\"", "\"sub\":\"\""),
        ("\"exp\":4000000900", "\"exp\":4000000901"),
        ("\"exp\":4000000900", "\"exp\":253402300799"),
        ("\"exp\":4000000900", "\"exp\":0"),
        ("\"jti\":\"AAAAAAAAAA", "\"jti\":\"AAAAAAAAAB"),
    ] {
        assert_eq!(p.replaced(from, to), forged, "{to}");
    }
}

#[test]
fn another_claim_is_looked_up_and_refused_by_the_signature() {
    let p = parts();
    let bad =
        Some(Refusal { stage: Stage::Binding, reason: Reason::BadSignature, looked_up: true });
    for (from, to) in [
        ("\"ver\":0", "\"ver\":0,\"role\":\"admin\""),
        ("\"sub\":\"alice\"", "\"sub\":\"\\u0061lice\""),
        ("\"ver\":0", "\"ver\": 0"),
        ("\"ver\":0", "\"ver\":0,\"epochs\":{}"),
        ("\"iat\":4000000000", "\"iat\":1"),
    ] {
        assert_eq!(p.replaced(from, to), bad, "{to}");
    }
    let ahead = p.replaced("\"ver\":0", "\"ver\":1").unwrap();
    assert_eq!((ahead.reason, ahead.looked_up), (Reason::AheadOfRecord, true));
}

#[test]
fn a_signature_of_another_length_is_malformed() {
    let p = parts();
    let shape = unseen(Stage::Shape, Reason::Malformed);
    let (h, b, s) = (&p.header, &p.payload, &p.signature);
    let of = |bytes: usize| B64.encode(vec![0; bytes]);
    for signature in [String::new(), s[..42].to_owned(), format!("{s}AA"), of(31), of(33), of(64)] {
        assert_eq!(p.text(&format!("{h}.{b}.{signature}")), shape, "{signature}");
    }
    let zero = p.text(&format!("{h}.{b}.{}", of(32))).unwrap();
    assert_eq!((zero.reason, zero.looked_up), (Reason::BadSignature, true));
}

#[test]
fn hints_behind_a_valid_guard_are_refused_before_the_lookup() {
    let p = parts();
    let validity = |reason| unseen(Stage::Validity, reason);
    let iss = "\"iss\":\"https://login.example.com\"";
    assert_eq!(p.replaced(iss, "\"iss\":\"https://evil.example\""), validity(Reason::WrongIssuer));
    let aud = "\"aud\":\"https://api.example.com\"";
    assert_eq!(p.replaced(aud, "\"aud\":\"other\""), validity(Reason::WrongAudience));
    assert_eq!(p.replaced(aud, "\"aud\":[]"), validity(Reason::WrongAudience));
    let later = p.replaced("\"iat\":4000000000", "\"iat\":4000000001");
    assert_eq!(later, validity(Reason::NotYetValid));
}
