//! Comparison with `jsonwebtoken`: it accepts every token that relatch accepts, and where it
//! accepts a token that relatch refuses, one of the named stricter rules is the cause.

use std::collections::HashSet;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jsonwebtoken11::{
    Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, decode, encode,
};
use proptest::{prelude::*, sample::select};
use relatch::{Access, Authority, Context};
use serde_json::{Map, Value, json};

use crate::common::{AUDIENCE, Account, ISSUER, Refusal, account, authority, refusal};

/// The rules by which relatch refuses a token that a plain library accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Rule {
    /// The header equals the issued one byte for byte.
    PinnedHeader,
    /// Registered claims have one form, and none is missing, repeated or unknown.
    StrictClaims,
    /// The `jti` holds a guard over user and expiry.
    Guard,
    /// `iat` is not in the future.
    IssuedInThePast,
    /// The version is the record's.
    Version,
}

fn rule(refusal: Refusal) -> Option<Rule> {
    use relatch::{Reason, authority::Stage};
    match (refusal.stage, refusal.reason) {
        (Stage::Header, _) => Some(Rule::PinnedHeader),
        (Stage::Claims, Reason::Malformed) => Some(Rule::StrictClaims),
        (Stage::Guard, Reason::Forged) => Some(Rule::Guard),
        (Stage::Validity, Reason::NotYetValid) => Some(Rule::IssuedInThePast),
        (Stage::Binding, Reason::RevokedByVersion | Reason::AheadOfRecord) => Some(Rule::Version),
        _ => None,
    }
}

struct Judge {
    authority: Authority,
    user: Account,
    key: [u8; 32],
}

impl Judge {
    fn new() -> Self {
        let (authority, _) = authority();
        let user = account("alice");
        let key = *authority.danger_expose_key::<Access>(&user, &Context::new()).unwrap();
        Self { authority, user, key }
    }

    /// `jsonwebtoken` with the derived key. The test's clock is in the future, so `exp` is valid
    /// for it too.
    fn decode(&self, text: &str) -> Option<TokenData<Value>> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 0;
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        decode(text, &DecodingKey::from_secret(&self.key), &validation).ok()
    }

    fn sign(&self, header: &Value, payload: &str) -> String {
        let input = format!("{}.{}", B64.encode(header.to_string()), B64.encode(payload));
        let key = EncodingKey::from_secret(&self.key);
        let signature = jsonwebtoken11::crypto::sign(input.as_bytes(), &key, Algorithm::HS256);
        format!("{input}.{}", signature.unwrap())
    }

    fn genuine_payload(&self) -> String {
        let token = self.authority.issue_for_user(&self.user).unwrap();
        let payload = token.expose().split('.').nth(1).unwrap().to_owned();
        String::from_utf8(B64.decode(payload).unwrap()).unwrap()
    }
}

#[test]
fn what_relatch_issues_the_plain_library_accepts_under_the_derived_key() {
    let judge = Judge::new();
    let token = judge.authority.issue_for_user(&judge.user).unwrap();
    let data = judge.decode(token.expose()).unwrap();
    assert_eq!(data.claims["sub"], "alice");
    assert_eq!(data.header.typ.as_deref(), Some("at+jwt"));
    assert_eq!(data.header.kid.as_deref(), Some("k1"));
    assert!(refusal(&judge.authority, token.expose(), &judge.user).is_none());
}

#[test]
fn what_the_plain_library_signs_over_the_same_bytes_relatch_accepts() {
    let judge = Judge::new();
    let header = json!({ "alg": "HS256", "kid": "k1", "typ": "at+jwt" });
    let text = judge.sign(&header, &judge.genuine_payload());
    assert_eq!(refusal(&judge.authority, &text, &judge.user), None);
}

#[test]
fn each_stricter_rule_is_met() {
    let judge = Judge::new();
    let header = json!({ "alg": "HS256", "kid": "k1", "typ": "at+jwt" });
    let payload = judge.genuine_payload();
    let claims: Map<String, Value> = serde_json::from_str(&payload).unwrap();
    let plain = encode(&Header::default(), &claims, &EncodingKey::from_secret(&judge.key)).unwrap();
    let cases = [
        (plain, Rule::PinnedHeader),
        (judge.sign(&header, &payload.replace("\"ver\":0", "\"ver\":0.0")), Rule::StrictClaims),
        (judge.sign(&header, &payload.replace("alice", "bob")), Rule::Guard),
        (
            judge.sign(&header, &payload.replace("\"iat\":4000000000", "\"iat\":4100000000")),
            Rule::IssuedInThePast,
        ),
        (judge.sign(&header, &payload.replace("\"ver\":0", "\"ver\":1")), Rule::Version),
    ];
    for (text, expected) in &cases {
        assert!(judge.decode(text).is_some(), "the plain library accepts it: {expected:?}");
        let refused = refusal(&judge.authority, text, &judge.user).unwrap();
        assert_eq!(rule(refused), Some(*expected));
    }
    assert_eq!(cases.iter().map(|(_, rule)| rule).collect::<HashSet<_>>().len(), 5);
}

/// One mutation of a genuine token's header or payload, signed again with the right key.
fn mutate(header: &mut Value, payload: &mut String, which: (usize, &str, &str)) {
    let (kind, name, value) = which;
    match kind {
        0 => header[name] = serde_json::from_str(value).unwrap_or(Value::Null),
        1 => payload.insert_str(1, &format!("\"{name}\":{value},")),
        2 => {
            let mut claims: Map<String, Value> = serde_json::from_str(payload).unwrap();
            claims.insert(name.into(), serde_json::from_str(value).unwrap_or(Value::Null));
            *payload = Value::Object(claims).to_string();
        }
        3 => {
            let mut claims: Map<String, Value> = serde_json::from_str(payload).unwrap();
            claims.remove(name);
            *payload = Value::Object(claims).to_string();
        }
        _ => payload.push(' '),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::support::cases(512)))]

    #[test]
    fn the_two_never_differ_without_a_rule(
        kind in 0_usize..5,
        name in select(vec![
            "alg", "kid", "typ", "crit", "jwk", "iss", "sub", "aud", "exp", "iat", "nbf", "jti",
            "ver", "sid", "seq", "lane", "stamp", "epochs", "role",
        ]),
        value in select(vec![
            "0", "1", "-1", "1.5", "4000000000", "4000000900", "4000000900.0", "1e10",
            "9999999999999", "null", "true", "\"\"", "\"alice\"", "\"bob\"", "\"HS256\"",
            "\"none\"", "\"k1\"", "\"at+jwt\"", "\"https://login.example.com\"",
            "\"https://api.example.com\"", "[\"https://api.example.com\",\"x\"]", "[]", "{}",
        ]),
    ) {
        let judge = Judge::new();
        let mut header = json!({ "alg": "HS256", "kid": "k1", "typ": "at+jwt" });
        let mut payload = judge.genuine_payload();
        mutate(&mut header, &mut payload, (kind, name, value));
        let text = judge.sign(&header, &payload);
        let theirs = judge.decode(&text);
        match refusal(&judge.authority, &text, &judge.user) {
            None => {
                let theirs = theirs.expect("relatch accepted what the plain library refuses");
                prop_assert_eq!(&theirs.claims["sub"], "alice");
            }
            Some(refused) if theirs.is_some() => {
                prop_assert!(rule(refused).is_some(), "{refused:?} has no rule: {payload}");
            }
            Some(_) => {}
        }
    }
}
