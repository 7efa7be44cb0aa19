//! A wrapper of a store that fails or delays calls as the test sets it.

use std::{
    future::{Future, pending},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use relatch::store::{Row, StoreError, Update, UserKey, UserStore};
use tokio::sync::{Semaphore, watch};

use crate::common::in_time;

type Hook = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The effect on calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Mode {
    #[default]
    Answer,
    /// Nothing is read or written.
    Fail,
    /// Reads are answered, as by a database that has become read-only.
    FailWrites,
    /// Writes are made, and their answers are lost.
    FailAfterwards,
    Hang,
    /// Reads panic.
    Panic,
    /// Writes wait until the test releases them.
    HoldWrites,
    /// Writes change nothing and answer so.
    SkipWrites,
    /// Reads are made, and their answers wait until the test releases them.
    HoldReads,
}

/// Clones share their state.
#[derive(Clone)]
pub(crate) struct Faulty<S> {
    inner: S,
    shared: Arc<Shared>,
}

struct Shared {
    mode: Mutex<Mode>,
    before_write: Mutex<Option<Hook>>,
    reads: AtomicUsize,
    /// The number of writes that have ended.
    writes: watch::Sender<usize>,
    held: Semaphore,
    let_through: Semaphore,
    /// The number of writes to skip, as by [`Mode::SkipWrites`].
    skipped: AtomicUsize,
    done: Semaphore,
}

impl<S> Faulty<S> {
    pub(crate) fn new(inner: S) -> Self {
        let shared = Shared {
            mode: Mutex::default(),
            before_write: Mutex::default(),
            reads: AtomicUsize::new(0),
            writes: watch::Sender::new(0),
            held: Semaphore::new(0),
            let_through: Semaphore::new(0),
            skipped: AtomicUsize::new(0),
            done: Semaphore::new(0),
        };
        Self { inner, shared: Arc::new(shared) }
    }

    pub(crate) fn set(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// Runs once, before the next write and after the read on which it was decided.
    pub(crate) fn before_next_write(&self, hook: impl Future<Output = ()> + Send + 'static) {
        *self.shared.before_write.lock().unwrap() = Some(Box::pin(hook));
    }

    /// Skips this many writes.
    pub(crate) fn skip(&self, writes: usize) {
        self.shared.skipped.store(writes, Ordering::SeqCst);
    }

    /// The number of reads so far.
    pub(crate) fn reads(&self) -> usize {
        self.shared.reads.load(Ordering::SeqCst)
    }

    /// The number of writes that have ended.
    pub(crate) fn writes(&self) -> usize {
        *self.shared.writes.borrow()
    }

    /// Waits until this many writes have ended.
    pub(crate) async fn written(&self, writes: usize) {
        let mut ended = self.shared.writes.subscribe();
        in_time(ended.wait_for(|ended| *ended >= writes)).await.unwrap();
    }

    /// Waits for a call that is held.
    pub(crate) async fn held(&self) {
        in_time(self.shared.held.acquire()).await.unwrap().forget();
    }

    /// Releases one call, and waits until it has finished.
    pub(crate) async fn let_through(&self) {
        self.shared.let_through.add_permits(1);
        in_time(self.shared.done.acquire()).await.unwrap().forget();
    }

    fn mode(&self) -> Mode {
        *self.shared.mode.lock().unwrap()
    }

    /// A skipped write answers that it changed nothing.
    async fn write<T: Default>(
        &self,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let written = self.write_as_set(write).await;
        self.shared.writes.send_modify(|ended| *ended += 1);
        written
    }

    async fn write_as_set<T: Default>(
        &self,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let hook = self.shared.before_write.lock().unwrap().take();
        if let Some(hook) = hook {
            hook.await;
        }
        let skipped = &self.shared.skipped;
        let less = |left: usize| left.checked_sub(1);
        if skipped.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less).is_ok() {
            return Ok(T::default());
        }
        match self.mode() {
            Mode::Answer | Mode::HoldReads | Mode::Panic => write.await,
            Mode::SkipWrites => Ok(T::default()),
            Mode::Fail | Mode::FailWrites => Err(down()),
            Mode::FailAfterwards => write.await.and_then(|_| Err(down())),
            Mode::Hang => pending().await,
            Mode::HoldWrites => {
                self.shared.held.add_permits(1);
                self.shared.let_through.acquire().await.unwrap().forget();
                let written = write.await;
                self.shared.done.add_permits(1);
                written
            }
        }
    }
}

fn down() -> StoreError {
    StoreError::unreachable("set to fail")
}

impl<S: UserStore> UserStore for Faulty<S> {
    type Fields = S::Fields;

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<S::Fields>>, StoreError> {
        self.shared.reads.fetch_add(1, Ordering::SeqCst);
        match self.mode() {
            Mode::Fail => Err(down()),
            Mode::Hang => pending().await,
            Mode::Panic => panic!("set to panic"),
            Mode::HoldReads => {
                let read = self.inner.read(key).await;
                self.shared.held.add_permits(1);
                self.shared.let_through.acquire().await.unwrap().forget();
                self.shared.done.add_permits(1);
                read
            }
            _ => self.inner.read(key).await,
        }
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        self.write(self.inner.compare_and_set(update)).await
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.write(self.inner.delete(id)).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.write(self.inner.bump_version(id, at_least)).await
    }

    async fn disable(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.write(self.inner.disable(id, at_least)).await
    }

    async fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.write(self.inner.enable(id, version, at_least)).await
    }
}
