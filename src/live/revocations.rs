//! The hub that notifies live connections of revocations.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// A hub that notifies the live connections of this process of changes. Make one per process, and
/// publish every change to it. A clone is cheap and is the same hub.
///
/// A notification decides nothing: each connection of the user looks up the user again and
/// decides by the record. So a needless notification, or one for the wrong user, ends no
/// connection. It only costs lookups, and each connection limits their number.
///
/// # Security
///
/// Publish after the change is committed, never before. A connection that looks too early finds the
/// old record, and looks again only within the bound. If the lookup reads a cache, remove the user
/// from the cache before you publish.
#[derive(Clone, Default)]
pub struct Revocations {
    watched: Arc<Mutex<HashMap<String, Watched>>>,
}

struct Watched {
    sender: watch::Sender<()>,
    watchers: usize,
}

impl Revocations {
    /// A hub without watchers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Publishes that this user's record changed. All live connections of the user look it up
    /// again.
    ///
    /// It costs one lookup in a map, and nothing more if the user has no live connection.
    pub fn publish(&self, user_id: &str) {
        let sender = self.lock().get(user_id).map(|watched| watched.sender.clone());
        // It wakes other tasks, so not under the lock.
        sender.into_iter().for_each(|sender| sender.send_modify(|()| {}));
    }

    /// Publishes that any record may have changed. All live connections look up their users again.
    /// Call it when a message channel has reconnected, and after the bump of an epoch.
    pub fn publish_all(&self) {
        let senders: Vec<_> = self.lock().values().map(|watched| watched.sender.clone()).collect();
        senders.into_iter().for_each(|sender| sender.send_modify(|()| {}));
    }

    /// The number of users with a live connection, for a metric.
    #[must_use]
    pub fn watched_users(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn subscribe(&self, user_id: &str) -> Subscription {
        let mut all = self.lock();
        let watched = all
            .entry(user_id.to_owned())
            .or_insert_with(|| Watched { sender: watch::Sender::new(()), watchers: 0 });
        watched.watchers += 1;
        let receiver = watched.sender.subscribe();
        drop(all);
        Subscription { hub: self.clone(), user_id: user_id.to_owned(), receiver }
    }

    /// Locks the map. No code panics during a change of it, so even a poisoned one is consistent.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("watched_users", &self.watched_users()).finish()
    }
}

/// One subscription to a user's changes. Dropping it removes it from the hub.
pub(super) struct Subscription {
    hub: Revocations,
    user_id: String,
    receiver: watch::Receiver<()>,
}

impl Subscription {
    /// Waits for a publication since the last call, and then until this instant. A publication
    /// during the second wait or later counts for the next call, because a lookup that runs then
    /// may miss it.
    pub(super) async fn published(&mut self, not_before: Instant) {
        if self.receiver.changed().await.is_err() {
            // Unreachable: the hub keeps the sender until this is dropped.
            future::pending::<()>().await;
        }
        time::sleep_until(not_before).await;
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        let mut all = self.hub.lock();
        if let Entry::Occupied(mut entry) = all.entry(std::mem::take(&mut self.user_id)) {
            entry.get_mut().watchers -= 1;
            if entry.get().watchers == 0 {
                entry.remove();
            }
        }
    }
}
