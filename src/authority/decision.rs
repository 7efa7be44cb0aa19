//! Decisions: a change to store, and an outcome that is released only when it was stored.

use std::{fmt, future::Future};

use time::OffsetDateTime;

use crate::{
    binding::{Binding, credential::Carried, epoch::Epoch},
    counter::Counter,
    sessions::SessionTable,
    user::{RecordError, User, following},
};

/// The new values of a user's record, to be written in one statement on condition that the record
/// is still the one that was read.
///
/// The condition compares version, credential, sessions and lanes *together*, no matter which of
/// them change. Then a refresh that races with a password reset, an increase of the version or a
/// logout never leaves a valid token behind. In SQL, the values `:old_…` are those of the record on
/// which the decision was made, and `IS` is SQLite's (PostgreSQL: `IS NOT DISTINCT FROM`):
///
/// ```sql
/// UPDATE users
///    SET token_version = :version, sessions = :sessions, magic_links = :lane,
///        password_hash = :password_hash, carried = :carried
///  WHERE id = :id
///    AND coalesce(token_version, 0) = :old_version AND sessions IS :old_sessions
///    AND coalesce(magic_links, 0) = :old_lane
///    AND password_hash IS :old_password_hash AND carried IS :old_carried
/// ```
///
/// The change is stored if the statement changed one row. [`SessionTable::to_column`] returns
/// `:sessions` and `:old_sessions`. Each lane of the application is a column. It keeps its value if
/// [`lane`](Self::lane) returns `None`. The application sets the hash: to the old one, or to a new
/// one that it stores with the decision.
///
/// # Security
///
/// Everything that the statement sets belongs in its condition, and so does everything from which
/// [`User::binding`] is made. Otherwise one decision undoes another: without the version, a refresh
/// undoes an increase of it; without the sessions, a refresh undoes a logout; without the lane, a
/// link works twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    user_id: String,
    version: Counter,
    sessions: Option<SessionTable>,
    lanes: Vec<(&'static str, Counter)>,
}

impl Change {
    /// No change: the record's own values.
    pub(crate) fn none(user: &dyn User) -> Self {
        Self {
            user_id: user.id().to_owned(),
            version: user.binding().current_version(),
            sessions: user.sessions().cloned(),
            lanes: Vec::new(),
        }
    }

    /// A logout everywhere: a higher version, and an empty list of sessions.
    pub(crate) fn logged_out(user: &dyn User, now: OffsetDateTime) -> Result<Self, RecordError> {
        let version = following(user.binding().current_version(), now)?;
        let sessions = user.sessions().map(|table| table.emptied(now));
        Ok(Self { version, sessions, ..Self::none(user) })
    }

    pub(crate) fn with_version(self, version: Counter) -> Self {
        Self { version, ..self }
    }

    pub(crate) fn with_sessions(self, sessions: SessionTable) -> Self {
        Self { sessions: Some(sessions), ..self }
    }

    pub(crate) fn with_lane(mut self, typ: &'static str, counter: Counter) -> Self {
        self.lanes.push((typ, counter));
        self
    }

    /// This change, followed by another that was decided on the record after this one.
    fn then(mut self, other: Self) -> Self {
        self.lanes.retain(|(typ, _)| other.lane(typ).is_none());
        self.lanes.extend(other.lanes);
        let version = self.version.max(other.version);
        Self { version, lanes: self.lanes, ..other }
    }

    /// The id of the user whose record changes.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The user's new version; the old one if the decision does not change it.
    #[must_use]
    pub const fn version(&self) -> Counter {
        self.version
    }

    /// The user's new sessions; the old ones if the decision does not change them, and `None` if
    /// [`User::sessions`] returns `None`.
    #[must_use]
    pub const fn sessions(&self) -> Option<&SessionTable> {
        self.sessions.as_ref()
    }

    /// The user's new counter for the purpose with this JOSE `typ`, if it changes.
    #[must_use]
    pub fn lane(&self, typ: &str) -> Option<Counter> {
        self.lanes.iter().find(|(moved, _)| *moved == typ).map(|(_, counter)| *counter)
    }

    /// The changed lanes, each with the `typ` of its purpose, for a store that must know them all.
    pub fn lanes(&self) -> impl Iterator<Item = (&'static str, Counter)> {
        self.lanes.iter().copied()
    }
}

/// A record with a change applied.
struct Changed<'a> {
    user: &'a dyn User,
    change: &'a Change,
}

impl User for Changed<'_> {
    fn id(&self) -> &str {
        self.user.id()
    }
    fn binding(&self) -> Binding<'_> {
        let binding = self.user.binding();
        let version = binding.current_version().max(self.change.version);
        binding.version(version)
    }
    fn is_active(&self) -> bool {
        self.user.is_active()
    }
    fn carried(&self) -> Option<&Carried> {
        self.user.carried()
    }
    fn epochs(&self) -> Vec<Epoch<'_>> {
        self.user.epochs()
    }
    fn sessions(&self) -> Option<&SessionTable> {
        self.change.sessions()
    }
    fn lane(&self, typ: &str) -> Option<Counter> {
        self.change.lane(typ).or_else(|| self.user.lane(typ))
    }
}

