//! The check of a table in PostgreSQL.

mod catalogue;
mod columns;
mod running;
mod values;

use std::time::Duration;

use sqlx::PgConnection;
use tokio::time::{Instant, timeout};

use self::catalogue::{Path, Server, Table, locked_schema, resolve, run, server};
use super::{Role, Wanted, of_group, of_users, phase, plain, refused};
use crate::store::{
    CheckReport, Finding, PostgresStore, StoreError,
    sql::{
        Failure, Slot, TableName,
        engine::Driver as _,
        locked::Transactions as _,
        migration::{default_sql, wanted_triggers},
        postgres::{PostgresDriver, failure},
        statements::Statements,
        users_table::Names,
    },
};

/// The timeout of a whole check.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Keeps a check from waiting long for a lock.
const BEGIN: &str = "SET LOCAL statement_timeout = '10s'; SET LOCAL lock_timeout = '1s'";

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    pub(in crate::store::sql) async fn check_table(&self) -> Result<CheckReport, StoreError> {
        let check = async {
            let statements = self.statements_of_now().await?;
            // A connection of a check that is given up is closed: the server would keep what was
            // prepared there beyond the transaction.
            let until = Instant::now() + TIMEOUT;
            let mut own = self.engine().driver().begin(&Slot::default(), until).await?;
            run(&mut own, BEGIN).await.map_err(failure)?;
            let report = self.check_within(&mut own, statements).await.map_err(failure)?;
            run(&mut own, "ROLLBACK").await.map_err(failure)?;
            own.set_unfit(false);
            Ok::<_, StoreError>(report)
        };
        timeout(TIMEOUT, check).await.unwrap_or_else(|_| Err(Failure::timed_out().into()))
    }

    /// The statements for the present tables; `None` if a table or a column does not exist. It uses a
    /// connection of its own.
    async fn statements_of_now(&self) -> Result<Option<Statements>, StoreError> {
        let until = Instant::now() + TIMEOUT;
        let dialect =
            self.engine().driver().dialect(self.engine().names(), &Slot::default(), until).await;
        match dialect.map_err(StoreError::from) {
            Ok(dialect) => Ok(Some(Statements::new(dialect))),
            Err(error) if error.is_unreachable() => Err(error),
            Err(_) => Ok(None),
        }
    }

    async fn check_within(
        &self,
        connection: &mut PgConnection,
        statements: Option<Statements>,
    ) -> sqlx::Result<CheckReport> {
        let names = self.engine().names();
        let mut report = CheckReport::new();
        report.set_user_epochs(names.groups.iter().map(|group| group.kind.clone()).collect());
        report.set_shared();
        // Without the right to use a schema nothing in it can be looked up.
        let groups = names.groups.iter().map(|group| &group.table);
        let tables_named = [&names.table].into_iter().chain(groups);
        let mut schemas: Vec<_> = tables_named.filter_map(|table| table.schema()).collect();
        schemas.sort_unstable_by_key(|schema| schema.as_str());
        schemas.dedup();
        for schema in schemas {
            if let Some((schema, role)) = locked_schema(connection, schema).await? {
                report.add(may_not_use(&schema, &role));
            }
        }
        if !report.is_ok() {
            return Ok(report);
        }
        let tables = tables(connection, names).await?;
        let path = Path::leave(connection).await?;
        let server = server(connection, &path).await?;
        let mut add = |findings: Vec<Finding>| findings.into_iter().for_each(|f| report.add(f));
        add(of_server(&server, &names.table));
        let (mut users, mut phase_found) = (None, None);
        for (wanted, oid) in tables {
            let Some(oid) = oid else {
                add(vec![no_table(&wanted, names.is_ready)]);
                continue;
            };
            let table = Table::read(connection, oid).await?;
            if users.is_none() && table.is_table() {
                let has = |column: &_| table.column(column).is_some();
                phase_found = Some(phase(&wanted, has, gives_version(&table, names)));
            }
            add(of_table(&table, &wanted, names, &server));
            add(of_first_version(&table, &wanted, names).into_iter().collect());
            add(values::findings(connection, &table, &wanted, names.id_type).await?);
            add(of_triggers(&table, &wanted, self.engine().driver(), names));
            users.get_or_insert(table);
        }
        add(of_listener(self.engine().driver()));
        report.set_phase(phase_found);
        if let (Some(users), Some(statements), true) = (users, statements, report.is_ok()) {
            path.enter(connection).await?;
            let found = running::findings(connection, &statements, names, &users, &server);
            for finding in found.await? {
                report.add(finding);
            }
        }
        Ok(report)
    }
}

