//! Events of sessions: logged, and handed to the application's callback.

use std::{
    hash::{BuildHasher, RandomState},
    sync::atomic::{AtomicU64, Ordering},
};

use crate::sessions::{EventKind, SessionEvent};

/// The receivers of events.
pub(super) struct Events {
    on_event: OnEvent,
    recent: Recent,
}

pub(super) type OnEvent = Box<dyn Fn(&SessionEvent) + Send + Sync>;

impl Events {
    pub(super) fn new(on_event: OnEvent) -> Self {
        Self { on_event, recent: Recent::new() }
    }

    /// Reports the event of a refresh whose change was stored, or that has none to store. A reuse has
    /// then ended its session and cannot come again.
    pub(super) fn report(&self, event: &SessionEvent) {
        match event.kind() {
            EventKind::Reuse => self.tell(event),
            _ => self.report_once(event),
        }
    }

    /// Reports an event that can come again with the same token, because it ends nothing, or because
    /// it is not known whether its change was stored. It is reported only the first time: the holder
    /// of a token must not flood a log or an alarm.
    pub(super) fn report_once(&self, event: &SessionEvent) {
        if self.recent.is_new(event) {
            self.tell(event);
        }
    }

    fn tell(&self, event: &SessionEvent) {
        log(event);
        (self.on_event)(event);
    }
}

/// The events that were reported last: a table of bounded size, in which an event takes the place of
/// another at random.
struct Recent {
    hasher: RandomState,
    hashes: Box<[AtomicU64]>,
}

/// The number of events to remember: 8 KiB.
const REMEMBERED: usize = 1024;

impl Recent {
    fn new() -> Self {
        let hashes = (0..REMEMBERED).map(|_| AtomicU64::new(0)).collect();
        Self { hasher: RandomState::new(), hashes }
    }

    fn is_new(&self, event: &SessionEvent) -> bool {
        let SessionEvent { kind, user_id, session_id, presented, .. } = event;
        let hash = self.hasher.hash_one((kind, user_id, session_id, presented));
        let place = usize::try_from(hash % REMEMBERED as u64).unwrap_or(0);
        self.hashes.get(place).is_none_or(|known| known.swap(hash, Ordering::Relaxed) != hash)
    }
}

fn log(event: &SessionEvent) {
    #[cfg(feature = "tracing")]
    match event.kind() {
        EventKind::GraceHit | EventKind::LateRepeat => {
            tracing::info!(target: "relatch", kind = event.kind().as_str(), user = event.user_id(), "{event}");
        }
        EventKind::Reuse | EventKind::RolledBack => {
            tracing::warn!(target: "relatch", kind = event.kind().as_str(), user = event.user_id(), "{event}");
        }
    }
    #[cfg(not(feature = "tracing"))]
    let _ = event;
}
