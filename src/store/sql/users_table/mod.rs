//! The description of a table of users and of its columns.

mod names;

use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;

pub use self::names::IdType;
pub(super) use self::names::{Names, UserGroup};
use super::{Name, TableName};
use crate::error::ConfigError;

/// The table of a [`SqliteStore`](crate::store) or a [`PostgresStore`](crate::store): a ready one, or
/// the application's own.
///
/// Names consist of ASCII letters, digits and underscores (at most 63), are always quoted, and must
/// not come from a request. PostgreSQL distinguishes upper and lower case in them: a table that was
/// created as `CREATE TABLE Accounts` is called `accounts`. Making the store reports an invalid name.
///
/// # What is checked
///
/// [`UserStore::check`](crate::store::UserStore::check) reports the following, before the first request:
///
/// - a missing table or column;
/// - a column that relatch cannot write because of its type, its width, `NOT NULL` or a generated value;
/// - an id or a login without a unique index, and a lookup without an index;
/// - missing rights of the role;
/// - row-level security, triggers and rules that prevent a change;
/// - a view or a server that cannot be written;
/// - ids and flags in a form that relatch does not read, in a sample of rows.
///
/// Most findings have the SQL that corrects them. The store's `migrate` refuses such a column before it
/// changes anything, and ends with a check.
///
/// The guide has [recipes](crate::guide::recipes) for tables of many shapes, and a page about
/// [your database](crate::guide::your_database).
///
/// # Example
///
/// ```
/// use relatch::store::{GroupsTable, IdType, UsersTable};
///
/// #[derive(Clone, serde::Deserialize)]
/// struct Profile {
///     email: String,
///     role: Option<String>,
/// }
///
/// let table = UsersTable::named("app.accounts")
///     .id_type(IdType::Uuid)
///     .login("email")
///     .version("session_epoch")
///     .active("enabled")
///     .user_epoch("tenant", "tenant_id", GroupsTable::named("app.tenants"))
///     .fields::<Profile>(["email", "role"]);
/// # let _ = table;
/// ```
pub struct UsersTable<F = ()> {
    names: Result<Names, ConfigError>,
    fields: PhantomData<fn() -> F>,
    read: ReadFields<F>,
}

/// Parses the application's fields from a JSON object.
pub(super) type ReadFields<F> = fn(&str) -> serde_json::Result<F>;

/// A table of groups of users, such as tenants, each with the counter of its epoch.
///
/// By default its columns are called `id` and `epoch`.
#[derive(Clone, Debug)]
pub struct GroupsTable(Result<GroupNames, ConfigError>);

#[derive(Clone, Debug)]
struct GroupNames {
    table: TableName,
    key: Name,
    counter: Name,
}

impl UsersTable {
    /// The library's own table, `relatch_users`, which the store's `migrate` creates:
    ///
    /// | column | type |
    /// | --- | --- |
    /// | `id` | `TEXT PRIMARY KEY` |
    /// | `login` | `TEXT NOT NULL UNIQUE` |
    /// | `password_hash`, `secret`, `carried`, `sessions`, `lanes` | `TEXT` |
    /// | `token_version` | `BIGINT`, by default now in milliseconds |
    /// | `is_active` | `BOOLEAN NOT NULL DEFAULT TRUE` |
    #[must_use]
    pub fn ready() -> Self {
        let mut names = Names::new(TableName::fixed("relatch_users"));
        names.is_ready = true;
        names.secret = Some(Name::fixed("secret"));
        names.active = Some(Name::fixed("is_active"));
        Self { names: Ok(names), fields: PhantomData, read: |_| Ok(()) }
    }

    /// The application's own table, `table` or `schema.table`. By default its columns are called `id`
    /// (text), `login`, `password_hash`, `token_version`, `carried`, `sessions` and `lanes`, and it has
    /// no column for a secret and none for whether a user is active.
    ///
    /// The store's `migrate` adds the columns that relatch alone writes. The application creates the
    /// table with the columns of the id (`UNIQUE`), the login (`UNIQUE`) and the hash, and inserts users
    /// itself if the table has further columns that must not be `NULL`.
    #[must_use]
    pub fn named(table: &str) -> Self {
        let names = TableName::parse("the users' table", table).map(Names::new);
        Self { names, fields: PhantomData, read: |_| Ok(()) }
    }
}

impl<F> UsersTable<F> {
    /// Sets the column with a user's id, unique and never changed. [`id_type`](Self::id_type) sets its
    /// type.
    #[must_use]
    pub fn id(self, column: &str) -> Self {
        self.name("the id column", column, |names, name| names.id = name)
    }

    /// Sets the type of the ids. Default: [`IdType::Text`].
    #[must_use]
    pub fn id_type(mut self, id_type: IdType) -> Self {
        if let Ok(names) = &mut self.names {
            names.id_type = id_type;
        }
        self
    }

