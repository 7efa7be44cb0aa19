//! The statements over a users' table. Everything but a checked name is bound.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use super::{Dialect, Name};
use crate::store::{
    Columns,
    sql::users_table::{IdType, Names, UserGroup},
};

/// A statement that a store runs over users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Statement {
    /// `$1` the id.
    ReadById,
    /// `$1` the ids, as the text of an array, and `$2` the greatest number of rows.
    #[cfg(feature = "postgres")]
    ReadByIds,
    /// `$1` the login.
    ReadByLogin,
    /// `$1` the id, then the old columns, then the new ones of those that change: the version first, the
    /// others in the order of [`texts`]. If none changes, it selects the row.
    CompareAndSet {
        changed: Changed,
        /// Whether it notifies.
        revokes: bool,
    },
    /// `$1` the id.
    Delete,
    /// `$1` the id, `$2` the least version.
    BumpVersion,
    /// As [`BumpVersion`](Self::BumpVersion); `$3` is false.
    Disable,
    /// As [`BumpVersion`](Self::BumpVersion); `$3` is true, `$4` the version that the row must have.
    Enable,
    /// The id, the login unless it is the id, the version, the hash, and the secret where there is a
    /// column for it.
    Insert,
    /// Of the group at this place in the description: `$1` its key, `$2` the least counter.
    BumpEpoch(usize),
}

impl Statement {
    /// Whether it makes its change whatever the row holds: after a conflict it is as right as before.
    pub(super) const fn is_unconditional(self) -> bool {
        matches!(self, Self::Delete | Self::BumpVersion | Self::Disable | Self::BumpEpoch(_))
    }

    /// Whether it returns rows.
    pub(super) const fn reads(self) -> bool {
        match self {
            Self::ReadById | Self::ReadByLogin => true,
            Self::CompareAndSet { changed, .. } => changed.is_nothing(),
            _ => false,
        }
    }
}

/// The columns that a compare-and-set changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Changed(u8);

impl Changed {
    /// Every column.
    pub(super) const ALL: Self = Self(0b11_1111);

    pub(super) fn between(before: &Columns, after: &Columns) -> Self {
        let Columns { version, password_hash, secret, carried, sessions, lanes } = before;
        let changed = [
            *version != after.version,
            *password_hash != after.password_hash,
            *carried != after.carried,
            *sessions != after.sessions,
            *lanes != after.lanes,
            *secret != after.secret,
        ];
        Self(changed.iter().rev().fold(0, |bits, changed| bits << 1 | u8::from(*changed)))
    }

    pub(super) const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// Whether the column at this place changes: 0 for the version, then those of [`texts`].
    pub(super) const fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }
}

/// A statement's SQL.
#[derive(Debug)]
pub(super) struct Sql {
    pub(super) plain: Arc<str>,
    /// The same, with a notification in its transaction.
    pub(super) notifying: Option<Arc<str>>,
    /// The same read, which locks the rows that it returns, in a database that locks rows.
    pub(super) locking: Option<Arc<str>>,
}

/// The statements over one table, each built at its first use.
#[derive(Debug)]
pub(super) struct Statements {
    dialect: Dialect,
    built: RwLock<HashMap<Statement, Arc<Sql>>>,
}

impl Statements {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, built: RwLock::default() }
    }

    pub(super) const fn dialect(&self) -> &Dialect {
        &self.dialect
    }

    pub(super) fn get(&self, names: &Names, statement: Statement) -> Arc<Sql> {
        let built = self.built.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sql) = built.get(&statement) {
            return Arc::clone(sql);
        }
        drop(built);
        let sql = Arc::new(Build { names, dialect: &self.dialect }.statement(statement));
        let mut built = self.built.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(built.entry(statement).or_insert(sql))
    }
}

