//! The scan agrees with the general reader.

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::json;

use super::{CLAIMS, PLAIN, in_general, read, said, stamped, with, written};
use crate::{
    counter::MAX_COUNT,
    sessions::SessionId,
    token::claims::{
        canonical::{self, Pinned},
        payload::Payload,
        stamp,
        write::NewClaims,
    },
};

/// What is not found here is only slower.
#[test]
fn what_is_written_is_canonical() {
    let epochs = [("realm".into(), 1), ("tenant:acme".into(), 0)];
    let id: SessionId = "3.17".parse().unwrap();
    for claims in [
        CLAIMS,
        NewClaims { epochs: &epochs, ..CLAIMS },
        NewClaims { session: Some(id), ..CLAIMS },
        NewClaims { session: Some(id), seq: Some(0), ..CLAIMS },
        NewClaims { lane: Some(7), ..CLAIMS },
        NewClaims { epochs: &epochs, lane: Some(7), ..CLAIMS },
        NewClaims { issuer: "é", subject: "日本", ver: MAX_COUNT, ..CLAIMS },
    ] {
        for own in [json!({}), json!({"r": 1}), json!({"a": [{"é": "x"}], "b": null})] {
            let json = written(&claims, &own);
            let scanned = canonical::read(&mut json.clone().into_bytes(), None);
            assert!(scanned.is_some(), "{json}");
            let pinned = Pinned::new(claims.issuer, "a").unwrap();
            let scanned = canonical::read(&mut json.clone().into_bytes(), Some(&pinned));
            assert!(scanned.is_some_and(|(_, is_pinned)| is_pinned), "{json}");
            for json in [stamped(&json), json] {
                let general = in_general(&json).unwrap();
                assert_eq!(said(&read(&json).unwrap()), said(&general), "{json}");
            }
        }
    }
}

/// The scan takes nothing that the general reader refuses, or reads otherwise, and leaves the
/// payload as it was where it takes nothing.
#[test]
fn the_scan_has_no_opinion_of_its_own() {
    let texts =
        ["\"i\"", "\"\"", "\"a\\u0062\"", "\"\u{1}\"", "\"\u{7f}é\"", "1", "null", "\"x", "x\""];
    let numbers = [
        "0",
        "00",
        "01",
        "-0",
        "1.0",
        "1e1",
        "",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "253402300799",
        "253402300800",
        "\"1\"",
        " 1",
        "1 ",
        "+1",
        "null",
    ];
    let tails = [
        "}",
        ",}",
        "}}",
        "} ",
        " }",
        ",\"r\":1}",
        ",\"r\":1,}",
        ", \"r\":1}",
        ",\"r\":1,\"r\":2}",
        ",\"r\":{\"r\":1}}",
        ",\"\\u0072\":1}",
        ",\"\\u0072\":1,\"r\":1}",
        ",\"exp\":9}",
        ",\"e\\u0078p\":9}",
        ",\"nbf\":1}",
        ",\"r\":1e999}",
        ",\"r\":01}",
        ",\"r\":\"\u{1}\"}",
        ",\"r\":1} ",
        ",\"r\":1}x",
        ",\"r\"}",
        ",\"r\":[}",
        ",\"r\":tru}",
        ",1:1}",
        ",,\"r\":1}",
        ",\"r\":1\u{0}}",
        "",
        ",\"sid\":\"0.1\"}",
        ",\"sid\":\"00.1\"}",
        ",\"sid\":\"0.1\",\"sid\":\"0.1\"}",
        ",\"sid\":\"0.1\",\"seq\":1}",
        ",\"seq\":1,\"sid\":\"0.1\"}",
        ",\"seq\":-1}",
        ",\"lane\":1,\"lane\":1}",
        ",\"lane\":1,\"r\":1}",
        ",\"r\":1,\"lane\":1}",
        ",\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
        ",\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAB\"}",
        ",\"stamp\":\"AA\"}",
        ",\"lane\":1,\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
        ",\"r\":1,\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
        ",\"r\":1,\"r\":1,\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
        ",\"r\":1,,\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
        ",\"r\":{\"a\":1,\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
        ",\"r\":\"\\\",\"stamp\":\"AAAAAAAAAAAAAAAAAAAAAA\"}",
        ",\"scope\":1}",
        ",\"\\u0073cope\":1}",
        ",\"epochs\":{}}",
        ",\"epochs\":{\"a\":1}}",
        ",\"epochs\":{\"a\":1,\"a\":1}}",
        ",\"epochs\":{\"a\":1,}}",
        ",\"epochs\":{\"a\":-1}}",
        ",\"epochs\":{\"a\":1},\"epochs\":{\"a\":1}}",
        ",\"epochs\":1}",
    ];
    let mut payloads = vec![];
    for text in texts {
        for (from, name) in [
            ("\"iss\":\"i\"", "iss"),
            ("\"sub\":\"s\"", "sub"),
            ("\"aud\":\"a\"", "aud"),
            ("\"jti\":\"AAAAAAAAAAAAAAAAAAAAAA\"", "jti"),
        ] {
            payloads.push(with(from, &format!("\"{name}\":{text}")));
        }
    }
    for number in numbers {
        for (from, name) in [("\"exp\":2", "exp"), ("\"iat\":1", "iat"), ("\"ver\":3", "ver")] {
            payloads.push(with(from, &format!("\"{name}\":{number}")));
        }
    }
    let several = |n| (0..n).map(|i| format!("\"e{i}\":1")).collect::<Vec<_>>().join(",");
    payloads.extend(tails.map(|tail| with("}", tail)));
    payloads.extend([16, 17].map(|n| with("}", &format!(",\"epochs\":{{{}}}}}", several(n)))));
    payloads.extend([16, 17].map(|n| with("}", &format!(",{}}}", several(n)))));
    payloads.extend((0..PLAIN.len()).map(|len| PLAIN[..len].to_owned()));
    payloads.extend((0..PLAIN.len()).map(|at| format!("{} {}", &PLAIN[..at], &PLAIN[at..])));
    for json in payloads {
        agrees(&json);
    }
}

