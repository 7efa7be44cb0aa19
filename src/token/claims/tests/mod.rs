//! Payloads as they are written and read.

mod scan;

use std::{borrow::Cow, collections::BTreeMap};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    canonical::Pinned,
    general,
    payload::Payload,
    stamp,
    write::{AddOwn, Bytes16, NewClaims},
};
use crate::{
    counter::MAX_COUNT,
    token::claims::{names::RESERVED_CLAIMS, private, spans::ClaimSpans},
};

fn read(json: &str) -> Option<Payload<'static>> {
    Payload::read(&mut json.as_bytes().to_vec(), None).map(Payload::into_owned)
}

/// All that a payload says, wherever it stands.
fn said(payload: &Payload<'_>) -> impl PartialEq + std::fmt::Debug + use<> {
    let ClaimSpans { exp, iat, ver, session, seq, lane, .. } = *payload.claims();
    let (jti, stamp) = (payload.jti_bytes(), payload.stamp);
    let texts: Vec<_> = [payload.issuer(), payload.subject(), payload.jti()]
        .into_iter()
        .chain(payload.audience())
        .map(str::to_owned)
        .collect();
    let own: Result<BTreeMap<String, Value>, _> = private::read(payload.own());
    (texts, (exp, iat, jti, ver, session, seq, lane, stamp), own.ok())
}

/// The payload as the general reader has it.
fn in_general(json: &str) -> Option<Payload<'static>> {
    let mut bytes = json.as_bytes().to_vec();
    let (object, stamp) = stamp::take(&mut bytes);
    let (text, claims) = general::read(str::from_utf8(object).unwrap())?;
    Some(Payload { text: Cow::Owned(text), claims, stamp, is_pinned: false })
}

const PLAIN: &str =
    r#"{"iss":"i","sub":"s","aud":"a","exp":2,"iat":1,"jti":"AAAAAAAAAAAAAAAAAAAAAA","ver":3}"#;

fn with(from: &str, to: &str) -> String {
    assert!(PLAIN.contains(from), "{from}");
    PLAIN.replace(from, to)
}

fn written(claims: &NewClaims<'_>, own: &Value) -> String {
    let mut json = claims.write(None, &|json| private::add(json, own)).unwrap();
    json.push(b'}');
    String::from_utf8(json).unwrap()
}

/// The payload with the stamp at its end.
fn stamped(json: &str) -> String {
    let mut json = json.strip_suffix('}').unwrap().as_bytes().to_vec();
    stamp::append(&mut json, &[9; 16]);
    String::from_utf8(json).unwrap()
}

const CLAIMS: NewClaims<'_> = NewClaims {
    issuer: "i",
    subject: "s",
    audience: &["a"],
    exp: 2,
    iat: 1,
    jti: Bytes16([0; 16]),
    ver: 3,
    epochs: &[],
    session: None,
    seq: None,
    lane: None,
};

