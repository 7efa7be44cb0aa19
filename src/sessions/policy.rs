//! The session policy: the number and lifetime of sessions, and the rules for refresh tokens.

use time::Duration;

use crate::{clock::MAX_LIFETIME, error::ConfigError};

/// The number of sessions per user, their lifetimes, and the rules for refresh tokens.
///
/// A change of policy takes effect at once, also for existing sessions. A stricter
/// policy can refuse an existing session. A later, less strict policy accepts that session again,
/// unless a login has taken its slot.
///
/// # Example
///
/// ```
/// use relatch::{SessionPolicy, sessions::WhenFull};
/// use time::Duration;
///
/// let policy = SessionPolicy::new()
///     .max_sessions(5)
///     .when_full(WhenFull::Refuse)
///     .idle_lifetime(Duration::days(7));
/// # let _ = policy;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a policy is handed to `AuthorityBuilder::sessions`"]
pub struct SessionPolicy {
    max_sessions: u32,
    when_full: WhenFull,
    idle: Duration,
    absolute: Duration,
    grace: Duration,
    on_reuse: OnReuse,
}

impl SessionPolicy {
    /// The greatest configurable number of sessions per user.
    pub const MAX_SESSIONS: u32 = 64;

    /// The default number of sessions per user.
    pub const DEFAULT_SESSIONS: u32 = 16;

    /// The default idle lifetime of a session, without a refresh: 14 days.
    pub const DEFAULT_IDLE_LIFETIME: Duration = Duration::days(14);

    /// The default absolute lifetime of a session, however often it is refreshed: 90 days.
    pub const DEFAULT_ABSOLUTE_LIFETIME: Duration = Duration::days(90);

    /// The default grace period, in which a used refresh token gets the same response: 10 seconds.
    pub const DEFAULT_GRACE: Duration = Duration::seconds(10);

    /// The longest grace period: 60 seconds.
    pub const MAX_GRACE: Duration = Duration::seconds(60);

    /// The default policy.
    pub const fn new() -> Self {
        Self {
            max_sessions: Self::DEFAULT_SESSIONS,
            when_full: WhenFull::EvictLeastRecentlyUsed,
            idle: Self::DEFAULT_IDLE_LIFETIME,
            absolute: Self::DEFAULT_ABSOLUTE_LIFETIME,
            grace: Self::DEFAULT_GRACE,
            on_reuse: OnReuse::EndSession,
        }
    }

    /// Sets the number of sessions per user, 1 to [`MAX_SESSIONS`](Self::MAX_SESSIONS);
    /// [`DEFAULT_SESSIONS`](Self::DEFAULT_SESSIONS) by default.
    ///
    /// After the number is lowered, all sessions in slots beyond it are neither accepted nor
    /// listed, and the next login removes them from the table. All processes that use a table must
    /// have the same policy.
    pub const fn max_sessions(mut self, max: u32) -> Self {
        self.max_sessions = max;
        self
    }

