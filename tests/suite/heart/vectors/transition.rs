//! Transitions of a user's sessions, in the form of `tests/vectors/README.md`.

use std::convert::Infallible;

use relatch::{
    Access, Authority, IssueError, NoClaims, SessionTokens, Token, User, Verified, VerifyError,
    authority::{Change, Decision, RefreshError, Refreshed},
    user::RecordError,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scenario::{Own, Record, Scenario, rejected};

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Action {
    LogIn { label: String },
    Refresh { token: String },
    LogOut { sid: String },
    LogOutOthers { token: String },
    LogOutEverywhere,
}

/// The library's outcome of a case's action, in the form of its `expect`.
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

/// An outcome without a decision.
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
            let (change, tokens) = committed(login.start_session(label)?);
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
        Action::LogOutOthers { token } => {
            let own = verified(scenario, &authority, &token)?;
            let (change, tokens) = committed(
                authority.issue::<Access>(own.user(), &NoClaims {}).log_out_others(&own)?,
            );
            (said("ended"), change, Some(tokens))
        }
        Action::LogOutEverywhere => {
            let (change, ()) = committed(authority.log_out_everywhere(user)?);
            (said("ended"), change, None)
        }
    })
}

/// The access token, verified against the record that is to change.
fn verified(
    scenario: &Scenario,
    authority: &Authority,
    token: &str,
) -> Result<Verified<Record, Own>, VerifyError> {
    let token = Token::<Access<Own>>::new(token).in_context(scenario.context());
    authority.verify(&token, |_| Ok::<_, Infallible>(Some(scenario.record().clone())))
}

/// The text of a table. The order of its members matters.
pub(crate) fn table(generation: u64, sessions: &[Value]) -> String {
    let members = ["slot", "generation", "seq", "started_at", "last_seen", "label"];
    let session = |session: &Value| {
        let members = members.map(|name| format!(r#""{name}":{}"#, session[name]));
        format!("{{{}}}", members.join(","))
    };
    let sessions: Vec<String> = sessions.iter().map(session).collect();
    format!(r#"{{"format":1,"generation":{generation},"sessions":[{}]}}"#, sessions.join(","))
}

/// The stored change, and the value that is released after storing.
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
            IssueError::NoSession => Self::Said(json!({ "verdict": "no_session" })),
            other => panic!("{other:?}"),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Rejected(rejection) => Self::Said(rejected(&rejection)),
            VerifyError::Record(_) => Self::Record,
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
