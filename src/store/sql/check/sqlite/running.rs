//! The findings from preparing the statements, and from a revocation that is rolled back.

use sqlx::{AssertSqlSafe, Connection as _, Row as _, SqliteConnection};

use super::catalogue::Table;
use crate::store::{
    Finding,
    sql::{
        Dialect,
        check::{
            Role, changes_nothing, live, of_users, refused_at, refused_statement, statements,
            unbound,
        },
        migration::Secrets,
        statements::{Statement, Statements},
        users_table::Names,
    },
};

pub(super) async fn findings(
    connection: &mut SqliteConnection,
    names: &Names,
    users: &Table,
) -> sqlx::Result<Vec<Finding>> {
    let built = Statements::new(Dialect::Sqlite);
    let mut findings = Vec::new();
    for (what, statement, _) in statements(names) {
        let sql = built.get(names, statement);
        match plan(connection, &sql.plain).await {
            Ok(steps) => findings.extend(slow(names, statement, &steps)),
            Err(error) => {
                findings.push(refused_at(statement, &names.table, what, &message(error)?));
            }
        }
    }
    if !findings.iter().any(Finding::is_problem) {
        findings.extend(unheeded(connection, names, users).await?);
        findings.extend(unbound(connection, names).await?);
    }
    Ok(findings)
}

/// The steps by which a statement would run.
async fn plan(connection: &mut SqliteConnection, sql: &str) -> sqlx::Result<Vec<String>> {
    let explain = sqlx::query(AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}")));
    let rows = explain.persistent(false).fetch_all(connection).await?;
    rows.iter().map(|row| row.try_get("detail")).collect()
}

/// A look-up that no index serves.
fn slow(names: &Names, statement: Statement, steps: &[String]) -> Option<Finding> {
    let role = match statement {
        Statement::ReadById => Role::Id,
        Statement::ReadByLogin => Role::Login,
        _ => return None,
    };
    let wanted = of_users(names).into_iter().find(|wanted| wanted.role == role)?;
    let is_scan = |step: &String| step == "SCAN u" || step.starts_with("SCAN u ");
    let (table, column) = (wanted.table, wanted.column);
    let bare = table.table();
    let index = table.beside(&format!("{}_{}", bare.as_str(), column.as_str()));
    let sql = format!("CREATE INDEX {index} ON {bare} ({column})");
    steps.iter().any(is_scan).then(|| wanted.slow().with_sql(sql))
}

/// Takes the write lock. If a trigger may prevent a change, it also revokes one user. It rolls all of it
/// back.
async fn unheeded(
    connection: &mut SqliteConnection,
    names: &Names,
    users: &Table,
) -> sqlx::Result<Option<Finding>> {
    let begun = connection.begin_with("BEGIN IMMEDIATE").await;
    let mut transaction = match begun {
        Ok(transaction) => transaction,
        Err(error) if is_busy(&error) => return Ok(None),
        Err(error) => {
            let what = "logs a user out everywhere";
            return Ok(Some(refused_statement(&names.table, what, &message(error)?)));
        }
    };
    let Names { table, id, version, sessions, .. } = names;
    // In a read-only file `BEGIN IMMEDIATE` succeeds, and this statement fails.
    let nothing = format!("UPDATE {table} SET {version} = {version} WHERE FALSE");
    let nothing = sqlx::query(AssertSqlSafe(nothing)).persistent(false);
    let done = nothing.execute(&mut *transaction).await.map(drop);
    let mut finding = None;
    if let Err(error) = done {
        let what = "logs a user out everywhere";
        finding = Some(refused_statement(&names.table, what, &message(error)?));
    } else if users.is_view || users.triggers.iter().any(|trigger| trigger.is_of_update) {
        let live = live(names, &Dialect::Sqlite);
        let any = format!("SELECT {id} FROM {table} WHERE {live} LIMIT 1");
        let bump = format!(
            "UPDATE {table} SET {version} = coalesce({version}, 0) + 1, {sessions} = NULL \
             WHERE {id} = ({any})"
        );
        let read = format!("SELECT {version} FROM {table} WHERE {id} = ({any})");
        let before = version_of(&mut transaction, &read).await?;
        let bump = sqlx::query(AssertSqlSafe(bump)).persistent(false);
        finding = match bump.execute(&mut *transaction).await {
            // A trigger may have put the old values back.
            Ok(_) if before.is_some() && version_of(&mut transaction, &read).await? <= before => {
                Some(changes_nothing(&names.table, "a trigger"))
            }
            Ok(_) => None,
            Err(error) => {
                let what = "logs a user out everywhere";
                Some(refused_statement(&names.table, what, &message(error)?))
            }
        };
    }
    transaction.rollback().await?;
    Ok(finding)
}

/// Users whom no token can be bound to.
async fn unbound(
    connection: &mut SqliteConnection,
    names: &Names,
) -> sqlx::Result<Option<Finding>> {
    let count = unbound::count_sql(names, &Dialect::Sqlite, &Secrets::SQLITE);
    let count = sqlx::query_scalar(AssertSqlSafe(count)).persistent(false);
    Ok(unbound::finding(names, &Secrets::SQLITE, count.fetch_one(connection).await?))
}

/// The version that this statement selects, where a row's `NULL` is the lowest.
async fn version_of(
    connection: &mut SqliteConnection,
    read: &str,
) -> sqlx::Result<Option<Option<i64>>> {
    sqlx::query_scalar(AssertSqlSafe(read)).persistent(false).fetch_optional(connection).await
}

/// The database's message; or the error, if the connection failed.
fn message(error: sqlx::Error) -> sqlx::Result<String> {
    match error.as_database_error() {
        Some(database) if !is_busy(&error) => Ok(database.message().to_owned()),
        _ => Err(error),
    }
}

/// Another writer, <https://sqlite.org/rescode.html>: 5 in the lowest byte.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 5)
}
