//! The order in which a store's calls get connections: reads, and calls that wait for locked rows, leave
//! connections to revocations.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use super::Failure;

/// The capacity of a pool. Calls of one kind are served in the order in which they came.
#[derive(Debug)]
pub(super) struct Capacity {
    /// The connections for reads and ordinary writes: the rest is reserved for revocations.
    ordinary: Arc<Semaphore>,
    /// Those of them that may write: half. The others are left to reads while all writers wait for locked
    /// rows.
    writing: Arc<Semaphore>,
    /// The connections for writes and revocations together, more than for writes alone. While all of them
    /// wait for locked rows, reads have the rest.
    changing: Arc<Semaphore>,
    /// The longest wait for one of them.
    patience: Duration,
    /// In a database with one writer at a time.
    writers: Option<Writers>,
}

/// The kind of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Revocation,
}

/// A line of writers. At most one of the ordinary writers waits for the lock itself, so that a
/// revocation is at most second in line.
#[derive(Debug, Default)]
struct Writers {
    lock: Arc<Mutex<()>>,
    ordinary: Mutex<()>,
}

/// A place among a store's calls. It is free again when the last clone is dropped, which is when the
/// connection is back in the pool.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    _held: Option<Arc<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    _share: Option<OwnedSemaphorePermit>,
    _connection: Option<OwnedSemaphorePermit>,
    _change: Option<OwnedSemaphorePermit>,
    _write_lock: Option<OwnedMutexGuard<()>>,
}

impl Capacity {
    /// For a pool of at most `connections`, in which a call waits at most `patience` for one.
    pub(super) fn new(connections: u32, patience: Duration) -> Self {
        let reserved = match connections {
            0 | 1 => 0,
            2..=4 => 1,
            _ => 2,
        };
        let places = |connections: u32| {
            let places = usize::try_from(connections).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(places.clamp(1, Semaphore::MAX_PERMITS)))
        };
        let ordinary = connections - reserved;
        let writing = ordinary.div_ceil(2);
        Self {
            ordinary: places(ordinary),
            writing: places(writing),
            changing: places(ordinary.max(writing + 1)),
            patience,
            writers: None,
        }
    }

    /// Lets one call write at a time.
    #[cfg(feature = "sqlite")]
    pub(super) fn with_one_writer(self) -> Self {
        Self { writers: Some(Writers::default()), ..self }
    }

    /// Waits for a place until this deadline.
    pub(super) async fn enter(&self, kind: Kind, until: Instant) -> Result<Slot, Failure> {
        let until = Instant::now().checked_add(self.patience).map_or(until, |at| at.min(until));
        let held = async {
            match (&self.writers, kind) {
                // The one writer uses a reserved connection. With the lock it waits for no reader, or
                // a revocation would wait with it.
                (Some(writers), Kind::Write | Kind::Revocation) => {
                    Held { _write_lock: Some(writers.enter(kind).await), ..Held::default() }
                }
                (None, Kind::Revocation) => {
                    Held { _change: place(&self.changing).await, ..Held::default() }
                }
                (None, Kind::Write) => Held {
                    _share: place(&self.writing).await,
                    _connection: place(&self.ordinary).await,
                    // The last, or a revocation would wait with this write for reads.
                    _change: place(&self.changing).await,
                    _write_lock: None,
                },
                (_, Kind::Read) => {
                    Held { _connection: place(&self.ordinary).await, ..Held::default() }
                }
            }
        };
        let held = timeout_at(until, held).await.map_err(|_| Failure::exhausted())?;
        Ok(Slot { _held: Some(Arc::new(held)) })
    }
}

/// Waits for a place. It fails only once the semaphore is closed, which it never is.
async fn place(places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    Arc::clone(places).acquire_owned().await.ok()
}

