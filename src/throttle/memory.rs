//! The counts in memory.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use super::{Bucket, Count};

/// The counts of this process. The number of buckets bounds their memory.
#[derive(Default)]
pub(super) struct Memory(Mutex<Arrivals>);

#[derive(Default)]
struct Arrivals {
    /// The theoretical arrival times, in microseconds.
    of: HashMap<Bucket, i64>,
    /// The number of entries at which those of unused buckets are removed.
    sweep_at: usize,
}

/// The least number of entries at which unused ones are removed.
const MIN_SWEEP: usize = 1 << 12;

impl Memory {
    /// Takes an attempt from each of these buckets, or from none. `now` is in microseconds.
    ///
    /// # Errors
    ///
    /// The time to wait, in microseconds.
    pub(super) fn take(&self, counts: &[Count], now: i64) -> Result<(), i64> {
        let mut arrivals = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.sweep(now);
        let taken = counts.iter().map(|count| arrivals.taken(count, now));
        let mut wait = 0;
        let mut next = Vec::with_capacity(counts.len());
        for (count, taken) in counts.iter().zip(taken) {
            match taken {
                Ok(arrival) => next.push((count.bucket, arrival)),
                Err(other) => wait = wait.max(other),
            }
        }
        if wait > 0 {
            return Err(wait);
        }
        arrivals.of.extend(next);
        Ok(())
    }
}

impl Arrivals {
    fn taken(&self, count: &Count, now: i64) -> Result<i64, i64> {
        count.limit.take(self.of.get(&count.bucket).copied().unwrap_or(now), now)
    }

    /// Removes the entries of unused buckets, each time that their number has doubled.
    fn sweep(&mut self, now: i64) {
        if self.of.len() >= self.sweep_at.max(MIN_SWEEP) {
            self.of.retain(|_, arrival| *arrival > now);
            self.sweep_at = 2 * self.of.len();
        }
    }
}
