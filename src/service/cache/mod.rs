//! Users' records that are kept in memory for a stated time, in front of a store.
//!
//! A hit is a look into a concurrent map. Everything else goes through the [`Flights`], under one
//! lock: who waits shares one read, and a record is kept only if nothing overtook its read.

mod in_flight;
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

use self::in_flight::{Flights, Landed, Outcome};
pub use self::policy::{CachePolicy, CachePolicyError};
use super::found::Found;
use crate::store::{StoreError, StoredUser};

/// The shortest time between two reads that confirm a verdict on the same user.
pub(super) const CONFIRM_INTERVAL: Duration = Duration::from_millis(250);

/// For how long it is kept that there is no such user.
const MAX_ABSENCE: Duration = Duration::from_secs(1);

/// How many reads one call waits for, where each is overtaken.
const MAX_READS: u32 = 4;

/// Reads a user's record from the store.
pub(super) type Load<F> = Arc<dyn Fn(String) -> Loading<F> + Send + Sync>;

type Loading<F> = Pin<Box<dyn Future<Output = Result<Option<StoredUser<F>>, StoreError>> + Send>>;

/// Users' records, and the reads of them. Dropping the future of a call breaks no read off.
pub(super) struct Cache<F>(Arc<Shared<F>>);

struct Shared<F> {
    max_staleness: Duration,
    load: Load<F>,
    /// Written only under the lock of the flights. Its own loading is not used: of the callers that
    /// share a failing load, it makes each try again, one after another.
    kept: quick_cache::sync::Cache<Box<str>, Found<F>>,
    flights: Mutex<Flights<F>>,
}

