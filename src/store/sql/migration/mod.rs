//! Migrations: they add to a live table of users the columns that it lacks.

mod first_version;
#[cfg(feature = "postgres")]
mod postgres;
mod secrets;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "postgres")]
mod trigger;
#[cfg(feature = "postgres")]
mod triggers;
mod types;

#[cfg(feature = "postgres")]
pub(super) use self::first_version::default_sql;
#[cfg(feature = "sqlite")]
pub(super) use self::first_version::{trigger_name, trigger_sql};
#[cfg(feature = "postgres")]
pub(super) use self::trigger::wanted as wanted_triggers;
pub(super) use self::{secrets::Secrets, types::Types};

use super::{
    Name, TableName,
    users_table::{IdType, Names},
};

/// The columns that a table needs besides the application's own.
struct Additions<'a> {
    table: &'a TableName,
    columns: Vec<(&'a Name, &'static str)>,
}

/// Each column may be `NULL` or has a constant default, so no row is rewritten.
fn additions<'a>(names: &'a Names, types: &Types) -> Vec<Additions<'a>> {
    let Names { version, carried, sessions, lanes, secret, active, .. } = names;
    let mut columns = vec![(version, types.integer)];
    let texts = [carried, sessions, lanes].into_iter().chain(secret);
    columns.extend(texts.map(|column| (column, types.text)));
    columns.extend(active.iter().map(|column| (column, types.active)));
    let users = Additions { table: &names.table, columns };
    let groups = names
        .groups
        .iter()
        .map(|group| (&group.table, vec![(&group.counter, types.integer)]))
        .map(|(table, columns)| Additions { table, columns });
    std::iter::once(users).chain(groups).collect()
}

fn script(statements: &[String]) -> String {
    statements.iter().map(|statement| format!("{statement};\n")).collect()
}

/// Creates the ready table, where the version has the default `now`.
fn ready_table(names: &Names, types: &Types, now: &str) -> String {
    let Names { table, id, login, password_hash, version, carried, sessions, lanes, .. } = names;
    let Types { text, integer, uuid, bytes, active } = types;
    let id_type = match names.id_type {
        IdType::Text => text,
        IdType::Integer => integer,
        IdType::Uuid => uuid,
        IdType::UuidBytes => bytes,
    };
    let mut columns = vec![
        format!("{id} {id_type} NOT NULL PRIMARY KEY"),
        format!("{login} {text} NOT NULL UNIQUE"),
        format!("{version} {integer} DEFAULT ({now})"),
    ];
    let texts = [password_hash, carried, sessions, lanes].into_iter().chain(&names.secret);
    columns.extend(texts.map(|column| format!("{column} {text}")));
    columns.extend(names.active.iter().map(|column| format!("{column} {active}")));
    format!("CREATE TABLE IF NOT EXISTS {table} (\n    {}\n)", columns.join(",\n    "))
}
