//! A cache of users' records with a stated bound, in front of a store.
//!
//! A hit is a lookup in a concurrent map. Everything else goes through [`InFlight`], under one lock:
//! callers that wait share one read, and a record is cached only if its read was not invalidated.

mod in_flight;
mod key;
mod policy;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep_until, timeout_at},
};

pub use self::policy::CachePolicy;
use self::{
    in_flight::{Finished, InFlight, Outcome},
    key::{Id, Key},
};
use super::found::Found;
use crate::store::{StoreError, StoredUser};

/// The shortest time between two reads that confirm a verdict on the same user.
pub(super) const CONFIRM_INTERVAL: Duration = Duration::from_millis(250);

/// The longest time for which the absence of a user is cached.
const MAX_ABSENCE: Duration = Duration::from_secs(1);

/// The number of reads that one call waits for if each is invalidated.
const MAX_READS: u32 = 4;

/// Reads a user's record from the store.
pub(super) type Load<F> = Arc<dyn Fn(String) -> Loading<F> + Send + Sync>;

type Loading<F> = Pin<Box<dyn Future<Output = Result<Option<StoredUser<F>>, StoreError>> + Send>>;

/// Users' records, and the reads of them. Dropping the future of a call aborts no read.
pub(super) struct Cache<F>(Arc<Shared<F>>);

struct Shared<F> {
    max_staleness: Duration,
    load: Load<F>,
    /// Written only under the lock of `in_flight`. Its own loading is not used: it makes the callers
    /// that share a failing load try again, one after another.
    kept: quick_cache::sync::Cache<Key<F>, Found<F>>,
    in_flight: Mutex<InFlight<F>>,
}

impl<F: Clone + Send + Sync + 'static> Cache<F> {
    pub(super) fn new(policy: CachePolicy, load: Load<F>) -> Self {
        Self(Arc::new(Shared {
            max_staleness: policy.max_staleness(),
            load,
            kept: quick_cache::sync::Cache::new(policy.max_users()),
            in_flight: Mutex::default(),
        }))
    }

    pub(super) fn max_staleness(&self) -> Duration {
        self.0.max_staleness
    }

    /// A cached record within the bound, else one shared read.
    pub(super) async fn find(&self, id: &str) -> Result<Found<F>, StoreError> {
        self.find_by(id, None, Pace::AtOnce).await
    }

    /// A record whose read began no earlier than `since`: the cached one, else one shared read.
    pub(super) async fn find_since(
        &self,
        id: &str,
        since: Instant,
    ) -> Result<Found<F>, StoreError> {
        self.find_by(id, Some(since), Pace::AtOnce).await
    }

    /// The same, to confirm a negative verdict: at most one such read per user at once, and per
    /// [`CONFIRM_INTERVAL`]. A caller that comes sooner waits for the next one and shares it.
    pub(super) async fn confirm(&self, id: &str, since: Instant) -> Result<Found<F>, StoreError> {
        self.find_by(id, Some(since), Pace::Confirming).await
    }

    /// Drops what was read of this user until now: the record may have been changed.
    pub(super) fn invalidate(&self, id: &str) {
        let mut in_flight = self.0.in_flight();
        in_flight.invalidate(id);
        self.0.kept.remove(&Id(id));
    }

    /// [`invalidate`](Self::invalidate) for all users.
    pub(super) fn invalidate_all(&self) {
        let mut in_flight = self.0.in_flight();
        in_flight.invalidate_all();
        self.0.kept.clear();
    }

    async fn find_by(
        &self,
        id: &str,
        since: Option<Instant>,
        pace: Pace,
    ) -> Result<Found<F>, StoreError> {
        if let Some(found) = self.0.find_kept(id, since) {
            return Ok(found);
        }
        // No read can begin in the future, and none needs to.
        let since = since.map(|since| since.min(Instant::now()));
        let mut reads = 0;
        loop {
            let outcome = match self.0.next_step(id, since, pace) {
                Step::Return(found) => return Ok(found),
                Step::Wait(until) => {
                    sleep_until(until).await;
                    continue;
                }
                Step::WaitFor(earlier) => {
                    finished(earlier).await;
                    continue;
                }
                Step::Share(outcome) => outcome,
                Step::Read(read) => read.spawn(pace),
            };
            reads += 1;
            let read = finished(outcome).await;
            // All reads but the first began within this call: good enough in the end.
            if !read.is_invalidated || read.result.is_err() || reads == MAX_READS {
                return read.result;
            }
        }
    }
}

/// How soon a read may follow another one.
#[derive(Clone, Copy)]
enum Pace {
    AtOnce,
    Confirming,
}

/// The next step of a call.
enum Step<F> {
    Return(Found<F>),
    Wait(Instant),
    WaitFor(Outcome<F>),
    Share(Outcome<F>),
    Read(PendingRead<F>),
}

