//! Notifications that users' records have changed.

use std::{fmt, sync::Arc};

/// A handle that notifies a service's cache and its live connections that users' records have changed. [`Service::changes`](crate::service::Service::changes) makes it. Use it
/// from a listener to a database's notifications, or after the application's own SQL. A clone is
/// cheap and refers to the same service.
///
/// A notification drops the record from the cache and makes live connections read it again. It
/// decides nothing: too many notifications cause reads, but end no session.
///
/// # Security
///
/// Notify after the commit of the change, never before. A read before the commit finds the old record,
/// and a cache may keep it for as long as its staleness.
#[derive(Clone)]
pub struct Changes(Arc<dyn ChangeSink>);

/// What receives the notifications.
pub(crate) trait ChangeSink: Send + Sync + 'static {
    fn changed(&self, id: &str);
    fn all_changed(&self);
}

impl Changes {
    pub(crate) fn new(sink: Arc<dyn ChangeSink>) -> Self {
        Self(sink)
    }

    /// Notifies that this user's record may have changed.
    pub fn publish(&self, user_id: &str) {
        self.0.changed(user_id);
    }

    /// Notifies that every record may have changed: after a connection was lost and made again, and
    /// after the bump of an epoch.
    pub fn publish_all(&self) {
        self.0.all_changed();
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}
