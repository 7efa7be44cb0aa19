//! Decisions: what is to be stored, and what may be handed out once it is.

use std::{fmt, future::Future};

use time::OffsetDateTime;

use crate::{
    binding::{Binding, credential::Carried, epoch::Epoch},
    counter::Counter,
    sessions::SessionTable,
    user::{RecordError, User, following},
};

/// What a decision makes of the user's record: to be written in one statement, on condition that
/// the record still is the one that was read.
///
/// The condition is over version, credential, sessions and lanes *together*, whichever of them
/// changes: a refresh that races a password reset, a bump or a logout then never leaves a living
/// token behind. In SQL, where the values `:old_…` are those of the record that the decision was
/// made on, and `IS` is SQLite's (PostgreSQL: `IS NOT DISTINCT FROM`):
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
/// The change is stored if this changed one row. [`SessionTable::to_column`] gives `:sessions` and
/// `:old_sessions`. A lane is a column each, where the application has any, and keeps its value
/// where [`lane`](Self::lane) says nothing of it. The hash is the application's own to change: it
/// writes the old one, or a new one along with the decision.
///
/// # Security
///
/// Whatever the statement sets belongs into its condition, and so does whatever else
/// [`User::binding`] is made of, or one decision undoes another: without the version a refresh
/// takes back a bump, without the sessions a logout, without the lane a link works twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    user_id: String,
    version: Counter,
    sessions: Option<SessionTable>,
    lanes: Vec<(&'static str, Counter)>,
}

impl Change {
    /// Nothing but what the record has.
    pub(crate) fn none(user: &dyn User) -> Self {
        Self {
            user_id: user.id().to_owned(),
            version: user.binding().current_version(),
            sessions: user.sessions().cloned(),
            lanes: Vec::new(),
        }
    }

    /// Every token is dead, and the list of sessions is empty.
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

    /// This one first, and then another that was decided on the record as this one leaves it.
    fn then(mut self, other: Self) -> Self {
        self.lanes.retain(|(typ, _)| other.lane(typ).is_none());
        self.lanes.extend(other.lanes);
        let version = self.version.max(other.version);
        Self { version, lanes: self.lanes, ..other }
    }

    /// Whose record it is.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    /// The user's version from now on; the same as before where the decision does not move it.
    #[must_use]
    pub const fn version(&self) -> Counter {
        self.version
    }

    /// The user's sessions from now on; the same as before where the decision does not touch
    /// them, and `None` where [`User::sessions`] gives none.
    #[must_use]
    pub const fn sessions(&self) -> Option<&SessionTable> {
        self.sessions.as_ref()
    }

    /// The user's counter for the purpose of this JOSE `typ` from now on, if it moves.
    #[must_use]
    pub fn lane(&self, typ: &str) -> Option<Counter> {
        self.lanes.iter().find(|(moved, _)| *moved == typ).map(|(_, counter)| *counter)
    }

    /// All lanes that move, by their purposes' `typ`: for a store that must know each.
    pub fn lanes(&self) -> impl Iterator<Item = (&'static str, Counter)> {
        self.lanes.iter().copied()
    }
}

/// A record as a change leaves it.
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

/// What was decided on a user's record as it was read: a [`Change`] to store, and an outcome that
/// is let go of only when it was stored.
///
/// Nothing has happened yet. Whoever drops a decision has changed nothing and handed out nothing.
#[must_use = "nothing happens before `commit`"]
pub struct Decision<T> {
    change: Option<Change>,
    outcome: T,
}

impl<T> Decision<T> {
    pub(crate) const fn new(change: Option<Change>, outcome: T) -> Self {
        Self { change, outcome }
    }

    /// Goes on with another decision, on the record as this one leaves it: both are stored as one
    /// change, or neither is.
    ///
    /// `user` is the record that was read, with whatever the application itself changes in it
    /// along with the decision, such as the hash of a new password; the function is handed that
    /// record after this decision, which is the one to decide on.
    ///
    /// # Errors
    ///
    /// Those of the other decision.
    ///
    /// # Example
    ///
    /// A magic link that is used up by the session it starts:
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

    /// The same decision with another outcome.
    ///
    /// The function runs now, when nothing is stored yet: let it do nothing but convert.
    pub fn map<U>(self, map: impl FnOnce(T) -> U) -> Decision<U> {
        Decision { change: self.change, outcome: map(self.outcome) }
    }

    /// What is to be stored, if anything.
    #[must_use]
    pub const fn change(&self) -> Option<&Change> {
        self.change.as_ref()
    }

    /// Stores the change and lets go of the outcome.
    ///
    /// `store` does the compare-and-set that [`Change`] describes, on the primary database, and
    /// tells whether it changed the row. It is not called where there is nothing to store.
    ///
    /// [`Committed::RecordChanged`] if it did not: somebody else was faster. Read the record again
    /// and decide again, a few times; nothing is lost, and nothing has happened either.
    ///
    /// # Errors
    ///
    /// The store's own: whether the change was stored is not known then, and nothing was handed
    /// out. A refresh may be tried again with the same token within the grace.
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

    /// [`commit`](Self::commit) with a store that is awaited. The change is handed to it as its own,
    /// so that the future is [`Send`] if the store's is.
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

/// What came of committing a [`Decision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a compare-and-set has these two outcomes")]
#[must_use = "where the record was changed meanwhile, nothing has happened yet: decide again"]
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
    /// Without the outcome, which may hold tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decision").field("change", &self.change).finish_non_exhaustive()
    }
}
