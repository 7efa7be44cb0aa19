//! The statements over a users' table. Everything but a checked name is bound.

mod build;
mod statement;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use self::build::Build;
pub(super) use self::{
    build::{Sql, place},
    statement::{Changed, Statement, texts},
};
use super::{Dialect, users_table::Names};

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

#[cfg(test)]
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod tests {
    use super::*;
    use crate::store::{
        Columns, GroupsTable, UsersTable,
        sql::{
            Name,
            shape::{Flag, Group, Key, Shape},
        },
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
                 RETURNING CAST(u.\"id\" AS pg_catalog.text) AS id, \
                 CAST(\"token_version\" AS pg_catalog.int8) AS counter) \
                 SELECT changed.counter, pg_catalog.pg_notify('relatch', changed.id) FROM changed"
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
