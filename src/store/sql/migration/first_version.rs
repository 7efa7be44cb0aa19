//! The first version of a new user: the time in milliseconds, also for rows that the application inserts.

use crate::store::sql::users_table::Names;

/// A column's default is relatch's own if it calls this.
#[cfg(feature = "postgres")]
pub(super) const CLOCK: &str = "clock_timestamp()";

/// Each function and operator is named with its schema, as the types are.
#[cfg(feature = "postgres")]
pub(super) fn postgres_now() -> String {
    format!("CAST(EXTRACT(EPOCH FROM pg_catalog.{CLOCK}) OPERATOR(pg_catalog.*) 1000 AS BIGINT)")
}

#[cfg(feature = "postgres")]
pub(in crate::store::sql) fn default_sql(names: &Names) -> String {
    let Names { table, version, .. } = names;
    format!("ALTER TABLE {table} ALTER COLUMN {version} SET DEFAULT {}", postgres_now())
}

#[cfg(feature = "sqlite")]
pub(super) const SQLITE_NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

/// The name of the trigger that gives a new user its first version.
#[cfg(feature = "sqlite")]
pub(in crate::store::sql) fn trigger_name(names: &Names) -> String {
    format!("{}_relatch_{}", names.table.table().as_str(), names.version.as_str())
}

/// A trigger, as SQLite adds no column whose default is not a constant.
#[cfg(feature = "sqlite")]
pub(in crate::store::sql) fn trigger_sql(names: &Names) -> String {
    let Names { table, id, version, .. } = names;
    let trigger = table.beside(&trigger_name(names));
    let table = table.table();
    format!(
        "CREATE TRIGGER IF NOT EXISTS {trigger} AFTER INSERT ON {table}\n\
         WHEN NEW.{version} IS NULL BEGIN\n    \
         UPDATE {table} SET {version} = {SQLITE_NOW} WHERE {id} = NEW.{id};\n\
         END"
    )
}
