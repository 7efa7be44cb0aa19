//! What happened to users' sessions that they should hear of.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use relatch::SessionEvent;

/// The last ones, of all users. A clone is the same.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<Mutex<VecDeque<SessionEvent>>>);

const KEPT: usize = 100;

impl Events {
    pub(crate) fn add(&self, event: &SessionEvent) {
        let mut events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.push_front(event.clone());
        events.truncate(KEPT);
    }

    /// Those of this user, the last one first.
    pub(crate) fn of(&self, user_id: &str) -> Vec<SessionEvent> {
        let events = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().filter(|event| event.user_id() == user_id).cloned().collect()
    }
}
