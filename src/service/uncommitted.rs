//! The outcome of a change in the application's own transaction.

use std::ops::Deref;

use crate::store::Changes;

/// The outcome of a change in the application's own transaction. No other connection sees the change
/// before the commit.
///
/// Commit the transaction, then call [`committed`](Self::committed). The call notifies the service's
/// cache and its live connections. The commit notifies the other processes. Dropping this value notifies
/// too. If it is dropped before the commit, this process may accept the revoked tokens for as long as
/// the cache's staleness.
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

    /// Notifies the service's cache and its live connections, and returns the outcome. Call it after the
    /// commit.
    pub fn committed(self) -> T {
        let Self { outcome, notice } = self;
        drop(notice);
        outcome
    }
}

/// The outcome, for further statements of the same transaction. Answer the client only after the commit.
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