impl<F: Clone + Send + Sync + 'static> Cache<F> {
    pub(super) fn new(policy: CachePolicy, load: Load<F>) -> Self {
        Self(Arc::new(Shared {
            max_staleness: policy.max_staleness(),
            load,
            kept: quick_cache::sync::Cache::new(policy.max_users()),
            flights: Mutex::default(),
        }))
    }

    /// A record within the bound, else one shared read.
    pub(super) async fn find(&self, id: &str) -> Result<Found<F>, StoreError> {
        self.find_by(id, None, Pace::AtOnce).await
    }

    /// A record whose read began no earlier than `since`: the one that is kept, else one shared
    /// read.
    pub(super) async fn find_since(
        &self,
        id: &str,
        since: Instant,
    ) -> Result<Found<F>, StoreError> {
        self.find_by(id, Some(since), Pace::AtOnce).await
    }

    /// The same, to confirm a negative verdict: at most one such read per user at once, and per
    /// [`CONFIRM_INTERVAL`]. Who comes sooner waits for the next one and shares it.
    pub(super) async fn confirm(&self, id: &str, since: Instant) -> Result<Found<F>, StoreError> {
        self.find_by(id, Some(since), Pace::Confirming).await
    }

    /// The user's record may have been changed: what was read of it before is worth nothing.
    pub(super) fn invalidate(&self, id: &str) {
        let mut flights = self.0.flights();
        flights.overtake(id);
        self.0.kept.remove(id);
    }

    /// [`invalidate`](Self::invalidate) for all users.
    pub(super) fn invalidate_all(&self) {
        let mut flights = self.0.flights();
        flights.overtake_all();
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
        // No read can begin in the future, nor need it.
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
                    landing(earlier).await;
                    continue;
                }
                Step::Share(outcome) => outcome,
                Step::Read(ticket) => ticket.depart(pace),
            };
            reads += 1;
            let landed = landing(outcome).await;
            // All reads but the first began within this call: good enough in the end.
            if !landed.is_overtaken || landed.result.is_err() || reads == MAX_READS {
                return landed.result;
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

/// What a call does next.
enum Step<F> {
    Return(Found<F>),
    Wait(Instant),
    WaitFor(Outcome<F>),
    Share(Outcome<F>),
    Read(Ticket<F>),
}

impl<F> Shared<F> {
    /// The record that is kept, if it is within the bound and its read began no earlier than this.
    fn find_kept(&self, id: &str, since: Option<Instant>) -> Option<Found<F>> {
        let found = self.kept.get(id)?;
        let lifetime = match found.user {
            Some(_) => self.max_staleness,
            None => self.max_staleness.min(MAX_ABSENCE),
        };
        (found.began.elapsed() < lifetime && Some(found.began) >= since).then_some(found)
    }

    fn next_step(self: &Arc<Self>, id: &str, since: Option<Instant>, pace: Pace) -> Step<F> {
        let mut flights = self.flights();
        // Again, where a read that landed meanwhile is seen for certain.
        if let Some(found) = self.find_kept(id, since) {
            return Step::Return(found);
        }
        if let Some(outcome) = flights.newest(id, since) {
            return Step::Share(outcome);
        }
        let began = Instant::now();
        if matches!(pace, Pace::Confirming) {
            if let Some(outcome) = flights.confirmation(id, since) {
                return Step::Share(outcome);
            }
            if let Some(earlier) = flights.confirming(id) {
                // One at a time, however long it takes.
                return Step::WaitFor(earlier);
            }
            let permitted = flights.confirmed_at(id).map(|last| last + CONFIRM_INTERVAL);
            if let Some(permitted) = permitted.filter(|permitted| began < *permitted) {
                return Step::Wait(permitted);
            }
        }
        let (sender, outcome) = watch::channel(None);
        let number = flights.launch(id, began, outcome.clone());
        if matches!(pace, Pace::Confirming) {
            flights.note(id, number, began, outcome);
        }
        let shared = Arc::clone(self);
        Step::Read(Ticket { shared, id: id.to_owned(), number, began, sender, result: None })
    }

    /// Keeps what was read unless that was overtaken, or something newer is kept; whether it was
    /// overtaken.
    fn land(&self, ticket: &Ticket<F>, result: &Result<Found<F>, StoreError>) -> bool {
        let mut flights = self.flights();
        let is_overtaken = !flights.land(&ticket.id, ticket.number);
        if let Ok(found) = result
            && !is_overtaken
            && self.kept.peek(&*ticket.id).is_none_or(|kept| kept.began <= found.began)
        {
            self.kept.insert(ticket.id.as_str().into(), found.clone());
        }
        is_overtaken
    }

    /// Nothing panics half-way through a change of the flights: poisoned ones are whole.
    fn flights(&self) -> MutexGuard<'_, Flights<F>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One read. It lands when this is dropped, whatever became of it, so that nobody waits for ever.
struct Ticket<F> {
    shared: Arc<Shared<F>>,
    id: String,
    number: u64,
    began: Instant,
    sender: watch::Sender<Option<Landed<F>>>,
    result: Option<Result<Found<F>, StoreError>>,
}

impl<F: Send + Sync + 'static> Ticket<F> {
    /// Reads in a task of its own. Not under the lock: a runtime that is shutting down drops the
    /// task at once.
    fn depart(self, pace: Pace) -> Outcome<F> {
        let outcome = self.sender.subscribe();
        if matches!(pace, Pace::Confirming) {
            let (shared, id) = (Arc::clone(&self.shared), self.id.clone());
            let (number, permitted) = (self.number, self.began + CONFIRM_INTERVAL);
            let landed = outcome.clone();
            tokio::spawn(async move {
                sleep_until(permitted).await;
                landing(landed).await;
                shared.flights().forget(&id, number);
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
            _ => Err(StoreError::unreachable("the read took as long as a cached record may live")),
        });
    }
}

impl<F> Drop for Ticket<F> {
    fn drop(&mut self) {
        let result = self.result.take().unwrap_or_else(|| Err(broken_off()));
        let is_overtaken = self.shared.land(self, &result);
        self.sender.send_replace(Some(Landed { result, is_overtaken }));
    }
}

async fn landing<F>(mut outcome: Outcome<F>) -> Landed<F> {
    let landed = outcome.wait_for(Option::is_some).await.ok().and_then(|seen| (*seen).clone());
    landed.unwrap_or_else(|| Landed { result: Err(broken_off()), is_overtaken: false })
}

/// The load panicked, or the runtime is shutting down.
fn broken_off() -> StoreError {
    StoreError::unreachable("the read of the user's record was broken off")
}