impl Writers {
    async fn enter(&self, kind: Kind) -> OwnedMutexGuard<()> {
        let _first_of_the_ordinary = match kind {
            Kind::Revocation => None,
            Kind::Read | Kind::Write => Some(self.ordinary.lock().await),
        };
        Arc::clone(&self.lock).lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::Future,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn enter(capacity: &Capacity, kind: Kind) -> Result<Slot, Failure> {
        capacity.enter(kind, Instant::now() + LONG).await
    }

    /// Takes places of this kind until there is none, and returns them.
    async fn fill(capacity: &Capacity, kind: Kind) -> Vec<Slot> {
        let mut slots = Vec::new();
        while let Ok(slot) = enter(capacity, kind).await {
            slots.push(slot);
        }
        slots
    }

    #[tokio::test(start_paused = true)]
    async fn some_connections_are_for_revocations_alone() {
        for (connections, ordinary) in [(0, 1), (1, 1), (2, 1), (4, 3), (5, 3), (10, 8)] {
            let capacity = Capacity::new(connections, Duration::from_secs(2));
            let mut slots = fill(&capacity, Kind::Read).await;
            assert_eq!(slots.len(), ordinary, "of {connections}");
            assert!(enter(&capacity, Kind::Revocation).await.is_ok());
            // The place is free when its last clone is dropped.
            let clone = slots.pop();
            let clone = (clone.clone(), drop(clone)).0;
            assert!(enter(&capacity, Kind::Write).await.is_err());
            drop(clone);
            assert!(enter(&capacity, Kind::Write).await.is_ok());
        }
        let huge = Capacity::new(u32::MAX, Duration::MAX);
        assert!(enter(&huge, Kind::Read).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn writes_and_revocations_leave_connections_to_each_other_and_to_reads() {
        for (connections, writes, changes) in
            [(2, 1, 2), (3, 1, 2), (4, 2, 3), (5, 2, 3), (10, 4, 8)]
        {
            let capacity = Capacity::new(connections, Duration::from_secs(2));
            let writing = fill(&capacity, Kind::Write).await;
            assert_eq!(writing.len(), writes, "of {connections}");
            let revoking = fill(&capacity, Kind::Revocation).await;
            assert_eq!(writing.len() + revoking.len(), changes, "of {connections}");
            drop(writing);
            drop(revoking);
            assert_eq!(fill(&capacity, Kind::Revocation).await.len(), changes, "of {connections}");
        }
    }

    /// A write that waits for reads keeps no place from revocations.
    #[tokio::test(start_paused = true)]
    async fn a_revocation_waits_for_no_read_through_a_write() {
        let capacity = Capacity::new(10, Duration::from_secs(2));
        let reads = fill(&capacity, Kind::Read).await;
        let mut context = Context::from_waker(Waker::noop());
        let mut write = pin!(enter(&capacity, Kind::Write));
        assert!(write.as_mut().poll(&mut context).is_pending());
        assert_eq!(fill(&capacity, Kind::Revocation).await.len(), 8);
        drop(reads);
    }

    #[cfg(feature = "sqlite")]
    #[tokio::test(start_paused = true)]
    async fn a_revocation_overtakes_the_writers_in_line() {
        let capacity = Capacity::new(10, LONG).with_one_writer();
        let first = enter(&capacity, Kind::Write).await.unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let mut second = pin!(enter(&capacity, Kind::Write));
        let mut third = pin!(enter(&capacity, Kind::Write));
        let mut revocation = pin!(enter(&capacity, Kind::Revocation));
        for waiting in [second.as_mut(), third.as_mut()] {
            assert!(waiting.poll(&mut context).is_pending());
        }
        assert!(revocation.as_mut().poll(&mut context).is_pending());
        assert_eq!(capacity.ordinary.available_permits(), 8, "writers occupy no reader's place");
        drop(first);
        assert!(third.as_mut().poll(&mut context).is_pending());
        assert!(revocation.as_mut().poll(&mut context).is_pending());
        let second = second.await.unwrap();
        assert!(third.as_mut().poll(&mut context).is_pending());
        drop(second);
        drop(revocation.await.unwrap());
        assert!(third.await.is_ok());
    }
}
