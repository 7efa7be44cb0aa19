//! Tests under Tokio's paused clock. The tests answer the reads.

mod confirming;
mod failing;
mod in_flight;
mod random;

use std::{future::Future, sync::Arc, time::Duration as StdDuration};

use time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, yield_now},
    time::{Instant, advance},
};

use super::{Cache, CachePolicy, Found};
use crate::{
    store::{Columns, Record, Row, StoreError, StoredUser},
    user::User,
};

/// The staleness bound of the caches in these tests.
const BOUND: StdDuration = StdDuration::from_secs(10);

const TICK: StdDuration = StdDuration::from_millis(1);

/// A user whose record holds the number of its state.
fn user(id: &str, state: u64) -> StoredUser<u64> {
    let mut columns = Columns::default();
    columns.secret = Some("a secret".to_owned());
    Record::read(Row::new(id, columns, state)).unwrap().into_user(true)
}

fn policy(max_users: usize) -> CachePolicy {
    CachePolicy::new(BOUND.try_into().unwrap(), max_users).unwrap()
}

fn outage() -> StoreError {
    StoreError::unreachable("an outage")
}

/// A read that waits for the test's answer.
struct Asked {
    id: String,
    began: Instant,
    answer: oneshot::Sender<Result<Option<u64>, StoreError>>,
}

impl Asked {
    async fn answer(self, answer: Result<Option<u64>, StoreError>) {
        self.answer.send(answer).unwrap();
        settle().await;
    }
}

/// A cache, and its store, whose reads the test answers.
struct Setup {
    cache: Arc<Cache<u64>>,
    asked: mpsc::UnboundedReceiver<Asked>,
}

type Call = JoinHandle<Result<Found<u64>, StoreError>>;

impl Setup {
    fn new() -> Self {
        let (ask, asked) = mpsc::unbounded_channel();
        let load = move |id: String| {
            let (answer, answered) = oneshot::channel();
            ask.send(Asked { id: id.clone(), began: Instant::now(), answer }).unwrap();
            // Dropping a read without an answer makes the store panic.
            async move { answered.await.unwrap().map(|state| state.map(|state| user(&id, state))) }
        };
        let cache = Cache::new(policy(100), Arc::new(move |id| Box::pin(load.clone()(id))));
        Self { cache: Arc::new(cache), asked }
    }

    /// With alice's record in the cache, just read.
    async fn holding(state: u64) -> Self {
        let mut setup = Self::new();
        let call = setup.find();
        setup.asked().await.answer(Ok(Some(state))).await;
        assert_eq!(state_of(call).await, Some(state));
        setup
    }

    fn find(&self) -> Call {
        self.call(|cache| async move { cache.find("alice").await })
    }

    fn find_since(&self, since: Instant) -> Call {
        self.call(move |cache| async move { cache.find_since("alice", since).await })
    }

    fn confirm(&self, since: Instant) -> Call {
        self.call(move |cache| async move { cache.confirm("alice", since).await })
    }

    fn call<C>(&self, call: impl FnOnce(Arc<Cache<u64>>) -> C) -> Call
    where
        C: Future<Output = Result<Found<u64>, StoreError>> + Send + 'static,
    {
        tokio::spawn(call(Arc::clone(&self.cache)))
    }

    /// The next read that has begun.
    async fn asked(&mut self) -> Asked {
        settle().await;
        self.asked.try_recv().expect("a read began")
    }

    async fn assert_no_read(&mut self) {
        settle().await;
        assert!(self.asked.try_recv().is_err(), "no read began");
    }

    /// The cached state of alice, without a read.
    async fn assert_kept(&mut self, state: Option<u64>) {
        let call = self.find();
        self.assert_no_read().await;
        assert_eq!(state_of(call).await, state);
    }

    async fn assert_nothing_kept(&mut self) {
        let call = self.find();
        drop(self.asked().await);
        assert!(error_of(call).await.is_unreachable());
    }
}

/// Lets all tasks run until they wait for the clock or a read.
async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// The state that a call returned. The call can end without the clock.
async fn state_of(call: Call) -> Option<u64> {
    ended(call).await.unwrap().user.map(|user| *user.fields())
}

async fn error_of(call: Call) -> StoreError {
    ended(call).await.err().expect("an error")
}

async fn ended(call: Call) -> Result<Found<u64>, StoreError> {
    settle().await;
    assert!(call.is_finished());
    call.await.unwrap()
}

#[test]
fn a_policy_takes_a_bound_in_range_and_a_user() {
    let new = |bound, users| CachePolicy::new(bound, users).err().map(|error| error.setting());
    assert_eq!(new(Duration::SECOND, 1), None);
    assert_eq!(new(Duration::HOUR, 100_000_000), None);
    assert_eq!(new(Duration::HOUR, 100_000_001), Some("max_users"));
    let below = Duration::SECOND - Duration::NANOSECOND;
    assert_eq!(new(below, 1), Some("max_staleness"));
    assert_eq!(new(Duration::HOUR + Duration::NANOSECOND, 1), Some("max_staleness"));
    assert_eq!(new(-Duration::MINUTE, 1), Some("max_staleness"));
    assert_eq!(new(Duration::MINUTE, 0), Some("max_users"));
}

