//! The check of a table in SQLite.

mod catalogue;
mod running;
mod values;

use std::time::Duration;

use sqlx::SqliteConnection;
use tokio::time::timeout;

use self::catalogue::{Column, Database, Table};
use super::{Role, Wanted, of_group, of_users, phase, plain, refused};
use crate::store::{
    CheckReport, Finding, SqliteStore, StoreError,
    sql::{
        Failure,
        migration::{Types, trigger_name, trigger_sql},
        sqlite::failure,
        users_table::Names,
    },
};

/// The timeout of a whole check.
const TIMEOUT: Duration = Duration::from_secs(30);

impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    pub(in crate::store::sql) async fn check_table(&self) -> Result<CheckReport, StoreError> {
        let check = async {
            let pool = &self.engine().driver().pool;
            let mut connection = pool.acquire().await.map_err(failure)?;
            let report = self.check_on(&mut connection).await.map_err(failure)?;
            Ok::<_, StoreError>(report)
        };
        timeout(TIMEOUT, check).await.unwrap_or_else(|_| Err(Failure::timed_out().into()))
    }

    async fn check_on(&self, connection: &mut SqliteConnection) -> sqlx::Result<CheckReport> {
        let names = self.engine().names();
        let mut report = CheckReport::new();
        report.set_user_epochs(names.groups.iter().map(|group| group.kind.clone()).collect());
        let database = Database::read(connection, &names.table).await?;
        let mut add = |findings: Vec<Finding>| findings.into_iter().for_each(|f| report.add(f));
        add(of_database(&database, names));
        let (mut users, mut phase_found) = (None, None);
        for wanted in tables(names) {
            let Some(first) = wanted.first() else { continue };
            match Table::read(connection, first.table).await? {
                None => add(vec![no_table(first, names.is_ready)]),
                Some(table) => {
                    if users.is_none() && !table.is_view {
                        let has = |column: &_| table.column(column).is_some();
                        phase_found = Some(phase(&wanted, has, gives_version(&table, names)));
                    }
                    add(of_table(&table, first));
                    add(of_columns(&table, &wanted, names));
                    add(of_first_version(&table, &wanted, names).into_iter().collect());
                    add(values::findings(connection, &table, &wanted, names).await?);
                    users.get_or_insert(table);
                }
            }
        }
        report.set_phase(phase_found);
        if let (Some(users), true) = (users, report.is_ok()) {
            for finding in running::findings(connection, names, &users).await? {
                report.add(finding);
            }
        }
        Ok(report)
    }
}

/// Refuses unfit columns that a migration would not change, before it changes anything.
pub(in crate::store::sql) async fn refuse(
    connection: &mut SqliteConnection,
    names: &Names,
) -> Result<(), StoreError> {
    let mut findings = Vec::new();
    for wanted in tables(names) {
        let Some(first) = wanted.first() else { continue };
        let table = Table::read(connection, first.table).await.map_err(failure)?;
        let Some(table) = table else { continue };
        let is_kept =
            |wanted: &&Wanted<'_>| table.column(wanted.column).is_some() || !wanted.role.is_added();
        let kept: Vec<_> = wanted.iter().filter(is_kept).copied().collect();
        findings.extend(of_columns(&table, &kept, names));
    }
    refused(findings)
}

fn tables(names: &Names) -> Vec<Vec<Wanted<'_>>> {
    let groups = names.groups.iter().map(|group| of_group(group).to_vec());
    std::iter::once(of_users(names)).chain(groups).collect()
}

fn no_table(wanted: &Wanted<'_>, is_ready: bool) -> Finding {
    let how = if is_ready { "run `migrate`" } else { "create it" };
    let text = format!("there is no such table, so every call fails: {how}");
    Finding::problem(plain(wanted.table), text)
}

fn of_database(database: &Database, names: &Names) -> Vec<Finding> {
    let Database { is_in_memory, journal, synchronous, is_query_only, .. } = database;
    let mut findings = Vec::new();
    let problem = |what: &str, text: String| Finding::problem(what, text);
    if *is_query_only {
        let text = "the connection is read-only, so every login and every revocation fails: open the pool without \
                    `query_only`";
        findings.push(problem("query_only", text.to_owned()));
    }
    // EXTRA is more than FULL.
    if !is_in_memory && *synchronous < 2 {
        let text = "the database does not wait for the disk at each commit, so a loss of power can undo a \
                    revocation: open the pool with `SqliteSynchronous::Full`";
        findings.push(problem("synchronous", text.to_owned()));
    }
    if !is_in_memory && matches!(journal.as_str(), "off" | "memory") {
        let text = format!(
            "the journal mode is {journal}, so a crash can destroy the file: open the pool with \
             `SqliteJournalMode::Wal`"
        );
        let sql = "PRAGMA journal_mode = WAL";
        findings.push(problem("journal_mode", text).with_sql(sql));
    }
    if !database.enforces_keys && !database.referring.is_empty() {
        let text = format!(
            "foreign keys are not enforced, so a deleted user's rows stay in {}: open the pool with \
             `foreign_keys(true)`",
            database.referring.join(", ")
        );
        findings.push(Finding::warning(plain(&names.table), text));
    }
    findings
}

