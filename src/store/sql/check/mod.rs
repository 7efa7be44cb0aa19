//! The check of a table: what the store needs of each column, and what the database has.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
mod unbound;

#[cfg(feature = "postgres")]
pub(super) use self::postgres::refuse as refuse_postgres;
#[cfg(feature = "sqlite")]
pub(super) use self::sqlite::refuse as refuse_sqlite;
use super::{
    Dialect, Name, TableName,
    statements::{Changed, Statement, texts},
    users_table::{IdType, Names, UserGroup},
};
use crate::{
    sessions::{SessionPolicy, SessionTable},
    store::{CheckReport, Finding, MigrationPhase, StoreError},
};

/// A column that the store reads or writes.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    table: &'a TableName,
    column: &'a Name,
    role: Role,
}

/// The purpose of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Id,
    Login,
    Version,
    PasswordHash,
    Carried,
    Sessions,
    Lanes,
    Secret,
    Active,
    DeletedAt,
    IsDeleted,
    /// Names the user's group.
    Group,
    Field,
    /// Names a group in its own table.
    Key,
    /// The counter of a group.
    Counter,
}

/// The columns of the users' table.
fn of_users(names: &Names) -> Vec<Wanted<'_>> {
    let Names { table, id, login, version, password_hash, carried, sessions, lanes, .. } = names;
    let wanted = |column, role| Wanted { table, column, role };
    let mut columns = vec![
        wanted(id, Role::Id),
        wanted(login, Role::Login),
        wanted(version, Role::Version),
        wanted(password_hash, Role::PasswordHash),
        wanted(carried, Role::Carried),
        wanted(sessions, Role::Sessions),
        wanted(lanes, Role::Lanes),
    ];
    columns.extend(names.secret.iter().map(|column| wanted(column, Role::Secret)));
    columns.extend(names.active.iter().map(|column| wanted(column, Role::Active)));
    columns.extend(names.deleted_at.iter().map(|column| wanted(column, Role::DeletedAt)));
    columns.extend(names.is_deleted.iter().map(|column| wanted(column, Role::IsDeleted)));
    columns.extend(names.groups.iter().map(|group| wanted(&group.column, Role::Group)));
    columns.extend(names.fields.iter().flatten().map(|column| wanted(column, Role::Field)));
    columns
}

/// The columns of a group's table.
fn of_group(group: &UserGroup) -> [Wanted<'_>; 2] {
    let UserGroup { table, key, counter, .. } = group;
    [
        Wanted { table, column: key, role: Role::Key },
        Wanted { table, column: counter, role: Role::Counter },
    ]
}

impl Role {
    /// Whether a statement of a change writes it.
    const fn is_written(self) -> bool {
        self.is_own_text() || self.is_counter() || matches!(self, Self::Active)
    }

    const fn is_flag(self) -> bool {
        matches!(self, Self::Active | Self::IsDeleted)
    }

    /// Whether it is text that relatch writes.
    const fn is_own_text(self) -> bool {
        self.width().is_some()
    }

    const fn is_counter(self) -> bool {
        matches!(self, Self::Version | Self::Counter)
    }

    /// Whether a revocation or a new password writes `NULL`.
    const fn is_cleared(self) -> bool {
        matches!(self, Self::Sessions | Self::Carried)
    }

    /// Whether `migrate` adds it.
    const fn is_added(self) -> bool {
        self.is_written() && !matches!(self, Self::PasswordHash)
    }

