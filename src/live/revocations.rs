//! The hub between whatever learns of revocations and the guards that are to look again.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt, future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::watch,
    time::{self, Instant},
};

/// Tells the guards of this process that something changed: one per process, fed by whatever
/// learns of changes. A clone is cheap and the same hub.
///
/// It carries no verdict: a guard that is told looks the user up again and decides by what it
/// reads. So telling too much, or of the wrong user, ends no session: it costs lookups, and each
/// guard limits how many.
///
/// # Security
///
/// Publish after the change was committed, never before: a guard that looks too early finds the old
/// record, and looks again only when the bound makes it. Where the lookup reads a cache, drop the
/// user from it first.
#[derive(Clone, Default)]
pub struct Revocations {
    watched: Arc<Mutex<HashMap<String, Watched>>>,
}

struct Watched {
    sender: watch::Sender<()>,
    watchers: usize,
}

impl Revocations {
    /// A hub that nobody watches yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Something about this user changed: whoever watches the user looks again.
    ///
    /// It costs a look into a map, and nothing where nobody watches.
    pub fn publish(&self, user_id: &str) {
        let sender = self.lock().get(user_id).map(|watched| watched.sender.clone());
        // Wakes others, so not under the lock.
        sender.into_iter().for_each(|sender| sender.send_modify(|()| {}));
    }

    /// Anything may have changed: everybody looks again. For a carrier that is connected again
    /// after it was not, and for the bump of an epoch.
    pub fn publish_all(&self) {
        let senders: Vec<_> = self.lock().values().map(|watched| watched.sender.clone()).collect();
        senders.into_iter().for_each(|sender| sender.send_modify(|()| {}));
    }

    /// How many users are watched now: for a metric.
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

    /// Nothing panics half-way through a change of the map: a poisoned one is whole.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Revocations").field("watched_users", &self.watched_users()).finish()
    }
}

/// One guard's place in the hub, which it leaves when it is dropped.
pub(super) struct Subscription {
    hub: Revocations,
    user_id: String,
    receiver: watch::Receiver<()>,
}

impl Subscription {
    /// Waits until something is published since the last time that it did, and on until this
    /// instant. What is published later is for the next time: a read that runs then may miss it.
    pub(super) async fn published(&mut self, not_before: Instant) {
        if self.receiver.changed().await.is_err() {
            // Not while the hub has a sender for it, which it has until this is dropped.
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
