//! What becomes of a user's sessions, in the form of tests/vectors/README.md.

use std::convert::Infallible;

use relatch::{
    Access, Change, Decision, IssueError, NoClaims, RecordError, RefreshError, Refreshed, Session,
    SessionPolicy, SessionTokens, Token, User,
};
use serde::Deserialize;
use serde_json::{Value, json};
use time::Duration;

use super::scenario::{Own, Record, Scenario, rejected};

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Action {
    LogIn { label: String },
    Refresh { token: String },
    LogOut { sid: String },
    LogOutOthers { sid: String },
    LogOutEverywhere,
}

/// What the library makes of a case's action, in the form in which the case expects it.
pub(crate) fn transition(case: &Value) -> Value {
    let scenario: Scenario = serde_json::from_value(case.clone()).unwrap();
    let (mut said, change, tokens) = match outcome(case, &scenario) {
        Ok(outcome) => outcome,
        Err(Failure::Said(verdict)) => (verdict, None, None),
        Err(Failure::Record) => return json!({ "verdict": "unfit_record" }),
    };
    let user = scenario.record();
    let sessions = change.as_ref().map_or(user.sessions(), Change::sessions);
    let version = change.as_ref().map_or(user.version(), Change::version);
    said["sessions"] = json!(sessions.unwrap().to_column());
    said["version"] = json!(version.get());
    said["refresh_token"] = json!(tokens.as_ref().map(|tokens| tokens.refresh().expose()));
    said
}

type Outcome = (Value, Option<Change>, Option<SessionTokens>);

/// Where there is no decision.
enum Failure {
    Record,
    Said(Value),
}

fn outcome(case: &Value, scenario: &Scenario) -> Result<Outcome, Failure> {
    let authority = scenario.authority().build().unwrap();
    let user = scenario.record();
    let said = |verdict: &str| json!({ "verdict": verdict });
    Ok(match serde_json::from_value(case.clone()).unwrap() {
        Action::LogIn { label } => {
            let login = authority.issue::<Access>(user, &NoClaims {}).context(scenario.context());
            let (change, tokens) = committed(login.start_session(&label)?);
            (said("started"), change, Some(tokens))
        }
        Action::Refresh { token } => {
            let (change, refreshed) = committed(scenario.refresh(&token).0?);
            match refreshed {
                Refreshed::Rotated(tokens) => (said("rotated"), change, Some(tokens)),
                Refreshed::Repeated(tokens, _) => (said("repeated"), change, Some(tokens)),
                other => (rejected(&other.into_tokens().unwrap_err()), change, None),
            }
        }
        Action::LogOut { sid } => {
            let (change, is_ended) = committed(authority.log_out(user, sid.parse().unwrap())?);
            (said(if is_ended { "ended" } else { "unchanged" }), change, None)
        }
        Action::LogOutOthers { sid } => {
            let own = verified(case, &sid);
            let issue = authority.issue::<Access>(user, &NoClaims {});
            let (change, tokens) = committed(issue.log_out_others(&own)?);
            (said("ended"), change, Some(tokens))
        }
        Action::LogOutEverywhere => {
            let (change, ()) = committed(authority.log_out_everywhere(user)?);
            (said("ended"), change, None)
        }
    })
}

/// The session of this `sid`, as it is verified where it is alive.
fn verified(case: &Value, sid: &str) -> Session<Record, Own> {
    let mut case = case.clone();
    // A login at this time can be given any generation that is above the version.
    case["now"] = json!(0);
    case["policy"]["max_sessions"] = json!(SessionPolicy::MAX_SESSIONS);
    case["record"]["sessions"] = json!(before_login(sid));
    let mut scenario: Scenario = serde_json::from_value(case).unwrap();
    let authority = scenario.authority().build().unwrap();
    let (token, _) = scenario.log_in(&authority, Duration::MINUTE, &[], &Own::new());
    let token = Token::<Access<Own>>::new(token).in_context(scenario.context());
    authority.verify(&token, |_| Ok::<_, Infallible>(Some(scenario.record().clone()))).unwrap()
}

/// The text of a table in which the next login starts the session of this `sid`, unless the clock
/// is ahead of its generation.
pub(crate) fn before_login(sid: &str) -> Option<String> {
    let (slot, generation) = sid.split_once('.').unwrap();
    let (slot, generation): (u64, u64) = (slot.parse().unwrap(), generation.parse().unwrap());
    let lower = |slot| {
        json!({
            "slot": slot,
            "generation": generation - 1 - slot,
            "seq": 0,
            "started_at": 1_800_000_000,
            "last_seen": 1_800_000_000,
            "label": "",
        })
    };
    let lower: Vec<Value> = (0..slot).map(lower).collect();
    (generation > 1).then(|| table(generation - 1, &lower))
}

/// The text of a table; the order of the members counts in it.
pub(crate) fn table(generation: u64, sessions: &[Value]) -> String {
    let members = ["slot", "generation", "seq", "started_at", "last_seen", "label"];
    let session = |session: &Value| {
        let members = members.map(|name| format!(r#""{name}":{}"#, session[name]));
        format!("{{{}}}", members.join(","))
    };
    let sessions: Vec<String> = sessions.iter().map(session).collect();
    format!(r#"{{"format":1,"generation":{generation},"sessions":[{}]}}"#, sessions.join(","))
}

/// What is stored, and what is let go of then.
fn committed<T>(decision: Decision<T>) -> (Option<Change>, T) {
    let change = decision.change().cloned();
    let Ok(outcome) = decision.commit(|_| Ok::<_, Infallible>(true));
    (change, outcome.stored().unwrap())
}

impl From<IssueError> for Failure {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Record(_) => Self::Record,
            IssueError::SessionsFull => Self::Said(json!({ "verdict": "refused" })),
            IssueError::SessionOver(rejection) => Self::Said(rejected(&rejection)),
            other => panic!("{other:?}"),
        }
    }
}

impl From<RefreshError> for Failure {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Rejected(rejection) => Self::Said(rejected(&rejection)),
            RefreshError::Record(_) => Self::Record,
            other => panic!("{other:?}"),
        }
    }
}

impl From<RecordError> for Failure {
    fn from(_: RecordError) -> Self {
        Self::Record
    }
}