    /// The method that names such a column.
    const fn setter(self) -> &'static str {
        match self {
            Self::Id => "UsersTable::id",
            Self::Login => "UsersTable::login",
            Self::Version => "UsersTable::version",
            Self::PasswordHash => "UsersTable::password_hash",
            Self::Carried => "UsersTable::carried",
            Self::Sessions => "UsersTable::sessions",
            Self::Lanes => "UsersTable::lanes",
            Self::Secret => "UsersTable::secret",
            Self::Active => "UsersTable::active",
            Self::DeletedAt => "UsersTable::deleted_at",
            Self::IsDeleted => "UsersTable::is_deleted",
            Self::Group => "UsersTable::user_epoch",
            Self::Field => "UsersTable::fields",
            Self::Key => "GroupsTable::key",
            Self::Counter => "GroupsTable::counter",
        }
    }

    const fn width(self) -> Option<Width> {
        let (least, usual, what) = match self {
            // argon2id with the default parameters, and with the greatest ones.
            Self::PasswordHash => (97, 118, "a hash"),
            Self::Carried => (86, 86, "the value carried over a rehash"),
            Self::Secret => (43, 43, "a secret"),
            Self::Sessions => (
                SessionTable::max_bytes(1, SessionPolicy::DEFAULT_DATA_BYTES),
                SessionTable::max_bytes(
                    SessionPolicy::DEFAULT_SESSIONS,
                    SessionPolicy::DEFAULT_DATA_BYTES,
                ),
                "the list of a user's sessions",
            ),
            // One counter, and those of some twenty purposes.
            Self::Lanes => (64, 1024, "the list of one-time counters"),
            _ => return None,
        };
        Some(Width { least, usual, what })
    }
}

/// The number of characters that a column needs.
#[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "SQLite's columns have no width"))]
struct Width {
    /// With less, calls fail.
    least: usize,
    /// With less, some calls may fail.
    usual: usize,
    what: &'static str,
}

impl Wanted<'_> {
    fn problem(&self, text: impl Into<String>) -> Finding {
        Finding::problem(self.subject(), text)
    }

    fn warning(&self, text: impl Into<String>) -> Finding {
        Finding::warning(self.subject(), text)
    }

    fn subject(&self) -> String {
        format!("{}.{}", plain(self.table), self.column.as_str())
    }

    fn not_a_flag(&self) -> Finding {
        self.problem(
            "some rows hold values other than NULL, 0, 1, false and true, so these users cannot be read: \
             correct the values",
        )
    }

    /// Ids in a form that relatch does not use. `fix` is an SQL expression for the right form.
    fn odd_id(&self, what: &str, fix: Option<&str>) -> Finding {
        let Self { table, column, .. } = self;
        let text = format!("some rows hold {what}, so these users are not found: correct the rows");
        match fix {
            Some(value) => {
                self.problem(text).with_sql(format!("UPDATE {table} SET {column} = {value}"))
            }
            None => self.problem(text),
        }
    }

    /// No index serves the look-up by this column.
    fn slow(&self) -> Finding {
        let Self { table, column, role } = self;
        let when = match role {
            Role::Id => "each request",
            Role::Key => "each read of a user",
            _ => "each login",
        };
        let text =
            format!("no index serves the lookup, so {when} reads the whole table: create an index");
        self.warning(text).with_sql(format!("CREATE INDEX ON {table} ({column})"))
    }

    /// The column is not there. `kind` is the type of a new one, where `migrate` adds it.
    fn missing(&self, kind: Option<&str>) -> Finding {
        let Self { table, column, role } = self;
        let setter = role.setter();
        match kind {
            Some(kind) => {
                let text = format!(
                    "there is no such column, so calls fail: run `migrate` (`migrate_columns` while code that \
                     does not know relatch runs beside), or name another column with `{setter}`"
                );
                self.problem(text)
                    .with_sql(format!("ALTER TABLE {table} ADD COLUMN {column} {kind}"))
            }
            None => self.problem(format!(
                "there is no such column, so calls fail: name another column with `{setter}`"
            )),
        }
    }

    fn generated(&self) -> Finding {
        let setter = self.role.setter();
        self.problem(format!(
            "it is a generated column, which cannot be written, so calls that change it fail: name \
             another column with `{setter}`"
        ))
    }

    /// Nothing gives a new row its first version.
    fn no_first_version(&self, sql: String) -> Finding {
        self.warning(
            "the migration is not complete: nothing gives a row of your own SQL its first version, so a user \
             who is inserted again with the id of a deleted one may have that one's tokens: run `migrate`, \
             but not before code that does not know relatch has stopped",
        )
        .with_sql(sql)
    }

    fn not_unique(&self) -> Finding {
        let (rows, what, effect) = match self.role {
            Role::Id => ("all rows", "id", "every call for that id fails"),
            Role::Key => ("all rows", "key", "no user of that group can be read"),
            _ => ("all users", "login", "neither user can log in"),
        };
        let Self { table, column, .. } = self;
        let text = format!(
            "no unique index covers {rows}, so two rows may have the same {what}, and then {effect}: create one"
        );
        self.problem(text).with_sql(format!("CREATE UNIQUE INDEX ON {table} ({column})"))
    }
}

