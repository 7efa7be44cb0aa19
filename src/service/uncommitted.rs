//! The outcome of a change in the application's own transaction.

use std::ops::Deref;

use crate::store::Changes;

/// The outcome of a change that was written in the application's own transaction. Until that is
/// committed, nobody else sees the change.
///
/// Commit the transaction, then call [`committed`](Self::committed), or drop this: the service's cache
/// and its live connections are then notified. Without that, or if it comes before the commit, they
/// may accept what was revoked for as long as the cache's staleness. Other processes are notified by
/// the commit itself.
#[derive(Debug)]
#[must_use = "commit the transaction, then call `committed`"]
pub struct Uncommitted<T> {
    outcome: T,
    notice: Notice,
}

/// Notifies of a user's change when it is dropped.
#[derive(Debug)]
struct Notice {
    changes: Changes,
    user_id: String,
}

impl<T> Uncommitted<T> {
    pub(super) fn new(outcome: T, changes: Changes, user_id: &str) -> Self {
        Self { outcome, notice: Notice { changes, user_id: user_id.to_owned() } }
    }

    /// Notifies the service's cache and its live connections, after the commit, and gives the outcome.
    pub fn committed(self) -> T {
        let Self { outcome, notice } = self;
        drop(notice);
        outcome
    }
}

/// To decide by, within the transaction. What cannot be rolled back, such as an answer to the client,
/// comes after the commit.
impl<T> Deref for Uncommitted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.outcome
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.changes.publish(&self.user_id);
    }
}
