//! Recent session events of each user, for the devices page.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use relatch::sessions::SessionEvent;

/// The most recent events per user, so that one user's events never displace another's. Clones
/// share the same events.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<HashMap<String, VecDeque<SessionEvent>>>>);

/// Events kept per user.
const KEPT: usize = 20;

impl Events {
    pub(crate) fn add(&self, event: &SessionEvent) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let events = events.entry(event.user_id().to_owned()).or_default();
        events.push_front(event.clone());
        events.truncate(KEPT);
    }

    /// The events of this user, the newest first.
    pub(crate) fn of(&self, user_id: &str) -> Vec<SessionEvent> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.get(user_id).into_iter().flatten().cloned().collect()
    }
}
