//! Events: what a security team wants to hear of.

use std::fmt;

use time::OffsetDateTime;

use crate::sessions::SessionId;

/// Something about a refresh that is worth a log, an alarm or a message to the user, with what is
/// known of it. It rests on a genuine token: nobody without one can cause an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionEvent {
    pub(crate) kind: EventKind,
    pub(crate) user_id: String,
    pub(crate) session_id: SessionId,
    pub(crate) label: Option<String>,
    pub(crate) token_id: String,
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

    /// Whose session it is.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The session that the token names.
    #[must_use]
    pub const fn session_id(&self) -> SessionId {
        self.session_id
    }

    /// The session's label, where the record still has the session.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }

    /// The `jti` of the token that was presented.
    #[must_use]
    pub fn token_id(&self) -> &str {
        &self.token_id
    }

    /// The `seq` of the token that was presented.
    #[must_use]
    pub const fn presented_seq(&self) -> u64 {
        self.presented
    }

    /// The `seq` in force at that time, where the record has the session.
    #[must_use]
    pub const fn current_seq(&self) -> Option<u64> {
        self.current
    }

    /// When the session was last refreshed, where the record has the session.
    #[must_use]
    pub const fn last_seen(&self) -> Option<OffsetDateTime> {
        self.last_seen
    }

    /// When it happened.
    #[must_use]
    pub const fn at(&self) -> OffsetDateTime {
        self.at
    }

    /// How many sessions it ended.
    #[must_use]
    pub const fn ended_sessions(&self) -> usize {
        self.ended
    }
}

impl fmt::Display for SessionEvent {
    /// One line for a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, user_id, session_id, token_id, presented, ended, .. } = self;
        write!(f, "{kind}: user {user_id:?}, session {session_id}")?;
        if let Some(label) = &self.label {
            write!(f, " {label:?}")?;
        }
        write!(f, ", token {token_id} with seq {presented}")?;
        if let Some(current) = self.current {
            write!(f, " where {current} is in force")?;
        }
        match ended {
            0 => Ok(()),
            ended => write!(f, ", ended {ended}"),
        }
    }
}

/// What happened at a refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A refresh token was presented again within the grace. Mostly a lost response or two tabs at
    /// once; again and again, two parties who share a session.
    GraceHit,
    /// A refresh token was presented that had been used up: somebody has a copy. The session is
    /// over, or all of the user's, by the policy.
    Reuse,
    /// A genuine refresh token is ahead of the record: the database was rolled back, or a replica
    /// was read. No theft, and nothing was changed; see [`AuthorityBuilder::epoch`] for what to do
    /// after restoring a backup.
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
