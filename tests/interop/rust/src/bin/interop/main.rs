//! Exchanges random tokens and refreshes with the second implementation of format 1, in
//! tests/interop/python.
//!
//! ```text
//! interop issue 200 | python3 tests/interop/python/format1.py verify
//! python3 tests/interop/python/format1.py issue 200 | interop verify
//! ```
//!
//! A line is one scenario with its token, in the form of tests/vectors/README.md.

mod draw;
#[path = "../../../../../suite/heart/vectors/scenario.rs"]
mod scenario;
#[path = "../../../../../suite/heart/vectors/transition.rs"]
mod transition;

use std::{
    env,
    io::{self, BufRead, Write},
    process::ExitCode,
};

use serde_json::{Value, json};
use time::Duration;

use self::{draw::Draw, scenario::Scenario, transition::transition};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        ["issue", count] => issue(count.parse().expect("a number of scenarios")),
        ["verify"] => verify(),
        _ => {
            eprintln!("usage: interop issue N | interop verify");
            ExitCode::FAILURE
        }
    }
}

fn issue(count: usize) -> ExitCode {
    let mut out = io::stdout().lock();
    for _ in 0..count {
        let line = Draw.pick(&[issued, issued, refreshed])(Draw);
        writeln!(out, "{line}").expect("standard output takes the line");
    }
    ExitCode::SUCCESS
}

/// A random scenario, with a token that the library issued for it.
fn issued(draw: Draw) -> Value {
    let mut case = draw.scenario();
    let mut scenario: Scenario = serde_json::from_value(case.clone()).expect("a scenario");
    let authority = scenario.authority().build().expect("settings within their bounds");
    let lifetime = draw.within(1, 3600);
    let own = draw.own_claims();
    let audience = match draw.pick(&[true, false]) {
        true => vec![draw.text(9), authority.audience().to_owned()],
        false => Vec::new(),
    };

    let seconds = Duration::seconds(lifetime);
    let token = if case["purpose"]["typ"] == "at+jwt" && draw.pick(&[true, false]) {
        let (token, sessions) = scenario.log_in(&authority, seconds, &audience, &own);
        case["record"]["sessions"] = json!(sessions);
        token
    } else {
        scenario.issue(&authority, seconds, &audience, &own)
    };
    // The random or new claims, as the library reads them.
    let read = &scenario.verdict(&token)["claims"];
    let mut claims = own;
    if !read["sid"].is_null() {
        claims.insert("sid".to_owned(), read["sid"].clone());
    }
    let now = case["now"].as_i64().expect("seconds");
    for (name, value) in [
        ("iss", json!(authority.issuer())),
        ("sub", case["record"]["id"].clone()),
        ("aud", if audience.is_empty() { json!(authority.audience()) } else { json!(audience) }),
        ("exp", json!(now + lifetime)),
        ("iat", json!(now)),
        ("jti", read["jti"].clone()),
        ("ver", case["record"]["version"].clone()),
    ] {
        claims.insert(name.to_owned(), value);
    }
    case["token"] = json!(token);
    case["expect"] = json!({ "verdict": "accepted", "claims": claims, "lookup": true });
    case
}

/// A login and up to four refreshes, some of them repeats; then the outcome of presenting one of the
/// tokens.
fn refreshed(draw: Draw) -> Value {
    let mut case = draw.scenario();
    case.as_object_mut().expect("an object").remove("purpose");
    case["action"] = json!("log_in");
    case["label"] = json!(draw.text(40));
    draw.add_to_login(&mut case);
    let mut tokens = vec![step(&mut case)];
    case["action"] = json!("refresh");
    for _ in 0..draw.within(0, 4) {
        later(&mut case, draw.within(0, 90));
        let latest = &tokens[tokens.len().saturating_sub(2)..];
        case["token"] = draw.pick(latest);
        match step(&mut case) {
            // It was reuse.
            Value::Null => break,
            token if tokens.contains(&token) => {}
            token => tokens.push(token),
        }
    }
    later(&mut case, draw.within(0, 90));
    case["token"] = draw.pick(&tokens);
    case["expect"] = transition(&case);
    case
}

/// Applies the case's action, and gives the new refresh token.
fn step(case: &mut Value) -> Value {
    let said = transition(case);
    case["record"]["sessions"] = said["sessions"].clone();
    said["refresh_token"].clone()
}

fn later(case: &mut Value, seconds: i64) {
    case["now"] = json!(case["now"].as_i64().expect("seconds") + seconds);
}

fn verify() -> ExitCode {
    let (mut passed, mut failed) = (0, 0);
    let mut count = |number: usize, what: &str, holds: bool| {
        if holds {
            passed += 1;
        } else {
            failed += 1;
            println!("FAILED line {number} {what}");
        }
    };
    for (line, number) in io::stdin().lock().lines().zip(1..) {
        let case: Value =
            serde_json::from_str(&line.expect("text on standard input")).expect("JSON");
        let mut flipped = case.clone();
        flipped["token"] = json!(flip(case["token"].as_str().expect("a token")));
        count(number, "is what it should be", said(&case) == case["expect"]);
        count(number, "with another character", said(&flipped)["verdict"] == "rejected");
    }
    println!("{passed} passed, {failed} failed");
    // No lines prove nothing.
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The library's verdict on a line.
fn said(case: &Value) -> Value {
    if case.get("action").is_some() {
        return transition(case);
    }
    let scenario: Scenario = serde_json::from_value(case.clone()).expect("a scenario");
    scenario.verdict(case["token"].as_str().expect("a token"))
}

/// The token with one character replaced by another.
fn flip(token: &str) -> String {
    let at = usize::try_from(Draw.below(token.len() as u64)).expect("an index");
    let replacement = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{replacement}{}", &token[..at], &token[at + 1..])
}
