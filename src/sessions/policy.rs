//! The session policy: the number and lifetime of sessions, and the rules for refresh tokens.

use time::Duration;

use super::{
    client_policy::{self, ClientPolicy, Rules},
    data::{DataTooLong, SessionData},
};
use crate::error::ConfigError;

/// The number of sessions per user, their lifetimes, and the rules for refresh tokens.
///
/// A change of policy takes effect at once, also for existing sessions. A stricter
/// policy can refuse an existing session. A later, less strict policy accepts that session again,
/// unless a login has taken its slot.
///
/// # Example
///
/// ```
/// use relatch::{
///     SessionPolicy,
///     sessions::{ClientPolicy, WhenFull},
/// };
/// use time::Duration;
///
/// // A phone comes back an hour after it has lost a response, and stays logged in for longer.
/// let phone = ClientPolicy::new()
///     .late_repeat(Duration::days(1))
///     .idle_lifetime(Duration::days(60))
///     .absolute_lifetime(Duration::days(365));
/// let policy = SessionPolicy::new()
///     .max_sessions(5)
///     .when_full(WhenFull::Refuse)
///     .idle_lifetime(Duration::days(7))
///     .named("phone", phone);
/// # let _ = policy;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a policy is handed to `AuthorityBuilder::sessions`"]
pub struct SessionPolicy {
    max_sessions: u32,
    when_full: WhenFull,
    on_reuse: OnReuse,
    max_data_bytes: usize,
    default: Rules,
    named: Vec<(String, ClientPolicy)>,
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

    /// The default grace, in which a used refresh token gets the same response: 10 seconds.
    pub const DEFAULT_GRACE: Duration = Duration::seconds(10);

    /// The longest grace: 60 seconds.
    pub const MAX_GRACE: Duration = client_policy::MAX_GRACE;

    /// The longest time for a [late repeat](Self::late_repeat): 30 days.
    pub const MAX_LATE_REPEAT: Duration = client_policy::MAX_LATE_REPEAT;

    /// The default bound of a session's [data](SessionData), in bytes of JSON: 128.
    pub const DEFAULT_DATA_BYTES: usize = 128;

    /// The greatest length of a [named](Self::named) policy's name, in bytes.
    pub const MAX_NAME_BYTES: usize = 16;

    /// The default policy.
    pub const fn new() -> Self {
        Self {
            max_sessions: Self::DEFAULT_SESSIONS,
            when_full: WhenFull::EvictLeastRecentlyUsed,
            on_reuse: OnReuse::EndSession,
            max_data_bytes: Self::DEFAULT_DATA_BYTES,
            default: Rules {
                idle: Self::DEFAULT_IDLE_LIFETIME,
                absolute: Self::DEFAULT_ABSOLUTE_LIFETIME,
                grace: Self::DEFAULT_GRACE,
                late_repeat: Duration::ZERO,
                persistent: true,
            },
            named: Vec::new(),
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
        self.default.idle = lifetime;
        self
    }

    /// Sets the absolute lifetime of a session, however often it is refreshed: 1 second to
    /// [`MAX_LIFETIME`](crate::token::MAX_LIFETIME), in whole seconds;
    /// [`DEFAULT_ABSOLUTE_LIFETIME`](Self::DEFAULT_ABSOLUTE_LIFETIME) by default.
    pub const fn absolute_lifetime(mut self, lifetime: Duration) -> Self {
        self.default.absolute = lifetime;
        self
    }

    /// Sets the grace after a refresh, in which the used token gets the same successor
    /// again, so that a lost response or two tabs at the same time do not end the session: 0 to
    /// [`MAX_GRACE`](Self::MAX_GRACE), in whole seconds; [`DEFAULT_GRACE`](Self::DEFAULT_GRACE) by
    /// default. It starts at the refresh itself, so it includes the time of storing. It applies in
    /// both directions, in case a clock was set back. It should be longer than the difference
    /// between the machines' clocks, and than the time after which a client tries again: a refresh can be
    /// stored although its response is a 503. The web layer's builder checks that
    /// (`relatch::axum::WebBuilder::build`).
    ///
    /// # Security
    ///
    /// A thief who always refreshes within the owner's grace shares the session until its
    /// absolute end. Each such refresh is an event
    /// ([`EventKind::GraceHit`](crate::sessions::EventKind)), which a service reports once for each
    /// successor: raise an alarm when there are many. A grace of 0 closes this window, but
    /// then a lost response ends the session. Binding the tokens to a [`Context`](crate::Context)
    /// closes it too.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.default.grace = grace;
        self
    }

