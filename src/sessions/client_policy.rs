//! The rules of single sessions: lifetimes and grace, for each kind of client.

use time::Duration;

use crate::{clock::MAX_LIFETIME, error::ConfigError};

/// The longest grace.
pub(super) const MAX_GRACE: Duration = Duration::seconds(60);

/// The longest time for a late repeat.
pub(super) const MAX_LATE_REPEAT: Duration = Duration::days(30);

/// A named policy: the lifetimes, the grace, the time for late repeats and the kind of cookies of one
/// kind of client. See
/// [`SessionPolicy::named`](super::SessionPolicy::named).
///
/// A setting that is not set here has the value of the [`SessionPolicy`](super::SessionPolicy). The
/// ranges are those of its methods of the same names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use = "a policy for a kind of client is handed to `SessionPolicy::named`"]
pub struct ClientPolicy {
    idle: Option<Duration>,
    absolute: Option<Duration>,
    grace: Option<Duration>,
    late_repeat: Option<Duration>,
    persistent: Option<bool>,
}

impl ClientPolicy {
    /// A named policy that has all settings of the [`SessionPolicy`](super::SessionPolicy).
    pub const fn new() -> Self {
        Self { idle: None, absolute: None, grace: None, late_repeat: None, persistent: None }
    }

    /// Sets the idle lifetime:
    /// [`SessionPolicy::idle_lifetime`](super::SessionPolicy::idle_lifetime).
    pub const fn idle_lifetime(mut self, lifetime: Duration) -> Self {
        self.idle = Some(lifetime);
        self
    }

    /// Sets the absolute lifetime:
    /// [`SessionPolicy::absolute_lifetime`](super::SessionPolicy::absolute_lifetime).
    pub const fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.absolute = Some(lifetime);
        self
    }

    /// Sets the grace: [`SessionPolicy::grace`](super::SessionPolicy::grace).
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// Sets the time for late repeats:
    /// [`SessionPolicy::late_repeat`](super::SessionPolicy::late_repeat).
    pub const fn late_repeat(mut self, bound: Duration) -> Self {
        self.late_repeat = Some(bound);
        self
    }

    /// Lets a browser discard the cookies when it is closed:
    /// [`SessionPolicy::session_cookies`](super::SessionPolicy::session_cookies).
    pub const fn session_cookies(mut self) -> Self {
        self.persistent = Some(false);
        self
    }

    /// Lets a browser keep the cookies until the session's end, if the
    /// [`SessionPolicy`](super::SessionPolicy) has
    /// [`session_cookies`](super::SessionPolicy::session_cookies).
    pub const fn persistent_cookies(mut self) -> Self {
        self.persistent = Some(true);
        self
    }

    pub(super) fn over(&self, default: Rules) -> Rules {
        Rules {
            idle: self.idle.unwrap_or(default.idle),
            absolute: self.absolute.unwrap_or(default.absolute),
            grace: self.grace.unwrap_or(default.grace),
            late_repeat: self.late_repeat.unwrap_or(default.late_repeat),
            persistent: self.persistent.unwrap_or(default.persistent),
        }
    }
}

/// The rules of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) idle: Duration,
    pub(super) absolute: Duration,
    pub(super) grace: Duration,
    /// Zero: there is no late repeat.
    pub(super) late_repeat: Duration,
    /// Whether a browser keeps the cookies when it is closed.
    pub(super) persistent: bool,
}

/// How the predecessor of a current refresh token is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// It is within the grace.
    InTime,
    /// It is within the time for a late repeat.
    Late,
    /// It is reuse.
    Refused,
}

impl Rules {
    /// The end of a session by its lifetimes, in seconds since 1970: the first second at which it
    /// has ended.
    pub(super) fn end_of(&self, started_at: i64, last_seen: i64) -> i64 {
        let idle_end = last_seen.saturating_add(self.idle.whole_seconds());
        idle_end.min(started_at.saturating_add(self.absolute.whole_seconds()))
    }

    /// The answer to a token that comes again `elapsed` seconds after its use; `is_strict` if only the
    /// grace counts. The sign of `elapsed` does not matter: a clock that was set back a little must
    /// not end the session.
    pub(super) fn repeat(&self, is_strict: bool, elapsed: i64) -> Repeat {
        let is_within = |time: Duration| {
            let seconds = time.whole_seconds().unsigned_abs();
            seconds > 0 && elapsed.unsigned_abs() <= seconds
        };
        match () {
            () if is_within(self.grace) => Repeat::InTime,
            () if !is_strict && is_within(self.late_repeat) => Repeat::Late,
            () => Repeat::Refused,
        }
    }

    /// `of` names the policy in an error, if it is not the default.
    pub(super) fn check(&self, of: &str) -> Result<(), ConfigError> {
        let lifetimes = Duration::SECOND..=MAX_LIFETIME;
        if !lifetimes.contains(&self.idle) || !lifetimes.contains(&self.absolute) {
            let days = MAX_LIFETIME.whole_days();
            return Err(ConfigError::new(
                "idle_lifetime",
                format!(
                    "a session's idle and absolute lifetimes{of} must be 1 second to {days} days"
                ),
            ));
        }
        if !(Duration::ZERO..=MAX_GRACE).contains(&self.grace) {
            let seconds = MAX_GRACE.whole_seconds();
            return Err(ConfigError::new(
                "grace",
                format!("the grace{of} must be 0 to {seconds} seconds"),
            ));
        }
        if !(Duration::ZERO..=MAX_LATE_REPEAT).contains(&self.late_repeat) {
            let days = MAX_LATE_REPEAT.whole_days();
            return Err(ConfigError::new(
                "late_repeat",
                format!("the time for a late repeat{of} must be 0 (off) to {days} days"),
            ));
        }
        Ok(())
    }
}
