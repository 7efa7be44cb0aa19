//! The check of the statements: each is prepared, and a revocation is run and rolled back.
//!
//! SQL's own `PREPARE` and `EXECUTE` in simple queries: they work behind a pooler too, and a statement
//! can be explained with unknown parameters.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::catalogue::{Server, Table, run};
use crate::store::{
    Finding,
    sql::{
        check::{
            Kind, Role, changes_nothing, live, of_users, plain, refused_at, refused_statement,
            statements, unbound,
        },
        migration::Secrets,
        statements::{Statement, Statements, place::VERSION},
        users_table::Names,
    },
};

const PREPARED: &str = "relatch_check";
const READ: &str = "relatch_check_read";

pub(super) async fn findings(
    connection: &mut PgConnection,
    built: &Statements,
    names: &Names,
    users: &Table,
    server: &Server,
) -> sqlx::Result<Vec<Finding>> {
    let mut findings = refused(connection, built, names).await?;
    if findings.iter().any(Finding::is_problem) {
        return Ok(findings);
    }
    findings.extend(slow(connection, built, names).await?);
    let may_be_stopped = users.filters_rows
        || !users.rules.is_empty()
        || !users.is_table()
        || users.triggers.iter().any(|trigger| trigger.is_enabled && trigger.may_stop_update);
    if may_be_stopped {
        findings.extend(unheeded(connection, built, names, users, server).await?);
    }
    findings.extend(unbound(connection, built, names).await?);
    Ok(findings)
}

/// Statements that the server does not take.
async fn refused(
    connection: &mut PgConnection,
    built: &Statements,
    names: &Names,
) -> sqlx::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for (what, statement, kinds) in statements(names) {
        let sql = built.get(names, statement);
        for sql in [Some(&sql.plain), sql.notifying.as_ref()].into_iter().flatten() {
            run(connection, "SAVEPOINT relatch").await?;
            let end = match run(connection, prepare(PREPARED, sql, &kinds)).await {
                Ok(_) => deallocate(PREPARED),
                Err(error) => {
                    let message = message(error)?;
                    findings.push(refused_at(statement, &names.table, what, &message));
                    "ROLLBACK TO SAVEPOINT relatch".to_owned()
                }
            };
            run(connection, end).await?;
        }
    }
    Ok(findings)
}

/// Look-ups that no index serves. Sequential scans are turned off, so that the planner uses an index
/// even of a small table.
async fn slow(
    connection: &mut PgConnection,
    built: &Statements,
    names: &Names,
) -> sqlx::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for wanted in of_users(names) {
        let (statement, kind) = match wanted.role {
            Role::Id => (Statement::ReadById, id_kind(names)),
            Role::Login => (Statement::ReadByLogin, Kind::Text),
            _ => continue,
        };
        let sql = built.get(names, statement);
        run(connection, prepare(PREPARED, &sql.plain, &[kind])).await?;
        run(connection, "SAVEPOINT relatch").await?;
        // A look-up of NULL prunes all partitions, and nothing would be left to look at.
        let set = "SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_generic_plan; \
                   SET LOCAL enable_partition_pruning = off";
        run(connection, set).await?;
        let explain = format!("EXPLAIN (COSTS OFF) EXECUTE {PREPARED} (NULL)");
        let plan = run(connection, explain).await;
        run(connection, "ROLLBACK TO SAVEPOINT relatch").await?;
        // The server keeps it beyond the transaction.
        run(connection, deallocate(PREPARED)).await?;
        let lines: Vec<_> =
            plan?.iter().map(|row| row.try_get::<String, _>(0)).collect::<sqlx::Result<_>>()?;
        // What follows are the look-ups of the groups.
        let mut own = lines.iter().take_while(|line| !line.contains("SubPlan"));
        if !own.any(|line| line.contains("Index Cond")) {
            findings.push(wanted.slow());
        }
    }
    Ok(findings)
}

