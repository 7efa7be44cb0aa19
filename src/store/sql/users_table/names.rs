//! The checked names of a table of users.

use crate::{
    error::ConfigError,
    store::sql::{Name, TableName, name},
};

/// The type of the column with the users' ids. In a token an id is always text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdType {
    /// Text, compared byte for byte.
    #[default]
    Text,
    /// An integer of up to 64 bits. Only its usual decimal form is an id: `"01"` and `"+1"` are no
    /// user's.
    Integer,
    /// A UUID: the type `UUID` in PostgreSQL, text in SQLite. Only its usual form is an id: hyphenated,
    /// in lower case.
    Uuid,
    /// A UUID as 16 bytes: `BYTEA` in PostgreSQL, `BLOB` in SQLite, as `sqlx` writes a `Uuid` there. In
    /// tokens and in each call it has its usual form: hyphenated, in lower case.
    UuidBytes,
}

/// A table's checked names, each of which may be written into a statement.
#[derive(Clone, Debug)]
pub(in crate::store::sql) struct Names {
    pub(in crate::store::sql) table: TableName,
    pub(in crate::store::sql) is_ready: bool,
    pub(in crate::store::sql) id: Name,
    pub(in crate::store::sql) id_type: IdType,
    pub(in crate::store::sql) login: Name,
    pub(in crate::store::sql) password_hash: Name,
    pub(in crate::store::sql) version: Name,
    pub(in crate::store::sql) carried: Name,
    pub(in crate::store::sql) sessions: Name,
    pub(in crate::store::sql) lanes: Name,
    pub(in crate::store::sql) secret: Option<Name>,
    pub(in crate::store::sql) active: Option<Name>,
    pub(in crate::store::sql) deleted_at: Option<Name>,
    pub(in crate::store::sql) is_deleted: Option<Name>,
    pub(in crate::store::sql) groups: Vec<UserGroup>,
    pub(in crate::store::sql) fields: Option<Vec<Name>>,
}

/// A group that a user is in.
#[derive(Clone, Debug)]
pub(in crate::store::sql) struct UserGroup {
    pub(in crate::store::sql) kind: String,
    /// A column of the user's row.
    pub(in crate::store::sql) column: Name,
    pub(in crate::store::sql) table: TableName,
    pub(in crate::store::sql) key: Name,
    pub(in crate::store::sql) counter: Name,
}

impl Names {
    /// Whether users log in by their id: both are one column.
    pub(in crate::store::sql) fn login_is_id(&self) -> bool {
        self.id == self.login
    }

    pub(super) fn new(table: TableName) -> Self {
        Self {
            table,
            is_ready: false,
            id: Name::fixed("id"),
            id_type: IdType::Text,
            login: Name::fixed("login"),
            password_hash: Name::fixed("password_hash"),
            version: Name::fixed("token_version"),
            carried: Name::fixed("carried"),
            sessions: Name::fixed("sessions"),
            lanes: Name::fixed("lanes"),
            secret: None,
            active: None,
            deleted_at: None,
            is_deleted: None,
            groups: Vec::new(),
            fields: None,
        }
    }

    /// A column may also be read as a field, and may be both the id and the login; no column may be
    /// written for two purposes.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let Self { version, password_hash, carried, sessions, lanes, secret, active, .. } = self;
        let written = [version, password_hash, carried, sessions, lanes];
        let mut names: Vec<_> = written.into_iter().chain(secret).chain(active).collect();
        names.extend([&self.deleted_at, &self.is_deleted].into_iter().flatten());
        names.push(&self.id);
        if self.login != self.id {
            names.push(&self.login);
        }
        unique(names.iter().copied())?;
        for group in &self.groups {
            unique(names.iter().copied().chain([&group.column]))?;
        }
        unique(self.fields.iter().flatten())?;
        for (at, group) in self.groups.iter().enumerate() {
            if self.groups.iter().take(at).any(|other| other.kind == group.kind) {
                return Err(name::epoch_twice(&group.kind));
            }
        }
        if self.groups.len() > name::MAX_EPOCHS {
            return Err(name::too_many_epochs());
        }
        match self.fields.as_ref().is_some_and(|all| all.len() > name::MAX_FIELDS) {
            true => Err(name::too_many_fields()),
            false => Ok(()),
        }
    }
}

/// SQLite ignores the case of names.
fn unique<'a>(names: impl Iterator<Item = &'a Name>) -> Result<(), ConfigError> {
    let mut seen: Vec<&Name> = Vec::new();
    for name in names {
        if seen.iter().any(|other| other.as_str().eq_ignore_ascii_case(name.as_str())) {
            return Err(name::twice(name));
        }
        seen.push(name);
    }
    Ok(())
}