/// Refuses unfit columns that a migration would not change, before it changes anything.
pub(in crate::store::sql) async fn refuse(
    connection: &mut PgConnection,
    names: &Names,
) -> Result<(), StoreError> {
    let mut findings = Vec::new();
    let tables = tables(connection, names).await.map_err(failure)?;
    let path = Path::leave(connection).await.map_err(failure)?;
    for (wanted, oid) in tables {
        let Some(oid) = oid else { continue };
        let table = Table::read(connection, oid).await.map_err(failure)?;
        let is_kept =
            |wanted: &&Wanted<'_>| table.column(wanted.column).is_some() || !wanted.role.is_added();
        let kept: Vec<_> = wanted.iter().filter(is_kept).copied().collect();
        findings.extend(of_columns(&table, &kept, names));
    }
    path.enter(connection).await.map_err(failure)?;
    refused(findings)
}

type Found<'a> = (Vec<Wanted<'a>>, Option<sqlx::postgres::types::Oid>);

/// The users' table first.
async fn tables<'a>(
    connection: &mut PgConnection,
    names: &'a Names,
) -> sqlx::Result<Vec<Found<'a>>> {
    let mut tables = vec![(of_users(names), resolve(connection, &names.table).await?)];
    for group in &names.groups {
        tables.push((of_group(group).to_vec(), resolve(connection, &group.table).await?));
    }
    Ok(tables)
}

fn may_not_use(schema: &str, role: &str) -> Finding {
    let text = format!("the role {role} may not use the schema, so every call fails");
    Finding::problem(schema.replace('"', ""), text)
        .with_sql(format!("GRANT USAGE ON SCHEMA {schema} TO {role}"))
}

