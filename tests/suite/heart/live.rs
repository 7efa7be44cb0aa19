//! Watches of live connections, under Tokio's paused clock: no test sleeps.

use std::{
    collections::HashMap,
    future::{Future, pending, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration as StdDuration,
};

use relatch::{
    AccessToken, Authority, ConfigError, Reason, VerifyError,
    authority::Clock,
    live::{Ended, Live, MAX_BOUND, MIN_BOUND, Revocations, Watch},
};
use time::{Duration, OffsetDateTime};
use tokio::{
    task::yield_now,
    time::{Instant, advance, sleep, timeout},
};

use crate::common::{Account, START, TestClock, account, builder, key};

/// With this bound a check is due every 6 to 8 seconds and may take 4. A failed check is repeated
/// after a second, and notifications cause at most one per second.
const BOUND: Duration = Duration::seconds(16);

/// The tolerance for timers: Tokio's have a resolution of one millisecond.
const TICK: StdDuration = StdDuration::from_millis(2);

const fn seconds(seconds: u64) -> StdDuration {
    StdDuration::from_secs(seconds)
}

/// A users' table with answers set by the test, which records its lookups.
#[derive(Default)]
struct Store {
    users: Mutex<HashMap<String, Account>>,
    answer: Mutex<Answer>,
    during: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    looks: Mutex<Vec<Instant>>,
    running: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
enum Answer {
    #[default]
    Record,
    Failure,
    Silence,
    Slow(StdDuration),
}

#[derive(Debug, PartialEq)]
struct Down;

struct Running(Arc<Store>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Store {
    fn new(ids: &[&str]) -> Arc<Self> {
        let users = ids.iter().map(|id| ((*id).to_owned(), account(id))).collect();
        Arc::new(Self { users: Mutex::new(users), ..Self::default() })
    }

    /// Reads the record at the call, runs `during` if it is set, then answers.
    fn look_up(
        self: &Arc<Self>,
        id: &str,
    ) -> impl Future<Output = Result<Option<Account>, Down>> + Send + use<> {
        self.looks.lock().unwrap().push(Instant::now());
        let record = self.users.lock().unwrap().get(id).cloned();
        let during = self.during.lock().unwrap().take();
        during.into_iter().for_each(|during| during());
        let answer = *self.answer.lock().unwrap();
        self.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(self));
        async move {
            let _running = running;
            match answer {
                Answer::Record => {}
                Answer::Failure => return Err(Down),
                Answer::Silence => pending().await,
                Answer::Slow(time) => sleep(time).await,
            }
            Ok(record)
        }
    }

    fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn change(&self, id: &str, change: impl FnOnce(&mut Account)) {
        change(self.users.lock().unwrap().get_mut(id).unwrap());
    }

    fn bump(&self, id: &str) {
        self.change(id, |user| user.version += 1);
    }

    fn looks(&self) -> usize {
        self.looks.lock().unwrap().len()
    }
}

struct App {
    authority: Authority,
    store: Arc<Store>,
    revocations: Revocations,
    live: Live<Account, Down>,
}

impl App {
    fn new() -> Self {
        Self::with_clock(running_clock())
    }

    fn with_clock(clock: impl Clock + 'static) -> Self {
        Self::with_authority(builder(&TestClock::new()).clock(clock).build().unwrap(), BOUND)
    }

    fn with_authority(authority: Authority, bound: Duration) -> Self {
        let store = Store::new(&["alice", "bob"]);
        let revocations = Revocations::new();
        let db = Arc::clone(&store);
        let live =
            Live::new(authority.clone(), revocations.clone(), bound, move |id| db.look_up(&id));
        Self { authority, store, revocations, live: live.unwrap() }
    }

    fn token(&self, id: &str) -> AccessToken {
        let user = self.store.users.lock().unwrap()[id].clone();
        self.authority.issue_for_user(&user).unwrap()
    }

    async fn watch(&self, id: &str) -> Watch {
        let (verified, watch) = self.live.watch(self.token(id)).await.unwrap();
        assert_eq!(verified.user().id, id);
        watch
    }
}

/// A wall clock that follows Tokio's.
fn running_clock() -> impl Clock {
    let start = Instant::now();
    move || OffsetDateTime::from_unix_timestamp(START).unwrap() + start.elapsed()
}

/// What the watch resolves with, and after how long.
async fn outcome(watch: &mut Watch) -> (Ended, StdDuration) {
    let start = Instant::now();
    (watch.await, start.elapsed())
}

async fn is_alive_for(time: StdDuration, watch: &mut Watch) -> bool {
    timeout(time, watch).await.is_err()
}

fn revoked(ended: Ended) -> Reason {
    match ended {
        Ended::Revoked(rejection) => rejection.reason(),
        other => panic!("not revoked: {other:?}"),
    }
}

/// klangk #3152 and open-webui #29695: WebSockets and event streams outlived the revocation.
#[tokio::test(start_paused = true)]
async fn trap_a_connection_does_not_outlive_the_revocation() {
    let app = App::new();
    let watch = app.watch("alice").await;
    let connection = tokio::spawn(async move {
        let messages = async {
            loop {
                sleep(StdDuration::from_millis(700)).await;
            }
        };
        tokio::select! {
            () = messages => unreachable!("the client never leaves by itself"),
            ended = watch => (ended, Instant::now()),
        }
    });
    sleep(seconds(100)).await;
    assert!(!connection.is_finished());
    app.store.bump("alice");
    app.revocations.publish("alice");
    let notified = Instant::now();
    let (ended, closed) = connection.await.unwrap();
    assert_eq!(revoked(ended), Reason::RevokedByVersion);
    assert_eq!(closed, notified, "at once");
    assert!(app.live.watch(app.token("bob")).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn whatever_revokes_a_token_resolves_its_guard_when_it_is_told() {
    type Change = fn(&mut HashMap<String, Account>);
    let changes: [(Change, Reason); 4] = [
        (|users| users.get_mut("alice").unwrap().version = 1, Reason::RevokedByVersion),
        (
            |users| users.get_mut("alice").unwrap().password_hash = "$argon2id$other".into(),
            Reason::BadSignature,
        ),
        (|users| users.get_mut("alice").unwrap().active = false, Reason::InactiveUser),
        (|users| drop(users.remove("alice")), Reason::UnknownUser),
    ];
    for (change, reason) in changes {
        let app = App::new();
        let mut watch = app.watch("alice").await;
        assert!(is_alive_for(seconds(60), &mut watch).await);
        change(&mut app.store.users.lock().unwrap());
        app.revocations.publish("alice");
        let (ended, time) = outcome(&mut watch).await;
        assert_eq!((revoked(ended), time), (reason, StdDuration::ZERO));
    }
}

/// A notification after the first check, or after a scheduled one, causes a check at once.
#[tokio::test(start_paused = true)]
async fn a_notification_right_after_a_look_is_heeded_at_once() {
    let app = App::new();
    let mut first = app.watch("alice").await;
    app.store.bump("alice");
    app.revocations.publish("alice");
    assert_eq!(outcome(&mut first).await.1, StdDuration::ZERO);

    let mut watch = app.watch("bob").await;
    while app.store.looks() < 4 {
        assert!(is_alive_for(StdDuration::from_millis(1), &mut watch).await);
    }
    app.store.bump("bob");
    app.revocations.publish("bob");
    assert_eq!(outcome(&mut watch).await.1, StdDuration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_revocation_of_which_nobody_tells_is_found_within_the_bound() {
    for tenths in 0..200 {
        let app = App::new();
        let mut watch = app.watch("alice").await;
        assert!(is_alive_for(StdDuration::from_millis(tenths * 100), &mut watch).await);
        app.store.bump("alice");
        let (ended, time) = outcome(&mut watch).await;
        assert_eq!(revoked(ended), Reason::RevokedByVersion);
        assert!(time <= BOUND.unsigned_abs() / 2 + TICK, "{tenths}: {time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_expires_on_its_second() {
    for leeway in [0, 5] {
        let authority = builder(&TestClock::new())
            .clock(running_clock())
            .leeway(Duration::seconds(leeway))
            .lifetime(Duration::seconds(100))
            .build()
            .unwrap();
        let app = App::with_authority(authority, BOUND);
        let end = seconds(100 + leeway.unsigned_abs());
        let (ended, time) = outcome(&mut app.watch("alice").await).await;
        assert_eq!(ended, Ended::Expired);
        assert!(time >= end && time < end + StdDuration::from_millis(300), "{time:?}");
        if leeway == 0 {
            assert!(time <= end + TICK, "{time:?}");
        }
    }
}

/// The watch also ends at the token's expiry while the store does not answer.
#[tokio::test(start_paused = true)]
async fn a_session_expires_while_a_look_hangs() {
    let authority = builder(&TestClock::new())
        .clock(running_clock())
        .lifetime(Duration::seconds(9))
        .build()
        .unwrap();
    let app = App::with_authority(authority, BOUND);
    let mut watch = app.watch("alice").await;
    app.store.answers(Answer::Silence);
    let (ended, time) = outcome(&mut watch).await;
    assert_eq!(ended, Ended::Expired);
    assert!(time <= seconds(9) + TICK, "{time:?}");
}

/// The authority's clock decides the expiry, not the timer. A clock that is set ahead is noticed
/// within half the bound. A clock that stands still, even right before the expiry, causes no busy
/// loop.
#[tokio::test(start_paused = true)]
async fn the_wall_clock_may_jump_or_stand() {
    let clock = TestClock::new();
    let readings = Arc::new(AtomicUsize::new(0));
    let (read, counted) = (clock.clone(), Arc::clone(&readings));
    let app = App::with_clock(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        read.now() - Duration::MILLISECOND
    });
    let mut watch = app.watch("alice").await;
    for at in [0, 898, 899, 10, 899] {
        clock.set(at);
        let before = readings.load(Ordering::SeqCst);
        assert!(is_alive_for(seconds(100), &mut watch).await);
        let now = readings.load(Ordering::SeqCst) - before;
        assert!(now < 1000, "{now} readings in 100 seconds");
    }
    clock.set(900);
    let (ended, time) = outcome(&mut watch).await;
    assert_eq!(ended, Ended::Expired);
    assert!(time <= BOUND.unsigned_abs() / 2 + TICK, "{time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_within_the_bound_ends_no_session() {
    for (answer, away) in
        [(Answer::Failure, 15), (Answer::Silence, 12), (Answer::Slow(seconds(5)), 12)]
    {
        let app = App::new();
        let mut watch = app.watch("alice").await;
        app.store.answers(answer);
        assert!(is_alive_for(seconds(away) - TICK, &mut watch).await);
        app.store.answers(Answer::Record);
        assert!(is_alive_for(seconds(100), &mut watch).await);
        app.store.bump("alice");
        assert_eq!(revoked((&mut watch).await), Reason::RevokedByVersion);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_that_nobody_confirms_for_the_bound_ends_unconfirmed() {
    for (answer, least, most) in
        [(Answer::Failure, 8, 11), (Answer::Silence, 2, 3), (Answer::Slow(seconds(4) + TICK), 2, 3)]
    {
        let app = App::new();
        let mut watch = app.watch("alice").await;
        assert!(is_alive_for(seconds(50), &mut watch).await);
        let confirmed = *app.store.looks.lock().unwrap().last().unwrap();
        let before = app.store.looks();
        app.store.answers(answer);
        assert_eq!((&mut watch).await, Ended::Unconfirmed);
        let time = confirmed.elapsed();
        assert!(time >= seconds(16) && time <= seconds(16) + TICK, "{time:?}");
        let tries = app.store.looks() - before;
        assert!((least..=most).contains(&tries), "{tries} tries");
    }
}

/// Neither "revoked" nor "valid": the record cannot be used, and may be repaired.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_used_is_no_revocation() {
    let app = App::new();
    let mut watch = app.watch("alice").await;
    app.store.change("alice", |user| user.version = -1);
    app.revocations.publish("alice");
    let (ended, time) = outcome(&mut watch).await;
    assert_eq!(ended, Ended::Unconfirmed);
    assert!(time >= seconds(16) && time <= seconds(16) + TICK, "{time:?}");
}

/// The store fails when the notification comes: the revocation is found as soon as the store
/// answers again.
#[tokio::test(start_paused = true)]
async fn a_look_that_failed_is_made_up_for() {
    let app = App::new();
    let mut watch = app.watch("alice").await;
    app.store.answers(Answer::Failure);
    app.store.bump("alice");
    app.revocations.publish("alice");
    assert!(is_alive_for(StdDuration::from_millis(10), &mut watch).await);
    app.store.answers(Answer::Record);
    let (ended, time) = outcome(&mut watch).await;
    assert_eq!(revoked(ended), Reason::RevokedByVersion);
    assert!(time <= seconds(1), "{time:?}");
}

/// A check confirms the session as of the start of its read.
#[tokio::test(start_paused = true)]
async fn a_confirmation_counts_from_before_its_read() {
    let app = App::new();
    app.store.answers(Answer::Slow(seconds(3)));
    let mut watch = app.watch("alice").await;
    app.store.answers(Answer::Silence);
    let (ended, time) = outcome(&mut watch).await;
    assert_eq!(ended, Ended::Unconfirmed);
    assert!(time >= seconds(13) && time <= seconds(13) + TICK, "{time:?}");

    // The same for a later check, which began at most 8 seconds after the first.
    let app = App::new();
    let start = Instant::now();
    let mut watch = app.watch("alice").await;
    app.store.answers(Answer::Slow(seconds(3)));
    while app.store.looks() < 2 {
        assert!(is_alive_for(StdDuration::from_millis(1), &mut watch).await);
    }
    let began = app.store.looks.lock().unwrap()[1];
    app.store.answers(Answer::Silence);
    assert_eq!((&mut watch).await, Ended::Unconfirmed);
    assert!(began.elapsed() <= seconds(16) + TICK && start.elapsed() > seconds(16));
}

/// The watch subscribes before its first check, so it misses no change during that check.
#[tokio::test(start_paused = true)]
async fn a_revocation_during_the_first_look_is_not_missed() {
    let app = App::new();
    let token = app.token("alice");
    let (store, revocations) = (Arc::clone(&app.store), app.revocations.clone());
    *app.store.during.lock().unwrap() = Some(Box::new(move || {
        assert_eq!(revocations.watched_users(), 1);
        store.bump("alice");
        revocations.publish("alice");
    }));
    let (verified, mut watch) = app.live.watch(token).await.unwrap();
    assert_eq!(verified.user().version, 0, "the check found the older record");
    let (ended, time) = outcome(&mut watch).await;
    assert_eq!((revoked(ended), time), (Reason::RevokedByVersion, StdDuration::ZERO));
}

/// A notification during a later check causes one more check after it.
#[tokio::test(start_paused = true)]
async fn a_revocation_during_a_later_look_is_not_missed() {
    let app = App::new();
    let mut watch = app.watch("alice").await;
    let (store, revocations) = (Arc::clone(&app.store), app.revocations.clone());
    *app.store.during.lock().unwrap() = Some(Box::new(move || {
        store.bump("alice");
        revocations.publish("alice");
    }));
    app.revocations.publish("alice");
    let (ended, time) = outcome(&mut watch).await;
    assert_eq!(revoked(ended), Reason::RevokedByVersion);
    assert!(time <= seconds(1) + TICK, "{time:?}");
    assert_eq!(app.store.looks(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_happens_to_another_user_wakes_nobody() {
    let app = App::new();
    let mut watch = app.watch("alice").await;
    for _ in 0..50 {
        app.store.bump("bob");
        app.revocations.publish("bob");
        app.revocations.publish("nobody");
        assert!(is_alive_for(StdDuration::from_millis(100), &mut watch).await);
    }
    assert_eq!(app.store.looks(), 1);
}

#[tokio::test(start_paused = true)]
async fn everybody_looks_again_when_the_carrier_is_back() {
    let app = App::new();
    let (mut alice, mut bob) = (app.watch("alice").await, app.watch("bob").await);
    app.store.bump("alice");
    app.revocations.publish_all();
    let (ended, time) = outcome(&mut alice).await;
    assert_eq!((revoked(ended), time), (Reason::RevokedByVersion, StdDuration::ZERO));
    assert!(is_alive_for(seconds(1), &mut bob).await);
    assert_eq!(app.store.looks(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_notifications_ends_nothing_and_costs_a_look_a_second() {
    for (bound, per_minute) in [(16, 60), (4, 240), (3600, 60)] {
        let spacing = seconds(60) / per_minute;
        let clock = running_clock();
        let authority = builder(&TestClock::new()).clock(clock).build().unwrap();
        let app = App::with_authority(authority, Duration::seconds(bound));
        let mut watch = app.watch("alice").await;
        for _ in 0..6000 {
            app.revocations.publish("alice");
            app.revocations.publish_all();
            assert!(is_alive_for(StdDuration::from_millis(10), &mut watch).await);
        }
        let looks = app.store.looks();
        assert!(looks <= per_minute as usize + 3, "{looks} looks in a minute");
        app.store.bump("alice");
        app.revocations.publish("alice");
        let (ended, time) = outcome(&mut watch).await;
        assert_eq!(revoked(ended), Reason::RevokedByVersion);
        assert!(time <= spacing + TICK, "{time:?}");
    }
}

/// Without notifications a watch checks two to three times per bound, and watches that were opened
/// together do not check together.
#[tokio::test(start_paused = true)]
async fn watches_look_seldom_and_not_all_at_once() {
    let app = App::new();
    let mut watches = Vec::new();
    for _ in 0..16 {
        watches.push(tokio::spawn(app.watch("alice").await));
    }
    let start = Instant::now();
    sleep(seconds(8) + TICK).await;
    let mut looks: Vec<_> = app.store.looks.lock().unwrap().drain(..).skip(16).collect();
    assert_eq!(looks.len(), 16);
    assert!(looks.iter().all(|at| *at - start >= seconds(6)));
    looks.dedup();
    assert!(looks.len() >= 14, "{looks:?}");
    sleep(seconds(152)).await;
    let looks = app.store.looks() / 16;
    assert!((18..=26).contains(&looks), "{looks} each, in 9.5 bounds");
    watches.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(start_paused = true)]
async fn the_hub_does_not_grow() {
    let app = App::new();
    let users = (0..1000).map(|n| account(&format!("user{n}")));
    app.store.users.lock().unwrap().extend(users.map(|user| (user.id.clone(), user)));
    let mut watches = Vec::new();
    for n in 0..1000 {
        watches.push(app.watch(&format!("user{n}")).await);
    }
    let again = app.watch("user0").await;
    assert_eq!(app.revocations.watched_users(), 1000);
    watches.truncate(10);
    assert_eq!(app.revocations.watched_users(), 10);
    watches.clear();
    assert_eq!(app.revocations.watched_users(), 1);
    app.store.bump("user0");
    app.revocations.publish("user0");
    let mut again = again;
    assert_eq!(revoked((&mut again).await), Reason::RevokedByVersion);
    assert_eq!(app.revocations.watched_users(), 0, "resolved, though still in scope");

    // Neither publishing, nor a refused or forged token, leaves an entry.
    app.revocations.publish("alice");
    let token = app.token("alice");
    app.store.bump("alice");
    let error = app.live.watch(token).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RevokedByVersion));
    let other = builder(&TestClock::new()).build().unwrap().with_keys(key("k1", 9)).unwrap();
    let looks = app.store.looks();
    let error = app.live.watch(other.issue_for_user(&account("alice")).unwrap()).await;
    assert_eq!(error.unwrap_err().reason(), Some(Reason::Forged));
    assert_eq!((app.revocations.watched_users(), app.store.looks()), (0, looks));
    app.store.answers(Answer::Failure);
    let error = app.live.watch(app.token("bob")).await.unwrap_err();
    assert_eq!(error, VerifyError::Lookup(Down));
    assert_eq!(app.revocations.watched_users(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_half_way_leaves_nothing() {
    let app = App::new();
    app.store.answers(Answer::Silence);
    assert!(timeout(seconds(1), app.live.watch(app.token("alice"))).await.is_err());
    assert_eq!(app.revocations.watched_users(), 0);
    assert_eq!(app.store.running.load(Ordering::SeqCst), 0);

    app.store.answers(Answer::Record);
    let mut watch = app.watch("alice").await;
    app.store.answers(Answer::Silence);
    app.revocations.publish("alice");
    assert!(is_alive_for(seconds(1), &mut watch).await);
    assert_eq!(app.store.running.load(Ordering::SeqCst), 1);
    drop(watch);
    assert_eq!(app.revocations.watched_users(), 0);
    assert_eq!(app.store.running.load(Ordering::SeqCst), 0);
    let App { live, store, .. } = app;
    drop(live);
    assert_eq!(Arc::strong_count(&store), 1);
}

#[tokio::test(start_paused = true)]
async fn a_guard_that_resolved_says_the_same_again() {
    let app = App::new();
    let mut watch = app.watch("alice").await;
    app.store.bump("alice");
    app.revocations.publish("alice");
    let ended = (&mut watch).await;
    assert_eq!((&mut watch).await, ended);
    let again = poll_fn(|cx| Poll::Ready(Pin::new(&mut watch).poll(cx))).await;
    assert_eq!(again, Poll::Ready(ended));
}

/// A watch that was not polled has checked nothing, so it must not report the session as valid.
#[tokio::test(start_paused = true)]
async fn a_guard_that_was_not_polled_for_the_bound_is_unconfirmed() {
    let app = App::new();
    let mut watch = app.watch("alice").await;
    assert!(is_alive_for(seconds(1), &mut watch).await);
    advance(seconds(16)).await;
    assert_eq!(outcome(&mut watch).await, (Ended::Unconfirmed, StdDuration::ZERO));
    assert_eq!(app.store.looks(), 1);

    // After a shorter pause it first catches up with its check.
    let mut watch = app.watch("bob").await;
    assert!(is_alive_for(seconds(1), &mut watch).await);
    app.store.bump("bob");
    advance(seconds(12)).await;
    assert_eq!(outcome(&mut watch).await.1, StdDuration::ZERO);
}

/// A watch runs in no task of its own.
#[tokio::test(start_paused = true)]
async fn a_guard_does_nothing_unless_it_is_polled() {
    let app = App::new();
    let watch = app.watch("alice").await;
    app.revocations.publish("alice");
    sleep(seconds(100)).await;
    assert_eq!(app.store.looks(), 1);
    drop(watch);
}

/// Watches follow a rotation of the keys, as the verification of requests does.
#[tokio::test(start_paused = true)]
async fn a_key_that_retires_or_is_removed_ends_the_connections_under_it() {
    for removed in [false, true] {
        let app = App::new();
        let token = app.token("alice");
        let mut watch = app.watch("alice").await;
        let deadline = OffsetDateTime::from_unix_timestamp(START + 100).unwrap();
        let ring = app.authority.keys().clone().rotate(key("k2", 2), deadline).unwrap();
        app.live.replace_authority(app.authority.with_keys(ring.clone()).unwrap());
        app.revocations.publish_all();
        assert!(is_alive_for(seconds(90), &mut watch).await);
        if removed {
            let ring = ring.remove("k1").unwrap();
            app.live.clone().replace_authority(app.authority.with_keys(ring).unwrap());
            app.revocations.publish_all();
            let looks = app.store.looks();
            let (ended, time) = outcome(&mut watch).await;
            assert_eq!((revoked(ended), time), (Reason::UnknownKey, StdDuration::ZERO));
            assert_eq!(app.store.looks(), looks);
            let error = app.live.watch(token).await.unwrap_err();
            assert_eq!(error.reason(), Some(Reason::UnknownKey));
        } else {
            let (ended, time) = outcome(&mut watch).await;
            assert_eq!(revoked(ended), Reason::RetiredKey);
            assert!(time >= seconds(10) && time <= seconds(18) + TICK, "{time:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_bound_takes_a_second_to_an_hour() {
    let lookup = |_: String| async { Ok::<Option<Account>, Down>(None) };
    let with = |bound| {
        let authority = builder(&TestClock::new()).build().unwrap();
        Live::new(authority, Revocations::new(), bound, lookup).map(drop)
    };
    assert_eq!((MIN_BOUND, MAX_BOUND), (Duration::SECOND, Duration::HOUR));
    assert_eq!((with(MIN_BOUND), with(MAX_BOUND)), (Ok(()), Ok(())));
    for bound in [
        Duration::ZERO,
        MIN_BOUND - Duration::NANOSECOND,
        MAX_BOUND + Duration::NANOSECOND,
        -MIN_BOUND,
        Duration::MAX,
    ] {
        assert!(matches!(with(bound), Err(ConfigError { .. })), "{bound}");
    }
    assert_eq!(
        with(Duration::ZERO).unwrap_err().to_string(),
        "the bound must be 1 to 3600 seconds"
    );
}

/// The bound holds at both ends of its range.
#[tokio::test(start_paused = true)]
async fn the_bound_holds_at_both_ends_of_its_range() {
    for bound in [MIN_BOUND, MAX_BOUND] {
        let lifetime = Duration::days(1);
        let clock = running_clock();
        let authority = builder(&TestClock::new()).clock(clock).lifetime(lifetime).build().unwrap();
        let app = App::with_authority(authority, bound);
        let mut watch = app.watch("alice").await;
        assert!(is_alive_for(bound.unsigned_abs() * 3, &mut watch).await);
        app.store.bump("alice");
        let (ended, time) = outcome(&mut watch).await;
        assert_eq!(revoked(ended), Reason::RevokedByVersion);
        assert!(time <= bound.unsigned_abs() / 2 + TICK, "{time:?}");
    }
}

/// Connections open on several threads during a revocation: none survives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn watches_are_spawned_and_told_from_any_thread() {
    fn is_for_any_thread<T: Send + Sync>(value: T) -> Arc<T> {
        Arc::new(value)
    }
    let authority = builder(&TestClock::new()).build().unwrap();
    let app = is_for_any_thread(App::with_authority(authority, BOUND));
    let mut connections = Vec::new();
    for n in 0..200 {
        let (token, app) = (app.token(["alice", "bob"][n % 2]), Arc::clone(&app));
        connections.push(tokio::spawn(async move {
            let (_, watch) = app.live.watch(token).await.ok()?;
            if n % 5 == 0 { None } else { Some(watch.await) }
        }));
    }
    while app.store.looks() < 100 {
        app.revocations.publish("bob");
        yield_now().await;
    }
    for id in ["alice", "bob"] {
        app.store.bump(id);
        app.revocations.publish(id);
    }
    let all = async {
        for connection in connections {
            let ended = connection.await.unwrap();
            assert!(ended.is_none_or(|ended| revoked(ended) == Reason::RevokedByVersion));
        }
    };
    timeout(seconds(5), all)
        .await
        .expect("the notification ends all, long before their next scheduled check");
    assert_eq!(app.revocations.watched_users(), 0);
}
