//! A wrapper of a store that counts the reads that run, and holds them while its gate is closed.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use relatch::store::{Row, StoreError, Update, UserKey, UserStore};
use tokio::{sync::Semaphore, task::yield_now};

use super::Profile;

/// Clones share their state. The gate is open at first.
#[derive(Clone)]
pub(super) struct Gated<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    gate: Semaphore,
    begun: AtomicUsize,
    running: AtomicUsize,
}

/// More permits than a test uses.
const OPEN: usize = 1 << 30;

impl<S> Gated<S> {
    pub(super) fn new(inner: S) -> Self {
        let shared = Shared {
            gate: Semaphore::new(OPEN),
            begun: AtomicUsize::new(0),
            running: AtomicUsize::new(0),
        };
        Self { inner, shared: Arc::new(shared) }
    }

    /// Holds the answers of all reads from now on.
    pub(super) fn close(&self) {
        self.shared.gate.forget_permits(OPEN);
    }

    /// Lets this many answers out, of reads that run or will.
    pub(super) fn let_out(&self, answers: usize) {
        self.shared.gate.add_permits(answers);
    }

    pub(super) fn open(&self) {
        self.let_out(OPEN / 2);
    }

    /// The number of reads so far.
    pub(super) fn begun(&self) -> usize {
        self.shared.begun.load(Ordering::SeqCst)
    }

    /// The number of reads that run.
    pub(super) fn running(&self) -> usize {
        self.shared.running.load(Ordering::SeqCst)
    }
}

/// Lets all tasks go on until they wait for the store.
pub(super) async fn settle() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

/// Counts a read until it has ended or was dropped.
struct Running<'a>(&'a AtomicUsize);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl<S: UserStore<Fields = Profile>> UserStore for Gated<S> {
    type Fields = Profile;

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<Profile>>, StoreError> {
        let Shared { gate, begun, running } = &*self.shared;
        begun.fetch_add(1, Ordering::SeqCst);
        running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(running);
        let read = self.inner.read(key).await;
        gate.acquire().await.unwrap().forget();
        read
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        self.inner.compare_and_set(update).await
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.delete(id).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.inner.bump_version(id, at_least).await
    }
}