    /// Sets what a login does when all slots are taken; [`WhenFull::EvictLeastRecentlyUsed`] by
    /// default.
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Sets the idle lifetime of a session, without a refresh: 1 second to
    /// [`MAX_LIFETIME`](crate::token::MAX_LIFETIME), in whole seconds;
    /// [`DEFAULT_IDLE_LIFETIME`](Self::DEFAULT_IDLE_LIFETIME) by default.
    ///
    /// Only a refresh counts as use, so keep the access token's lifetime far below this.
    pub const fn idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.idle = lifetime;
        self
    }

    /// Sets the absolute lifetime of a session, however often it is refreshed: 1 second to
    /// [`MAX_LIFETIME`](crate::token::MAX_LIFETIME), in whole seconds;
    /// [`DEFAULT_ABSOLUTE_LIFETIME`](Self::DEFAULT_ABSOLUTE_LIFETIME) by default.
    pub const fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.absolute = lifetime;
        self
    }

    /// Sets the grace period after a refresh, in which the used token gets the same successor
    /// again, so that a lost response or two tabs at the same time do not end the session: 0 to
    /// [`MAX_GRACE`](Self::MAX_GRACE), in whole seconds; [`DEFAULT_GRACE`](Self::DEFAULT_GRACE) by
    /// default. It starts at the refresh itself, so it includes the time of storing. It applies in
    /// both directions, in case a clock was set back. It should be longer than the difference
    /// between the machines' clocks.
    ///
    /// # Security
    ///
    /// A thief who always refreshes within the owner's grace period shares the session until its
    /// absolute end. Each such refresh is an event ([`EventKind::GraceHit`](crate::sessions::EventKind)):
    /// raise an alarm when there are many. A grace period of 0 closes this window, but then a lost
    /// response ends the session. Binding the tokens to a [`Context`](crate::Context) closes it
    /// too.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets what the reuse of a refresh token ends; [`OnReuse::EndSession`] by default.
    pub const fn on_reuse(mut self, on_reuse: OnReuse) -> Self {
        self.on_reuse = on_reuse;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let lifetimes = Duration::SECOND..=MAX_LIFETIME;
        if !(1..=Self::MAX_SESSIONS).contains(&self.max_sessions) {
            return Err(ConfigError::new(
                "max_sessions",
                format!("a user can have 1 to {} sessions", Self::MAX_SESSIONS),
            ));
        }
        if !lifetimes.contains(&self.idle) || !lifetimes.contains(&self.absolute) {
            let days = MAX_LIFETIME.whole_days();
            return Err(ConfigError::new(
                "idle_lifetime",
                format!("a session's idle and absolute lifetimes must be 1 second to {days} days"),
            ));
        }
        match (Duration::ZERO..=Self::MAX_GRACE).contains(&self.grace) {
            true => Ok(()),
            false => Err(ConfigError::new(
                "grace",
                format!("the grace must be 0 to {} seconds", Self::MAX_GRACE.whole_seconds()),
            )),
        }
    }

    pub(super) const fn slots(&self) -> u32 {
        self.max_sessions
    }

    pub(super) const fn refuses_when_full(&self) -> bool {
        matches!(self.when_full, WhenFull::Refuse)
    }

    pub(super) const fn ends_all_on_reuse(&self) -> bool {
        matches!(self.on_reuse, OnReuse::EndAllSessions)
    }

    /// The first second at which a session has ended.
    pub(super) fn end_of(&self, started_at: i64, last_seen: i64) -> i64 {
        let idle_end = last_seen.saturating_add(self.idle.whole_seconds());
        idle_end.min(started_at.saturating_add(self.absolute.whole_seconds()))
    }

    /// Whether a used token is within the grace period, `elapsed` seconds after its use. The sign
    /// does not matter: a clock that was set back a little must not end the session.
    pub(super) fn is_within_grace(&self, elapsed: i64) -> bool {
        let grace = self.grace.whole_seconds().unsigned_abs();
        grace > 0 && elapsed.unsigned_abs() <= grace
    }
}

impl Default for SessionPolicy {
    fn default() -> Self {
        Self::new()
    }
}

/// The action of a login when all of the user's slots are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The least recently used session ends.
    #[default]
    EvictLeastRecentlyUsed,
    /// The login is refused ([`IssueError::SessionsFull`](crate::IssueError::SessionsFull)).
    ///
    /// Dead sessions can occupy the slots: their devices are lost, or their tokens were revoked by
    /// an epoch, a removed key, or a password change that did not update the table. So offer "log
    /// me out everywhere else" to a user who has just given the right password:
    /// [`Authority::log_out_everywhere`](crate::Authority::log_out_everywhere), then
    /// [`Decision::and_then`](crate::authority::Decision::and_then) the login.
    Refuse,
}

/// What ends when a used refresh token is presented again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnReuse {
    /// The session of the token.
    #[default]
    EndSession,
    /// All sessions of the user.
    EndAllSessions,
}