/// The positions of a row's columns in the result of a read.
pub(super) mod place {
    pub(crate) const ID: usize = 0;
    pub(crate) const ACTIVE: usize = 1;
    pub(crate) const FIELDS: usize = 2;
    pub(crate) const VERSION: usize = 3;
    pub(crate) const PASSWORD_HASH: usize = 4;
    pub(crate) const CARRIED: usize = 5;
    pub(crate) const SESSIONS: usize = 6;
    pub(crate) const LANES: usize = 7;
    pub(crate) const SECRET: usize = 8;
    pub(crate) const IS_DELETED: usize = 9;
    /// `NULL` where the login is the id.
    pub(crate) const LOGIN: usize = 10;
    /// From here on, two columns for each epoch: the group and its counter.
    pub(crate) const GROUPS: usize = 11;
}

/// The text columns that are compared and set, after the version.
pub(super) fn texts(names: &Names) -> impl Iterator<Item = &Name> {
    let Names { password_hash, carried, sessions, lanes, secret, .. } = names;
    [password_hash, carried, sessions, lanes].into_iter().chain(secret)
}

struct Build<'a> {
    names: &'a Names,
    dialect: &'a Dialect,
}

impl Build<'_> {
    fn statement(&self, statement: Statement) -> Sql {
        let Self { names, dialect } = self;
        let user = |statement: String| self.notifying(statement, &self.id());
        match statement {
            // Two rows, so that a second one is noticed.
            Statement::ReadById => self.read(&self.is_id(), "2"),
            #[cfg(feature = "postgres")]
            Statement::ReadByIds => self.read(&self.is_any_id(), "$2"),
            Statement::ReadByLogin => self.read(&self.is_login(), "2"),
            Statement::CompareAndSet { changed, .. } if changed.is_nothing() => {
                self.select(&[self.id()], &self.is_as_before(), "1")
            }
            Statement::CompareAndSet { changed, revokes: false } => plain(self.set(changed)),
            Statement::CompareAndSet { changed, revokes: true } => user(self.set(changed)),
            Statement::Delete => {
                user(format!("DELETE FROM {} AS u WHERE {}", self.users(), self.is_id()))
            }
            Statement::BumpVersion => user(self.bump_version("", "")),
            Statement::Disable => user(self.bump_version(&self.set_active(), "")),
            Statement::Enable => {
                let version = format!("u.{}", names.version);
                let is_version = dialect.is_integer_or_null(&version, "$4");
                user(self.bump_version(&self.set_active(), &format!(" AND {is_version}")))
            }
            Statement::Insert => plain(self.insert()),
            Statement::BumpEpoch(at) => {
                let update = names.groups.get(at).map(|group| self.bump_epoch(at, group));
                self.notifying(update.unwrap_or_default(), "''")
            }
        }
    }

    fn notifying(&self, statement: String, returned: &str) -> Sql {
        let notifying = self.dialect.notifying(&statement, returned).map(Arc::from);
        Sql { notifying, ..plain(statement) }
    }

    fn read(&self, condition: &str, limit: &str) -> Sql {
        let Self { names, dialect } = self;
        let column = |name: &Name| format!("u.{name}");
        let null = || dialect.as_text("NULL");
        let flag = |name: &Option<Name>| match name {
            Some(name) => dialect.as_text(&column(name)),
            None => null(),
        };
        let fields = names.fields.as_ref().map_or_else(null, |fields| {
            dialect.json_object(fields.iter().map(|name| (name.as_str(), column(name))))
        });
        let id = match names.id_type {
            IdType::UuidBytes => dialect.hex(&column(&names.id)),
            _ => dialect.as_text(&column(&names.id)),
        };
        let mut selected =
            vec![id, flag(&names.active), fields, dialect.integer(&column(&names.version))];
        selected.extend(texts(names).map(|name| dialect.text(&column(name))));
        if names.secret.is_none() {
            selected.push(null());
        }
        selected.push(flag(&names.is_deleted));
        selected.push(match names.login_is_id() {
            true => null(),
            false => dialect.as_text(&column(&names.login)),
        });
        for (at, UserGroup { column, counter, .. }) in names.groups.iter().enumerate() {
            let column = format!("u.{column}");
            let (table, is_key) = (self.group(at), self.is_group_of(at, &column));
            let counter = dialect.integer(&format!("coalesce(g.{counter}, 0)"));
            selected.push(dialect.as_text(&column));
            selected.push(format!("(SELECT {counter} FROM {table} AS g WHERE {is_key})"));
        }
        self.select(&selected, condition, limit)
    }

    fn select(&self, columns: &[String], condition: &str, limit: &str) -> Sql {
        let from = format!("FROM {} AS u WHERE {condition} LIMIT {limit}", self.users());
        let locking = self.dialect.locking(columns, &from).map(Arc::from);
        Sql { locking, ..plain(self.dialect.select(columns, &from)) }
    }

    /// The condition that the row holds the old columns.
    fn is_as_before(&self) -> String {
        let version = format!("u.{}", self.names.version);
        let mut condition = vec![self.is_id(), self.dialect.is_integer_or_null(&version, "$2")];
        condition.extend((3..).zip(texts(self.names)).map(|(at, name)| {
            self.dialect.is_text_or_null(&format!("u.{name}"), &format!("${at}"))
        }));
        condition.join(" AND ")
    }

    /// Sets only the columns that change: a trigger of the application may run for each column in `SET`.
    fn set(&self, changed: Changed) -> String {
        let columns: Vec<_> = [&self.names.version].into_iter().chain(texts(self.names)).collect();
        let first = 2 + columns.len();
        let new = columns.iter().enumerate().filter(|(at, _)| changed.has(*at));
        let set: Vec<_> =
            (first..).zip(new).map(|(param, (_, name))| format!("{name} = ${param}")).collect();
        let (table, set, condition) = (self.users(), set.join(", "), self.is_as_before());
        format!("UPDATE {table} AS u SET {set} WHERE {condition}")
    }

    fn set_active(&self) -> String {
        let value = self.dialect.active_value("$3");
        self.names.active.as_ref().map(|active| format!("{active} = {value}, ")).unwrap_or_default()
    }

    /// `set` is empty or ends with a comma, `condition` is empty or begins with `AND`.
    fn bump_version(&self, set: &str, condition: &str) -> String {
        let Names { version, sessions, .. } = self.names;
        let (next, has_next) = self.dialect.next(&format!("u.{version}"));
        let (table, is_id) = (self.users(), self.is_id());
        format!(
            "UPDATE {table} AS u SET {set}{version} = {next}, {sessions} = NULL \
             WHERE {is_id} AND {has_next}{condition}"
        )
    }

    fn insert(&self) -> String {
        let Names { id, login, version, password_hash, secret, .. } = self.names;
        let mut columns = vec![id];
        let mut values = vec![self.id_value()];
        if !self.names.login_is_id() {
            columns.push(login);
            values.push(self.login_value("$2"));
        }
        for column in [version, password_hash].into_iter().chain(secret) {
            columns.push(column);
            values.push(format!("${}", columns.len()));
        }
        let columns: Vec<_> = columns.into_iter().map(Name::to_string).collect();
        format!(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT DO NOTHING",
            self.users(),
            columns.join(", "),
            values.join(", ")
        )
    }

    fn bump_epoch(&self, at: usize, UserGroup { key, counter, .. }: &UserGroup) -> String {
        let (next, has_next) = self.dialect.next(&format!("g.{counter}"));
        // A key of any type is compared as text.
        let is_text = self.dialect.is_text(&format!("g.{key}"), "$1");
        let is_key = match self.dialect {
            // It reads all groups, which is rare.
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => is_text,
            #[cfg(feature = "postgres")]
            Dialect::Postgres { .. } => format!("{} AND {is_text}", self.is_group_of(at, "$1")),
        };
        let table = self.group(at);
        format!("UPDATE {table} AS g SET {counter} = {next} WHERE {is_key} AND {has_next}")
    }

    fn users(&self) -> String {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => self.names.table.to_string(),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { shape, .. } => shape.users.clone(),
        }
    }

    /// The table of the group at this place.
    fn group(&self, at: usize) -> String {
        let table = match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => self.names.groups.get(at).map(|group| group.table.to_string()),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { shape, .. } => {
                shape.groups.get(at).map(|group| group.table.clone())
            }
        };
        table.unwrap_or_default()
    }

    /// The condition that the group at this place has this key.
    fn is_group_of(&self, at: usize, value: &str) -> String {
        let key = self.names.groups.get(at).map(|group| format!("g.{}", group.key));
        let key = key.unwrap_or_default();
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => format!("{key} = {value}"),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { shape, .. } => {
                let is = shape.groups.get(at).map(|group| group.key.is(&key, value));
                is.unwrap_or_default()
            }
        }
    }

    /// The row's id in a notification.
    fn id(&self) -> String {
        let id = format!("u.{}", self.names.id);
        match (self.dialect, self.names.id_type) {
            // The row was found by 16 bytes, so these are as many.
            #[cfg(feature = "postgres")]
            (Dialect::Postgres { .. }, IdType::UuidBytes) => {
                let uuid = format!("CAST({} AS pg_catalog.uuid)", self.dialect.hex(&id));
                self.dialect.as_text(&uuid)
            }
            _ => self.dialect.as_text(&id),
        }
    }

    /// The condition that a live row has the id `$1`.
    fn is_id(&self) -> String {
        let id = format!("u.{}", self.names.id);
        // The first comparison uses the index. A text of another form, which the column's type or
        // collation takes for the same, is another id.
        let byte_for_byte = || self.dialect.is_text(&id, "$1");
        let is = match (self.dialect, self.names.id_type) {
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, IdType::Text | IdType::Uuid) => {
                format!("{id} = $1 AND {}", byte_for_byte())
            }
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, _) => format!("{id} = $1"),
            #[cfg(feature = "postgres")]
            (Dialect::Postgres { shape, .. }, IdType::Text | IdType::Uuid) => {
                format!("{} AND {}", shape.id.is(&id, "$1"), byte_for_byte())
            }
            #[cfg(feature = "postgres")]
            (Dialect::Postgres { shape, .. }, _) => format!("{id} {} $1", shape.id.equals),
        };
        self.live(is)
    }

    /// The condition that a live row has one of the ids `$1`, by the column's own type and collation:
    /// the reader of the row compares its id byte for byte. The array is parsed once, in a query of its
    /// own.
    #[cfg(feature = "postgres")]
    fn is_any_id(&self) -> String {
        let (of, equals) = match (self.dialect, self.names.id_type) {
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, _) => return self.is_id(),
            (Dialect::Postgres { shape, .. }, IdType::Text | IdType::Uuid) => {
                (&*shape.id.type_name, &shape.id.equals)
            }
            (Dialect::Postgres { shape, .. }, IdType::Integer) => {
                ("pg_catalog.int8", &shape.id.equals)
            }
            (Dialect::Postgres { shape, .. }, IdType::UuidBytes) => {
                ("pg_catalog.bytea", &shape.id.equals)
            }
        };
        let ids = format!("CAST((SELECT CAST($1 AS {of}[])) AS {of}[])");
        self.live(format!("u.{} {equals} ANY ({ids})", self.names.id))
    }

    /// The condition that a live row has the login `$1`, by the column's own type and collation.
    fn is_login(&self) -> String {
        let login = format!("u.{}", self.names.login);
        let is = match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => format!("{login} = $1"),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { shape, .. } => shape.login.is(&login, "$1"),
        };
        self.live(is)
    }

    /// The condition, and that the row is a user's.
    fn live(&self, mut condition: String) -> String {
        let Names { deleted_at, is_deleted, .. } = self.names;
        if let Some(deleted_at) = deleted_at {
            condition += &format!(" AND u.{deleted_at} IS NULL");
        }
        if let Some(is_deleted) = is_deleted {
            let is_not_set = self.dialect.is_not_set(&format!("u.{is_deleted}"));
            condition += &format!(" AND {is_not_set}");
        }
        condition
    }

    fn id_value(&self) -> String {
        match (self.dialect, self.names.id_type) {
            #[cfg(feature = "postgres")]
            (Dialect::Postgres { shape, .. }, IdType::Text | IdType::Uuid) => shape.id.value("$1"),
            _ => "$1".to_owned(),
        }
    }

    fn login_value(&self, param: &str) -> String {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => param.to_owned(),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { shape, .. } => shape.login.value(param),
        }
    }
}

