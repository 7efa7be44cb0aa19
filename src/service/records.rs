//! Users' records: reads, the cache, and writes. A write of this process is visible to it at once.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::JoinError,
    time::{Instant, timeout},
};

#[cfg(feature = "cache")]
use super::cache::{Cache, CachePolicy};
use super::{found::Found, shared_reads::SharedReads};
use crate::{
    live::Revocations,
    store::{
        ChangeSink, CheckReport, ErasedStore, Locked, Record, RowLock, StoreError, StoredUser,
        Update, UserKey,
    },
};

/// The store, with the cache in front of it and the receivers of revocations.
pub(super) struct Records<F> {
    source: Arc<Source<F>>,
    reads: SharedReads<Result<Option<Record<F>>, StoreError>>,
    #[cfg(feature = "cache")]
    cache: Option<Cache<F>>,
    pub(super) revocations: Revocations,
}

/// The store, with a limit on the time that it may take.
struct Source<F> {
    store: Arc<dyn ErasedStore<F>>,
    limit: Duration,
}

/// A logout everywhere: a bump of one user's version.
#[derive(Clone)]
pub(super) struct Bump {
    pub(super) id: String,
    pub(super) at_least: i64,
    pub(super) status: Status,
}

/// The user's status after a bump.
#[derive(Clone, Copy)]
pub(super) enum Status {
    AsBefore,
    Disabled,
    /// Only if the version still is this one.
    Enabled {
        version: Option<i64>,
    },
}

impl<F: Clone + Send + Sync + 'static> Records<F> {
    pub(super) fn new(store: Arc<dyn ErasedStore<F>>, limit: Duration) -> Self {
        let source = Arc::new(Source { store, limit });
        let load = Arc::clone(&source);
        let load = move |id: String| {
            let source = Arc::clone(&load);
            let load = async move { source.read(UserKey::Id(&id)).await };
            Box::pin(load) as _
        };
        Self {
            source,
            reads: SharedReads::new(Box::new(load)),
            #[cfg(feature = "cache")]
            cache: None,
            revocations: Revocations::new(),
        }
    }

    #[cfg(feature = "cache")]
    pub(super) fn cached(mut self, policy: CachePolicy) -> Self {
        let source = Arc::clone(&self.source);
        let load = move |id: String| {
            let source = Arc::clone(&source);
            let load = async move { source.find(&id, true).await };
            Box::pin(load) as _
        };
        self.cache = Some(Cache::new(policy, Arc::new(load)));
        self
    }

    /// The timeout of the store.
    #[cfg(feature = "axum")]
    pub(crate) fn store_timeout(&self) -> Duration {
        self.source.limit
    }

    /// Checks the database. The store has timeouts of its own for that.
    pub(super) async fn check(&self) -> Result<CheckReport, StoreError> {
        self.source.store.check().await
    }

    /// The bound of the cache, if there is one.
    #[cfg(feature = "cache")]
    pub(super) fn max_staleness(&self) -> Option<Duration> {
        self.cache.as_ref().map(Cache::max_staleness)
    }

    /// Reads the row from the primary database, to decide a change. Callers with the same id share a
    /// read that begins after their calls.
    pub(super) async fn read(&self, key: UserKey<'_>) -> Result<Option<Record<F>>, StoreError> {
        match key {
            UserKey::Id(id) => self.source.within_timeout(self.read_shared(id)).await,
            UserKey::Login(_) => self.source.read(key).await,
        }
    }

    async fn read_shared(&self, id: &str) -> Result<Option<Record<F>>, StoreError> {
        let aborted = || Err(StoreError::unreachable("the read of the user's row was aborted"));
        self.reads.read(id).await.unwrap_or_else(aborted)
    }

    /// [`read`](Self::read) without the application's fields, for revocations: it also works if the
    /// fields cannot be parsed.
    pub(super) async fn read_bare(
        &self,
        key: UserKey<'_>,
    ) -> Result<Option<Record<()>>, StoreError> {
        Record::bare(self.read(key).await.map(|read| read.map(Record::into_row)))
    }

    /// Reads the row and locks it; `None` if the store has no locks.
    pub(super) async fn lock(&self, key: UserKey<'_>) -> Result<Option<Locked<F>>, StoreError> {
        self.source.within_timeout(self.source.store.lock(key)).await
    }

    /// Finds the user; the record may be as old as the cache's bound.
    pub(super) async fn find(&self, id: &str) -> Result<Found<F>, StoreError> {
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.cache {
            return cache.find(id).await;
        }
        self.find_now(id).await
    }

    /// Finds the user as of this instant or later.
    pub(super) async fn find_since(
        &self,
        id: &str,
        since: Instant,
    ) -> Result<Found<F>, StoreError> {
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.cache {
            return cache.find_since(id, since).await;
        }
        let _ = since;
        self.find_now(id).await
    }

    /// [`find_since`](Self::find_since) to confirm a negative verdict: it may be delayed.
    pub(super) async fn confirm(&self, id: &str, since: Instant) -> Result<Found<F>, StoreError> {
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.cache {
            return cache.confirm(id, since).await;
        }
        self.find_since(id, since).await
    }

    /// Bumps a group's counter, and returns it; `None` if there is no such group.
    pub(super) async fn bump_epoch(
        self: &Arc<Self>,
        kind: &str,
        instance: &str,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        let (source, kind) = (Arc::clone(&self.source), kind.to_owned());
        let instance = instance.to_owned();
        let bump = async move { source.store.bump_epoch(&kind, &instance, at_least).await };
        self.change(None, bump).await
    }

    /// Drops from the cache what was read of this user until now.
    pub(super) fn forget(&self, id: &str) {
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.cache {
            cache.invalidate(id);
        }
        let _ = id;
    }

    async fn find_now(&self, id: &str) -> Result<Found<F>, StoreError> {
        let began = Instant::now();
        let user = self.source.find(id, false).await?;
        Ok(Found { user, began })
    }

    /// Writes the row if it still is as before, and returns whether it was.
    pub(super) async fn compare_and_set(
        self: &Arc<Self>,
        update: Update,
    ) -> Result<bool, StoreError> {
        let (source, id) = (Arc::clone(&self.source), update.id().to_owned());
        self.change(Some(id), async move { source.store.compare_and_set(&update).await }).await
    }

    /// [`compare_and_set`](Self::compare_and_set) by the holder of the row's lock.
    pub(super) async fn write_locked(
        self: &Arc<Self>,
        lock: RowLock,
        update: Update,
    ) -> Result<bool, StoreError> {
        self.change(Some(update.id().to_owned()), lock.compare_and_set(update)).await
    }

    /// Logs a user out everywhere, and returns the new version; `None` if nothing was changed.
    pub(super) async fn bump(self: &Arc<Self>, bump: Bump) -> Result<Option<i64>, StoreError> {
        let (source, id) = (Arc::clone(&self.source), bump.id.clone());
        self.change(Some(id), async move { bump.run(&*source.store).await }).await
    }

    /// Deletes a user, and returns whether there was one.
    pub(super) async fn delete(self: &Arc<Self>, id: &str) -> Result<bool, StoreError> {
        let (source, deleted) = (Arc::clone(&self.source), id.to_owned());
        let delete = async move { source.store.delete(&deleted).await };
        self.change(Some(id.to_owned()), delete).await
    }

    /// Runs a change of this user, or of a group for `None`, and notifies of it. It completes even if
    /// the caller is dropped, as when a client disconnects.
    async fn change<T: Send + 'static>(
        self: &Arc<Self>,
        id: Option<String>,
        change: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            // Whatever the outcome: if the store fails, the row may have changed.
            let _notify = NotifyOnDrop { records: &*this, id: id.as_deref() };
            this.source.within_timeout(change).await
        });
        task.await.unwrap_or_else(|error| Err(aborted(error)))
    }
}

