//! In any order of events, a token of an ended session is never accepted again, a refresh token is
//! rotated at most once, and the table keeps its bound.

#![no_main]

use std::{
    collections::HashSet,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use relatch::{
    Access, Authority, IssueError, MasterKey, NoClaims, RefreshToken, SessionPolicy, SessionTokens,
    Token,
    authority::{Committed, Decision, RefreshError, Refreshed},
    sessions::{OnReuse, SessionId, SessionTable, WhenFull},
    user::Counter,
};
use relatch_fuzz::{Account, Fixed};
use time::{Duration, OffsetDateTime};

fuzz_target!(|input: (Policy, Vec<Step>)| {
    let (policy, steps) = input;
    let mut world = World::new(policy);
    for step in steps.into_iter().take(200) {
        world.step(step);
        world.check(8);
    }
    world.check(usize::MAX);
});

#[derive(Arbitrary, Clone, Copy, Debug)]
struct Policy {
    #[arbitrary(with = |bytes: &mut arbitrary::Unstructured<'_>| bytes.int_in_range(1..=6_u8))]
    max: u8,
    idle: u8,
    absolute: u8,
    #[arbitrary(with = |bytes: &mut arbitrary::Unstructured<'_>| bytes.int_in_range(0..=20_u8))]
    grace: u8,
    refuses: bool,
    ends_all: bool,
}

/// An event. Numbers choose among the tokens handed out, the last one first.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Step {
    LogIn,
    Refresh(u8),
    /// Two at once: the second is decided on the record that the first one then changes.
    Race(u8, u8),
    LogOut(u8),
    LogOutOthers(u8),
    LogOutEverywhere,
    LogOutUnused(u8),
    Bump,
    ChangePassword,
    SetActive(bool),
    Wait(i8),
    SetPolicy(Policy),
}

struct World {
    authority: Authority,
    now: Arc<AtomicI64>,
    policy: Policy,
    user: Account,
    handed_out: Vec<HandedOut>,
    ended: HashSet<SessionId>,
}

/// The tokens of one answer.
#[derive(Clone)]
struct HandedOut {
    session: SessionId,
    /// The place in the session's chain of refresh tokens.
    place: usize,
    access: String,
    refresh: String,
    /// By a change of the version or of the password.
    is_dead: bool,
    rotated: Option<i64>,
}

impl World {
    fn new(policy: Policy) -> Self {
        let now = Arc::new(AtomicI64::new(START));
        let authority = authority(policy, &now);
        let user = Account::new("alice", 0);
        Self { authority, now, policy, user, handed_out: Vec::new(), ended: HashSet::new() }
    }

    fn now(&self) -> i64 {
        self.now.load(Ordering::Relaxed)
    }

