//! The clock at any instant that it can show: no call panics, at neither end of the calendar.

use std::{
    fmt::Debug,
    sync::{Arc, Mutex},
};

use proptest::{collection::vec, prelude::*, sample::Index};
use relatch::{
    Access, AccessToken, Authority, KeyRing, NoClaims, RefreshToken, SessionPolicy, SessionTokens,
    Token, Verified,
    authority::{Adoption, Clock, Decision},
};
use serde_json::json;
use time::{Duration, OffsetDateTime, UtcOffset};

use crate::{
    common::{
        AUDIENCE, Account, HASH, ISSUER, MagicLink, Reset, TestEntropy, account, copy, key, peek,
        verify,
    },
    forge,
};

/// A clock that shows any instant, in any offset.
#[derive(Clone)]
struct AnyClock(Arc<Mutex<OffsetDateTime>>);

impl AnyClock {
    fn set(&self, now: OffsetDateTime) {
        *self.0.lock().unwrap() = now;
    }
}

impl Clock for AnyClock {
    fn now(&self) -> OffsetDateTime {
        *self.0.lock().unwrap()
    }
}

/// The first and the last second of the calendar (years -9999 to 9999), since 1970.
const FIRST: i64 = -377_705_116_800;
const LAST: i64 = 253_402_300_799;

fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds.clamp(FIRST, LAST)).unwrap()
}

/// An instant near an end of the calendar, near 1970, or anywhere.
fn instant() -> impl Strategy<Value = OffsetDateTime> {
    let near = prop_oneof![0..5_i64, 0..1_000_i64, 0..40_000_000_i64];
    let seconds = prop_oneof![
        4 => near.clone().prop_map(|ago| LAST - ago),
        1 => near.clone().prop_map(|after| FIRST + after),
        2 => (near, any::<bool>()).prop_map(|(by, later)| if later { by } else { -by }),
        2 => 0..=LAST,
        1 => FIRST..=LAST,
    ];
    (seconds, 0..1_000_000_000_i64, -23..=23_i8).prop_map(|(seconds, nanoseconds, hours)| {
        let exact = at(seconds).saturating_add(Duration::nanoseconds(nanoseconds));
        let offset = UtcOffset::from_hms(hours, 0, 0).unwrap();
        // Not every instant can be written in every offset.
        exact.checked_to_offset(offset).unwrap_or(exact)
    })
}

#[derive(Clone, Debug)]
enum Step {
    Login,
    Issue(i64),
    Verify,
    Adopted(i64, i64),
    Refresh(Index),
    LogOutOthers,
    ChangePassword,
    Restart,
    LogOutEverywhere,
    List,
    Link,
    Reset,
    Rotate(OffsetDateTime),
}

fn step() -> impl Strategy<Value = Step> {
    let lifetime = prop_oneof![Just(1), 1..=366 * 86_400_i64];
    let claim = || prop_oneof![LAST - 1_000..=LAST, 0..=LAST];
    prop_oneof![
        2 => Just(Step::Login),
        1 => lifetime.prop_map(Step::Issue),
        1 => Just(Step::Verify),
        1 => (claim(), claim()).prop_map(|(exp, nbf)| Step::Adopted(exp, nbf)),
        2 => any::<Index>().prop_map(Step::Refresh),
        2 => Just(Step::LogOutOthers),
        1 => Just(Step::ChangePassword),
        2 => Just(Step::Restart),
        1 => Just(Step::LogOutEverywhere),
        1 => Just(Step::List),
        1 => Just(Step::Link),
        1 => Just(Step::Reset),
        1 => instant().prop_map(Step::Rotate),
    ]
}

struct World {
    authority: Authority,
    user: Account,
    access: Option<AccessToken>,
    verified: Option<Verified<Account>>,
    refreshes: Vec<RefreshToken>,
    link: Option<Token<MagicLink>>,
    reset: Option<Token<Reset>>,
    rotations: usize,
}

impl World {
    /// Sessions last for `session` seconds.
    fn new(clock: &AnyClock, session: i64, leeway: i64, until: OffsetDateTime) -> Self {
        let session = Duration::seconds(session);
        let policy = SessionPolicy::new().idle_lifetime(session).absolute_lifetime(session);
        let authority = Authority::builder(key("k1", 1), ISSUER, AUDIENCE)
            .clock(clock.clone())
            .entropy(TestEntropy::default())
            .leeway(Duration::seconds(leeway))
            .sessions(policy)
            .adopt(Adoption::hs256(b"legacy", 0, until))
            .build()
            .unwrap();
        Self {
            authority,
            user: account("alice"),
            access: None,
            verified: None,
            refreshes: Vec::new(),
            link: None,
            reset: None,
            rotations: 0,
        }
    }