/// A revocation of one of the users, which is rolled back: row-level security, a trigger or a rule may
/// keep it from changing anything.
async fn unheeded(
    connection: &mut PgConnection,
    built: &Statements,
    names: &Names,
    users: &Table,
    server: &Server,
) -> sqlx::Result<Option<Finding>> {
    // A user may be deleted in between: then another one is tried.
    for _ in 0..2 {
        let Some(id) = anybody(connection, built, names, users).await? else {
            return Ok(hidden(names, users, server));
        };
        let before = version(connection, built, names, &id).await?;
        run(connection, "SAVEPOINT relatch").await?;
        let sql = built.get(names, Statement::BumpVersion);
        run(connection, prepare(PREPARED, &sql.plain, &[id_kind(names), Kind::Integer])).await?;
        let execute = format!("EXECUTE {PREPARED} ({id}, 0)");
        let done = sqlx::raw_sql(AssertSqlSafe(execute)).execute(&mut *connection).await;
        let done = match done {
            // A trigger may have put the old values back.
            Ok(done) if done.rows_affected() > 0 => {
                Ok(version(connection, built, names, &id).await? > before)
            }
            done => done.map(|_| false),
        };
        run(connection, "ROLLBACK TO SAVEPOINT relatch").await?;
        run(connection, deallocate(PREPARED)).await?;
        match done {
            Ok(true) => return Ok(None),
            Ok(false) => {}
            Err(error) if is_of_the_moment(&error) => return Ok(None),
            Err(error) => {
                let what = "logs a user out everywhere";
                return Ok(Some(refused_statement(&names.table, what, &message(error)?)));
            }
        }
    }
    Ok(Some(match users.filters_rows {
        true => changes_nothing(&names.table, "row-level security").with_sql(policy(users, server)),
        false => changes_nothing(&names.table, "a trigger or a rule"),
    }))
}

/// Users whom no token can be bound to.
async fn unbound(
    connection: &mut PgConnection,
    built: &Statements,
    names: &Names,
) -> sqlx::Result<Option<Finding>> {
    let count = unbound::count_sql(names, built.dialect(), &Secrets::POSTGRES);
    let count = sqlx::query_scalar(AssertSqlSafe(count)).persistent(false);
    Ok(unbound::finding(names, &Secrets::POSTGRES, count.fetch_one(connection).await?))
}

/// The version of the user with this id, a literal.
async fn version(
    connection: &mut PgConnection,
    built: &Statements,
    names: &Names,
    id: &str,
) -> sqlx::Result<Option<i64>> {
    let sql = built.get(names, Statement::ReadById);
    run(connection, prepare(READ, &sql.plain, &[id_kind(names)])).await?;
    let rows = run(connection, format!("EXECUTE {READ} ({id})")).await?;
    run(connection, deallocate(READ)).await?;
    rows.first().map_or(Ok(None), |row| row.try_get(VERSION))
}

/// The id of some user, as a literal.
async fn anybody(
    connection: &mut PgConnection,
    built: &Statements,
    names: &Names,
    users: &Table,
) -> sqlx::Result<Option<String>> {
    let (id, table) = (&names.id, &users.name);
    let live = live(names, built.dialect());
    let sql = format!(
        "SELECT pg_catalog.quote_literal(CAST({id} AS pg_catalog.text)) FROM {table} WHERE {live} LIMIT 1"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false).fetch_optional(connection).await
}

/// The check proves nothing: there are no rows, or none that the role may see.
fn hidden(names: &Names, users: &Table, server: &Server) -> Option<Finding> {
    users.filters_rows.then(|| {
        let text = format!(
            "row-level security applies to the role {}, and the role sees no row, so the check cannot tell \
             whether revocations work: check again when there is a user, or create a policy",
            server.role
        );
        Finding::warning(plain(&names.table), text).with_sql(policy(users, server))
    })
}

fn policy(users: &Table, server: &Server) -> String {
    let (table, role) = (&users.name, &server.role);
    format!("CREATE POLICY relatch ON {table} TO {role} USING (true) WITH CHECK (true)")
}

fn id_kind(names: &Names) -> Kind {
    let by_id = statements(names).into_iter().find(|(_, it, _)| *it == Statement::ReadById);
    by_id.and_then(|(_, _, kinds)| kinds.first().copied()).unwrap_or(Kind::Text)
}

fn prepare(name: &str, sql: &str, kinds: &[Kind]) -> String {
    let kinds: Vec<_> = kinds
        .iter()
        .map(|kind| match kind {
            Kind::Text => "pg_catalog.text",
            Kind::Integer => "pg_catalog.int8",
            Kind::Bool => "pg_catalog.bool",
            Kind::Bytes => "pg_catalog.bytea",
        })
        .collect();
    format!("PREPARE {name} ({}) AS {sql}", kinds.join(", "))
}

fn deallocate(name: &str) -> String {
    format!("DEALLOCATE {name}")
}

/// The database's message, or the error of the connection.
fn message(error: sqlx::Error) -> sqlx::Result<String> {
    match error.as_database_error() {
        Some(database) if !is_of_the_moment(&error) => Ok(database.message().to_owned()),
        _ => Err(error),
    }
}

/// A lock, a timeout, or a conflict with another transaction.
fn is_of_the_moment(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| matches!(&*code, "55P03" | "57014" | "40001" | "40P01"))
}