fn of_table(table: &Table, wanted: &Wanted<'_>) -> Vec<Finding> {
    let name = plain(wanted.table);
    let mut findings = Vec::new();
    if table.is_view {
        let text = "it is a view, so the check cannot prove that the id and the login are unique: name the \
                    table itself";
        findings.push(Finding::warning(&name, text));
    }
    let stopping = table.triggers.iter().filter(|trigger| trigger.may_stop_update);
    for trigger in stopping.filter(|_| wanted.role == Role::Id) {
        let text = format!(
            "the trigger {:?} runs before each update, and can stop it, so logins and revocations \
             can fail: let it not stop an update",
            trigger.name
        );
        findings.push(Finding::warning(&name, text));
    }
    findings
}

/// Whether the database gives a new row its first version. A table that is built anew loses its trigger.
fn gives_version(table: &Table, names: &Names) -> bool {
    let name = trigger_name(names);
    table.column(&names.version).is_some_and(|column| column.has_default)
        || table.triggers.iter().any(|trigger| trigger.name.eq_ignore_ascii_case(&name))
}

fn of_first_version(table: &Table, wanted: &[Wanted<'_>], names: &Names) -> Option<Finding> {
    let version = wanted.iter().find(|wanted| wanted.role == Role::Version)?;
    table.column(version.column)?;
    (!table.is_view && !gives_version(table, names))
        .then(|| version.no_first_version(trigger_sql(names)))
}

/// The problems that the schema shows.
fn of_columns(table: &Table, wanted: &[Wanted<'_>], names: &Names) -> Vec<Finding> {
    let mut findings = Vec::new();
    for wanted in wanted {
        match table.column(wanted.column) {
            Some(column) => findings.extend(unfit(wanted, column, table.is_strict)),
            None => findings.push(missing(wanted)),
        }
        let is_key = matches!(wanted.role, Role::Id | Role::Login | Role::Key);
        if is_key && !table.is_view && !is_unique(table, wanted, names) {
            findings.push(not_unique(wanted));
        }
    }
    findings
}

/// Whether the values of a column are unique among all rows, or a login among those of users.
fn is_unique(table: &Table, wanted: &Wanted<'_>, names: &Names) -> bool {
    let is_live = |condition: &str| {
        let deleted_at = names.deleted_at.iter().map(|name| format!("{} is null", name.as_str()));
        let is_deleted = names.is_deleted.iter().flat_map(|name| {
            let name = name.as_str();
            [format!("{name} is not 1"), format!("{name} is not true"), format!("not {name}")]
        });
        deleted_at.chain(is_deleted).any(|live| live.eq_ignore_ascii_case(condition))
    };
    table.is_unique(wanted.column, |condition| wanted.role == Role::Login && is_live(condition))
}

fn missing(wanted: &Wanted<'_>) -> Finding {
    let types = &Types::SQLITE;
    wanted.missing(match wanted.role {
        role if !role.is_added() => None,
        Role::Active => Some(types.active),
        role if role.is_counter() => Some(types.integer),
        _ => Some(types.text),
    })
}

/// In SQLite an index needs a name, which is unique in the database.
fn not_unique(wanted: &Wanted<'_>) -> Finding {
    let (table, column) = (wanted.table, wanted.column);
    let bare = table.table();
    let index = table.beside(&format!("{}_{}_unique", bare.as_str(), column.as_str()));
    wanted.not_unique().with_sql(format!("CREATE UNIQUE INDEX {index} ON {bare} ({column})"))
}

/// What a column's declared type does to values (<https://sqlite.org/datatype3.html>).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    fn of(kind: &str) -> Self {
        let kind = kind.to_ascii_uppercase();
        let has = |parts: &[&str]| parts.iter().any(|part| kind.contains(part));
        if has(&["INT"]) {
            Self::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Self::Text
        } else if kind.is_empty() || has(&["BLOB"]) {
            Self::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Self::Real
        } else {
            Self::Numeric
        }
    }
}

fn unfit(wanted: &Wanted<'_>, column: &Column, is_strict: bool) -> Vec<Finding> {
    let (role, kind) = (wanted.role, &column.kind);
    let affinity = Affinity::of(kind);
    let mut findings = Vec::new();
    let is_any = is_strict && kind.eq_ignore_ascii_case("ANY");
    if column.is_generated && role.is_written() {
        findings.push(wanted.generated());
    } else if role.is_counter() && matches!(affinity, Affinity::Text | Affinity::Real) {
        findings.push(wanted.problem(format!(
            "its type is {kind}, which does not store integers, so a user cannot be read after the first \
             change: change the type to INTEGER"
        )));
    } else if role.is_own_text() && is_strict && affinity != Affinity::Text && !is_any {
        let setter = role.setter();
        findings.push(wanted.problem(format!(
            "its type is {kind} in a STRICT table, and relatch writes text, so every change fails: name \
             another column with `{setter}`"
        )));
    }
    if column.is_not_null && role.is_cleared() {
        let text = "it is NOT NULL, and a revocation or a new password writes NULL, so both fail: create the \
                    table anew without NOT NULL";
        findings.push(wanted.problem(text));
    }
    findings
}
