//! A user's row that is locked against changes by others.

use std::{fmt, future::Future, pin::Pin};

use super::{Row, StoreError, Update};

/// A user's row and a lock on it. No other connection can change the row until this value is dropped or
/// its write ends. [`UserStore::lock`](super::UserStore::lock) makes it. If it is dropped without a
/// write, nothing changes.
#[must_use = "the row is locked until this is dropped"]
pub struct Locked<F = ()> {
    row: Option<Row<F>>,
    lock: RowLock,
}

/// The lock alone, which writes once.
#[must_use]
pub(crate) struct RowLock(Box<dyn FnOnce(Update) -> Written + Send>);

type Written = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send>>;

impl<F> Locked<F> {
    /// Makes it, in a store of your own. `row` is the row that was read under the lock (`None` if there is
    /// no such user). `write` owns the open transaction, and commits it. If `write` is dropped before it
    /// is called or before it ends, the transaction must be rolled back.
    pub fn new<W>(row: Option<Row<F>>, write: impl FnOnce(Update) -> W + Send + 'static) -> Self
    where
        W: Future<Output = Result<bool, StoreError>> + Send + 'static,
    {
        Self { row, lock: RowLock(Box::new(|update| Box::pin(write(update)))) }
    }

    /// The row, read under the lock; `None` if there is no such user.
    #[must_use]
    pub const fn row(&self) -> Option<&Row<F>> {
        self.row.as_ref()
    }

    /// Does what [`UserStore::compare_and_set`](super::UserStore::compare_and_set) does, commits, and
    /// ends the lock.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether the row was written.
    pub async fn compare_and_set(self, update: Update) -> Result<bool, StoreError> {
        self.lock.compare_and_set(update).await
    }

    pub(crate) fn into_parts(self) -> (Option<Row<F>>, RowLock) {
        (self.row, self.lock)
    }
}

impl RowLock {
    pub(crate) fn compare_and_set(self, update: Update) -> Written {
        (self.0)(update)
    }
}

impl<F> fmt::Debug for Locked<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locked").field("row", &self.row).finish_non_exhaustive()
    }
}
