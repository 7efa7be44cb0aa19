//! Reads of users' records that are in flight, and which of them may still be cached.

use std::collections::{HashMap, hash_map::Entry};

use tokio::{sync::watch, time::Instant};

use crate::{service::found::Found, store::StoreError};

/// The reads in flight. A read that is missing here was invalidated: the record was changed, or may
/// have been, after the read began.
pub(super) struct InFlight<F> {
    /// The reads of each user, in the order that they began: the last one is the newest.
    reads: HashMap<String, Vec<Read<F>>>,
    /// The last confirmation of each user, until it has finished and the next one is permitted.
    confirmations: HashMap<String, Confirmation<F>>,
    next_number: u64,
}

struct Read<F> {
    number: u64,
    began: Instant,
    outcome: Outcome<F>,
}

struct Confirmation<F> {
    number: u64,
    began: Instant,
    /// For callers that waited for it and wake up after it has finished; `None` once it is
    /// invalidated.
    outcome: Option<Outcome<F>>,
}

/// A receiver of a read's outcome: `None` until the read has finished.
pub(super) type Outcome<F> = watch::Receiver<Option<Finished<F>>>;

/// The end of a read.
pub(super) struct Finished<F> {
    pub(super) result: Result<Found<F>, StoreError>,
    pub(super) is_invalidated: bool,
}

impl<F> InFlight<F> {
    /// The newest read of the user, if it began no earlier than this.
    pub(super) fn newest(&self, id: &str, since: Option<Instant>) -> Option<Outcome<F>> {
        let read = self.reads.get(id)?.last()?;
        (Some(read.began) >= since).then(|| read.outcome.clone())
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

    /// The last confirmation, if it has neither finished nor been invalidated.
    pub(super) fn confirming(&self, id: &str) -> Option<Outcome<F>> {
        let last = self.confirmations.get(id)?;
        last.outcome.clone().filter(|outcome| outcome.borrow().is_none())
    }

    /// Adds a read that begins now, and returns its number.
    pub(super) fn begin(&mut self, id: &str, began: Instant, outcome: Outcome<F>) -> u64 {
        let number = self.next_number;
        self.next_number += 1;
        let reads = self.reads.entry(id.to_owned()).or_default();
        reads.push(Read { number, began, outcome });
        number
    }

    /// Marks this read as a confirmation, until [`forget`](Self::forget).
    pub(super) fn mark_confirmation(
        &mut self,
        id: &str,
        number: u64,
        began: Instant,
        outcome: Outcome<F>,
    ) {
        let confirmation = Confirmation { number, began, outcome: Some(outcome) };
        self.confirmations.insert(id.to_owned(), confirmation);
    }

    /// Forgets a confirmation, if there was none after it.
    pub(super) fn forget(&mut self, id: &str, number: u64) {
        if self.confirmations.get(id).is_some_and(|last| last.number == number) {
            self.confirmations.remove(id);
        }
    }

    /// Removes a read that has finished, and returns whether it was still in.
    pub(super) fn finish(&mut self, id: &str, number: u64) -> bool {
        let Entry::Occupied(mut entry) = self.reads.entry(id.to_owned()) else { return false };
        let before = entry.get().len();
        entry.get_mut().retain(|read| read.number != number);
        let after = entry.get().len();
        if after == 0 {
            entry.remove();
        }
        after < before
    }

    /// Invalidates the reads of this user: its record may have been changed.
    pub(super) fn invalidate(&mut self, id: &str) {
        self.reads.remove(id);
        if let Some(last) = self.confirmations.get_mut(id) {
            last.outcome = None;
        }
    }

    /// [`invalidate`](Self::invalidate) for all users.
    pub(super) fn invalidate_all(&mut self) {
        self.reads.clear();
        self.confirmations.values_mut().for_each(|last| last.outcome = None);
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.reads.is_empty() && self.confirmations.is_empty()
    }
}

impl<F> Default for InFlight<F> {
    fn default() -> Self {
        Self { reads: HashMap::new(), confirmations: HashMap::new(), next_number: 0 }
    }
}

impl<F> Clone for Finished<F> {
    fn clone(&self) -> Self {
        Self { result: self.result.clone(), is_invalidated: self.is_invalidated }
    }
}