impl<F> Shared<F> {
    /// The cached record, if it is within the bound and its read began no earlier than this.
    fn find_kept(&self, id: &str, since: Option<Instant>) -> Option<Found<F>> {
        let found = self.kept.get(&Id(id))?;
        let lifetime = match found.user {
            Some(_) => self.max_staleness,
            None => self.max_staleness.min(MAX_ABSENCE),
        };
        (found.began.elapsed() < lifetime && Some(found.began) >= since).then_some(found)
    }

    fn next_step(self: &Arc<Self>, id: &str, since: Option<Instant>, pace: Pace) -> Step<F> {
        let mut in_flight = self.in_flight();
        // Again, under the lock: a read that finished meanwhile is certainly seen here.
        if let Some(found) = self.find_kept(id, since) {
            return Step::Return(found);
        }
        if let Some(outcome) = in_flight.newest(id, since) {
            return Step::Share(outcome);
        }
        let began = Instant::now();
        if matches!(pace, Pace::Confirming) {
            if let Some(outcome) = in_flight.confirmation(id, since) {
                return Step::Share(outcome);
            }
            if let Some(earlier) = in_flight.confirming(id) {
                // One at a time, however long it takes.
                return Step::WaitFor(earlier);
            }
            let permitted = in_flight.confirmed_at(id).map(|last| last + CONFIRM_INTERVAL);
            if let Some(permitted) = permitted.filter(|permitted| began < *permitted) {
                return Step::Wait(permitted);
            }
        }
        let (sender, outcome) = watch::channel(None);
        let number = in_flight.begin(id, began, outcome.clone());
        if matches!(pace, Pace::Confirming) {
            in_flight.mark_confirmation(id, number, began, outcome);
        }
        let shared = Arc::clone(self);
        Step::Read(PendingRead { shared, id: id.to_owned(), number, began, sender, result: None })
    }

    /// Caches what was read, unless the read was invalidated or a newer record is cached. Returns
    /// whether it was invalidated.
    fn finish(&self, read: &PendingRead<F>, result: &Result<Found<F>, StoreError>) -> bool {
        let mut in_flight = self.in_flight();
        let is_invalidated = !in_flight.finish(&read.id, read.number);
        if let Ok(found) = result
            && !is_invalidated
            && self.kept.peek(&Id(&read.id)).is_none_or(|kept| kept.began <= found.began)
        {
            self.kept.insert(Key::new(&read.id, found), found.clone());
        }
        is_invalidated
    }

    /// Nothing panics in the middle of a change: a poisoned lock guards a whole value.
    fn in_flight(&self) -> MutexGuard<'_, InFlight<F>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read. Dropping it finishes the read, however it went, so that no caller waits for ever.
struct PendingRead<F> {
    shared: Arc<Shared<F>>,
    id: String,
    number: u64,
    began: Instant,
    sender: watch::Sender<Option<Finished<F>>>,
    result: Option<Result<Found<F>, StoreError>>,
}

impl<F: Send + Sync + 'static> PendingRead<F> {
    /// Reads in a task of its own. Not under the lock: a runtime that is shutting down drops the
    /// task at once.
    fn spawn(self, pace: Pace) -> Outcome<F> {
        let outcome = self.sender.subscribe();
        if matches!(pace, Pace::Confirming) {
            let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
            let (number, permitted) = (self.number, self.began + CONFIRM_INTERVAL);
            let waiting = outcome.clone();
            tokio::spawn(async move {
                sleep_until(permitted).await;
                finished(waiting).await;
                shared.in_flight().forget(&id, number);
            });
        }
        tokio::spawn(self.read());
        outcome
    }

    async fn read(mut self) {
        let max_staleness = self.shared.max_staleness;
        let load = async { (self.shared.load)(self.id.clone()).await };
        let read = timeout_at(self.began + max_staleness, load).await;
        self.result = Some(match read {
            // The timer is not exact.
            Ok(result) if self.began.elapsed() < max_staleness => {
                result.map(|user| Found { user, began: self.began })
            }
            _ => Err(StoreError::unreachable("the read took longer than the staleness allows")),
        });
    }
}

impl<F> Drop for PendingRead<F> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err(aborted()));
        let is_invalidated = self.shared.finish(self, &result);
        self.sender.send_replace(Some(Finished { result, is_invalidated }));
    }
}

async fn finished<F>(mut outcome: Outcome<F>) -> Finished<F> {
    let end = outcome.wait_for(Option::is_some).await.ok().and_then(|seen| (*seen).clone());
    end.unwrap_or_else(|| Finished { result: Err(aborted()), is_invalidated: false })
}

/// The error of a read that panicked, or that a runtime's shutdown stopped.
fn aborted() -> StoreError {
    StoreError::unreachable("the read of the user's record was aborted")
}