fn agrees(json: &str) {
    let general = in_general(json);
    let other = Pinned::new("another", "a").unwrap();
    let mut scanned = vec![];
    for pinned in [None, Pinned::new("i", "a").as_ref(), Some(&other)] {
        let mut bytes = json.as_bytes().to_vec();
        let (object, stamp) = stamp::take(&mut bytes);
        let before = object.to_vec();
        let found = canonical::read(object, pinned);
        scanned.push(found.is_some());
        match found {
            None => assert_eq!(object, before),
            Some((claims, is_pinned)) => {
                let text = Cow::Owned(String::from_utf8(object.to_vec()).unwrap());
                let scanned = Payload { text, claims, stamp, is_pinned };
                assert_eq!(Some(said(&scanned)), general.as_ref().map(said), "{json}");
                let is_of = |payload: &Payload<'_>| {
                    payload.issuer() == "i" && payload.audience().eq(["a"]) && pinned.is_some()
                };
                assert_eq!(
                    is_pinned,
                    is_of(&scanned) && pinned.is_some_and(|p| !std::ptr::eq(p, &other)),
                    "{json}"
                );
            }
        }
    }
    assert!(scanned.windows(2).all(|pair| pair[0] == pair[1]), "{json}");
}

#[test]
fn a_name_with_an_escape_is_not_pinned() {
    for other in ["\"", "\\", "a\n", "\u{1}"] {
        assert!(Pinned::new(other, "a").is_none() && Pinned::new("i", other).is_none());
    }
    assert!(Pinned::new("/\u{7f}é", "日本").is_some());
}

proptest! {
    /// One byte that is another, wherever it stands.
    #[test]
    fn the_scan_agrees_with_the_general_reader(at in 0_usize..200, byte in 0_u8..128, lane in any::<bool>()) {
        let lane = lane.then_some(12);
        let epochs = [("realm".into(), 1), ("tenant:acme".into(), 0)];
        let claims = NewClaims { lane, epochs: &epochs, ..CLAIMS };
        let mut json = written(&claims, &json!({"role": "admin", "list": [1, "x", {}]})).into_bytes();
        let at = at % json.len();
        json[at] = byte;
        agrees(str::from_utf8(&json).unwrap());
    }

    #[test]
    fn arbitrary_text_never_panics(json in ".*") {
        agrees(&json);
    }
}
