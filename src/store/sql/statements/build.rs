//! The SQL of each statement.

use std::sync::Arc;

use super::statement::{Changed, Statement, texts};
use crate::store::sql::{
    Dialect, Name,
    users_table::{IdType, Names, UserGroup},
};

/// A statement's SQL.
#[derive(Debug)]
pub(in crate::store::sql) struct Sql {
    pub(in crate::store::sql) plain: Arc<str>,
    /// The same, with a notification in its transaction.
    pub(in crate::store::sql) notifying: Option<Arc<str>>,
    /// The same read, which locks the rows that it returns, in a database that locks rows.
    pub(in crate::store::sql) locking: Option<Arc<str>>,
}

/// The positions of a row's columns in the result of a read.
pub(in crate::store::sql) mod place {
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
    /// In the result of a change that moves a counter.
    pub(crate) const COUNTER: usize = 0;
}

pub(super) struct Build<'a> {
    pub(super) names: &'a Names,
    pub(super) dialect: &'a Dialect,
}

impl Build<'_> {
    pub(super) fn statement(&self, statement: Statement) -> Sql {
        let Self { names, dialect } = self;
        let user = |statement: String| self.notifying(statement, &self.id());
        let bump = |set: &str, condition: &str| {
            self.bumping(self.bump_version(set, condition), &self.id(), &names.version)
        };
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
            Statement::BumpVersion => bump("", ""),
            Statement::Disable => bump(&self.set_active(), ""),
            Statement::Enable => {
                let version = format!("u.{}", names.version);
                let is_version = dialect.is_integer_or_null(&version, "$4");
                bump(&self.set_active(), &format!(" AND {is_version}"))
            }
            Statement::Insert => plain(self.insert()),
            Statement::BumpEpoch(at) => {
                let bump = names
                    .groups
                    .get(at)
                    .map(|group| self.bumping(self.bump_epoch(at, group), "''", &group.counter));
                bump.unwrap_or_else(|| plain(String::new()))
            }
        }
    }

    fn notifying(&self, statement: String, returned: &str) -> Sql {
        let notifying = self.dialect.notifying(&statement, returned, None).map(Arc::from);
        Sql { notifying, ..plain(statement) }
    }

    /// The same, for a statement that moves this counter: its result is the counter. SQLite does not know
    /// the table's alias in `RETURNING`.
    fn bumping(&self, statement: String, returned: &str, counter: &Name) -> Sql {
        let counter = self.dialect.integer(&counter.to_string());
        let notifying = self.dialect.notifying(&statement, returned, Some(&counter));
        let plain = plain(format!("{statement} RETURNING {counter}"));
        Sql { notifying: notifying.map(Arc::from), ..plain }
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