    fn take(&mut self, step: &Step) {
        let (authority, read) = (self.authority.clone(), self.user.clone());
        match step {
            Step::Login => {
                self.keep(authority.start_session(&read, "phone"));
            }
            Step::Issue(seconds) => {
                let issue = authority.issue::<Access>(&read, &NoClaims {});
                if let Ok(token) = issue.lifetime(Duration::seconds(*seconds)).sign() {
                    self.access = Some(token);
                }
            }
            Step::Verify => {
                if let Some(token) = &self.access {
                    let opened = authority.open(token).map(|opened| opened.expires_at());
                    let verified = verify(&authority, token, &read);
                    assert!(opened.is_ok() || verified.is_err());
                    self.verified = verified.ok().or(self.verified.take());
                }
            }
            Step::Adopted(exp, nbf) => {
                let claims = json!({ "sub": "alice", "exp": exp, "nbf": nbf, "iat": nbf });
                let token = AccessToken::new(forge::plain(&claims, b"legacy"));
                if let Ok(verified) = verify(&authority, &token, &read) {
                    assert!(verified.registered().issued_at() <= Some(at(LAST)));
                }
            }
            Step::Refresh(which) if !self.refreshes.is_empty() => {
                let token = copy(which.get(&self.refreshes));
                if let Ok(opened) = authority.open_refresh(token)
                    && let Ok(decision) = opened.refresh(&read)
                {
                    let refreshed = self.user.commit(decision);
                    self.keep_tokens(refreshed.into_tokens());
                }
            }
            Step::Refresh(_) => {}
            Step::LogOutOthers => self.with_verified(&read, |authority, user, verified| {
                authority.issue::<Access>(user, &NoClaims {}).log_out_others(verified)
            }),
            Step::ChangePassword => {
                let changed = Account { password_hash: format!("{HASH}+"), ..read };
                self.with_verified(&changed, |authority, user, verified| {
                    authority.issue::<Access>(user, &NoClaims {}).change_password(verified)
                });
            }
            Step::Restart => self.with_verified(&read, |authority, user, verified| {
                authority.issue::<Access>(user, &NoClaims {}).restart_session(verified)
            }),
            Step::LogOutEverywhere => {
                if let Ok(decision) = authority.log_out_everywhere(&read) {
                    self.user.commit(decision);
                }
            }
            Step::List => {
                for session in authority.sessions(&read).unwrap() {
                    assert!(session.expires_at() <= at(LAST));
                }
            }
            Step::Link => {
                if let Some(link) = self.link.take()
                    && let Ok(opened) = authority.open_once(link)
                    && let Ok(decision) = opened.consume(&read)
                {
                    let _ = self.user.commit(decision);
                }
                let issue = authority.issue::<MagicLink>(&read, &NoClaims {});
                if let Ok(decision) = issue.lifetime(Duration::days(366)).supersede() {
                    let link = self.user.commit(decision);
                    let _ = peek(&authority, &link, &self.user);
                    self.link = Some(link);
                }
            }
            Step::Reset => {
                if let Some(reset) = self.reset.take()
                    && let Ok(opened) = authority.open_once(reset)
                    && let Ok(decision) = opened.consume(&read)
                {
                    let _ = self.user.commit(decision);
                }
                self.reset = authority.issue::<Reset>(&read, &NoClaims {}).sign().ok();
            }
            Step::Rotate(until) => {
                self.rotations += 1;
                let new = key(&format!("r{}", self.rotations), 1 + self.rotations as u8);
                let ring: KeyRing = authority.keys().clone().rotate(new, *until).unwrap();
                self.authority = authority.with_keys(ring).unwrap();
            }
        }
    }

    fn with_verified<E: Debug>(
        &mut self,
        user: &Account,
        decide: impl FnOnce(
            &Authority,
            &Account,
            &Verified<Account>,
        ) -> Result<Decision<SessionTokens>, E>,
    ) {
        if let Some(verified) = self.verified.clone() {
            let decided = decide(&self.authority, user, &verified);
            self.keep(decided);
        }
    }

    fn keep<E>(&mut self, decided: Result<Decision<SessionTokens>, E>) {
        if let Ok(decision) = decided {
            let tokens = self.user.commit(decision);
            self.keep_tokens(Ok::<_, ()>(tokens));
        }
    }

    fn keep_tokens<E>(&mut self, tokens: Result<SessionTokens, E>) {
        if let Ok(tokens) = tokens {
            self.refreshes.push(copy(tokens.refresh()));
            self.access = Some(copy(tokens.access()));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::support::cases(400)))]

    #[test]
    fn no_call_panics_at_any_instant(
        session in prop_oneof![Just(1), 1..=366 * 86_400_i64],
        leeway in prop_oneof![Just(0), Just(300), 0..=300_i64],
        until in instant(),
        steps in vec((step(), prop::option::of(instant())), 1..24),
    ) {
        let clock = AnyClock(Arc::new(Mutex::new(at(LAST - session))));
        let mut world = World::new(&clock, session, leeway, until);
        world.take(&Step::Login);
        world.take(&Step::Verify);
        for (step, now) in &steps {
            if let Some(now) = now {
                clock.set(*now);
            }
            world.take(step);
        }
    }
}

/// The leeway would end after the calendar does.
#[test]
fn the_last_session_of_the_calendar_can_log_the_others_out_and_restart() {
    let clock = AnyClock(Arc::new(Mutex::new(at(LAST - 10))));
    let mut world = World::new(&clock, 5, 300, at(LAST));
    world.take(&Step::Login);
    for step in [Step::LogOutOthers, Step::Restart, Step::ChangePassword] {
        world.take(&Step::Verify);
        let before = world.refreshes.len();
        world.take(&step);
        assert_eq!(world.refreshes.len(), before + 1, "{step:?}");
    }
}

#[cfg(feature = "live")]
#[tokio::test(start_paused = true)]
async fn a_live_connection_can_open_at_the_end_of_the_calendar() {
    use relatch::live::{Live, Revocations};

    let clock = AnyClock(Arc::new(Mutex::new(at(LAST - 10))));
    let mut world = World::new(&clock, 5, 300, at(LAST));
    world.take(&Step::Login);
    let user = world.user.clone();
    let lookup = move |_| std::future::ready(Ok::<_, std::convert::Infallible>(Some(user.clone())));
    let (revocations, bound) = (Revocations::new(), Duration::seconds(30));
    let live = Live::new(world.authority.clone(), revocations, bound, lookup).unwrap();
    let (_, watch) = live.watch(copy(world.access.as_ref().unwrap())).await.unwrap();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), watch).await;
    assert!(ended.is_err(), "the clock stands still, so the token does not expire");
}
