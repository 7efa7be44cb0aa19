//! News of changes, for what is kept in memory.

use std::{fmt, sync::Arc};

/// Where a service is told that users' records were changed, by whatever learns of it: a listener
/// to a database's notifications, the application's own SQL. A clone is cheap and the same.
///
/// What is told drops the record from the cache and makes live guards look again. It carries no
/// verdict: telling too much costs reads, and ends no session.
///
/// # Security
///
/// Tell of a change after it was committed, never before: whoever looks too early finds the old
/// record again.
#[derive(Clone)]
pub struct Changes(Arc<dyn Sink>);

/// What keeps records in memory.
pub(super) trait Sink: Send + Sync + 'static {
    fn changed(&self, id: &str);
    fn all_changed(&self);
}

impl Changes {
    pub(super) fn new(sink: Arc<dyn Sink>) -> Self {
        Self(sink)
    }

    /// Something about this user was changed.
    pub fn publish(&self, user_id: &str) {
        self.0.changed(user_id);
    }

    /// Anything may have been changed: for a carrier that is connected again after it was not, and
    /// for the bump of an epoch.
    pub fn publish_all(&self) {
        self.0.all_changed();
    }
}

impl fmt::Debug for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}
