//! Transitions of a user's sessions, in the form of `tests/vectors/README.md`.

use std::convert::Infallible;

use relatch::{
    Access, Authority, IssueError, NoClaims, SessionTokens, Token, User, Verified, VerifyError,
    authority::{Change, Decision, RefreshError, Refreshed},
    sessions::{DataError, NewSession},
    user::RecordError,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::scenario::{Own, Record, Scenario, at, rejected};

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
enum Action {
    LogIn {
        label: String,
        data: Option<String>,
        session_policy: Option<String>,
        ends_at: Option<i64>,
        in_place_of: Option<String>,
    },
    Refresh {
        token: String,
    },
    Restart {
        token: String,
    },
    SetData {
        sid: String,
        data: Option<String>,
    },
    LogOut {
        sid: String,
    },
    LogOutOthers {
        token: String,
    },
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
        Action::LogIn { label, data, session_policy, ends_at, in_place_of } => {
            let mut new = NewSession::new(label);
            if let Some(data) = data {
                new = new.data(data.parse()?);
            }
            if let Some(name) = session_policy {
                new = new.policy(name);
            }
            if let Some(end) = ends_at {
                new = new.ends_at(at(end));
            }
            if let Some(sid) = in_place_of {
                new = new.in_place_of(sid.parse().unwrap());
            }
            let login = authority.issue::<Access>(user, &NoClaims {}).context(scenario.context());
            let (change, tokens) = committed(login.start_session(new)?);
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
        Action::Restart { token } => {
            let own = verified(scenario, &authority, &token)?;
            let (change, tokens) = committed(
                authority.issue::<Access>(own.user(), &NoClaims {}).restart_session(&own)?,
            );
            (said("restarted"), change, Some(tokens))
        }
        Action::SetData { sid, data } => {
            let data = data.map(|data| data.parse()).transpose()?;
            let set = authority.set_session_data(user, sid.parse().unwrap(), data)?;
            let (change, is_set) = committed(set);
            (said(if is_set { "set" } else { "unchanged" }), change, None)
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
            let (change, _version) = committed(authority.log_out_everywhere(user)?);
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

const MEMBERS: [&str; 12] = [
    "slot",
    "generation",
    "seq",
    "tag",
    "started_at",
    "last_seen",
    "repeated",
    "strict",
    "ends_at",
    "data",
    "policy",
    "label",
];

/// The text of a table. The order of its members matters.
pub(crate) fn table(generation: u64, sessions: &[Value]) -> String {
    let session = |session: &Value| {
        let is_set = |name: &&str| session.get(name).is_some();
        let member = |name| match (name, &session[name]) {
            // The text of a JSON object.
            ("data", Value::String(data)) => format!(r#""data":{data}"#),
            (_, value) => format!(r#""{name}":{value}"#),
        };
        let members: Vec<String> = MEMBERS.into_iter().filter(is_set).map(member).collect();
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
            IssueError::SessionsFull(_) => Self::Said(json!({ "verdict": "refused" })),
            IssueError::NoSession => Self::Said(json!({ "verdict": "no_session" })),
            IssueError::SessionData { .. } => Self::Said(json!({ "verdict": "data_too_long" })),
            IssueError::SessionEnd => Self::Said(json!({ "verdict": "ends_at_passed" })),
            IssueError::SessionOver(rejection) => Self::Said(rejected(&rejection)),
            other => panic!("{other:?}"),
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        match error {
            DataError::TooLong { .. } => Self::Said(json!({ "verdict": "data_too_long" })),
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
