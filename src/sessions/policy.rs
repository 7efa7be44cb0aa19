//! The policy of sessions: how many, how long, and what to do when something is wrong.

use time::Duration;

use crate::{clock::MAX_LIFETIME, error::ConfigError};

/// How many sessions a user can have, how long they last, and how strictly their refresh tokens
/// are rotated.
///
/// A change of policy takes effect at once, on sessions that were started before it too. What a
/// stricter one refuses, a later, laxer one may accept again, until a login has taken its slot.
///
/// # Example
///
/// ```
/// use relatch::{SessionPolicy, WhenFull};
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
    /// The greatest number of sessions that can be configured.
    pub const MAX_SESSIONS: u32 = 64;

    /// How many sessions a user can have by default.
    pub const DEFAULT_SESSIONS: u32 = 16;

    /// How long a session lasts by default without being refreshed: 14 days.
    pub const DEFAULT_IDLE_LIFETIME: Duration = Duration::days(14);

    /// How long a session lasts by default however often it is refreshed: 90 days.
    pub const DEFAULT_ABSOLUTE_LIFETIME: Duration = Duration::days(90);

    /// How long a refresh token that was just used is answered again by default: 10 seconds.
    pub const DEFAULT_GRACE: Duration = Duration::seconds(10);

    /// The longest grace: 60 seconds.
    pub const MAX_GRACE: Duration = Duration::seconds(60);

    /// The defaults.
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

    /// Sets how many sessions a user can have, 1 to [`MAX_SESSIONS`](Self::MAX_SESSIONS):
    /// [`DEFAULT_SESSIONS`](Self::DEFAULT_SESSIONS) otherwise.
    ///
    /// Under a lower number than before the sessions in the slots beyond it, whichever these are,
    /// are neither accepted nor listed; the next login takes them out of the table. All
    /// processes that use a table must have the same policy.
    pub const fn max_sessions(mut self, max: u32) -> Self {
        self.max_sessions = max;
        self
    }

    /// Sets what a login does when all slots are taken: [`WhenFull::EvictLeastRecentlyUsed`]
    /// otherwise.
    pub const fn when_full(mut self, when_full: WhenFull) -> Self {
        self.when_full = when_full;
        self
    }

    /// Sets how long a session lasts without being refreshed: 1 second to
    /// [`MAX_LIFETIME`](crate::MAX_LIFETIME), in whole seconds,
    /// [`DEFAULT_IDLE_LIFETIME`](Self::DEFAULT_IDLE_LIFETIME) otherwise.
    ///
    /// Only a refresh counts as use, so leave the access token's lifetime far below this.
    pub const fn idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.idle = lifetime;
        self
    }

    /// Sets how long a session lasts however often it is refreshed: 1 second to
    /// [`MAX_LIFETIME`](crate::MAX_LIFETIME), in whole seconds,
    /// [`DEFAULT_ABSOLUTE_LIFETIME`](Self::DEFAULT_ABSOLUTE_LIFETIME) otherwise.
    pub const fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.absolute = lifetime;
        self
    }

    /// Sets for how long after a refresh the token that was used is answered with the same
    /// successor again, so that a lost response or two tabs at once log nobody out: 0 to
    /// [`MAX_GRACE`](Self::MAX_GRACE), in whole seconds, [`DEFAULT_GRACE`](Self::DEFAULT_GRACE)
    /// otherwise. It counts from the refresh itself, so the time that storing took is part of it, and
    /// in both directions, for a clock that was set back. Let it be larger than the difference
    /// between the clocks of the machines.
    ///
    /// # Security
    ///
    /// A thief who always refreshes within the grace of the owner shares the session until its
    /// absolute end. Each such answer is an event ([`EventKind::GraceHit`](crate::EventKind)):
    /// alarm on many. A grace of 0 leaves no such window, at the price that a lost response ends
    /// the session; binding the tokens to a [`Context`](crate::Context) closes it too.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Sets what the reuse of a refresh token ends: [`OnReuse::EndSession`] otherwise.
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
                format!("a session's idle and absolute lifetimes take 1 second to {days} days"),
            ));
        }
        match (Duration::ZERO..=Self::MAX_GRACE).contains(&self.grace) {
            true => Ok(()),
            false => Err(ConfigError::new(
                "grace",
                format!("the grace takes 0 to {} seconds", Self::MAX_GRACE.whole_seconds()),
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

    /// The first second at which a session is over.
    pub(super) fn end_of(&self, started_at: i64, last_seen: i64) -> i64 {
        let idle_end = last_seen.saturating_add(self.idle.whole_seconds());
        idle_end.min(started_at.saturating_add(self.absolute.whole_seconds()))
    }

    /// Whether a predecessor is still answered, `elapsed` seconds after its use. The distance
    /// counts, not the direction: a clock that was set back a little must log nobody out.
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

/// What a login does when all of the user's slots are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The session that was not used for the longest time ends.
    #[default]
    EvictLeastRecentlyUsed,
    /// The login is refused ([`IssueError::SessionsFull`](crate::IssueError::SessionsFull)).
    ///
    /// Dead sessions can hold the slots: those whose devices are lost, or whose tokens died with an
    /// epoch, a key that was removed or a password that was changed past the table. So offer "log
    /// me out everywhere else" to whoever has just proven the password:
    /// [`Authority::log_out_everywhere`](crate::Authority::log_out_everywhere), then
    /// [`Decision::and_then`](crate::Decision::and_then) the login.
    Refuse,
}

/// What ends when a refresh token is presented that was used up before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnReuse {
    /// The session that the token is of.
    #[default]
    EndSession,
    /// All sessions of the user.
    EndAllSessions,
}
