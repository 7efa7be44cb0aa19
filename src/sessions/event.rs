//! Security events of sessions.

use std::fmt;

use time::OffsetDateTime;

use crate::sessions::SessionId;

/// An event at a refresh, worth a log entry, and by its [kind](EventKind) an alarm or a message to
/// the user. It is always caused by a genuine token: nobody can cause an event without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEvent {
    pub(crate) kind: EventKind,
    pub(crate) user_id: String,
    pub(crate) session_id: SessionId,
    pub(crate) label: Option<String>,
    pub(crate) jti: String,
    pub(crate) presented: u64,
    pub(crate) current: Option<u64>,
    pub(crate) last_seen: Option<OffsetDateTime>,
    pub(crate) at: OffsetDateTime,
    pub(crate) ended: usize,
}

impl SessionEvent {
    /// What happened.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        self.kind
    }

    /// The id of the user whose session it is.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The session id in the token.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The session's label, if the record still has the session.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The `jti` of the presented token.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// The `seq` of the presented token.
    #[must_use]
    pub const fn presented_seq(&self) -> u64 {
        self.presented
    }

    /// The current `seq` of the session at that time, if the record has the session.
    #[must_use]
    pub const fn current_seq(&self) -> Option<u64> {
        self.current
    }

    /// The time of the session's last refresh, if the record has the session.
    #[must_use]
    pub const fn last_seen(&self) -> Option<OffsetDateTime> {
        self.last_seen
    }

    /// The time of the event.
    #[must_use]
    pub const fn at(&self) -> OffsetDateTime {
        self.at
    }

    /// The number of sessions that ended.
    #[must_use]
    pub const fn ended_sessions(&self) -> usize {
        self.ended
    }
}

impl fmt::Display for SessionEvent {
    /// One line for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, user_id, session_id, jti, presented, ended, .. } = self;
        write!(f, "{kind}: user {user_id:?}, session {session_id}")?;
        if let Some(label) = &self.label {
            write!(f, " {label:?}")?;
        }
        write!(f, ", token {jti} with seq {presented}")?;
        if let Some(current) = self.current {
            write!(f, " where the current seq is {current}")?;
        }
        match ended {
            0 => Ok(()),
            ended => write!(f, ", ended {ended}"),
        }
    }
}

/// The kind of a [`SessionEvent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A refresh token was presented again within the grace. The usual cause is a lost
    /// response or two tabs at the same time; if it repeats, two parties share a session.
    GraceHit,
    /// A used refresh token was presented after the grace, while its successor had not been used,
    /// and the policy allows this ([`SessionPolicy::late_repeat`]). The usual cause is a phone that
    /// lost a response. There is at most one such event for each successor, because the session
    /// stores the first late repeat.
    ///
    /// [`SessionPolicy::late_repeat`]: crate::SessionPolicy::late_repeat
    LateRepeat,
    /// A used refresh token was presented again: somebody has a copy. The session has ended, or all
    /// sessions of the user have, as the policy says.
    Reuse,
    /// A genuine refresh token is newer than the record: the database was rolled back, or a replica
    /// was read. It is not a theft, and nothing was changed. See [`AuthorityBuilder::epoch`] for
    /// what to do after restoring a backup.
    ///
    /// [`AuthorityBuilder::epoch`]: crate::AuthorityBuilder::epoch
    RolledBack,
}

impl EventKind {
    /// A short name in snake case, for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GraceHit => "grace_hit",
            Self::LateRepeat => "late_repeat",
            Self::Reuse => "reuse",
            Self::RolledBack => "rolled_back",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
