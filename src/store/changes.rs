//! Notifications that users' records have changed.

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
};

/// A handle that notifies a service's cache and its live connections that users' records have
/// changed. [`Service::changes`](crate::service::Service::changes) makes it. Use it from a listener to
/// a database's notifications, or after the application's own SQL. A clone is cheap and refers to the
/// same service.
///
/// A notification drops the record from the cache and makes live connections read it again. It
/// decides nothing: too many notifications cause reads, but end no session.
///
/// # Security
///
/// Notify after the commit of the change, never before. A read before the commit finds the old record,
/// and a cache may keep it for as long as its staleness.
#[derive(Clone)]
pub struct Changes {
    sink: Arc<dyn ChangeSink>,
    listening: Listening,
}

/// The number of a service's listeners that are connected at this instant. A clone refers to the same
/// service.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listening(
    #[cfg_attr(
        not(any(feature = "postgres", feature = "cache")),
        expect(dead_code, reason = "without them nothing listens, and nothing asks")
    )]
    Arc<AtomicUsize>,
);

/// What receives the notifications.
pub(crate) trait ChangeSink: Send + Sync + 'static {
    fn changed(&self, id: &str);
    fn all_changed(&self);
}

impl Changes {
    pub(crate) fn new(sink: Arc<dyn ChangeSink>, listening: Listening) -> Self {
        Self { sink, listening }
    }

    #[cfg(feature = "postgres")]
    pub(super) fn listening(&self) -> Listening {
        self.listening.clone()
    }

    /// Notifies that this user's record may have changed.
    pub fn publish(&self, user_id: &str) {
        self.sink.changed(user_id);
    }

    /// Notifies that every record may have changed: after a connection was lost and made again, and
    /// after the bump of an epoch.
    pub fn publish_all(&self) {
        self.sink.all_changed();
    }
}

impl Listening {
    #[cfg(feature = "postgres")]
    pub(super) fn add(&self) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::AcqRel);
    }

    #[cfg(feature = "postgres")]
    pub(super) fn remove(&self) {
        self.0.fetch_sub(1, std::sync::atomic::Ordering::AcqRel);
    }

    #[cfg(feature = "cache")]
    pub(crate) fn is_any(&self) -> bool {
        self.0.load(std::sync::atomic::Ordering::Acquire) > 0
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").field("listening", &self.listening).finish_non_exhaustive()
    }
}
