//! A session, as listed to its user.

use time::OffsetDateTime;

use super::{SessionData, SessionId, SessionPolicy, Slot};
use crate::clock::numeric_date;

/// One session of a user, for a page that lists the user's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    id: SessionId,
    label: String,
    started_at: OffsetDateTime,
    last_seen: OffsetDateTime,
    expires_at: OffsetDateTime,
    ends_at: Option<OffsetDateTime>,
    data: Option<SessionData>,
    policy: Option<String>,
    persistent: bool,
}

impl SessionInfo {
    pub(crate) fn of(slot: &Slot, policy: &SessionPolicy) -> Self {
        Self {
            id: slot.id(),
            label: slot.label.as_str().to_owned(),
            started_at: instant(slot.started_at),
            last_seen: instant(slot.last_seen),
            expires_at: instant(slot.end(policy)),
            ends_at: slot.ends_at.map(instant),
            data: slot.data.clone(),
            policy: slot.policy.clone(),
            persistent: policy.rules(slot.policy.as_deref()).persistent,
        }
    }

    /// The list of these sessions, the most recently used first.
    pub(crate) fn list<'s>(
        sessions: impl Iterator<Item = &'s Slot>,
        policy: &SessionPolicy,
    ) -> Vec<Self> {
        let mut sessions: Vec<_> = sessions.collect();
        sessions.sort_by_key(|slot| std::cmp::Reverse((slot.last_seen, slot.generation)));
        sessions.into_iter().map(|slot| Self::of(slot, policy)).collect()
    }

    /// The session id, for the form that logs the session out. The id of the caller's own session is
    /// [`Verified::session_id`](crate::Verified::session_id).
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

    /// The fixed end that the login set ([`NewSession::ends_at`](super::NewSession::ends_at)), in
    /// whole seconds. [`expires_at`](Self::expires_at) is never later.
    #[must_use]
    pub const fn ends_at(&self) -> Option<OffsetDateTime> {
        self.ends_at
    }

    /// The application's data, from the login or from a later change.
    #[must_use]
    pub const fn data(&self) -> Option<&SessionData> {
        self.data.as_ref()
    }

    /// The name of the session's named policy, if the login set one
    /// ([`NewSession::policy`](super::NewSession::policy)).
    #[must_use]
    pub fn policy(&self) -> Option<&str> {
        self.policy.as_deref()
    }

    /// Whether a browser keeps the session's cookies when it is closed, as the session's policy says
    /// ([`SessionPolicy::session_cookies`]).
    #[must_use]
    pub const fn has_persistent_cookies(&self) -> bool {
        self.persistent
    }
}

/// Converts a slot's time.
pub(crate) fn instant(seconds: i64) -> OffsetDateTime {
    numeric_date(u64::try_from(seconds).unwrap_or(0))
}
