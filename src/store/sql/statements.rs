//! The statements over a users' table, each built once. Everything but a checked name is bound.

use std::sync::Arc;

use super::Name;
use crate::store::sql::users_table::{IdType, Names, UserGroup};

/// The differences between the databases' SQL.
#[derive(Clone, Debug)]
pub(super) enum Dialect {
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// With the channel of the notifications.
    #[cfg(feature = "postgres")]
    Postgres { channel: Name },
}

/// A statement that changes rows.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) sql: Arc<str>,
    /// The same without its notification, if it has one.
    pub(super) silent: Option<Arc<str>>,
}

impl Change {
    fn silent(statement: String) -> Self {
        Self { sql: statement.into(), silent: None }
    }
}

/// Every statement that a store runs over users.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) read_by_id: Arc<str>,
    pub(super) read_by_login: Arc<str>,
    /// `$1` the id, then from `$2` the new columns and after them the old ones: the version first, the
    /// others in the order of [`columns`].
    pub(super) compare_and_set: Change,
    pub(super) compare_and_revoke: Change,
    pub(super) delete: Change,
    /// `$1` the id, `$2` the least version.
    pub(super) bump_version: Change,
    pub(super) switch: Option<Switch>,
    /// The id, the login, the version, the hash, and the secret where there is a column for it.
    pub(super) insert: Change,
    /// By kind; `$1` the group, `$2` the least counter.
    pub(super) bump_epoch: Vec<(String, Change)>,
}

/// Bumps of the version that also set whether the user is active.
#[derive(Debug)]
pub(super) struct Switch {
    /// `$3` is false.
    pub(super) disable: Change,
    /// `$3` is true, `$4` the version that the row must have.
    pub(super) enable: Change,
}

impl Statements {
    pub(super) fn new(names: &Names, dialect: &Dialect) -> Self {
        let build = Build { names, dialect };
        Self {
            read_by_id: build.read(&build.is_id()),
            read_by_login: build.read(&format!("u.{} = $1", names.login)),
            compare_and_set: Change::silent(build.compare_and_set()),
            compare_and_revoke: build.notifying_user(build.compare_and_set()),
            delete: build.notifying_user(format!(
                "DELETE FROM {} AS u WHERE {}",
                names.table,
                build.is_id()
            )),
            bump_version: build.bump_version("", ""),
            switch: names.active.as_ref().map(|active| build.switch(active)),
            insert: build.insert(),
            bump_epoch: names
                .groups
                .iter()
                .map(|group| (group.kind.clone(), build.bump_epoch(group)))
                .collect(),
        }
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
    /// From here on, two columns for each epoch: the group and its counter.
    pub(crate) const GROUPS: usize = 9;
}

/// The text columns that are compared and set, after the version.
pub(super) fn columns(names: &Names) -> impl Iterator<Item = &Name> {
    let Names { password_hash, carried, sessions, lanes, secret, .. } = names;
    [password_hash, carried, sessions, lanes].into_iter().chain(secret)
}

struct Build<'a> {
    names: &'a Names,
    dialect: &'a Dialect,
}