    fn step(&mut self, step: Step) {
        let authority = self.authority.clone();
        match step {
            Step::LogIn => match authority.start_session(&self.user, "phone") {
                Ok(decision) => {
                    let tokens = self.commit(decision);
                    let column = self.user.sessions.to_column().unwrap();
                    assert!(column.len() <= SessionTable::max_bytes(self.policy.max.into(), 0));
                    self.ended.extend(tokens.evicted().map(|info| info.id()));
                    self.hand_out(&tokens, 0);
                }
                Err(IssueError::InactiveUser) => assert!(self.user.disabled),
                Err(error) => {
                    assert!(matches!(error, IssueError::SessionsFull(_)) && self.policy.refuses)
                }
            },
            Step::Refresh(at) => {
                let Some(at) = self.pick(at) else { return };
                let read = self.user.clone();
                self.refresh(at, &read);
            }
            Step::Race(one, two) => {
                let (Some(one), Some(two)) = (self.pick(one), self.pick(two)) else { return };
                let read = self.user.clone();
                self.refresh(one, &read);
                self.refresh(two, &read);
            }
            Step::LogOut(at) => {
                let Some(at) = self.pick(at) else { return };
                let session = self.handed_out[at].session;
                let decision = authority.log_out(&self.user, session).unwrap();
                self.commit(decision);
                self.ended.insert(session);
            }
            Step::LogOutOthers(at) => {
                let Some(at) = self.pick(at) else { return };
                let access = Token::<Access>::new(&*self.handed_out[at].access);
                let user = self.user.clone();
                let seen = authority.verify(&access, |_| Ok::<_, Infallible>(Some(user)));
                let Ok(session) = seen else { return };
                let tokens = self.commit(
                    authority
                        .issue::<Access>(session.user(), &NoClaims {})
                        .log_out_others(&session)
                        .unwrap(),
                );
                self.end_all();
                self.hand_out(&tokens, 0);
            }
            Step::LogOutEverywhere => {
                let decision = authority.log_out_everywhere(&self.user).unwrap();
                self.commit(decision);
                self.end_all();
            }
            Step::LogOutUnused(seconds) => {
                let since = instant(self.now() - i64::from(seconds));
                let mut out = Vec::new();
                let decision = authority.log_out_where(&self.user, |info| {
                    let is_out = info.last_seen() < since;
                    out.extend(is_out.then_some(info.id()));
                    is_out
                });
                assert_eq!(self.commit(decision.unwrap()), out.len());
                self.ended.extend(out);
            }
            Step::Bump => {
                let version = Counter::from(self.user.version).next(instant(self.now()));
                self.user.version = version.unwrap().get();
                self.kill_all();
            }
            Step::ChangePassword => {
                self.user.secrets[0].push(b'!');
                self.kill_all();
            }
            Step::SetActive(is_active) => self.user.disabled = !is_active,
            Step::Wait(seconds) => {
                self.now.fetch_add(seconds.into(), Ordering::Relaxed);
            }
            Step::SetPolicy(policy) => {
                self.policy = policy;
                self.authority = self::authority(policy, &self.now);
            }
        }
    }

    fn refresh(&mut self, at: usize, read: &Account) {
        let it = self.handed_out[at].clone();
        let authority = self.authority.clone();
        let opened = authority.open_refresh(RefreshToken::new(&*it.refresh));
        let decision = match opened.map_err(RefreshError::from).and_then(|it| it.refresh(read)) {
            Ok(decision) => decision,
            Err(RefreshError::Rejected(_)) => return,
            Err(other) => panic!("not a rejection: {other:?}"),
        };
        let listed = authority.sessions(read).unwrap();
        let mut user = self.user.clone();
        let columns = |user: &Account| (user.version, user.secrets.clone(), user.sessions.clone());
        let store = |change: &_| {
            let is_unchanged = columns(&user) == columns(read);
            if is_unchanged {
                user = user.after(change);
            }
            Ok::<_, Infallible>(is_unchanged)
        };
        let Committed::Stored(outcome) = decision.commit(store).unwrap() else { return };
        // A decision that was not stored was made on the record that was read.
        let is_accepted = matches!(outcome, Refreshed::Rotated(_) | Refreshed::Repeated(..));
        let is_over = it.is_dead || self.ended.contains(&it.session);
        let is_stale = columns(&self.user) != columns(read);
        assert!(!(is_accepted && is_over) || is_stale, "a dead refresh token was accepted");
        self.user = user;
        match outcome {
            Refreshed::Rotated(tokens) => {
                assert_eq!(it.rotated, None, "a refresh token was rotated twice");
                let now = self.now();
                // Another party may hold the repeated tokens too.
                let place = (it.session, it.place);
                let copies =
                    self.handed_out.iter_mut().filter(|it| (it.session, it.place) == place);
                copies.for_each(|copy| copy.rotated = Some(now));
                self.hand_out(&tokens, it.place + 1);
            }
            Refreshed::Repeated(tokens, _) => {
                let elapsed = self.now() - it.rotated.expect("repeated before it was rotated");
                assert!(elapsed.abs() <= self.policy.grace.into(), "repeated after the grace");
                assert!(self.policy.grace > 0);
                if !is_stale {
                    let of_session =
                        self.handed_out.iter().filter(|other| other.session == it.session);
                    let last = of_session.map(|other| other.place).max();
                    assert_eq!(last, Some(it.place + 1), "an old generation was repeated");
                    self.hand_out(&tokens, it.place + 1);
                }
            }
            Refreshed::Reused(event) => {
                let all = listed.iter().map(|info| info.id());
                self.ended.extend(all.filter(|id| self.policy.ends_all || *id == it.session));
                assert_eq!(event.session_id(), it.session);
            }
            other => panic!("nothing was rolled back: {other:?}"),
        }
    }