impl<F: Clone + 'static> Source<F> {
    async fn read(&self, key: UserKey<'_>) -> Result<Option<Record<F>>, StoreError> {
        let row = self.within_timeout(self.store.read(key)).await?;
        row.map(Record::read).transpose()
    }

    async fn find(&self, id: &str, is_kept: bool) -> Result<Option<StoredUser<F>>, StoreError> {
        let record = self.read(UserKey::Id(id)).await?;
        Ok(record.map(|record| record.into_user(is_kept)))
    }
}

impl<F> Source<F> {
    async fn within_timeout<T>(
        &self,
        answer: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match timeout(self.limit, answer).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(StoreError::unreachable(elapsed)),
        }
    }
}

impl Bump {
    async fn run<F: 'static>(self, store: &dyn ErasedStore<F>) -> Result<Option<i64>, StoreError> {
        let Self { id, at_least, status } = &self;
        match *status {
            Status::AsBefore => store.bump_version(id, *at_least).await,
            Status::Disabled => store.disable(id, *at_least).await,
            Status::Enabled { version } => store.enable(id, version, *at_least).await,
        }
    }
}

/// Notifies of a change of this user, or of all users for `None`, when it is dropped.
struct NotifyOnDrop<'a, F: Clone + Send + Sync + 'static> {
    records: &'a Records<F>,
    id: Option<&'a str>,
}

impl<F: Clone + Send + Sync + 'static> Drop for NotifyOnDrop<'_, F> {
    fn drop(&mut self) {
        match self.id {
            Some(id) => self.records.changed(id),
            None => self.records.all_changed(),
        }
    }
}

/// The cache comes first, so that a notified live connection finds the new record.
impl<F: Clone + Send + Sync + 'static> ChangeSink for Records<F> {
    fn changed(&self, id: &str) {
        self.forget(id);
        self.revocations.publish(id);
    }

    fn all_changed(&self) {
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.cache {
            cache.invalidate_all();
        }
        self.revocations.publish_all();
    }
}

/// The error of a task that panicked, or that a runtime's shutdown stopped.
fn aborted(error: JoinError) -> StoreError {
    StoreError::unreachable(error)
}
