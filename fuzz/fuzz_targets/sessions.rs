//! Any text in the sessions' column is read in its one form or refused. It accepts the tokens of the
//! sessions that it names and no others, and every decision on it gives a valid table.
//!
//! The seeds are tables of one user's history; the target knows all its tokens.

#![no_main]

use std::{convert::Infallible, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use relatch::{
    Access, Authority, IssueError, NoClaims, Reason, RefreshToken, SessionPolicy, SessionTokens,
    Token,
    authority::{Decision, RefreshError, Refreshed},
    sessions::{OnReuse, SessionTable, WhenFull},
    user::RecordError,
};
use relatch_fuzz::{Account, Fixed, master_key};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};

fuzz_target!(|bytes: &[u8]| {
    let column = String::from_utf8_lossy(bytes);
    let Ok(sessions) = SessionTable::from_column(Some(&column)) else { return };
    assert_eq!(sessions.to_column().as_deref(), Some(&*column), "another text is written");
    assert!(column.len() <= SessionTable::max_bytes(64, 512));
    let stored: Stored = serde_json::from_str(&column).unwrap();
    let user = Account { sessions, ..Account::new("alice", 0) };
    for server in &*SERVERS {
        server.check_tokens(&user, &stored);
        server.check_list(&user, &stored);
        server.check_decisions(&user, &stored);
    }
});

/// The table, read without the library.
#[derive(Deserialize)]
struct Stored {
    generation: i64,
    sessions: Vec<Session>,
}

#[derive(Deserialize)]
struct Session {
    slot: u32,
    generation: i64,
    seq: i64,
    tag: String,
    started_at: i64,
    last_seen: i64,
    ends_at: Option<i64>,
}

struct Server {
    authority: Authority,
    policy: Policy,
}

#[derive(Clone, Copy)]
struct Policy {
    max: u32,
    idle: i64,
    absolute: i64,
    grace: i64,
    ends_all: bool,
}

/// The tokens handed out for one session at one time.
struct Issued {
    slot: u32,
    generation: i64,
    seq: i64,
    access: String,
    refresh: String,
}

impl Stored {
    fn find(&self, slot: u32, generation: i64) -> Option<&Session> {
        self.sessions.iter().find(|it| (it.slot, it.generation) == (slot, generation))
    }
}

impl Server {
    fn is_alive(&self, session: &Session) -> bool {
        let Policy { max, idle, absolute, .. } = self.policy;
        let end = (session.last_seen + idle).min(session.started_at + absolute);
        session.slot < max && now() < session.ends_at.map_or(end, |fixed| fixed.min(end))
    }

    /// Whether the session is alive and was bound to the record as it is.
    fn is_listed(&self, session: &Session) -> bool {
        session.tag == TAG && self.is_alive(session)
    }

    /// Checks that a token is accepted exactly if the table has its session, alive.
    fn check_tokens(&self, user: &Account, stored: &Stored) {
        for issued in &*ISSUED {
            let session = stored.find(issued.slot, issued.generation);
            let session = session.filter(|session| self.is_alive(session));
            let access = Token::<Access>::new(&*issued.access);
            let seen = self.authority.verify(&access, |_| Ok::<_, Infallible>(Some(user)));
            assert_eq!(seen.is_ok(), session.is_some(), "an access token");
            if let Ok(seen) = seen {
                match self
                    .authority
                    .issue::<Access>(seen.user(), &NoClaims {})
                    .log_out_others(&seen)
                {
                    Ok(decision) => {
                        let (after, tokens) = commit(user, decision);
                        assert_eq!(self.authority.sessions(&after).unwrap().len(), 1);
                        self.check_alive(&tokens, &after);
                    }
                    Err(error) => assert!(is_at_end(&error, stored), "{error:?}"),
                }
            }

            let opened = self.authority.open_refresh(RefreshToken::new(&*issued.refresh)).unwrap();
            match (opened.refresh(user), session) {
                (Ok(decision), session) => self.check_refresh(user, issued, decision, session),
                (Err(RefreshError::Rejected(rejection)), Some(_)) => {
                    assert_eq!(rejection.reason(), Reason::SequenceExhausted);
                }
                (Err(RefreshError::Rejected(_)), None) => {}
                (Err(other), _) => panic!("not a rejection: {other:?}"),
            }
        }
    }

    fn check_refresh(
        &self,
        user: &Account,
        issued: &Issued,
        decision: Decision<Refreshed>,
        session: Option<&Session>,
    ) {
        let (after, outcome) = commit(user, decision);
        let Some(session) = session else {
            return assert!(matches!(outcome, Refreshed::Ahead(Reason::SessionAhead, _)));
        };
        let is_in_grace = (now() - session.last_seen).abs() <= self.policy.grace;
        match outcome {
            Refreshed::Rotated(_) => assert_eq!(issued.seq, session.seq, "used again"),
            Refreshed::Repeated(..) => {
                assert!(issued.seq + 1 == session.seq && is_in_grace && self.policy.grace > 0);
            }
            Refreshed::Reused(event) => {
                assert!(issued.seq < session.seq);
                let listed = self.authority.sessions(&after).unwrap();
                assert!(listed.iter().all(|info| info.id() != event.session_id()));
                assert!(!self.policy.ends_all || listed.is_empty());
            }
            Refreshed::Ahead(..) => assert!(issued.seq > session.seq),
            other => panic!("unknown: {other:?}"),
        }
    }

    fn check_list(&self, user: &Account, stored: &Stored) {
        let listed = self.authority.sessions(user).unwrap();
        let expected = stored.sessions.iter().filter(|session| self.is_listed(session));
        assert_eq!(listed.len(), expected.count());
        for info in listed {
            let (slot, generation) = parts(&info.id().to_string());
            assert!(self.is_listed(stored.find(slot, generation).unwrap()));
        }
    }

