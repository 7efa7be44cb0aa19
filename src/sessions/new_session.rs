//! A session that is about to start.

use time::OffsetDateTime;

use super::{
    Label, SessionId, SessionPolicy,
    data::{DataTooLong, SessionData},
};
use crate::clock::MAX_NUMERIC_DATE;

/// A session to start at a login: its label, and optionally data, a policy and a fixed end. A string
/// converts into a session with that label.
///
/// # Example
///
/// ```
/// use relatch::sessions::{DataError, NewSession, SessionData};
/// use serde::Serialize;
/// use time::{Duration, OffsetDateTime};
///
/// #[derive(Serialize)]
/// struct ActingFor<'a> {
///     staff: &'a str,
/// }
///
/// fn support(staff: &str) -> Result<NewSession, DataError> {
///     let end = OffsetDateTime::now_utc() + Duration::hours(1);
///     let data = SessionData::new(&ActingFor { staff })?;
///     Ok(NewSession::new("Support").data(data).ends_at(end))
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct NewSession {
    pub(super) label: Label,
    pub(super) data: Option<SessionData>,
    pub(super) policy: Option<String>,
    pub(super) in_place_of: Option<SessionId>,
    ends_at: Option<OffsetDateTime>,
}

impl NewSession {
    /// A session with this label, which names the device in the list, for example from its
    /// `User-Agent`. Control and invisible characters are removed, and it is cut at 64 bytes.
    pub fn new(label: impl AsRef<str>) -> Self {
        Self {
            label: Label::clean(label.as_ref()),
            data: None,
            policy: None,
            in_place_of: None,
            ends_at: None,
        }
    }

    /// Sets the application's data in the session. It is at most as long as the policy allows
    /// ([`SessionPolicy::max_data_bytes`]).
    pub fn data(mut self, data: SessionData) -> Self {
        self.data = Some(data);
        self
    }

    /// Sets the kind of client, by the name of a configured named policy ([`SessionPolicy::named`]).
    /// Without a name, the session has the settings of the [`SessionPolicy`] itself.
    ///
    /// # Security
    ///
    /// Choose the name by what the server knows, such as the endpoint. A client that can choose it
    /// chooses its own lifetimes.
    pub fn policy(mut self, name: impl Into<String>) -> Self {
        self.policy = Some(name.into());
        self
    }

    /// Sets a time at which the session ends, whatever its lifetimes: for a guest, a shift or an
    /// impersonation. It stays through refreshes, restarts and the logout of others. A fraction of
    /// a second is dropped.
    pub const fn ends_at(mut self, end: OffsetDateTime) -> Self {
        self.ends_at = Some(end);
        self
    }

    /// Sets a session of the same user that ends when this one starts: the user's choice, when all slots are
    /// taken and the policy refuses a login
    /// ([`IssueError::SessionsFull`](crate::IssueError::SessionsFull) has the list). If that session has
    /// ended meanwhile, the login takes a free slot, or fails as before.
    pub const fn in_place_of(mut self, session: SessionId) -> Self {
        self.in_place_of = Some(session);
        self
    }

    /// The end in seconds since 1970, if this session can start under this policy at this time.
    pub(super) fn check(
        &self,
        policy: &SessionPolicy,
        now: OffsetDateTime,
    ) -> Result<Option<i64>, NotStarted> {
        if let Some(name) = self.policy.as_deref().filter(|name| !policy.knows(name)) {
            return Err(NotStarted::UnknownPolicy { name: name.to_owned() });
        }
        policy.check_data(self.data.as_ref())?;
        let Some(end) = self.ends_at.map(OffsetDateTime::unix_timestamp) else { return Ok(None) };
        match end <= now.unix_timestamp() {
            true => Err(NotStarted::Over),
            false => Ok(Some(end.min(i64::try_from(MAX_NUMERIC_DATE).unwrap_or(i64::MAX)))),
        }
    }
}

impl From<&str> for NewSession {
    fn from(label: &str) -> Self {
        Self::new(label)
    }
}

impl From<String> for NewSession {
    fn from(label: String) -> Self {
        Self::new(label)
    }
}

/// Why a session did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// All slots are taken by live sessions.
    Full,
    /// The generation is at the end of its range.
    Exhausted,
    /// Its fixed end has passed.
    Over,
    UnknownPolicy {
        name: String,
    },
    Data(DataTooLong),
}

impl From<DataTooLong> for NotStarted {
    fn from(error: DataTooLong) -> Self {
        Self::Data(error)
    }
}
