//! Attacks of a thief of tokens or of the signing key, and of a hostile client.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use relatch::{
    Access, Authority, BindingMode, Context, Reason, SessionPolicy, SessionTokens, Token,
    VerifyError,
    authority::Stage,
    sessions::{EventKind, NewSession, SessionData, SessionTable},
};
use serde_json::Value;
use time::Duration;

use crate::{
    common::{
        Account, TestClock, account, builder, copy, present, reason, refresh_outcome, verify,
    },
    forge,
};

type Any = BTreeMap<String, Value>;

/// An authority in stamp mode, and the payload of a token of Alice's up to its stamp.
fn stamped() -> (Authority, Account, String) {
    let authority = builder(&TestClock::new()).mode(BindingMode::StampHs256).build().unwrap();
    let alice = account("alice");
    let token = authority.issue_for_user(&alice).unwrap();
    let payload = B64.decode(token.expose().split('.').nth(1).unwrap()).unwrap();
    let payload = String::from_utf8(payload).unwrap();
    let (before, _) = payload.rsplit_once(r#","stamp":"#).unwrap();
    let before = before.to_owned();
    (authority, alice, before)
}

/// The genuine stamp of these bytes.
fn stamp(authority: &Authority, alice: &Account, before: &str) -> String {
    let header = forge::header("at+jwt");
    authority.danger_expose_stamp::<Access>(alice, &Context::new(), &header, before).unwrap()
}

fn outcome(authority: &Authority, alice: &Account, payload: &str) -> Result<Any, (Stage, Reason)> {
    let text = forge::sign("at+jwt", payload, &forge::server_key("at+jwt"));
    match verify(authority, &Token::<Access<Any>>::new(text), alice) {
        Ok(verified) => Ok(verified.claims().clone()),
        Err(VerifyError::Rejected(rejection)) => Err((rejection.stage(), rejection.reason())),
        Err(other) => panic!("{other:?}"),
    }
}

/// With a genuine stamp over a hostile payload, and the server's signature.
#[test]
fn a_genuine_stamp_makes_no_malformed_payload_good() {
    let (authority, alice, before) = stamped();
    let malformed = Err((Stage::Claims, Reason::Malformed));
    let other = "AAAAAAAAAAAAAAAAAAAAAA";
    for extra in [
        // Another stamp, under each spelling of the name.
        format!(r#","stamp":"{other}""#),
        format!(r#","st\u0061mp":"{other}""#),
        format!(r#","\u0073\u0074\u0061\u006d\u0070":"{other}""#),
        format!(r#","STAMP":1,"sta\u006Dp":{{"a":"{other}"}}"#),
        r#","stamp":null"#.to_owned(),
        // A reserved or registered name.
        r#","scope":"all""#.to_owned(),
        r#","\u0063nf":{}"#.to_owned(),
        r#","nbf":1"#.to_owned(),
        r#","sub":"bob""#.to_owned(),
        r#","s\u0075b":"bob""#.to_owned(),
        r#","seq":1"#.to_owned(),
        r#","lane":1"#.to_owned(),
        // An object that is closed too early, too late or by another token.
        "}".to_owned(),
        r#","a":{"#.to_owned(),
        r#","a":["#.to_owned(),
        ",".to_owned(),
        r#","a":"#.to_owned(),
        r#","a":""#.to_owned(),
        r#","a":"\"#.to_owned(),
        r#","a":1,"a":2"#.to_owned(),
        r#","a":1,"\u0061":2"#.to_owned(),
        "\u{0}".to_owned(),
    ] {
        let before = format!("{before}{extra}");
        let payload = format!(r#"{before},"stamp":"{}"}}"#, stamp(&authority, &alice, &before));
        assert_eq!(outcome(&authority, &alice, &payload), malformed, "{extra}");
    }
    // Where the ending is not exactly the 34 bytes.
    let genuine = stamp(&authority, &alice, &before);
    for ending in [
        format!(r#","stamp":"{genuine}"}} "#),
        format!(r#","stamp":"{genuine}" }}"#),
        format!(r#","stamp": "{genuine}"}}"#),
        format!(r#", "stamp":"{genuine}"}}"#),
        format!(r#","st\u0061mp":"{genuine}"}}"#),
        format!(r#","stamp":"{genuine}","b":1}}"#),
        format!(r#","stamp":"{genuine}="}}"#),
        format!(r#","x":{{"stamp":"{genuine}"}}}}"#),
        format!(r#","x":[{{"a":1,"stamp":"{genuine}"}}]}}"#),
        "}".to_owned(),
    ] {
        let payload = format!("{before}{ending}");
        assert_eq!(outcome(&authority, &alice, &payload), malformed, "{ending}");
    }
    // The text of an ending within a string, or within a value of the application's, is no stamp.
    for extra in [
        format!(r#","a":",\"stamp\":\"{other}\"}}""#),
        format!(r#","a":{{"b":1,"stamp":"{other}"}}"#),
        r#" , "a" : 1 "#.to_owned(),
    ] {
        let before = format!("{before}{extra}");
        let payload = format!(r#"{before},"stamp":"{}"}}"#, stamp(&authority, &alice, &before));
        let claims = outcome(&authority, &alice, &payload).unwrap();
        assert_eq!(claims.keys().collect::<Vec<_>>(), ["a"], "{extra}");
        let elsewhere = format!(r#"{before},"stamp":"{genuine}"}}"#);
        let revoked = Err((Stage::Binding, Reason::RevokedByStamp));
        assert_eq!(outcome(&authority, &alice, &elsewhere), revoked, "{extra}");
    }
}

/// Both modes have the same header under one key.
#[test]
fn a_token_of_one_mode_is_none_of_the_other() {
    let clock = TestClock::new();
    let alice = account("alice");
    let key_mode = builder(&clock).build().unwrap();
    let stamp_mode = builder(&clock).mode(BindingMode::StampHs256).build().unwrap();
    let by_key = key_mode.issue_for_user(&alice).unwrap();
    let by_stamp = stamp_mode.issue_for_user(&alice).unwrap();
    let header = |token: &Token<Access>| token.expose().split('.').next().unwrap().to_owned();
    assert_eq!(header(&by_key), header(&by_stamp));
    assert_eq!(reason(verify(&key_mode, &by_stamp, &alice)), Reason::Malformed);
    assert_eq!(reason(verify(&stamp_mode, &by_key, &alice)), Reason::Malformed);

    // The payload of key mode, stamped and signed by the server's key; and that of stamp mode without
    // its stamp, signed by the user's key.
    let payload = |token: &Token<Access>| {
        let json = B64.decode(token.expose().split('.').nth(1).unwrap()).unwrap();
        String::from_utf8(json).unwrap()
    };
    let user_key = key_mode.danger_expose_key::<Access>(&alice, &Context::new()).unwrap();
    let text = payload(&by_stamp);
    let bare = format!("{}}}", text.rsplit_once(",\"stamp\"").unwrap().0);
    let token = Token::<Access>::new(forge::sign("at+jwt", bare, &*user_key));
    assert_eq!(reason(verify(&key_mode, &token, &alice)), Reason::Forged, "it has no guard");
    let token = Token::<Access>::new(forge::sign("at+jwt", text, &*user_key));
    assert_eq!(reason(verify(&stamp_mode, &token, &alice)), Reason::Forged);
    assert_eq!(reason(verify(&key_mode, &token, &alice)), Reason::Malformed);
}

/// A client that chooses the session's data cannot damage the column that all logins depend on.
#[test]
fn no_data_that_is_accepted_damages_the_column() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().max_data_bytes(SessionData::MAX_BYTES);
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let deep = |open: &str, close: &str, levels| {
        format!("{{\"a\":{}{}}}", open.repeat(levels), close.repeat(levels))
    };
    for text in [
        deep("[", "]", 250),
        deep("{\"\":", "0", 1).replace('0', "0}"),
        r#"{"a":"\ud800"}"#.to_owned(),
        r#"{"a":1,"a":2,"\u0061":3}"#.to_owned(),
        r#"{"a":1e99999,"b":-0,"c":123456789012345678901234567890}"#.to_owned(),
        r#"{"$serde_json::private::RawValue":"1"}"#.to_owned(),
        r#"{"$serde_json::private::Number":"x"}"#.to_owned(),
        "{\"a\":\"\u{2028}\u{7f}\u{85}\u{feff}\"}".to_owned(),
        r#"{"label":"x","slot":63}],"x":["#.to_owned(),
        r#"{"a":"\"},{\"slot\":1,"}"#.to_owned(),
        "{\u{c}}".to_owned(),
        "{\u{a0}}".to_owned(),
        "\u{feff}{}".to_owned(),
        format!("{{\"a\":\"{}\"}}", "\\u0000".repeat(84)),
        format!("{{\"a\":\"{}\"}}", "é".repeat(252)),
        " { \"a b\" : [ 1 , \" \" ] } ".to_owned(),
    ] {
        let Ok(data) = text.parse::<SessionData>() else { continue };
        let mut alice = account("alice");
        let session = NewSession::new("\"\\\u{202e}\u{0}").data(data.clone());
        let started = authority.start_session(&alice, session).unwrap();
        // `Account::after` reads the column's text.
        let tokens = alice.commit(started);
        let listed = authority.sessions(&alice).unwrap();
        assert_eq!(listed[0].data(), Some(&data), "{text}");
        let next = present(&authority, &mut alice, copy(tokens.refresh())).unwrap();
        assert_eq!(next.into_tokens().unwrap().session().data(), Some(&data), "{text}");
        let _any: Result<Value, _> = data.read();
    }
}

fn start(authority: &Authority, user: &mut Account) -> SessionTokens {
    let decision = authority.start_session(user, "phone").unwrap();
    user.commit(decision)
}

/// A thief who only repeats a used token, and never uses its successor, has access tokens until the
/// device comes back, and is found out by coming again after that.
#[test]
fn a_thief_who_only_repeats_late_is_found_out_after_the_device_has_come_back() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new().late_repeat(Duration::days(1));
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let mut alice = account("alice");
    let used = start(&authority, &mut alice);
    let current = refresh_outcome(&authority, &mut alice, used.refresh()).2.unwrap();
    for (hour, expected) in [(1, Some(EventKind::LateRepeat)), (2, None), (3, None)] {
        clock.set(hour * 3600);
        let (said, event, stolen) = refresh_outcome(&authority, &mut alice, used.refresh());
        assert_eq!((said, event), ("repeated", expected));
        assert!(verify(&authority, stolen.unwrap().access(), &alice).is_ok());
    }
    clock.set(4 * 3600);
    let (said, event, owner) = refresh_outcome(&authority, &mut alice, current.refresh());
    assert_eq!((said, event), ("rotated", None), "the owner's own refresh is not reuse");
    let (said, event, _) = refresh_outcome(&authority, &mut alice, used.refresh());
    assert_eq!((said, event), ("reused", Some(EventKind::Reuse)));
    assert!(verify(&authority, owner.unwrap().access(), &alice).is_err());
}

/// Without a grace, a thief who refreshes with the copy at any time and in any order is found out by
/// the fourth refresh of both.
#[test]
fn no_order_of_late_refreshes_shares_a_session() {
    let policy = || SessionPolicy::new().grace(Duration::ZERO).late_repeat(Duration::days(1));
    for order in 0_u32..256 {
        let clock = TestClock::new();
        let authority = builder(&clock).sessions(policy()).build().unwrap();
        let mut alice = account("alice");
        let first = start(&authority, &mut alice);
        let mut held = [copy(first.refresh()), copy(first.refresh())];
        let (mut by, mut is_over) = ([0, 0], false);
        for turn in 0..8 {
            clock.set(i64::from(turn + 1) * 3600);
            let who = usize::from(order >> turn & 1 == 1);
            by[who] += 1;
            match refresh_outcome(&authority, &mut alice, &copy(&held[who])) {
                (_, _, Some(tokens)) => held[who] = copy(tokens.refresh()),
                _ => {
                    is_over = true;
                    break;
                }
            }
        }
        // Each of them used what the other one used too.
        let shared = by[0].min(by[1]) >= 3;
        assert!(is_over || !shared, "{order:08b}");
    }
}

/// Who comes by a late repeat once, and then by the grace and late in turns, is found out at the second
/// late repeat, however many graces there were in between.
#[test]
fn a_late_repeat_and_graces_in_turns_share_no_session() {
    for graces in 1..6 {
        let clock = TestClock::new();
        let policy = SessionPolicy::new().late_repeat(Duration::days(1));
        let authority = builder(&clock).sessions(policy).build().unwrap();
        let mut alice = account("alice");
        let mut used = start(&authority, &mut alice);
        let mut current = refresh_outcome(&authority, &mut alice, used.refresh()).2.unwrap();
        let mut now = 3600;
        clock.set(now);
        let (said, event, _) = refresh_outcome(&authority, &mut alice, used.refresh());
        assert_eq!((said, event), ("repeated", Some(EventKind::LateRepeat)));
        for _ in 0..graces {
            now += 3600;
            clock.set(now);
            let next = refresh_outcome(&authority, &mut alice, current.refresh()).2.unwrap();
            used = std::mem::replace(&mut current, next);
            clock.set(now + 5);
            let (said, event, _) = refresh_outcome(&authority, &mut alice, used.refresh());
            assert_eq!((said, event), ("repeated", Some(EventKind::GraceHit)));
        }
        now += 3600;
        clock.set(now);
        let last = refresh_outcome(&authority, &mut alice, current.refresh()).2.unwrap();
        clock.set(now + 3600);
        let (said, event, _) = refresh_outcome(&authority, &mut alice, current.refresh());
        assert_eq!((said, event), ("reused", Some(EventKind::Reuse)), "{graces} graces");
        assert!(verify(&authority, last.access(), &alice).is_err());
    }
}

/// A label, an id or an epoch's name that looks like JSON moves nothing in a token.
#[test]
fn hostile_names_are_read_back_as_they_are() {
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let clock = TestClock::new();
        let authority = builder(&clock).mode(mode).user_epoch("tenant").build().unwrap();
        for name in [
            r#"","stamp":"AAAAAAAAAAAAAAAAAAAAAA"}"#,
            r#"a","sub":"bob"#,
            "a\\",
            "\u{0}\n\u{7f}\u{2028}",
            "a:b::",
            "scope",
            "é📱",
        ] {
            let mut alice = account(name);
            alice.tenant = Some((name.to_owned(), 3));
            let started = authority.start_session(&alice, name).unwrap();
            let tokens = alice.commit(started);
            let verified = verify(&authority, tokens.access(), &alice).unwrap();
            assert_eq!(verified.registered().subject(), name);
            assert!(present(&authority, &mut alice, copy(tokens.refresh())).is_ok());
            let moved = Account { tenant: Some((format!("{name} "), 3)), ..alice.clone() };
            assert!(verify(&authority, tokens.access(), &moved).is_err());
        }
    }
}

#[test]
fn the_bound_of_a_table_is_a_number_for_all_arguments() {
    assert_eq!(SessionTable::max_bytes(u32::MAX, usize::MAX), usize::MAX);
    assert_eq!(SessionTable::max_bytes(0, usize::MAX), SessionTable::max_bytes(0, 0));
}
