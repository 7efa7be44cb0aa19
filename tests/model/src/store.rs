//! The application's store: one user's row, joined with that of the user's tenant, and the
//! compare-and-set that a `Change` requires.

use relatch::{
    Binding, Purpose, User,
    authority::Change,
    sessions::SessionTable,
    user::{Counter, Epoch},
};

use crate::library::Link;

/// The kind of group that has an epoch.
pub(crate) const TENANT: &str = "tenant";

/// The row's columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) version: i64,
    /// The number of the password: each password has its own hash.
    pub(crate) password: u8,
    pub(crate) sessions: Option<String>,
    pub(crate) lane: i64,
    /// The epoch of the tenant, which is in another table: no compare-and-set compares it.
    pub(crate) epoch: i64,
    /// Whether the user is enabled. No compare-and-set compares it either.
    pub(crate) is_active: bool,
}

impl Row {
    pub(crate) const NEW: Self =
        Self { version: 0, password: 0, sessions: None, lane: 0, epoch: 0, is_active: true };

    /// `UPDATE users SET … WHERE …`; `None` if the row differs from the one that was read.
    pub(crate) fn compare_and_set(&self, read: &Self, update: &Update) -> Option<Self> {
        let is_as_read = self.version == read.version
            && self.password == read.password
            && self.sessions == read.sessions
            && self.lane == read.lane;
        is_as_read.then(|| Self {
            version: update.version,
            password: update.password.unwrap_or(self.password),
            sessions: update.sessions.clone(),
            lane: update.lane.unwrap_or(self.lane),
            ..*self
        })
    }

    /// `UPDATE users SET token_version = …`: by the application, without the library.
    pub(crate) fn bump_version(&self, now: time::OffsetDateTime) -> Self {
        let version = Counter::from(self.version).next(now).unwrap().get();
        Self { version, ..self.clone() }
    }

    /// `UPDATE users SET password_hash = …`: by the application, without the library.
    pub(crate) fn change_password(&self) -> Self {
        Self { password: self.password + 1, ..self.clone() }
    }

    /// `UPDATE tenants SET epoch = …`: the logout of all users of the tenant.
    pub(crate) fn bump_epoch(&self) -> Self {
        Self { epoch: self.epoch + 1, ..self.clone() }
    }

    /// `UPDATE users SET is_active = …`.
    pub(crate) fn set_active(&self, is_active: bool) -> Self {
        Self { is_active, ..self.clone() }
    }
}

/// The columns that the statement sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Update {
    version: i64,
    password: Option<u8>,
    sessions: Option<String>,
    lane: Option<i64>,
}

impl Update {
    /// A change, and the new password stored with it, if any.
    pub(crate) fn of(change: &Change, password: Option<u8>) -> Self {
        Self {
            version: change.version().get(),
            password,
            sessions: change.sessions().and_then(SessionTable::to_column),
            lane: change.lane(<Link as Purpose>::TYP).map(Counter::get),
        }
    }
}

/// The row, as the library reads it.
pub(crate) struct Account {
    row: Row,
    password_hash: String,
    sessions: Option<SessionTable>,
}

impl Account {
    pub(crate) fn read(row: Row) -> Self {
        let password_hash =
            format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$password{}", row.password);
        let sessions = SessionTable::from_column(row.sessions.as_deref()).ok();
        Self { row, password_hash, sessions }
    }
}

impl User for Account {
    fn id(&self) -> &str {
        "alice"
    }
    fn binding(&self) -> Binding<'_> {
        Binding::password_hash(&self.password_hash).version(self.row.version)
    }
    fn is_active(&self) -> bool {
        self.row.is_active
    }
    fn epochs(&self) -> Vec<Epoch<'_>> {
        vec![Epoch::of(TENANT, "acme", self.row.epoch)]
    }
    fn sessions(&self) -> Option<&SessionTable> {
        self.sessions.as_ref()
    }
    fn lane(&self, typ: &str) -> Option<Counter> {
        (typ == <Link as Purpose>::TYP).then(|| self.row.lane.into())
    }
}