fn plain(statement: String) -> Sql {
    Sql { plain: statement.into(), notifying: None, locking: None }
}

#[cfg(test)]
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod tests {
    use super::*;
    use crate::store::{
        GroupsTable, UsersTable,
        sql::shape::{Flag, Group, Key, Shape},
    };

    fn sqlite() -> Dialect {
        Dialect::Sqlite
    }

    fn postgres() -> Dialect {
        let key = || Key {
            type_name: "\"pg_catalog\".\"text\"".to_owned(),
            equals: "OPERATOR(\"pg_catalog\".=)".to_owned(),
        };
        let flag = || Some(Flag::Boolean { is_not_null: true });
        Dialect::Postgres {
            channel: Name::fixed("relatch"),
            shape: Box::new(Shape {
                users: "\"app\".\"accounts\"".to_owned(),
                id: key(),
                login: key(),
                active: flag(),
                is_deleted: flag(),
                groups: vec![Group { table: "\"app\".\"tenants\"".to_owned(), key: key() }],
            }),
        }
    }

    fn sql<F>(table: &UsersTable<F>, dialect: Dialect, statement: Statement) -> Arc<Sql> {
        let (names, _) = table.checked().unwrap();
        Statements::new(dialect).get(&names, statement)
    }

    fn columns(count: i64) -> Columns {
        let mut columns = Columns::default();
        columns.version = Some(count);
        let text = || Some(count.to_string());
        columns.password_hash = text();
        columns.carried = text();
        columns.sessions = text();
        columns.lanes = text();
        columns
    }

    #[test]
    fn all_columns_are_compared_and_those_that_change_are_set() {
        let (before, after) = (columns(1), columns(2));
        let mut one = before.clone();
        one.sessions = None;
        for dialect in [sqlite(), postgres()] {
            for (table, count) in
                [(UsersTable::named("accounts"), 5), (UsersTable::named("accounts").secret("s"), 6)]
            {
                let changed = Changed::between(&before, &after);
                let statement = Statement::CompareAndSet { changed, revokes: false };
                let all = &sql(&table, dialect.clone(), statement).plain;
                let (set, condition) = all.split_once(" WHERE ").unwrap();
                assert_eq!(set.matches(" = $").count(), 5, "{all}");
                let (names, _) = table.checked().unwrap();
                for name in texts(&names).chain([&names.version]) {
                    assert!(condition.contains(&format!("u.{name}")), "{all}");
                }
                assert!(all.contains(&format!("${}", 6 + count)), "{all}");
                assert!(!all.contains(&format!("${}", 7 + count)), "{all}");

                let changed = Changed::between(&before, &one);
                let statement = Statement::CompareAndSet { changed, revokes: false };
                let some = &sql(&table, dialect.clone(), statement).plain;
                let set = format!(" SET \"sessions\" = ${} WHERE {condition}", 2 + count);
                assert!(some.ends_with(&set), "{some}");

                let changed = Changed::between(&before, &before);
                let statement = Statement::CompareAndSet { changed, revokes: true };
                let none = &sql(&table, dialect.clone(), statement).plain;
                assert!(none.contains(&format!(" WHERE {condition} LIMIT 1")), "{none}");
                assert!(!none.contains("UPDATE"), "{none}");
            }
        }
    }

    #[test]
    fn a_revocation_is_told_in_its_own_statement() {
        let groups = GroupsTable::named("tenants");
        let table = UsersTable::named("accounts").active("enabled").deleted_at("gone");
        let table = table.user_epoch("tenant", "tenant_id", groups);
        let sql = |statement| sql(&table, postgres(), statement).notifying.clone();
        assert_eq!(
            sql(Statement::BumpVersion).as_deref(),
            Some(
                "WITH changed AS (UPDATE \"app\".\"accounts\" AS u SET \"token_version\" = \
                 greatest(CAST(coalesce(u.\"token_version\", 0) AS pg_catalog.int8) \
                 OPERATOR(pg_catalog.+) 1, $2), \"sessions\" = NULL WHERE \
                 u.\"id\" OPERATOR(\"pg_catalog\".=) CAST($1 AS \"pg_catalog\".\"text\") AND \
                 CAST(u.\"id\" AS pg_catalog.text) OPERATOR(pg_catalog.=) $1 COLLATE pg_catalog.\"C\" \
                 AND u.\"gone\" IS NULL AND \
                 CAST(coalesce(u.\"token_version\", 0) AS pg_catalog.int8) \
                 OPERATOR(pg_catalog.<) 9223372036854775807 \
                 RETURNING CAST(u.\"id\" AS pg_catalog.text) AS id) \
                 SELECT pg_catalog.pg_notify('relatch', changed.id) FROM changed"
            )
        );
        let changed = Changed::between(&columns(1), &columns(2));
        for revokes in [false, true] {
            let statement = Statement::CompareAndSet { changed, revokes };
            assert_eq!(sql(statement).is_some(), revokes);
        }
        for statement in
            [Statement::Delete, Statement::Disable, Statement::Enable, Statement::BumpEpoch(0)]
        {
            assert!(sql(statement).is_some(), "{statement:?}");
        }
    }

    /// A standby may not have received a revocation. It says so even if it has no such row.
    #[test]
    fn every_read_tells_whether_its_server_is_a_standby() {
        let nothing = Statement::CompareAndSet {
            changed: Changed::between(&columns(1), &columns(1)),
            revokes: false,
        };
        let table = UsersTable::named("accounts");
        for statement in
            [Statement::ReadById, Statement::ReadByIds, Statement::ReadByLogin, nothing]
        {
            let read = sql(&table, postgres(), statement);
            let (rows, standby) = read.plain.split_once(") UNION ALL ").unwrap();
            assert!(rows.contains(", FALSE AS relatch_standby FROM "), "{rows}");
            let only_if = "NULL, TRUE WHERE pg_catalog.pg_is_in_recovery()";
            assert!(standby.starts_with("SELECT NULL"), "{standby}");
            assert!(standby.ends_with(only_if), "{standby}");
            // A standby locks nothing: it answers with an error.
            let locking = read.locking.as_deref().unwrap();
            assert!(locking.ends_with(" FOR NO KEY UPDATE OF u"), "{locking}");
            assert!(!locking.contains("UNION"), "{locking}");
        }
    }

    /// In SQLite a quoted name that is no column's is a text.
    #[test]
    fn whatever_is_read_or_compared_is_named_with_its_table() {
        let table = UsersTable::ready().fields::<u8>(["email"]).is_deleted("gone");
        for statement in [Statement::ReadById, Statement::ReadByLogin, Statement::Delete] {
            let sql = &sql(&table, Dialect::Sqlite, statement).plain;
            let quoted = sql.split("\"relatch_users\" AS u").collect::<String>();
            assert_eq!(quoted.matches('"').count(), 2 * quoted.matches("u.\"").count(), "{sql}");
        }
    }
}