    /// Checks the list of sessions, and the last `count` tokens that were handed out.
    fn check(&self, count: usize) {
        let listed = self.authority.sessions(&self.user).unwrap();
        assert!(listed.len() <= self.policy.max.into());
        for info in &listed {
            assert!(!self.ended.contains(&info.id()), "a session that was ended is listed");
        }
        for it in self.handed_out.iter().rev().take(count) {
            let access = Token::<Access>::new(&*it.access);
            let seen = self.authority.verify(&access, |_| Ok::<_, Infallible>(Some(&self.user)));
            let is_over = it.is_dead || self.ended.contains(&it.session) || self.user.disabled;
            assert!(!is_over || seen.is_err(), "a dead access token was accepted");
            if seen.is_ok() {
                assert!(listed.iter().any(|info| info.id() == it.session));
            }
        }
    }

    fn commit<T>(&mut self, decision: Decision<T>) -> T {
        let store = |change: &_| {
            self.user = self.user.after(change);
            Ok::<_, Infallible>(true)
        };
        decision.commit(store).unwrap().stored().unwrap()
    }

    fn hand_out(&mut self, tokens: &SessionTokens, place: usize) {
        let session = tokens.session().id();
        assert!(!self.ended.contains(&session), "a session begins that was ended");
        let [access, refresh] = [tokens.access().expose(), tokens.refresh().expose()];
        let [access, refresh] = [access, refresh].map(str::to_owned);
        self.handed_out.push(HandedOut {
            session,
            place,
            access,
            refresh,
            is_dead: false,
            rotated: None,
        });
    }

    fn end_all(&mut self) {
        self.ended.extend(self.handed_out.iter().map(|it| it.session));
        self.kill_all();
    }

    fn kill_all(&mut self) {
        self.handed_out.iter_mut().for_each(|it| it.is_dead = true);
    }

    fn pick(&self, at: u8) -> Option<usize> {
        let count = self.handed_out.len();
        (count > 0).then(|| count - 1 - usize::from(at) % count)
    }
}

fn authority(policy: Policy, now: &Arc<AtomicI64>) -> Authority {
    let now = Arc::clone(now);
    let sessions = SessionPolicy::new()
        .max_sessions(policy.max.into())
        .idle_lifetime(Duration::seconds(i64::from(policy.idle) + 1))
        .absolute_lifetime(Duration::seconds(i64::from(policy.absolute) * 4 + 1))
        .grace(Duration::seconds(policy.grace.into()))
        .when_full(match policy.refuses {
            true => WhenFull::Refuse,
            false => WhenFull::EvictLeastRecentlyUsed,
        })
        .on_reuse(match policy.ends_all {
            true => OnReuse::EndAllSessions,
            false => OnReuse::EndSession,
        });
    Authority::builder(MasterKey::from_bytes("k", &[7; 32]).unwrap(), "issuer", "audience")
        .sessions(sessions)
        .clock(move || instant(now.load(Ordering::Relaxed)))
        .entropy(Fixed([9; 16]))
        .build()
        .unwrap()
}

fn instant(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

const START: i64 = 20_000 * 86_400;