    /// Sets the column with a user's login, text and unique. The store compares a login by the column's
    /// type and collation: with SQLite's `COLLATE NOCASE` or PostgreSQL's `citext`, `Ada` and `ada` are
    /// the same login.
    #[must_use]
    pub fn login(self, column: &str) -> Self {
        self.name("the login column", column, |names, name| names.login = name)
    }

    /// Sets the column with the password's hash, a PHC string as text.
    #[must_use]
    pub fn password_hash(self, column: &str) -> Self {
        self.name("the password_hash column", column, |names, name| names.password_hash = name)
    }

    /// Sets the column with the version counter, `BIGINT`: it holds milliseconds, which exceed 32 bits.
    #[must_use]
    pub fn version(self, column: &str) -> Self {
        self.name("the version column", column, |names, name| names.version = name)
    }

    /// Sets the column with the value carried over a rehash, `TEXT`, may be `NULL`.
    #[must_use]
    pub fn carried(self, column: &str) -> Self {
        self.name("the carried column", column, |names, name| names.carried = name)
    }

    /// Sets the column with the sessions, `TEXT` (not `JSONB`), may be `NULL`.
    #[must_use]
    pub fn sessions(self, column: &str) -> Self {
        self.name("the sessions column", column, |names, name| names.sessions = name)
    }

    /// Sets the column with the counters of one-time tokens, `TEXT` (not `JSONB`), may be `NULL`.
    #[must_use]
    pub fn lanes(self, column: &str) -> Self {
        self.name("the lanes column", column, |names, name| names.lanes = name)
    }

    /// Sets the column with a random secret, `TEXT`, may be `NULL`: for users without a password.
    #[must_use]
    pub fn secret(self, column: &str) -> Self {
        self.name("the secret column", column, |names, name| names.secret = Some(name))
    }

    /// Sets the column that says whether a user is active: a `BOOLEAN`, or a number that is 0 or 1.
    /// Without it every user is active, and users cannot be disabled through the store. `NULL` is not
    /// active. A row with another value is [`Damaged`](crate::store::StoreErrorKind::Damaged).
    #[must_use]
    pub fn active(self, column: &str) -> Self {
        self.name("the active column", column, |names, name| names.active = Some(name))
    }

    /// Sets the column with the time of a soft deletion. A row is a user only while this column is `NULL`;
    /// the store neither finds nor writes the other rows.
    ///
    /// Deleted rows may have the login of a user. So make the login unique with
    /// `CREATE UNIQUE INDEX … ON accounts (email) WHERE deleted_at IS NULL`. The ids of all rows must be
    /// unique.
    #[must_use]
    pub fn deleted_at(self, column: &str) -> Self {
        self.name("the deleted_at column", column, |names, name| names.deleted_at = Some(name))
    }

    /// Sets the flag of a soft deletion: a `BOOLEAN`, or a number that is 0 or 1. A row is a user only
    /// while this column is false, 0 or `NULL`.
    ///
    /// In PostgreSQL, give the unique index on the login the condition `WHERE NOT is_deleted` if the
    /// column is `NOT NULL`, and `WHERE is_deleted IS NOT TRUE` otherwise. These are the store's own
    /// conditions, so a lookup can use the index. In SQLite a lookup uses only an index without a
    /// condition: create one on the login too.
    #[must_use]
    pub fn is_deleted(self, column: &str) -> Self {
        self.name("the is_deleted column", column, |names, name| names.is_deleted = Some(name))
    }

    /// Adds the epoch of a group that each user is in. `column` of the user's row names the group, which
    /// is a row of `groups`. Add the kinds in the same order as in the authority:
    /// [`AuthorityBuilder::user_epoch`](crate::AuthorityBuilder::user_epoch).
    ///
    /// A group with `NULL` as its counter has the initial counter, and a user whose `column` is `NULL`
    /// is in the group without a name. A user whose group has no row is
    /// [`Damaged`](crate::store::StoreErrorKind::Damaged) and is not served until the row exists:
    /// without the counter, revoked tokens would be valid again. Add missing rows before.
    #[must_use]
    pub fn user_epoch(mut self, kind: &str, column: &str, groups: GroupsTable) -> Self {
        let group = Name::parse("the column that names a group", column)
            .and_then(|column| Ok((column, groups.0?)))
            .map(|(column, GroupNames { table, key, counter })| UserGroup {
                kind: kind.to_owned(),
                column,
                table,
                key,
                counter,
            });
        self.edit(group, |names, group| names.groups.push(group));
        self
    }

    /// Sets further columns that the application needs in each request, at most 50, and replaces those
    /// set before. They are read as one JSON object, whose members have the columns' names, into a type
    /// of the application's.
    ///
    /// In SQLite a `BOOLEAN` is a number. Bytes become a text: `\\x` and hexadecimal digits. An infinite
    /// number becomes the text `Infinity` or `-Infinity`. If the fields of a row cannot be parsed as the
    /// type, the user can neither log in nor be authenticated; revocations still work.
    #[must_use]
    pub fn fields<G>(self, columns: impl IntoIterator<Item = impl AsRef<str>>) -> UsersTable<G>
    where
        G: DeserializeOwned + Clone + Send + Sync + 'static,
    {
        let parse = |column: &str| Name::parse("a column of fields", column);
        let fields: Result<_, _> =
            columns.into_iter().map(|column| parse(column.as_ref())).collect();
        let names = self.names.and_then(|names| Ok(Names { fields: Some(fields?), ..names }));
        UsersTable { names, fields: PhantomData, read: |json| serde_json::from_str(json) }
    }