/// The phase of the migration of a table that has these of relatch's own columns.
fn phase(
    wanted: &[Wanted<'_>],
    has: impl Fn(&Name) -> bool,
    gives_version: bool,
) -> MigrationPhase {
    let mut own = wanted.iter().filter(|wanted| wanted.role.is_added());
    match (own.all(|wanted| has(wanted.column)), gives_version) {
        (false, _) => MigrationPhase::Begun,
        (true, false) => MigrationPhase::Columns,
        (true, true) => MigrationPhase::Complete,
    }
}

/// Each statement, with what it is for and the types of its parameters.
fn statements(names: &Names) -> Vec<(&'static str, Statement, Vec<Kind>)> {
    use Kind::{Bool, Bytes, Integer, Text};
    let id = match names.id_type {
        IdType::Text | IdType::Uuid => Text,
        IdType::Integer => Integer,
        IdType::UuidBytes => Bytes,
    };
    let texts = vec![Text; texts(names).count()];
    let columns = || [Integer].into_iter().chain(texts.iter().copied());
    let set = [id].into_iter().chain(columns()).chain(columns()).collect();
    let changed = Changed::ALL;
    let mut insert = vec![id];
    insert.extend((!names.login_is_id()).then_some(Text));
    insert.extend([Integer, Text]);
    insert.extend(names.secret.iter().map(|_| Text));
    let mut all = vec![
        ("reads a user by the id", Statement::ReadById, vec![id]),
        ("reads a user by the login", Statement::ReadByLogin, vec![Text]),
        ("changes a user", Statement::CompareAndSet { changed, revokes: true }, set),
        ("logs a user out everywhere", Statement::BumpVersion, vec![id, Integer]),
        ("deletes a user", Statement::Delete, vec![id]),
        ("inserts a user", Statement::Insert, insert),
    ];
    if names.active.is_some() {
        all.push(("disables a user", Statement::Disable, vec![id, Integer, Bool]));
        all.push(("enables a user", Statement::Enable, vec![id, Integer, Bool, Integer]));
    }
    let groups = (0..names.groups.len()).map(Statement::BumpEpoch);
    all.extend(groups.map(|statement| ("logs a group out", statement, vec![Text, Integer])));
    all
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
    Bool,
    Bytes,
}

/// A statement that the database refuses, with its message.
fn refused_statement(table: &TableName, what: &str, error: &str) -> Finding {
    Finding::problem(
        plain(table),
        format!("the database refuses the statement that {what}: {error}"),
    )
}

/// A statement that the database refuses to prepare. A refused `insert` is only a warning: the
/// application may insert its users itself, for example because a column is generated.
fn refused_at(statement: Statement, table: &TableName, what: &str, error: &str) -> Finding {
    match statement {
        Statement::Insert => {
            let text =
                format!("the store's `insert` fails: insert users by your own SQL ({error})");
            Finding::warning(plain(table), text)
        }
        _ => refused_statement(table, what, error),
    }
}

/// The database accepts a revocation of an existing row, and does not change the row.
fn changes_nothing(table: &TableName, why: &str) -> Finding {
    let text = format!(
        "a revocation changes nothing, although the user exists, because {why} prevents the change: let it \
         allow every change of a user's row by this role"
    );
    Finding::problem(plain(table), text)
}

/// The condition that a row is not deleted.
fn live(names: &Names, dialect: &Dialect) -> String {
    let mut live = vec!["TRUE".to_owned()];
    live.extend(names.deleted_at.iter().map(|column| format!("{column} IS NULL")));
    let is_not_set = |column: &Name| dialect.is_not_set(&column.to_string());
    live.extend(names.is_deleted.iter().map(is_not_set));
    live.join(" AND ")
}

/// A table's name without quotes.
fn plain(table: &TableName) -> String {
    table.to_string().replace('"', "")
}

/// The error of a migration, if the findings have a problem.
fn refused(findings: Vec<Finding>) -> Result<(), StoreError> {
    let mut report = CheckReport::new();
    findings.into_iter().for_each(|finding| report.add(finding));
    report.into_result().map(drop)
}