/// A [`Change`] of a user's record to store, and an outcome that is released only when the change
/// was stored.
///
/// Nothing has happened yet: a decision that is dropped has changed nothing and issued nothing.
#[must_use = "nothing happens before `commit`"]
pub struct Decision<T> {
    change: Option<Change>,
    outcome: T,
}

impl<T> Decision<T> {
    pub(crate) const fn new(change: Option<Change>, outcome: T) -> Self {
        Self { change, outcome }
    }

    /// A decision to change nothing, with this outcome: for a function that must return a decision,
    /// such as that of `Service::decide`.
    pub const fn unchanged(outcome: T) -> Self {
        Self::new(None, outcome)
    }

    /// Adds another decision, made on the record after this one. Both are stored as one change, or
    /// neither is.
    ///
    /// `user` is the record that was read, with the changes that the application itself stores with
    /// the decision, such as the hash of a new password. The function receives that record after
    /// this decision, and must decide on it.
    ///
    /// # Errors
    ///
    /// Those of the other decision.
    ///
    /// # Example
    ///
    /// A magic link that is used up when it starts a session:
    ///
    /// ```
    /// use std::error::Error;
    ///
    /// use relatch::{
    ///     Authority, SessionTokens, Token, User,
    ///     authority::{Decision, Used},
    ///     one_time::MagicLink,
    /// };
    ///
    /// fn log_in(
    ///     authority: &Authority,
    ///     link: Token<MagicLink>,
    ///     user: &dyn User,
    /// ) -> Result<Decision<SessionTokens>, Box<dyn Error>> {
    ///     let used = authority.open_once(link)?.consume(user)?;
    ///     let both = used.and_then(user, |user| authority.start_session(user, "Firefox"))?;
    ///     Ok(both.map(|(_, tokens)| tokens))
    /// }
    /// ```
    pub fn and_then<U, E>(
        self,
        user: &dyn User,
        decide: impl FnOnce(&dyn User) -> Result<Decision<U>, E>,
    ) -> Result<Decision<(T, U)>, E> {
        let other = match &self.change {
            Some(change) => decide(&Changed { user, change })?,
            None => decide(user)?,
        };
        let change = match (self.change, other.change) {
            (Some(first), Some(second)) => Some(first.then(second)),
            (first, second) => first.or(second),
        };
        Ok(Decision { change, outcome: (self.outcome, other.outcome) })
    }

    /// Converts the outcome; the change stays the same.
    ///
    /// The function runs now, before anything is stored: it should only convert.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Decision<U> {
        Decision { change: self.change, outcome: map(self.outcome) }
    }

    /// [`map`](Self::map) by a function that can fail.
    #[cfg(feature = "service")]
    pub(crate) fn try_map<U, E>(
        self,
        map: impl FnOnce(T) -> Result<U, E>,
    ) -> Result<Decision<U>, E> {
        Ok(Decision { change: self.change, outcome: map(self.outcome)? })
    }

    /// The change to store, if there is one.
    #[must_use]
    pub const fn change(&self) -> Option<&Change> {
        self.change.as_ref()
    }

    /// Stores the change and releases the outcome.
    ///
    /// `store` does the compare-and-set that [`Change`] describes, on the primary database, and
    /// returns whether it changed the row. It is not called if there is nothing to store.
    ///
    /// [`Committed::RecordChanged`] if the row was not changed: another request was faster. Read
    /// the record again and decide again, a few times. Nothing was lost, and nothing has happened.
    ///
    /// # Errors
    ///
    /// The store's own error. It is then unknown whether the change was stored, and nothing was
    /// issued. A refresh may be tried again with the same token within the grace.
    pub fn commit<E>(
        self,
        store: impl FnOnce(&Change) -> Result<bool, E>,
    ) -> Result<Committed<T>, E> {
        let is_stored = match &self.change {
            Some(change) => store(change)?,
            None => true,
        };
        Ok(Committed::of(is_stored, self.outcome))
    }

    /// [`commit`](Self::commit) with an asynchronous store. The store receives an owned change, so
    /// that the future is [`Send`] if the store's is.
    ///
    /// # Errors
    ///
    /// Those of [`commit`](Self::commit).
    pub async fn commit_async<E, F>(
        self,
        store: impl FnOnce(Change) -> F,
    ) -> Result<Committed<T>, E>
    where
        F: Future<Output = Result<bool, E>>,
    {
        let is_stored = match self.change {
            Some(change) => store(change).await?,
            None => true,
        };
        Ok(Committed::of(is_stored, self.outcome))
    }
}

/// The result of committing a [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a compare-and-set has these two outcomes")]
#[must_use = "if the record was changed meanwhile, nothing has happened yet: decide again"]
pub enum Committed<T> {
    /// The change was stored, or there was none to store.
    Stored(T),
    /// The record is no longer the one that was read: nothing was stored.
    RecordChanged,
}

impl<T> Committed<T> {
    fn of(is_stored: bool, outcome: T) -> Self {
        match is_stored {
            true => Self::Stored(outcome),
            false => Self::RecordChanged,
        }
    }

    /// The outcome, if the change was stored.
    #[must_use]
    pub fn stored(self) -> Option<T> {
        match self {
            Self::Stored(outcome) => Some(outcome),
            Self::RecordChanged => None,
        }
    }
}

impl<T> fmt::Debug for Decision<T> {
    /// Omits the outcome, which may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").field("change", &self.change).finish_non_exhaustive()
    }
}
