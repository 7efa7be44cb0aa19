//! The test vectors of `tests/vectors`, written by the second implementation,
//! `tests/interop/python`.

#[cfg(feature = "axum")]
mod devices;
mod scenario;
mod transition;

use std::{collections::BTreeSet, convert::Infallible};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use relatch::{
    Access, Authority, Purpose,
    authority::{Entropy, EntropyError},
    sessions::{SessionInfo, SessionTable},
    user::{Carried, Credential},
};
use serde_json::{Value, json};
use time::Duration;

use self::{
    scenario::{Admin, Invite, Own, Partner, Reset, Scenario, from_hex},
    transition::{table, transition},
};

const DERIVATIONS: &str = include_str!("../../vectors/derivations.json");
const SESSIONS: &str = include_str!("../../vectors/sessions.json");
const TOKENS: &str = include_str!("../../vectors/tokens.json");

#[test]
fn each_token_gets_the_verdict_of_its_vector() {
    let cases = cases(TOKENS);
    assert!(cases.len() >= 80, "{}", cases.len());
    for case in &cases {
        let said = scenario(case).verdict(text(&case["token"]));
        assert_eq!(said, case["expect"], "{}", case["name"]);
    }
}

#[test]
fn each_transition_leaves_what_its_vector_says() {
    let cases = cases(SESSIONS);
    assert!(cases.len() >= 100, "{}", cases.len());
    for case in &cases {
        assert_eq!(transition(case), case["expect"], "{}", case["name"]);
    }
}

#[test]
fn each_table_is_read_or_refused() {
    for case in list(SESSIONS, "tables") {
        let column = case["text"].as_str();
        let said = match SessionTable::from_column(column) {
            Ok(table) => {
                assert_eq!(table.to_column().as_deref(), column, "{}", case["name"]);
                "read"
            }
            Err(error) if error.is_unknown_format() => "unknown_format",
            Err(_) => "malformed",
        };
        assert_eq!(said, case["expect"], "{}", case["name"]);
    }
}

#[test]
fn each_list_is_that_of_its_vector() {
    for case in list(SESSIONS, "lists") {
        let scenario = scenario(&case);
        let authority = scenario.authority().build().unwrap();
        let listed = authority.sessions(scenario.record()).unwrap();
        let mut listed: Vec<_> = listed.iter().map(SessionInfo::id).collect();
        listed.sort_unstable();
        assert_eq!(json!(listed), case["expect"], "{}", case["name"]);
    }
}

#[test]
fn each_label_is_made_clean() {
    let file: Value = serde_json::from_str(SESSIONS).unwrap();
    let scenario = scenario(&file["defaults"]);
    let authority = scenario.authority().build().unwrap();
    for case in list(SESSIONS, "labels") {
        let login = authority.start_session(scenario.record(), text(&case["label"])).unwrap();
        let Ok(tokens) = login.commit(|_| Ok::<_, Infallible>(true));
        assert_eq!(tokens.stored().unwrap().session().label(), case["expect"], "{}", case["name"]);
    }
}

/// Every rejection has a case, except that of an adoption, which is not part of the format.
#[test]
fn the_vectors_reach_every_rejection() {
    let rejection = |case: &Value| {
        let expect = &case["expect"];
        Some(format!("{} {}", expect["stage"].as_str()?, expect["reason"].as_str()?))
    };
    let reached: BTreeSet<_> = [TOKENS, SESSIONS]
        .iter()
        .flat_map(|file| cases(file))
        .filter_map(|c| rejection(&c))
        .collect();
    let all = [
        "length too_long",
        "shape malformed",
        "header malformed",
        "header unknown_key",
        "header wrong_algorithm",
        "header wrong_type",
        "header retired_key",
        "claims malformed",
        "guard forged",
        "validity expired",
        "validity not_yet_valid",
        "validity wrong_issuer",
        "validity wrong_audience",
        "lookup unknown_user",
        "lookup user_mismatch",
        "lookup inactive_user",
        "binding no_credential",
        "binding revoked_by_version",
        "binding ahead_of_record",
        "binding revoked_by_lane",
        "binding bad_signature",
        "binding revoked_by_stamp",
        "session slot_out_of_range",
        "session session_ended",
        "session session_ahead",
        "session session_expired",
        "session sequence_exhausted",
        "session refresh_ahead",
        "session refresh_reused",
        "application application_claims",
    ];
    assert_eq!(reached, all.map(str::to_owned).into());
}

