//! Exchanges random tokens with another implementation of format 1, tests/format1.py.
//!
//! ```text
//! interop issue 200 | python3 tests/format1.py verify
//! python3 tests/format1.py issue 200 | interop verify
//! ```
//!
//! A line is one scenario with its token, in the form of tests/vectors/README.md.

mod draw;
#[path = "../../../suite/vectors/scenario.rs"]
mod scenario;

use std::{
    env,
    io::{self, BufRead, Write},
    process::ExitCode,
};

use serde_json::{Value, json};
use time::Duration;

use self::{draw::Draw, scenario::Scenario};

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
        writeln!(out, "{}", issued(Draw)).expect("standard output takes the line");
    }
    ExitCode::SUCCESS
}

/// A random scenario with a token that the library issued under it.
fn issued(draw: Draw) -> Value {
    let mut case = draw.scenario();
    let scenario: Scenario = serde_json::from_value(case.clone()).expect("a scenario");
    let authority = scenario.authority().build().expect("settings within their bounds");
    let lifetime = draw.within(1, 3600);
    let own = draw.own_claims();
    let audience = match draw.pick(&[true, false]) {
        true => vec![draw.text(9), authority.audience().to_owned()],
        false => Vec::new(),
    };

    let token = scenario.issue(&authority, Duration::seconds(lifetime), &audience, &own);
    let mut claims = own;
    let now = case["now"].as_i64().expect("seconds");
    for (name, value) in [
        ("iss", json!(authority.issuer())),
        ("sub", case["record"]["id"].clone()),
        ("aud", if audience.is_empty() { json!(authority.audience()) } else { json!(audience) }),
        ("exp", json!(now + lifetime)),
        ("iat", json!(now)),
        // The one claim that is random: as the library itself reads it.
        ("jti", scenario.verdict(&token)["claims"]["jti"].clone()),
        ("ver", case["record"]["version"].clone()),
    ] {
        claims.insert(name.to_owned(), value);
    }
    case["token"] = json!(token);
    case["expect"] = json!({ "verdict": "accepted", "claims": claims, "lookup": true });
    case
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
        let scenario: Scenario = serde_json::from_value(case.clone()).expect("a scenario");
        let token = case["token"].as_str().expect("a token");
        count(number, "is accepted", scenario.verdict(token) == case["expect"]);
        let flipped = scenario.verdict(&flip(token));
        count(number, "with another character", flipped["verdict"] == "rejected");
    }
    println!("{passed} passed, {failed} failed");
    // Of nothing nothing was shown.
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The token with one character replaced by another.
fn flip(token: &str) -> String {
    let at = usize::try_from(Draw.below(token.len() as u64)).expect("an index");
    let replacement = if token.as_bytes()[at] == b'A' { "B" } else { "A" };
    format!("{}{replacement}{}", &token[..at], &token[at + 1..])
}