fn no_table(wanted: &[Wanted<'_>], is_ready: bool) -> Finding {
    let table = wanted.first().map(|wanted| plain(wanted.table)).unwrap_or_default();
    let how = if is_ready {
        "run `migrate`"
    } else {
        "create it, or correct its name (schema, upper and lower case)"
    };
    Finding::problem(table, format!("there is no such table, so every call fails: {how}"))
}

fn of_server(server: &Server, table: &TableName) -> Vec<Finding> {
    let mut findings = Vec::new();
    let database = |text: &str| Finding::problem("server", text);
    if server.is_replica {
        findings.push(database(
            "the server is a replica, which cannot be written, so every login and every revocation fails: \
             connect to the primary",
        ));
    } else if server.is_read_only {
        let sql = format!("ALTER ROLE {} SET default_transaction_read_only = off", server.role);
        let text = "transactions are read-only, so every login and every revocation fails: make them writable";
        findings.push(database(text).with_sql(sql));
    }
    if !server.syncs_commits {
        let sql = format!("ALTER ROLE {} SET synchronous_commit = on", server.role);
        let text = "commits are not synchronous, so that a crash of the server may undo a revocation that \
                    was confirmed";
        findings.push(Finding::problem("synchronous_commit", text).with_sql(sql));
    }
    for (schema, role) in server.creators.iter().filter(|_| table.schema().is_none()) {
        let text = format!(
            "{role} may create tables in the schema {schema}, and the table is named without its schema, \
             so that role can make the service use another table: name the table with its schema, or \
             revoke the right"
        );
        let sql = format!("REVOKE CREATE ON SCHEMA {schema} FROM {role}");
        findings.push(Finding::warning("search_path", text).with_sql(sql));
    }
    if !server.can_notify {
        let text = format!(
            "the role {} may not call pg_notify, so a revocation takes effect in other processes only \
             after their cache's bound: grant the right",
            server.role
        );
        let sql = format!(
            "GRANT EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) TO {}",
            server.role
        );
        findings.push(Finding::warning("pg_notify", text).with_sql(sql));
    }
    findings.extend(of_queue(server.queue));
    findings
}

/// The queue fills while a session listens and does not end its transaction.
fn of_queue(usage: f64) -> Option<Finding> {
    (usage >= 0.5).then(|| {
        let text = format!(
            "the queue of notifications is {:.0} % full; when it is full, a revocation takes effect in \
             other processes only after their cache's bound: end the session that has listened in a \
             transaction for long",
            100.0 * usage
        );
        Finding::warning("pg_notify", text)
    })
}

fn of_listener(driver: &PostgresDriver) -> Vec<Finding> {
    if driver.pooled.is_none() || driver.listen.is_some() {
        return Vec::new();
    }
    let text = "a pooler passes no notifications on, so a revocation takes effect in other processes only \
                after their cache's bound: set `PostgresOptions::listen_url`";
    vec![Finding::warning("listen_url", text)]
}

fn of_table(table: &Table, wanted: &[Wanted<'_>], names: &Names, server: &Server) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(name) = wanted.first().map(|wanted| plain(wanted.table)) {
        findings.extend(of_kind(table, &name));
    }
    findings.extend(of_columns(table, wanted, names));
    findings.extend(columns::rights(table, wanted, &server.role));
    findings
}

fn of_kind(table: &Table, name: &str) -> Option<Finding> {
    if !table.is_updatable && !table.is_table() {
        let text = "it is not a table and cannot be updated, so every login and every revocation fails: name a table";
        return Some(Finding::problem(name, text));
    }
    if !table.is_table() {
        let text = "it is a view or a foreign table, so the check cannot prove that the id and the login are \
                    unique, and no triggers notify: name the table itself if you can";
        return Some(Finding::warning(name, text));
    }
    table.has_children.then(|| {
        let text =
            "other tables inherit from it, and an index covers one table, so two users may have the same \
             login, and then neither can log in: keep users in one table";
        Finding::warning(name, text)
    })
}

/// Whether the database gives a new row its first version. A column that is made anew loses its default.
fn gives_version(table: &Table, names: &Names) -> bool {
    let column = table.column(&names.version);
    column.is_some_and(|column| column.has_default || column.is_generated)
}

fn of_first_version(table: &Table, wanted: &[Wanted<'_>], names: &Names) -> Option<Finding> {
    let version = wanted.iter().find(|wanted| wanted.role == Role::Version)?;
    table.column(version.column)?;
    (table.is_table() && !gives_version(table, names))
        .then(|| version.no_first_version(default_sql(names)))
}

fn of_columns(table: &Table, wanted: &[Wanted<'_>], names: &Names) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wanted in wanted {
        match table.column(wanted.column) {
            Some(column) => findings.extend(columns::unfit(wanted, column, names.id_type)),
            None => findings.push(columns::missing(wanted)),
        }
        let is_key = matches!(wanted.role, Role::Id | Role::Login | Role::Key);
        if is_key && table.is_table() && !columns::is_unique(table, wanted, names) {
            findings.push(wanted.not_unique());
        }
    }
    findings
}

/// Triggers and rules of the application's that may stop or change what is written, and those of
/// relatch's that are not there.
fn of_triggers(
    table: &Table,
    wanted: &[Wanted<'_>],
    driver: &PostgresDriver,
    names: &Names,
) -> Vec<Finding> {
    let Some(name) = wanted.first().map(|wanted| wanted.table) else { return Vec::new() };
    let subject = plain(name);
    let mut findings = Vec::new();
    for trigger in table.triggers.iter().filter(|trigger| trigger.may_stop_update) {
        if trigger.is_enabled {
            let text = format!(
                "the trigger {:?} runs before each update, and can change or skip what relatch writes, so \
                 logins and revocations can fail: let it neither change relatch's columns nor return NULL",
                trigger.name
            );
            findings.push(Finding::warning(&subject, text));
        }
    }
    for rule in &table.rules {
        let text = format!(
            "the rule {rule:?} rewrites the statements that change the table, so logins and revocations \
             can fail: drop the rule, or use a trigger instead"
        );
        findings.push(Finding::warning(&subject, text));
    }
    let own = wanted_triggers(names);
    let mut own = own.iter().filter(|trigger| trigger.table == name).peekable();
    let is_there = |name: &str| {
        table.triggers.iter().any(|trigger| {
            trigger.is_own
                && trigger.is_enabled
                && trigger.name == name
                && trigger.channel == driver.channel.as_str()
        })
    };
    if table.is_table() && own.peek().is_some() && !own.all(|trigger| is_there(&trigger.name)) {
        let text = format!(
            "it has no triggers that notify on the channel {:?}, so a revocation by the application's own \
             SQL takes effect only after each cache's bound: run `migrate_triggers`",
            driver.channel.as_str()
        );
        findings.push(Finding::warning(&subject, text));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_reported_before_it_is_full() {
        assert!(of_queue(0.0).is_none() && of_queue(0.49).is_none());
        let finding = of_queue(0.5).unwrap();
        assert!(finding.text().contains("50 % full"), "{finding}");
    }
}
