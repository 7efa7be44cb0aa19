//! The reads of users' records that are under way, and which of them may still be kept.

use std::collections::{HashMap, hash_map::Entry};

use tokio::{sync::watch, time::Instant};

use crate::{service::found::Found, store::StoreError};

/// The reads under way. A read that is not in here has been overtaken: the record was changed, or
/// may have been, after it began.
pub(super) struct Flights<F> {
    /// Of each user, in the order that they began: the last one is the newest.
    aloft: HashMap<String, Vec<Flight<F>>>,
    /// The last confirmation of each user, until it has landed and the next one is permitted.
    confirmations: HashMap<String, Confirmation<F>>,
    launched: u64,
}

struct Flight<F> {
    number: u64,
    began: Instant,
    outcome: Outcome<F>,
}

struct Confirmation<F> {
    number: u64,
    began: Instant,
    /// For whoever waited for it and wakes up after it has landed; not if it was overtaken.
    outcome: Option<Outcome<F>>,
}

/// Where a read's outcome will be.
pub(super) type Outcome<F> = watch::Receiver<Option<Landed<F>>>;

/// How a read ended.
pub(super) struct Landed<F> {
    pub(super) result: Result<Found<F>, StoreError>,
    pub(super) is_overtaken: bool,
}

impl<F> Flights<F> {
    /// The newest read of the user, if it began no earlier than this.
    pub(super) fn newest(&self, id: &str, since: Option<Instant>) -> Option<Outcome<F>> {
        let flight = self.aloft.get(id)?.last()?;
        (Some(flight.began) >= since).then(|| flight.outcome.clone())
    }

    /// The last confirmation, if its read began no earlier than this.
    pub(super) fn confirmation(&self, id: &str, since: Option<Instant>) -> Option<Outcome<F>> {
        let last = self.confirmations.get(id)?;
        last.outcome.clone().filter(|_| Some(last.began) >= since)
    }

    /// When the last confirmation of the user began, if it was lately.
    pub(super) fn confirmed_at(&self, id: &str) -> Option<Instant> {
        self.confirmations.get(id).map(|last| last.began)
    }

    /// The last confirmation, if it has not landed, nor was overtaken.
    pub(super) fn confirming(&self, id: &str) -> Option<Outcome<F>> {
        let last = self.confirmations.get(id)?;
        last.outcome.clone().filter(|outcome| outcome.borrow().is_none())
    }

    /// Notes a read that begins now, and gives its number.
    pub(super) fn launch(&mut self, id: &str, began: Instant, outcome: Outcome<F>) -> u64 {
        let number = self.launched;
        self.launched += 1;
        let flights = self.aloft.entry(id.to_owned()).or_default();
        flights.push(Flight { number, began, outcome });
        number
    }

    /// Notes that this read is a confirmation: until it is [forgotten](Self::forget).
    pub(super) fn note(&mut self, id: &str, number: u64, began: Instant, outcome: Outcome<F>) {
        let confirmation = Confirmation { number, began, outcome: Some(outcome) };
        self.confirmations.insert(id.to_owned(), confirmation);
    }

    /// Forgets a confirmation, if there was none after it.
    pub(super) fn forget(&mut self, id: &str, number: u64) {
        if self.confirmations.get(id).is_some_and(|last| last.number == number) {
            self.confirmations.remove(id);
        }
    }

    /// Takes a read out that has ended; whether it was still in.
    pub(super) fn land(&mut self, id: &str, number: u64) -> bool {
        let Entry::Occupied(mut entry) = self.aloft.entry(id.to_owned()) else { return false };
        let before = entry.get().len();
        entry.get_mut().retain(|flight| flight.number != number);
        let after = entry.get().len();
        if after == 0 {
            entry.remove();
        }
        after < before
    }

    /// The user's record may have been changed: no read that has begun is worth anything.
    pub(super) fn overtake(&mut self, id: &str) {
        self.aloft.remove(id);
        if let Some(last) = self.confirmations.get_mut(id) {
            last.outcome = None;
        }
    }

    /// [`overtake`](Self::overtake) for all users.
    pub(super) fn overtake_all(&mut self) {
        self.aloft.clear();
        self.confirmations.values_mut().for_each(|last| last.outcome = None);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.aloft.is_empty() && self.confirmations.is_empty()
    }
}

impl<F> Default for Flights<F> {
    fn default() -> Self {
        Self { aloft: HashMap::new(), confirmations: HashMap::new(), launched: 0 }
    }
}

impl<F> Clone for Landed<F> {
    fn clone(&self) -> Self {
        Self { result: self.result.clone(), is_overtaken: self.is_overtaken }
    }
}