    /// Sets the time for late repeats, counted from a refresh: within it, the used token gets the
    /// same successor again also after the [grace](Self::grace), but only *while that successor has
    /// not been used*. It is for phones that lose a response and come back an hour later. 1 second
    /// to [`MAX_LATE_REPEAT`](Self::MAX_LATE_REPEAT), in whole seconds; 0, the default, turns it off.
    ///
    /// The first late repeat is stored in the session as a mark, and is an event
    /// ([`EventKind::LateRepeat`](crate::sessions::EventKind)). Once the successor is used, only the
    /// grace applies to it. A repeat within the grace at that time is stored too: then only the grace
    /// applies to the next token as well. So if two parties got the successor, the second one that
    /// uses it late is detected as reuse.
    ///
    /// # Security
    ///
    /// A thief with a copy of a device's last used token gets access tokens, and the successor, if the
    /// thief comes before the device refreshes again. If the thief then uses the successor, the
    /// device's next refresh is reuse, and ends the session. If the thief does not, the device's
    /// refresh succeeds, and the thief is detected only by presenting the used token again; until
    /// then the one event is the only trace. After a late repeat, two holders of
    /// the session are not detected only if they meet the [grace](Self::grace) at every refresh.
    pub const fn late_repeat(mut self, bound: Duration) -> Self {
        self.default.late_repeat = bound;
        self
    }

    /// Lets a browser discard the cookies of a session when it is closed: they have no `Max-Age` (RFC 6265
    /// §5.3). By default the browser keeps them until the session's end. It has an effect only on cookies
    /// (`relatch::axum::Cookies`), and applies to each session by its policy, also after a refresh: with
    /// a [named policy](Self::named) that has
    /// [`persistent_cookies`](ClientPolicy::persistent_cookies), users choose at login whether they are
    /// remembered (`relatch::axum::WebBuilder::remember_me`).
    ///
    /// # Security
    ///
    /// The server does not see that a browser is closed, and a browser that restores its tabs keeps such
    /// cookies too. So give these sessions a short [idle lifetime](Self::idle_lifetime).
    pub const fn session_cookies(mut self) -> Self {
        self.default.persistent = false;
        self
    }

    /// Adds a named policy for one kind of client, such as a phone or a public terminal. A login
    /// selects it by this name ([`NewSession::policy`](super::NewSession::policy)). A name is 1 to
    /// [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES) of `A–Z a–z 0–9 - _ .`, each name once. The session
    /// stores the name, so a later change of the named policy applies to existing sessions too.
    ///
    /// A session whose stored name is not configured has the strictest settings: each lifetime and
    /// the grace is the shortest of this policy and all named ones, there is no late repeat, and its cookies
    /// are persistent only if those of all policies are. So
    /// add a name on all machines before the first login selects it.
    pub fn named(mut self, name: impl Into<String>, policy: ClientPolicy) -> Self {
        self.named.push((name.into(), policy));
        self
    }

    /// Sets the greatest length of a session's [data](SessionData), in bytes of JSON: 0 to
    /// [`SessionData::MAX_BYTES`]; [`DEFAULT_DATA_BYTES`](Self::DEFAULT_DATA_BYTES) by default. With
    /// [`max_sessions`](Self::max_sessions) it bounds the size of the sessions in the user's row
    /// ([`SessionTable::max_bytes`](super::SessionTable::max_bytes)). Stored data that is longer
    /// stays readable.
    pub const fn max_data_bytes(mut self, bytes: usize) -> Self {
        self.max_data_bytes = bytes;
        self
    }

