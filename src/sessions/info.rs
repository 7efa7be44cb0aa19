//! A session as it is listed.

use time::OffsetDateTime;

use super::{SessionId, SessionPolicy, Slot};
use crate::clock::numeric_date;

/// A session of a user's, as an application lists it: "your devices".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    id: SessionId,
    label: String,
    started_at: OffsetDateTime,
    last_seen: OffsetDateTime,
    expires_at: OffsetDateTime,
}

impl SessionInfo {
    pub(crate) fn of(slot: &Slot, policy: &SessionPolicy) -> Self {
        Self {
            id: slot.id(),
            label: slot.label.as_str().to_owned(),
            started_at: instant(slot.started_at),
            last_seen: instant(slot.last_seen),
            expires_at: instant(slot.ends_at(policy)),
        }
    }

    /// Its id: for the form that logs it out. The present one is that of
    /// [`Registered::session_id`](crate::Registered::session_id).
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// What it was called at its start: at most 64 bytes of one line.
    ///
    /// # Security
    ///
    /// It usually comes of the `User-Agent`, so any text can stand here. Escape it where it is
    /// shown, as any text of a user's.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// When it was started, in whole seconds.
    #[must_use]
    pub const fn started_at(&self) -> OffsetDateTime {
        self.started_at
    }

    /// When it was last refreshed, in whole seconds: up to an access token's lifetime before its
    /// last use.
    #[must_use]
    pub const fn last_seen(&self) -> OffsetDateTime {
        self.last_seen
    }

    /// The first second at which it is over if it is not refreshed.
    #[must_use]
    pub const fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }
}

/// The instant of a slot's time.
pub(crate) fn instant(seconds: i64) -> OffsetDateTime {
    numeric_date(u64::try_from(seconds).unwrap_or(0))
}