    fn check_decisions(&self, user: &Account, stored: &Stored) {
        let authority = &self.authority;
        match authority.start_session(user, "a new one\n") {
            Ok(decision) => {
                let (after, tokens) = commit(user, decision);
                let column = after.sessions.to_column().unwrap();
                assert!(column.len() <= SessionTable::max_bytes(64, 512));
                let (_, generation) = parts(&tokens.session().id().to_string());
                assert!(generation > stored.generation, "a generation was handed out again");
                self.check_alive(&tokens, &after);
            }
            Err(IssueError::SessionsFull(_)) => {}
            Err(error) => assert!(is_at_end(&error, stored), "{error:?}"),
        }
        let (after, _version) = commit(user, authority.log_out_everywhere(user).unwrap());
        assert!(authority.sessions(&after).unwrap().is_empty());
        let listed = authority.sessions(user).unwrap();
        let (after, ended) = commit(user, authority.log_out_where(user, |_| true).unwrap());
        assert_eq!(ended, listed.len());
        assert!(authority.sessions(&after).unwrap().is_empty());
        for info in &listed {
            let (after, is_ended) = commit(user, authority.log_out(user, info.id()).unwrap());
            assert!(is_ended);
            assert_eq!(authority.sessions(&after).unwrap().len(), listed.len() - 1);
        }
    }

    fn check_alive(&self, tokens: &SessionTokens, user: &Account) {
        let seen = self.authority.verify(tokens.access(), |_| Ok::<_, Infallible>(Some(user)));
        assert!(seen.is_ok(), "a fresh token was rejected");
        assert!(self.authority.sessions(user).unwrap().contains(tokens.session()));
    }
}

fn is_at_end(error: &IssueError, stored: &Stored) -> bool {
    let is_exhausted = matches!(error, IssueError::Record(RecordError::Exhausted));
    is_exhausted && stored.generation == i64::MAX
}

fn commit<T>(user: &Account, decision: Decision<T>) -> (Account, T) {
    let mut after = user.clone();
    let outcome = decision.commit(|change| {
        after = user.after(change);
        Ok::<_, Infallible>(true)
    });
    (after, outcome.unwrap().stored().unwrap())
}

fn parts(id: &str) -> (u32, i64) {
    let (slot, generation) = id.split_once('.').unwrap();
    (slot.parse().unwrap(), generation.parse().unwrap())
}

static SERVERS: LazyLock<[Server; 2]> = LazyLock::new(|| {
    let days = |days| Duration::days(days).whole_seconds();
    let usual = Policy { max: 16, idle: days(14), absolute: days(90), grace: 10, ends_all: false };
    let strict = Policy { max: 2, idle: 500, absolute: 2000, grace: 0, ends_all: true };
    [usual, strict].map(|policy| Server { authority: authority(policy, NOW), policy })
});

/// Two logins, the first of which is refreshed twice.
static ISSUED: LazyLock<Vec<Issued>> = LazyLock::new(|| {
    let at = |seconds| authority(SERVERS[0].policy, NOW - Duration::seconds(seconds));
    let mut user = Account::new("alice", 0);
    let mut issued = Vec::new();
    let mut keep = |user: &Account, tokens: SessionTokens, seq| {
        let (slot, generation) = parts(&tokens.session().id().to_string());
        let (access, refresh) = tokens.into_parts();
        let [access, refresh] = [access.expose(), refresh.expose()].map(str::to_owned);
        let column = user.sessions.to_column().unwrap();
        assert!(SEEDS.contains(&&*column), "none of the seeds is this table: {column}");
        issued.push(Issued { slot, generation, seq, access, refresh: refresh.clone() });
        refresh
    };
    let login = at(60).start_session(&user, "phone").unwrap();
    let (after, tokens) = commit(&user, login);
    let mut refresh = keep(&after, tokens, 0);
    user = after;
    let login = at(50).start_session(&user, "laptop").unwrap();
    let (after, tokens) = commit(&user, login);
    keep(&after, tokens, 0);
    user = after;
    for (seconds, seq) in [(40, 1), (5, 2)] {
        let server = at(seconds);
        let opened = server.open_refresh(RefreshToken::new(refresh)).unwrap();
        let (after, outcome) = commit(&user, opened.refresh(&user).unwrap());
        refresh = keep(&after, outcome.into_tokens().unwrap(), seq);
        user = after;
    }
    issued
});

fn authority(policy: Policy, now: OffsetDateTime) -> Authority {
    let Policy { max, idle, absolute, grace, ends_all } = policy;
    let sessions = SessionPolicy::new()
        .max_sessions(max)
        .when_full(if ends_all { WhenFull::Refuse } else { WhenFull::EvictLeastRecentlyUsed })
        .idle_lifetime(Duration::seconds(idle))
        .absolute_lifetime(Duration::seconds(absolute))
        .grace(Duration::seconds(grace))
        .on_reuse(if ends_all { OnReuse::EndAllSessions } else { OnReuse::EndSession });
    Authority::builder(master_key("k", &[7; 32], &[8; 32]), "issuer", "audience")
        .sessions(sessions)
        .clock(move || now)
        .entropy(Fixed([9; 16]))
        .build()
        .unwrap()
}

const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));

const fn now() -> i64 {
    NOW.unix_timestamp()
}

/// The tag of the record of all seeds.
const TAG: &str = "bPfeepZF8rU";

const SEEDS: [&str; 4] = [
    include_str!("../seeds/sessions/one"),
    include_str!("../seeds/sessions/two"),
    include_str!("../seeds/sessions/refreshed"),
    include_str!("../seeds/sessions/refreshed_twice"),
];