    /// Sets what the reuse of a refresh token ends; [`OnReuse::EndSession`] by default.
    pub const fn on_reuse(mut self, on_reuse: OnReuse) -> Self {
        self.on_reuse = on_reuse;
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(1..=Self::MAX_SESSIONS).contains(&self.max_sessions) {
            return Err(ConfigError::new(
                "max_sessions",
                format!("a user can have 1 to {} sessions", Self::MAX_SESSIONS),
            ));
        }
        if self.max_data_bytes > SessionData::MAX_BYTES {
            let max = SessionData::MAX_BYTES;
            return Err(ConfigError::new(
                "max_data_bytes",
                format!("the bound of a session's data takes 0 to {max} bytes"),
            ));
        }
        self.default.check("")?;
        for (i, (name, policy)) in self.named.iter().enumerate() {
            if !is_policy_name(name) || self.named[..i].iter().any(|(other, _)| other == name) {
                let max = Self::MAX_NAME_BYTES;
                return Err(ConfigError::new(
                    "named",
                    format!(
                        "the name {name:?} of a policy is not allowed: a name takes 1 to {max} \
                         characters of A–Z a–z 0–9 - _ . and occurs once"
                    ),
                ));
            }
            policy.over(self.default).check(&format!(" of the policy {name:?}"))?;
        }
        Ok(())
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

    pub(crate) fn check_data(&self, data: Option<&SessionData>) -> Result<(), DataTooLong> {
        let (bytes, max) = (data.map_or(0, |data| data.as_str().len()), self.max_data_bytes);
        match bytes <= max {
            true => Ok(()),
            false => Err(DataTooLong { bytes, max }),
        }
    }

    pub(crate) fn knows(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The grace of each policy in which a repeat is accepted within it and not later, by the name of the
    /// policy; `None` is the default.
    #[cfg(feature = "axum")]
    pub(crate) fn graces(&self) -> impl Iterator<Item = (Option<&str>, Duration)> {
        let named =
            self.named.iter().map(|(name, policy)| (Some(&**name), policy.over(self.default)));
        let all = [(None, self.default)].into_iter().chain(named);
        let relies = |rules: &Rules| !rules.grace.is_zero() && rules.late_repeat.is_zero();
        all.filter(move |(_, rules)| relies(rules)).map(|(name, rules)| (name, rules.grace))
    }

    /// The rules of a session with this stored name.
    pub(super) fn rules(&self, name: Option<&str>) -> Rules {
        match name.map(|name| self.find(name)) {
            None => self.default,
            Some(Some(policy)) => policy.over(self.default),
            Some(None) => self.strictest(),
        }
    }

    fn find(&self, name: &str) -> Option<&ClientPolicy> {
        self.named.iter().find(|(known, _)| known == name).map(|(_, policy)| policy)
    }

    fn strictest(&self) -> Rules {
        let named = self.named.iter().map(|(_, policy)| policy.over(self.default));
        let least = named.fold(self.default, |least, rules| Rules {
            idle: least.idle.min(rules.idle),
            absolute: least.absolute.min(rules.absolute),
            grace: least.grace.min(rules.grace),
            persistent: least.persistent && rules.persistent,
            ..least
        });
        Rules { late_repeat: Duration::ZERO, ..least }
    }
}

/// Whether this is a name for a policy: 1 to 16 of `A–Z a–z 0–9 - _ .`.
pub(super) fn is_policy_name(name: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    (1..=SessionPolicy::MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(is_plain)
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
    /// The login is refused ([`IssueError::SessionsFull`](crate::IssueError::SessionsFull)), unless it names
    /// a session that ends ([`NewSession::in_place_of`](super::NewSession::in_place_of)).
    ///
    /// Sessions of lost devices can occupy the slots until they expire. So offer "log me out
    /// everywhere else" to a user who has just given the right password:
    /// [`Authority::log_out_everywhere`](crate::Authority::log_out_everywhere), then
    /// [`Decision::and_then`](crate::authority::Decision::and_then) the login. Revoked sessions
    /// occupy no slot, with the exceptions of
    /// [`Authority::sessions`](crate::Authority::sessions).
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