/// In key mode a token is made from the user's key, the guard and the claims; in stamp mode from
/// the server's key, the stamp and the claims.
#[test]
fn each_token_is_issued_byte_for_byte() {
    for case in derivations() {
        for (mode, expected) in [("key", "key_token"), ("stamp_hs256", "stamp_hs256_token")] {
            let (mut scenario, authority) = issuing(&case, mode);
            let own = case["claims"].as_object().unwrap();
            let token = match case["sid"].is_string() {
                true => scenario.log_in(&authority, lifetime(&case), &[], own).0,
                false => scenario.issue(&authority, lifetime(&case), &[], own),
            };
            assert_eq!(token, case["expect"][expected], "{}: {mode}", case["name"]);
            assert_eq!(scenario.verdict(&token)["verdict"], "accepted", "{}", case["name"]);
        }
    }
}

#[test]
fn each_key_and_each_stamp_is_derived() {
    for case in derivations() {
        let (mut scenario, authority) = issuing(&case, "stamp_hs256");
        if case["sid"].is_string() {
            let (_, table) = scenario.log_in(&authority, lifetime(&case), &[], &Own::new());
            let tag = format!(r#""tag":{}"#, case["expect"]["tag"]);
            assert!(table.unwrap().contains(&tag), "{}", case["name"]);
        }
        let (name, expect) = (&case["name"], &case["expect"]);
        let expose_key = match scenario.typ() {
            "at+jwt" => expose_key::<Access<Own>>,
            "reset+jwt" => expose_key::<Reset>,
            "invite+jwt" => expose_key::<Invite>,
            "admin+jwt" => expose_key::<Admin>,
            "partner+jwt" => expose_key::<Partner>,
            other => panic!("no purpose {other}"),
        };
        let key = expose_key(&scenario, &authority);
        assert_eq!(key, from_hex(text(&expect["user_key"])), "{name}");

        let expose_stamp = match scenario.typ() {
            "at+jwt" => expose_stamp::<Access<Own>>,
            "partner+jwt" => expose_stamp::<Partner>,
            _ => {
                assert_eq!(expect["stamp"], Value::Null, "{name}");
                continue;
            }
        };
        let mut parts = text(&expect["stamp_hs256_token"]).split('.');
        let (header, payload) = (parts.next().unwrap(), parts.next().unwrap());
        let payload = String::from_utf8(B64.decode(payload).unwrap()).unwrap();
        let (before, _) = payload.rsplit_once(r#","stamp":"#).unwrap();
        assert_eq!(expose_stamp(&scenario, &authority, header, before), expect["stamp"], "{name}");
    }
}

fn expose_key<P: Purpose>(scenario: &Scenario, authority: &Authority) -> Vec<u8> {
    authority.danger_expose_key::<P>(scenario.record(), &scenario.context()).unwrap().to_vec()
}

fn expose_stamp<P: Purpose>(
    scenario: &Scenario,
    authority: &Authority,
    header: &str,
    payload: &str,
) -> String {
    let (user, context) = (scenario.record(), scenario.context());
    authority.danger_expose_stamp::<P>(user, &context, header, payload).unwrap()
}

/// A refresh token is the same whether a login issues it or a refresh by its predecessor.
#[test]
fn each_refresh_token_is_issued_byte_for_byte() {
    for vector in list(DERIVATIONS, "refreshes") {
        let session = &vector["session"];
        let mut case = vector.clone();
        case["now"] = session["last_seen"].clone();
        if vector["expect"]["predecessor"].is_null() {
            let sid = format!("{}.{}", session["slot"], session["generation"]);
            case["record"]["sessions"] = json!(before_login(&sid));
            case["action"] = json!("log_in");
            case["label"] = session["label"].clone();
        } else {
            let top = session["generation"].as_u64().unwrap();
            case["record"]["sessions"] = json!(table(top, std::slice::from_ref(session)));
            case["action"] = json!("refresh");
            case["token"] = vector["expect"]["predecessor"].clone();
        }
        let said = transition(&case);
        assert_eq!(said["refresh_token"], vector["expect"]["refresh_token"], "{}", vector["name"]);
    }
}

#[test]
fn each_rehash_stores_the_same_pair() {
    let cases = list(DERIVATIONS, "rehashes");
    for case in cases {
        let of = |name: &str| {
            let secrets = case[name].as_array().unwrap().iter().map(text);
            Credential::from_secrets(secrets).unwrap()
        };
        let before: Option<Carried> =
            case["carried_before"].as_str().map(|pair| pair.parse().unwrap());
        let after = Carried::rehash(before.as_ref(), &of("secrets_before"), &of("secrets_after"));
        assert_eq!(*after.expose_text(), text(&case["expect"]), "{}", case["name"]);
    }
}

fn derivations() -> Vec<Value> {
    let cases = cases(DERIVATIONS);
    assert!(cases.len() >= 15, "{}", cases.len());
    cases
}

/// The scenario of a derivation, and its authority at the time of issue. The next login gets the
/// `sid`.
fn issuing(case: &Value, mode: &str) -> (Scenario, Authority) {
    let mut case = case.clone();
    case["authority"]["mode"] = json!(mode);
    case["now"] = case["iat"].clone();
    if let Some(sid) = case["sid"].as_str() {
        case["record"]["sessions"] = json!(before_login(sid));
    }
    let scenario = scenario(&case);
    let entropy = Fixed(from_hex(text(&case["entropy"])));
    let authority = scenario.authority().entropy(entropy).build().unwrap();
    (scenario, authority)
}

/// The text of a table in which the next login starts the session of this `sid`, unless the clock
/// is ahead of its generation.
fn before_login(sid: &str) -> Option<String> {
    let (slot, generation) = sid.split_once('.').unwrap();
    let (slot, generation): (u64, u64) = (slot.parse().unwrap(), generation.parse().unwrap());
    let lower = |slot| {
        json!({
            "slot": slot,
            "generation": generation - 1 - slot,
            "seq": 0,
            "tag": "AAAAAAAAAAA",
            "started_at": 1_800_000_000,
            "last_seen": 1_800_000_000,
            "label": "",
        })
    };
    let lower: Vec<Value> = (0..slot).map(lower).collect();
    (generation > 1).then(|| table(generation - 1, &lower))
}

fn lifetime(case: &Value) -> Duration {
    Duration::seconds(seconds(&case["exp"]) - seconds(&case["iat"]))
}

/// Entropy that always returns the same bytes.
struct Fixed(Vec<u8>);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.copy_from_slice(&self.0[..bytes.len()]);
        Ok(())
    }
}

fn cases(file: &str) -> Vec<Value> {
    list(file, "cases")
}

/// The cases of a list, merged with the defaults of the file.
fn list(file: &str, name: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    let complete = |case: &Value| {
        let mut full = file["defaults"].clone();
        for (name, value) in case.as_object().unwrap() {
            match (&mut full[name], value) {
                (Value::Object(settings), Value::Object(own))
                    if ["authority", "purpose", "policy", "record"].contains(&&**name) =>
                {
                    settings.extend(own.clone());
                }
                (slot, value) => *slot = value.clone(),
            }
        }
        full
    };
    let list: Vec<_> = file[name].as_array().unwrap().iter().map(complete).collect();
    assert!(!list.is_empty(), "{name}");
    list
}

fn scenario(case: &Value) -> Scenario {
    serde_json::from_value(case.clone()).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn seconds(value: &Value) -> i64 {
    value.as_i64().unwrap()
}
