//! Migrations: they add to a live table of users the columns that it lacks.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "postgres")]
mod triggers;

use super::{
    Name, TableName,
    users_table::{IdType, Names},
};

const BIGINT: &str = "BIGINT";

/// The columns that a table needs besides the application's own.
struct Additions<'a> {
    table: &'a TableName,
    columns: Vec<(&'a Name, &'static str)>,
}

/// Each column may be `NULL` or has a constant default, so no row is rewritten.
fn additions(names: &Names) -> Vec<Additions<'_>> {
    let Names { version, carried, sessions, lanes, secret, active, .. } = names;
    let mut columns = vec![(version, BIGINT)];
    let texts = [carried, sessions, lanes].into_iter().chain(secret);
    columns.extend(texts.map(|column| (column, "TEXT")));
    columns.extend(active.iter().map(|column| (column, "BOOLEAN NOT NULL DEFAULT TRUE")));
    let users = Additions { table: &names.table, columns };
    let groups = names
        .groups
        .iter()
        .map(|group| Additions { table: &group.table, columns: vec![(&group.counter, BIGINT)] });
    std::iter::once(users).chain(groups).collect()
}

fn script(statements: &[String]) -> String {
    statements.iter().map(|statement| format!("{statement};\n")).collect()
}

/// Creates the ready table, where the version has the default `now`.
fn ready_table(names: &Names, now: &str) -> String {
    let Names { table, id, login, password_hash, version, carried, sessions, lanes, .. } = names;
    let id_type = match names.id_type {
        IdType::Text => "TEXT",
        IdType::Integer => BIGINT,
        IdType::Uuid => "UUID",
        IdType::UuidBytes => "BYTEA",
    };
    let mut columns = vec![
        format!("{id} {id_type} NOT NULL PRIMARY KEY"),
        format!("{login} TEXT NOT NULL UNIQUE"),
        format!("{version} {BIGINT} DEFAULT ({now})"),
    ];
    let texts = [password_hash, carried, sessions, lanes].into_iter().chain(&names.secret);
    columns.extend(texts.map(|column| format!("{column} TEXT")));
    let active = names.active.iter();
    columns.extend(active.map(|column| format!("{column} BOOLEAN NOT NULL DEFAULT TRUE")));
    format!("CREATE TABLE IF NOT EXISTS {table} (\n    {}\n)", columns.join(",\n    "))
}
