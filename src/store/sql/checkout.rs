//! A connection that is taken from a pool and given back.

use std::{
    ops::{Deref, DerefMut},
    time::Duration,
};

use sqlx::{Database, pool::PoolConnection};
use tokio::{runtime::Handle, time::timeout};

use super::capacity::Slot;

/// A connection of a pool. On drop it goes back, together with its place among the calls.
///
/// The pool pings a connection that comes back, which also ends a statement whose caller has hung up.
/// Without a limit of its own, that ping would occupy the connection's place in the pool for as long as
/// the network takes to notice that the server is gone.
pub(super) struct Checkout<DB: Database> {
    connection: PoolConnection<DB>,
    slot: Slot,
    /// The time in which it must be back in the pool; otherwise it is closed.
    limit: Option<Duration>,
    is_unfit: bool,
}

impl<DB: Database> Checkout<DB> {
    pub(super) const fn new(
        connection: PoolConnection<DB>,
        slot: Slot,
        limit: Option<Duration>,
    ) -> Self {
        Self { connection, slot, limit, is_unfit: false }
    }

    /// Closes the connection without a message to the server, which may be gone.
    #[cfg(feature = "postgres")]
    pub(super) fn discard(mut self) {
        self.set_unfit(true);
    }

    /// Whether the connection is closed when it is dropped, as in a transaction that is not to be
    /// committed.
    #[cfg(feature = "postgres")]
    pub(super) const fn set_unfit(&mut self, is_unfit: bool) {
        self.is_unfit = is_unfit;
    }
}

impl<DB: Database> Deref for Checkout<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Checkout<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl<DB: Database> Drop for Checkout<DB> {
    fn drop(&mut self) {
        // This future owns the connection now, and closes it if it is dropped.
        let back = self.connection.return_to_pool();
        if self.is_unfit {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (slot, limit) = (self.slot.clone(), self.limit);
        runtime.spawn(async move {
            match limit {
                Some(limit) => drop(timeout(limit, back).await),
                None => back.await,
            }
            drop(slot);
        });
    }
}