impl Build<'_> {
    /// Reads up to two rows, so that a second one is noticed.
    fn read(&self, condition: &str) -> Arc<str> {
        let Names { table, id, version, active, secret, groups, .. } = self.names;
        let active = active.as_ref().map_or_else(
            || "1".to_owned(),
            |active| format!("CASE WHEN u.{active} THEN 1 ELSE 0 END"),
        );
        let mut selected = vec![
            format!("CAST(u.{id} AS TEXT)"),
            format!("CAST({active} AS BIGINT)"),
            self.fields(),
            self.integer(&format!("u.{version}")),
        ];
        selected.extend(columns(self.names).map(|column| self.text(column)));
        if secret.is_none() {
            selected.push("CAST(NULL AS TEXT)".to_owned());
        }
        for UserGroup { column, table, key, counter, .. } in groups {
            selected.push(format!("CAST(u.{column} AS TEXT)"));
            let counter = self.integer(&format!("coalesce(g.{counter}, 0)"));
            selected
                .push(format!("(SELECT {counter} FROM {table} AS g WHERE g.{key} = u.{column})"));
        }
        let selected = selected.join(", ");
        format!("SELECT {selected} FROM {table} AS u WHERE {condition} LIMIT 2").into()
    }

    fn fields(&self) -> String {
        let Some(fields) = &self.names.fields else { return "CAST(NULL AS TEXT)".to_owned() };
        let members = fields.iter().map(|name| format!("'{}', u.{name}", name.as_str()));
        let members = members.collect::<Vec<_>>().join(", ");
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => format!("json_object({members})"),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { .. } => format!("CAST(json_build_object({members}) AS TEXT)"),
        }
    }

    fn compare_and_set(&self) -> String {
        let Names { table, version, .. } = self.names;
        let texts: Vec<_> = columns(self.names).collect();
        let (new, old) = (2, 3 + texts.len());
        let mut set = vec![format!("{version} = ${new}")];
        let mut condition =
            vec![self.is_id(), format!("u.{version} {} ${old}", self.is_not_distinct())];
        for (at, name) in (1..).zip(texts) {
            set.push(format!("{name} = ${}", new + at));
            condition.push(self.is_text(name, old + at));
        }
        let (set, condition) = (set.join(", "), condition.join(" AND "));
        format!("UPDATE {table} AS u SET {set} WHERE {condition}")
    }

    fn switch(&self, active: &Name) -> Switch {
        let set = format!("{active} = $3, ");
        let (version, is) = (&self.names.version, self.is_not_distinct());
        Switch {
            disable: self.bump_version(&set, ""),
            enable: self.bump_version(&set, &format!(" AND u.{version} {is} $4")),
        }
    }

    /// `set` is empty or ends with a comma, `condition` is empty or begins with `AND`.
    fn bump_version(&self, set: &str, condition: &str) -> Change {
        let Names { table, version, sessions, .. } = self.names;
        let (next, has_next) = self.next(&format!("u.{version}"));
        let is_id = self.is_id();
        self.notifying_user(format!(
            "UPDATE {table} AS u SET {set}{version} = {next}, {sessions} = NULL \
             WHERE {is_id} AND {has_next}{condition}"
        ))
    }

    fn insert(&self) -> Change {
        let Names { table, id, login, version, password_hash, secret, .. } = self.names;
        let value = self.id_value();
        let (secret, fifth) = match secret {
            Some(secret) => (format!(", {secret}"), ", $5"),
            None => (String::new(), ""),
        };
        Change::silent(format!(
            "INSERT INTO {table} ({id}, {login}, {version}, {password_hash}{secret}) \
             VALUES ({value}, $2, $3, $4{fifth}) ON CONFLICT DO NOTHING"
        ))
    }

    /// The key is compared as text, whatever its type. That reads all groups, and is rare.
    fn bump_epoch(&self, group: &UserGroup) -> Change {
        let UserGroup { table, key, counter, .. } = group;
        let (next, has_next) = self.next(&format!("g.{counter}"));
        let update = format!(
            "UPDATE {table} AS g SET {counter} = {next} \
             WHERE CAST(g.{key} AS TEXT) = $1 {} AND {has_next}",
            self.byte_for_byte()
        );
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => Change::silent(update),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { channel } => notifying(update, "1", channel, "''"),
        }
    }

    /// `max(coalesce(counter, 0) + 1, $2)`, and the condition that there is such a value.
    fn next(&self, counter: &str) -> (String, String) {
        let greatest = match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => "max",
            #[cfg(feature = "postgres")]
            Dialect::Postgres { .. } => "greatest",
        };
        let next = format!("{greatest}(coalesce({counter}, 0) + 1, $2)");
        (next, format!("coalesce({counter}, 0) < {}", i64::MAX))
    }

    /// The statement, and a notification of the user in its transaction. If no row is changed, nothing
    /// is sent.
    fn notifying_user(&self, statement: String) -> Change {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => Change::silent(statement),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { channel } => {
                let id = format!("CAST(u.{} AS TEXT)", self.names.id);
                notifying(statement, &id, channel, "changed.id")
            }
        }
    }

    /// The condition that the row has the id `$1`.
    fn is_id(&self) -> String {
        let (id, value) = (&self.names.id, self.id_value());
        match (self.dialect, self.names.id_type) {
            // A column of another type than text also matches a number's other forms.
            #[cfg(feature = "sqlite")]
            (Dialect::Sqlite, IdType::Text | IdType::Uuid) => self.is_text_id(),
            // And a column of another collation matches other texts.
            #[cfg(feature = "postgres")]
            (Dialect::Postgres { .. }, IdType::Text) => self.is_text_id(),
            _ => format!("u.{id} = {value}"),
        }
    }

    /// The first comparison uses the index.
    fn is_text_id(&self) -> String {
        let id = &self.names.id;
        format!("u.{id} = $1 AND CAST(u.{id} AS TEXT) = $1 {}", self.byte_for_byte())
    }

    /// The id in its column's own type, so that the index is used.
    fn id_value(&self) -> &'static str {
        match (self.dialect, self.names.id_type) {
            #[cfg(feature = "postgres")]
            (Dialect::Postgres { .. }, IdType::Uuid) => "CAST($1 AS UUID)",
            _ => "$1",
        }
    }

    /// The condition that a text column equals this parameter, where `NULL` equals `NULL`.
    fn is_text(&self, column: &Name, at: usize) -> String {
        let (is, byte_for_byte) = (self.is_not_distinct(), self.byte_for_byte());
        format!("{} {is} ${at} {byte_for_byte}", self.text(column))
    }

    /// A collation that ignores the column's own.
    fn byte_for_byte(&self) -> &'static str {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => "COLLATE BINARY",
            #[cfg(feature = "postgres")]
            Dialect::Postgres { .. } => "COLLATE \"C\"",
        }
    }

    fn is_not_distinct(&self) -> &'static str {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => "IS",
            #[cfg(feature = "postgres")]
            Dialect::Postgres { .. } => "IS NOT DISTINCT FROM",
        }
    }

    /// No cast in SQLite: it would convert any value to text and hide the damage.
    fn text(&self, column: &Name) -> String {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => format!("u.{column}"),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { .. } => format!("CAST(u.{column} AS TEXT)"),
        }
    }

    fn integer(&self, column: &str) -> String {
        match self.dialect {
            #[cfg(feature = "sqlite")]
            Dialect::Sqlite => column.to_owned(),
            #[cfg(feature = "postgres")]
            Dialect::Postgres { .. } => format!("CAST({column} AS BIGINT)"),
        }
    }
}