#[tokio::test(start_paused = true)]
async fn a_record_is_served_to_the_bound_and_no_longer() {
    let mut setup = Setup::holding(1).await;
    advance(BOUND - TICK).await;
    setup.assert_kept(Some(1)).await;
    advance(TICK).await;
    let call = setup.find();
    setup.asked().await.answer(Ok(Some(2))).await;
    assert_eq!(state_of(call).await, Some(2));
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_before_the_read_began() {
    let mut setup = Setup::new();
    let call = setup.find();
    let asked = setup.asked().await;
    let began = Instant::now();
    advance(BOUND / 2).await;
    asked.answer(Ok(Some(1))).await;
    assert_eq!(ended(call).await.unwrap().began, began);
    advance(BOUND / 2 - TICK).await;
    setup.assert_kept(Some(1)).await;
    advance(TICK).await;
    setup.assert_nothing_kept().await;
}

#[tokio::test(start_paused = true)]
async fn an_absent_user_is_looked_for_again_after_a_second() {
    let mut setup = Setup::new();
    let call = setup.find();
    setup.asked().await.answer(Ok(None)).await;
    assert_eq!(state_of(call).await, None);
    advance(StdDuration::from_millis(999)).await;
    setup.assert_kept(None).await;
    advance(TICK).await;
    let call = setup.find();
    setup.asked().await.answer(Ok(Some(1))).await;
    assert_eq!(state_of(call).await, Some(1));
}

#[tokio::test(start_paused = true)]
async fn callers_share_one_read_of_each_user() {
    let mut setup = Setup::new();
    let calls: Vec<_> = (0..100).map(|_| setup.find()).collect();
    let other = setup.call(|cache| async move { cache.find("bob").await });
    let (alice, bob) = (setup.asked().await, setup.asked().await);
    assert_eq!((alice.id.as_str(), bob.id.as_str()), ("alice", "bob"));
    setup.assert_no_read().await;
    bob.answer(Ok(Some(2))).await;
    assert_eq!(ended(other).await.unwrap().user.unwrap().id(), "bob");
    alice.answer(Ok(Some(1))).await;
    for call in calls {
        assert_eq!(state_of(call).await, Some(1));
    }
    assert!(setup.cache.0.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_fresh_record_takes_a_read_that_began_late_enough() {
    let mut setup = Setup::holding(1).await;
    let read_at = Instant::now();
    advance(TICK).await;
    let call = setup.find_since(read_at);
    setup.assert_no_read().await;
    assert_eq!(state_of(call).await, Some(1));

    let (first, second) = (setup.find_since(Instant::now()), setup.find_since(Instant::now()));
    let asked = setup.asked().await;
    setup.assert_no_read().await;
    // A read in flight may have missed the change that this call must see.
    advance(TICK).await;
    let third = setup.find_since(Instant::now());
    let asked_again = setup.asked().await;
    asked.answer(Ok(Some(2))).await;
    assert_eq!((state_of(first).await, state_of(second).await), (Some(2), Some(2)));
    assert!(!third.is_finished());
    asked_again.answer(Ok(Some(3))).await;
    assert_eq!(state_of(third).await, Some(3));
    setup.assert_kept(Some(3)).await;

    // A future instant counts as now, and one long ago does not permit a record beyond the bound.
    let call = setup.find_since(Instant::now() + BOUND);
    setup.assert_no_read().await;
    drop(call);
    advance(BOUND).await;
    let call = setup.find_since(read_at);
    setup.asked().await.answer(Ok(Some(4))).await;
    assert_eq!(state_of(call).await, Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_breaks_no_read_off() {
    let mut setup = Setup::new();
    let leader = setup.find();
    let asked = setup.asked().await;
    let follower = setup.find();
    settle().await;
    leader.abort();
    settle().await;
    asked.answer(Ok(Some(1))).await;
    assert_eq!(state_of(follower).await, Some(1));

    // The read also continues after its last caller has gone.
    setup.cache.invalidate("alice");
    let only = setup.find();
    let asked = setup.asked().await;
    only.abort();
    settle().await;
    asked.answer(Ok(Some(2))).await;
    setup.assert_kept(Some(2)).await;
    assert!(setup.cache.0.in_flight().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_more_users_are_kept_than_the_policy_says() {
    let load = |id: String| Box::pin(async move { Ok(Some(user(&id, 1))) }) as _;
    for max_users in [1, 2, 33, 100] {
        let cache = Cache::new(policy(max_users), Arc::new(load));
        for id in 0..10 * max_users {
            assert!(cache.find(&id.to_string()).await.unwrap().user.is_some());
        }
        // Rounded up to a multiple of the container's shards.
        let kept = cache.0.kept.len();
        assert!(kept >= 1 && kept < max_users + cache.0.kept.num_shards(), "{kept} of {max_users}");
        assert!(cache.0.in_flight().is_empty());
    }
}