#[test]
fn claims_are_written_in_one_form() {
    assert_eq!(written(&CLAIMS, &json!({})), PLAIN);
    let own = json!({"role": "admin", "deep": [{"a": 1}]});
    let with_own = with("}", r#","role":"admin","deep":[{"a":1}]}"#);
    assert_eq!(written(&CLAIMS, &own).len(), with_own.len());
    let epochs = [("realm".into(), 1), ("tenant:acme".into(), 2)];
    let all = NewClaims {
        audience: &["a", "b"],
        epochs: &epochs,
        session: Some("3.17".parse().unwrap()),
        seq: Some(5),
        lane: Some(4),
        ..CLAIMS
    };
    let json = written(&all, &json!({}));
    assert!(json.contains(r#""aud":["a","b"],"#), "{json}");
    assert!(
        json.ends_with(
            r#""ver":3,"epochs":{"realm":1,"tenant:acme":2},"sid":"3.17","seq":5,"lane":4}"#
        ),
        "{json}"
    );
    assert!(stamped(&json).ends_with(r#""lane":4,"stamp":"CQkJCQkJCQkJCQkJCQkJCQ"}"#), "{json}");
}

#[test]
fn every_required_claim_is_required_once() {
    for claim in PLAIN.trim_matches(['{', '}']).split(',') {
        let without =
            PLAIN.replace(claim, "").replace(",,", ",").replace("{,", "{").replace(",}", "}");
        assert!(serde_json::from_str::<serde_json::Value>(&without).is_ok(), "{without}");
        assert!(read(&without).is_none(), "{without}");
        let twice = PLAIN.replace(claim, &format!("{claim},{claim}"));
        assert!(read(&twice).is_none(), "{twice}");
    }
}

#[test]
fn numbers_are_whole_positive_and_in_range() {
    for bad in [
        "2.0",
        "2e0",
        "\"2\"",
        "-2",
        "-0",
        "null",
        "true",
        "[2]",
        "18446744073709551616",
        "253402300800",
    ] {
        for (from, name) in [("\"exp\":2", "exp"), ("\"iat\":1", "iat")] {
            assert!(read(&with(from, &format!("\"{name}\":{bad}"))).is_none(), "{bad}");
        }
    }
    assert!(read(&with("\"exp\":2", "\"exp\":253402300799")).is_some());
    assert!(read(&with("\"ver\":3", "\"ver\":9223372036854775807")).is_some());
    assert!(read(&with("\"ver\":3", "\"ver\":9223372036854775808")).is_none());
}

#[test]
fn own_claims_are_passed_over_but_not_twice() {
    assert!(read(&with("}", r#","role":"admin","deep":[{"a":1}]}"#)).is_some());
    assert!(read(&with("}", r#","role":"a","x":1,"role":"b"}"#)).is_none());
    assert!(read(&with("}", r#","role":"a","\u0072ole":"b"}"#)).is_none());
}

#[test]
fn a_claim_that_this_version_cannot_check_is_refused() {
    for name in ["nbf"].iter().chain(&RESERVED_CLAIMS) {
        for value in ["1", "null", "\"x\"", "{}"] {
            for tail in [format!(",\"{name}\":{value}}}"), format!(",\"r\":1,\"{name}\":{value}}}")]
            {
                assert!(read(&with("}", &tail)).is_none(), "{tail}");
                assert!(read(&stamped(&with("}", &tail))).is_none(), "{tail}");
            }
        }
    }
    assert!(read(&with("}", r#","\u0073cope":1}"#)).is_none());
    assert!(read(&with("}", r#","role":{"scope":1,"stamp":1}}"#)).is_some());
}

/// The payload is one object without a second stamp, and the stamp is at its end in one form.
#[test]
fn a_stamp_is_the_last_claim_in_one_form() {
    let at_the_end = |json: &str| read(json).map(|payload| payload.stamp);
    for tail in ["}", ",\"r\":1}", ", \"r\" : [1] }", ",\"r\":{\"stamp\":1}}"] {
        let json = with("}", tail);
        assert_eq!(at_the_end(&json), Some(None), "{json}");
        assert_eq!(at_the_end(&stamped(&json)), Some(Some([9; 16])), "{json}");
        let payload = read(&stamped(&json)).unwrap();
        let private: BTreeMap<String, Value> = private::read(payload.own()).unwrap();
        assert!(!private.contains_key("stamp"), "{private:?}");
    }
    const STAMP: &str = r#""stamp":"CQkJCQkJCQkJCQkJCQkJCQ""#;
    for tail in [
        format!(",{STAMP},\"r\":1}}"),
        format!(",{STAMP},{STAMP}}}"),
        format!(",\"st\\u0061mp\":1,{STAMP}}}"),
        format!(",{STAMP} }}"),
        format!(", {STAMP}}}"),
        format!(",{STAMP}}} "),
        format!(",{STAMP}}}}}"),
        format!(",{}}}", STAMP.replace(':', " :")),
        format!(",{}}}", STAMP.replace(':', ": ")),
        format!(",{}}}", STAMP.replace("stamp", "st\\u0061mp")),
        format!(",{}}}", STAMP.replace("CQ\"", "CR\"")),
        format!(",{}}}", STAMP.replace("CQ\"", "\"")),
        format!(",{}}}", STAMP.replace("\"CQ", "\"\\u0043Q")),
        format!(",\"r\":{{\"a\":1,{STAMP}}}"),
        format!(",\"r\":[{{\"a\":1,{STAMP}}}"),
        format!(",\"r\":\"x,{STAMP}}}"),
        format!(",{STAMP}}}{}", stamped("{\"a\":1}")),
        format!(",,{STAMP}}}"),
    ] {
        let json = with("}", &tail);
        assert!(read(&json).is_none(), "{json}");
    }
}

#[test]
fn a_session_is_named_in_one_way() {
    for good in [r#""sid":"0.1""#, r#""seq":0"#, r#""sid":"63.9","seq":9223372036854775807"#] {
        assert!(read(&with("}", &format!(",{good}}}"))).is_some(), "{good}");
    }
    for bad in [
        r#""sid":"0.01""#,
        r#""sid":0.1"#,
        r#""sid":null"#,
        r#""sid":["0.1"]"#,
        r#""seq":-1"#,
        r#""seq":"1""#,
        r#""seq":null"#,
        r#""seq":9223372036854775808"#,
        r#""sid":"0.1","sid":"0.1""#,
    ] {
        assert!(read(&with("}", &format!(",{bad}}}"))).is_none(), "{bad}");
    }
}

#[test]
fn hostile_json_is_refused_without_harm() {
    let deep = with("}", &format!(",\"x\":{}{}}}", "[".repeat(30_000), "]".repeat(30_000)));
    let _ = read(&deep);
    let many: String = (0..1000).map(|i| format!("\"e{i}\":1,")).collect();
    let many = with("}", &format!(",\"epochs\":{{{}}}}}", many.trim_end_matches(',')));
    assert!(read(&many).is_none());
    for bad in ["", "null", "[]", "{}", "0", "\"\"", &PLAIN[1..], &format!("{PLAIN}x")] {
        assert!(read(bad).is_none(), "{bad}");
    }
}

proptest! {
    /// The bytes of the fast writer and of the serialiser.
    #[test]
    fn all_claims_are_written_in_the_same_bytes(
        (issuer, subject, audience) in (".{0,8}", ".{0,40}", ".{0,8}"),
        other_audience in any::<bool>(),
        [exp, iat, ver] in any::<[u64; 3]>(),
        jti in any::<[u8; 16]>(),
        session in proptest::option::of((any::<u16>(), 0..=MAX_COUNT)),
        [seq, lane] in any::<[Option<u64>; 2]>(),
        has_epochs in any::<bool>(),
    ) {
        let epochs = [("realm".into(), 1)];
        let claims = NewClaims {
            issuer: &issuer,
            subject: &subject,
            audience: if other_audience { &["b", "c"] } else { &[&audience] },
            exp, iat, ver, seq, lane,
            jti: Bytes16(jti),
            epochs: if has_epochs { &epochs } else { &[] },
            session: session.map(|(slot, generation)| format!("{slot}.{generation}").parse().unwrap()),
        };
        let pinned = Pinned::new(&issuer, &audience);
        let own: &AddOwn<'_> = &|json| private::add(json, &json!({"role": "admin"}));
        prop_assert_eq!(claims.write(pinned.as_ref(), own).unwrap(), claims.write(None, own).unwrap());
    }

    #[test]
    fn any_text_survives_the_payload(issuer in ".*", subject in ".*", audience in ".*") {
        let claims = NewClaims { issuer: &issuer, subject: &subject, audience: &[&audience], ..CLAIMS };
        let json = written(&claims, &json!({}));
        let back = read(&json).unwrap();
        prop_assert_eq!((back.issuer(), back.subject()), (&*issuer, &*subject));
        prop_assert_eq!(back.audience().collect::<Vec<_>>(), [&audience]);
        prop_assert_eq!(said(&back), said(&in_general(&json).unwrap()));
    }
}