#[cfg(feature = "postgres")]
fn notifying(statement: String, returned: &str, channel: &Name, payload: &str) -> Change {
    let channel = channel.as_str();
    let sql = format!(
        "WITH changed AS ({statement} RETURNING {returned} AS id) \
         SELECT pg_notify('{channel}', {payload}) FROM changed"
    );
    Change { sql: sql.into(), silent: Some(statement.into()) }
}

#[cfg(test)]
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod tests {
    use super::*;
    use crate::store::{GroupsTable, UsersTable};

    fn of<F>(table: &UsersTable<F>, dialect: &Dialect) -> Statements {
        Statements::new(&table.checked().unwrap().0, dialect)
    }

    fn postgres() -> Dialect {
        Dialect::Postgres { channel: Name::fixed("relatch") }
    }

    #[test]
    fn the_condition_has_each_column_that_is_written() {
        for dialect in [Dialect::Sqlite, postgres()] {
            for (table, count) in
                [(UsersTable::named("accounts"), 5), (UsersTable::named("accounts").secret("s"), 6)]
            {
                let sql = of(&table, &dialect).compare_and_set.sql;
                let (set, condition) = sql.split_once(" WHERE ").unwrap();
                assert_eq!(set.matches(" = $").count(), count, "{sql}");
                let (names, _) = table.checked().unwrap();
                for name in columns(&names).chain([&names.version]) {
                    assert!(set.contains(&format!("{name} = $")), "{sql}");
                    assert!(condition.contains(&format!("u.{name}")), "{sql}");
                }
                assert!(sql.contains(&format!("${}", 1 + 2 * count)), "{sql}");
                assert!(!sql.contains(&format!("${}", 2 + 2 * count)), "{sql}");
            }
        }
    }

    #[test]
    fn a_revocation_is_told_in_its_own_statement() {
        let groups = GroupsTable::named("tenants");
        let table = UsersTable::named("app.accounts").active("enabled");
        let sql = of(&table.user_epoch("tenant", "tenant_id", groups), &postgres());
        assert_eq!(
            &*sql.bump_version.sql,
            "WITH changed AS (UPDATE \"app\".\"accounts\" AS u SET \
             \"token_version\" = greatest(coalesce(u.\"token_version\", 0) + 1, $2), \
             \"sessions\" = NULL WHERE u.\"id\" = $1 \
             AND CAST(u.\"id\" AS TEXT) = $1 COLLATE \"C\" \
             AND coalesce(u.\"token_version\", 0) < 9223372036854775807 RETURNING CAST(u.\"id\" AS TEXT) AS id) \
             SELECT pg_notify('relatch', changed.id) FROM changed"
        );
        let Switch { disable, enable } = sql.switch.unwrap();
        for statement in [&sql.compare_and_revoke, &sql.delete, &disable, &enable] {
            assert!(statement.sql.ends_with("pg_notify('relatch', changed.id) FROM changed"));
        }
        assert!(sql.bump_epoch[0].1.sql.ends_with("pg_notify('relatch', '') FROM changed"));
        assert!(!sql.compare_and_set.sql.contains("pg_notify"));
    }

    /// In SQLite a quoted name that is no column's is a text.
    #[test]
    fn whatever_is_read_or_compared_is_named_with_its_table() {
        let table = UsersTable::ready().fields::<u8>(["email"]);
        let sql = of(&table, &Dialect::Sqlite);
        for statement in [&sql.read_by_id, &sql.read_by_login, &sql.delete.sql] {
            let quoted = statement.split("\"relatch_users\" AS u").collect::<String>();
            assert_eq!(
                quoted.matches('"').count(),
                2 * quoted.matches("u.\"").count(),
                "{statement}"
            );
        }
    }
}
