//! What happened to users' sessions that they should hear of.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use relatch::SessionEvent;

/// The last ones of each user: nobody's fill up the room of others'. A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<HashMap<String, VecDeque<SessionEvent>>>>);

/// Of each user.
const KEPT: usize = 20;

impl Events {
    pub(crate) fn add(&self, event: &SessionEvent) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let events = events.entry(event.user_id().to_owned()).or_default();
        events.push_front(event.clone());
        events.truncate(KEPT);
    }

    /// Those of this user, the last one first.
    pub(crate) fn of(&self, user_id: &str) -> Vec<SessionEvent> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.get(user_id).into_iter().flatten().cloned().collect()
    }
}