    pub(super) fn checked(&self) -> Result<(Names, ReadFields<F>), ConfigError> {
        let names = self.names.clone()?;
        names.check()?;
        Ok((names, self.read))
    }

    fn name(mut self, what: &'static str, name: &str, set: impl FnOnce(&mut Names, Name)) -> Self {
        self.edit(Name::parse(what, name), set);
        self
    }

    /// Keeps the first error.
    fn edit<T>(&mut self, value: Result<T, ConfigError>, set: impl FnOnce(&mut Names, T)) {
        match (&mut self.names, value) {
            (Ok(names), Ok(value)) => set(names, value),
            (Ok(_), Err(error)) => self.names = Err(error),
            (Err(_), _) => {}
        }
    }
}

impl<F> Clone for UsersTable<F> {
    fn clone(&self) -> Self {
        Self { names: self.names.clone(), fields: PhantomData, read: self.read }
    }
}

impl<F> fmt::Debug for UsersTable<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UsersTable").field(&self.names).finish()
    }
}

impl GroupsTable {
    /// The table of groups with this name, `table` or `schema.table`.
    #[must_use]
    pub fn named(table: &str) -> Self {
        let table = TableName::parse("a groups' table", table);
        Self(table.map(|table| GroupNames {
            table,
            key: Name::fixed("id"),
            counter: Name::fixed("epoch"),
        }))
    }

    /// Sets the column with a group's key, unique and of the same type as the users' column.
    #[must_use]
    pub fn key(self, column: &str) -> Self {
        let name = Name::parse("a groups' key column", column);
        Self(self.0.and_then(|names| Ok(GroupNames { key: name?, ..names })))
    }

    /// Sets the column with the epoch's counter, `BIGINT`, may be `NULL`.
    #[must_use]
    pub fn counter(self, column: &str) -> Self {
        let name = Name::parse("a groups' counter column", column);
        Self(self.0.and_then(|names| Ok(GroupNames { counter: name?, ..names })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error<F>(table: &UsersTable<F>) -> String {
        table.checked().map(drop).unwrap_err().to_string()
    }

    #[test]
    fn a_wrong_name_is_told_with_what_it_is_for() {
        let bad = "email\" OR 1=1 --";
        let table = UsersTable::named("accounts");
        for (what, table) in [
            ("the users' table", UsersTable::named("accounts; DROP TABLE accounts")),
            ("the id column", table.clone().id(bad)),
            ("the login column", table.clone().login(bad).version("v")),
            ("the password_hash column", table.clone().password_hash(bad)),
            ("the version column", table.clone().version("")),
            ("the carried column", table.clone().carried(bad)),
            ("the sessions column", table.clone().sessions(bad)),
            ("the lanes column", table.clone().lanes(bad)),
            ("the secret column", table.clone().secret(bad)),
            ("the active column", table.clone().active(bad)),
            ("a groups' table", table.clone().user_epoch("t", "t", GroupsTable::named(bad))),
            (
                "a groups' key column",
                table.clone().user_epoch("t", "t", GroupsTable::named("t").key(bad)),
            ),
            (
                "a groups' counter column",
                table.clone().user_epoch("t", "t", GroupsTable::named("t").counter(bad)),
            ),
            (
                "the column that names a group",
                table.clone().user_epoch("t", bad, GroupsTable::named("t")),
            ),
        ] {
            assert!(error(&table).contains(what), "{what}: {}", error(&table));
        }
        assert!(error(&table.fields::<u8>([bad])).contains("a column of fields"));
    }

    #[test]
    fn no_column_is_named_for_two_things() {
        let table = UsersTable::named("accounts");
        for table in [
            table.clone().carried("sessions"),
            table.clone().secret("Password_Hash"),
            table.clone().active("token_version"),
            table.clone().id("lanes"),
            table.clone().login("password_hash"),
            table.clone().user_epoch("tenant", "lanes", GroupsTable::named("tenants")),
        ] {
            assert!(error(&table).contains("two purposes"));
        }
        let groups = || GroupsTable::named("tenants");
        let twice = table.clone().user_epoch("t", "a", groups()).user_epoch("t", "b", groups());
        assert!(error(&twice).contains("two epochs"));
        assert!(error(&table.clone().fields::<u8>(["a", "A"])).contains("two purposes"));
        assert!(error(&table.clone().fields::<u8>(vec!["a"; 51])).contains("two purposes"));
        assert!(table.id("email").login("email").fields::<u8>(["email"]).checked().is_ok());
    }
}
