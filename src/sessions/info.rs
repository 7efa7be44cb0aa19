//! A session, as listed to its user.

use time::OffsetDateTime;

use super::{SessionId, SessionPolicy, Slot};
use crate::clock::numeric_date;

/// One session of a user, for a page that lists the user's devices.
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

    /// The session id, for the form that logs the session out. The id of the current session is
    /// [`RegisteredClaims::session_id`](crate::token::RegisteredClaims::session_id).
    #[must_use]
    pub const fn id(&self) -> SessionId {
        self.id
    }

    /// The label given at the login: one line of at most 64 bytes.
    ///
    /// # Security
    ///
    /// It usually comes from the `User-Agent`, so it can be any text. Escape it in HTML, like all
    /// user input.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The time of the login, in whole seconds.
    #[must_use]
    pub const fn started_at(&self) -> OffsetDateTime {
        self.started_at
    }

    /// The time of the last refresh, in whole seconds. The last use can be later, by up to the
    /// lifetime of an access token.
    #[must_use]
    pub const fn last_seen(&self) -> OffsetDateTime {
        self.last_seen
    }

    /// The first second at which the session has ended, if it is not refreshed before.
    #[must_use]
    pub const fn expires_at(&self) -> OffsetDateTime {
        self.expires_at
    }
}

/// Converts a slot's time.
pub(crate) fn instant(seconds: i64) -> OffsetDateTime {
    numeric_date(u64::try_from(seconds).unwrap_or(0))
}
