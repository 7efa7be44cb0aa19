//! Stores with one fault each. `check_conformance` finds each fault.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use relatch::store::{
    Columns, Conformance, Nonconformance, Row, StoreError, Update, UserKey, UserStore,
};
use sqlx::{AssertSqlSafe, Row as _, SqlitePool, sqlite::SqliteConnectOptions};

use super::databases::{Directory, run_sqlite};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    None,
    /// This column is missing from the condition.
    Missing(&'static str),
    /// The condition has only the columns that change.
    OnlyChanged,
    /// `=` instead of `IS`.
    NullIsUnlikeNull(&'static str),
    /// `NULL` in the condition matches any value.
    NullIsAnything(&'static str),
    IgnoresCase(&'static str),
    NotWritten(&'static str),
    /// A read and a comparison, then a separate write.
    TwoStatements,
    WritesFirst,
    AnyFormOfTheId,
    ReformatsJson,
    DropsNulls,
    BumpKeepsSessions,
    BumpByOne,
    BumpToTheLeast,
    BumpForgetsLanes,
    BumpReturnsAnother,
    BumpOfNobody,
    StaysActive,
    EnablesLate,
    LoginOfAnybody,
    /// A compare-and-set names all columns.
    WritesUnchanged,
    /// A bump writes all columns of the row as it was read.
    BumpWritesAll,
    /// A bump also names the password's column.
    BumpNamesMore,
    /// The notification of a revocation fails, and with it the revocation.
    NotifyFails,
    /// The same in a bump alone.
    NotifyOfBumpFails,
    AbsenceIsFailure,
    /// A name with a NUL is refused, as a database may do.
    RefusesNul,
    /// A row that another call changes at the moment is taken for an absent one.
    BusyIsAbsent,
    /// A row that somebody else has locked is taken for an absent one.
    LockedIsAbsent,
}

const NAMES: [&str; 6] = ["version", "password_hash", "secret", "carried", "sessions", "lanes"];

struct Wrong(SqlitePool, Fault, AtomicBool);

/// As text, which SQLite compares with an integer by the column's type.
fn values(columns: &Columns) -> [Option<String>; 6] {
    [
        columns.version.map(|version| version.to_string()),
        columns.password_hash.clone(),
        columns.secret.clone(),
        columns.carried.clone(),
        columns.sessions.clone(),
        columns.lanes.clone(),
    ]
}

fn failed(error: sqlx::Error) -> StoreError {
    StoreError::unreachable(error)
}

impl Wrong {
    async fn run(&self, sql: String, values: Vec<Option<String>>) -> Result<bool, StoreError> {
        let query = sqlx::query(AssertSqlSafe(sql));
        let query = values.into_iter().fold(query, |query, value| query.bind(value));
        match query.execute(&self.0).await {
            Err(_) if self.1 == Fault::LockedIsAbsent => Ok(false),
            done => Ok(done.map_err(failed)?.rows_affected() > 0),
        }
    }

    fn notify(&self) -> Result<(), StoreError> {
        match self.1 {
            Fault::NotifyFails => Err(StoreError::misconfigured("the channel's queue is full")),
            _ => Ok(()),
        }
    }
}

impl Wrong {
    async fn bump_all(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        let Some(row) = self.read(UserKey::Id(id)).await? else { return Ok(None) };
        // Time for a concurrent call to write.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut columns = row.columns;
        columns.version = Some((columns.version.unwrap_or(0) + 1).max(at_least));
        columns.sessions = None;
        let set = (2..).zip(NAMES).map(|(at, name)| format!("{name} = ?{at}"));
        let set = set.collect::<Vec<_>>().join(", ");
        let mut params = vec![Some(id.to_owned())];
        params.extend(values(&columns));
        let done = self.run(format!("UPDATE u SET {set} WHERE id = ?1"), params).await?;
        Ok(columns.version.filter(|_| done))
    }
}

impl UserStore for Wrong {
    type Fields = ();

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
        let (condition, value) = match key {
            UserKey::Id(id) if self.1 == Fault::AnyFormOfTheId => ("trim(id) = trim(?)", id),
            UserKey::Id(id) => ("id = ?", id),
            UserKey::Login(_) if self.1 == Fault::LoginOfAnybody => ("? <> ''", "x"),
            UserKey::Login(login) => ("login = ?", login),
        };
        if self.1 == Fault::RefusesNul && value.contains('\0') {
            return Err(StoreError::misconfigured("invalid byte sequence"));
        }
        let sql = format!("SELECT * FROM u WHERE {condition}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(value.to_owned());
        let Some(row) = query.fetch_optional(&self.0).await.map_err(failed)? else {
            return match self.1 {
                Fault::AbsenceIsFailure => Err(StoreError::misconfigured("no such row")),
                _ => Ok(None),
            };
        };
        let mut columns = Columns::default();
        columns.version = row.get("version");
        columns.password_hash = row.get("password_hash");
        columns.secret = row.get("secret");
        columns.carried = row.get("carried");
        columns.sessions = row.get("sessions");
        columns.lanes = row.get("lanes");
        let mut found = Row::new(row.get::<String, _>("id"), columns, ());
        found.is_active = row.get("active");
        Ok(Some(found))
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        let (old, new) = (values(update.before()), values(update.after()));
        let fault = self.1;
        if update.revokes() {
            self.notify()?;
        }
        let all =
            matches!(fault, Fault::WritesUnchanged | Fault::DropsNulls | Fault::ReformatsJson);
        let mut set: Vec<_> = (2..)
            .zip(NAMES)
            .enumerate()
            .filter(|(i, _)| all || old[*i] != new[*i])
            .map(|(_, (at, name))| match fault {
                Fault::NotWritten(missing) if missing == name => format!("{name} = {name}"),
                Fault::ReformatsJson => format!("{name} = replace(?{at}, ',', ', ')"),
                Fault::DropsNulls => format!("{name} = coalesce(?{at}, {name})"),
                _ => format!("{name} = ?{at}"),
            })
            .collect();
        if set.is_empty() {
            set.push("version = version".to_owned());
        }
        let set = set.join(", ");
        let mut condition = vec!["id = ?1".to_owned()];
        for (i, name) in NAMES.into_iter().enumerate() {
            let at = 8 + i;
            let is = format!("{name} IS ?{at}");
            condition.push(match fault {
                Fault::Missing(missing) if missing == name => continue,
                Fault::OnlyChanged if old[i] == new[i] => continue,
                Fault::TwoStatements | Fault::WritesFirst => continue,
                Fault::NullIsUnlikeNull(of) if of == name => format!("{name} = ?{at}"),
                Fault::NullIsAnything(of) if of == name => format!("(?{at} IS NULL OR {is})"),
                Fault::IgnoresCase(of) if of == name => format!("{is} COLLATE NOCASE"),
                _ => is,
            });
        }
        let condition = condition.join(" AND ");
        let sql = format!("UPDATE u SET {set} WHERE {condition}");
        let mut params = vec![Some(update.id().to_owned())];
        params.extend(new.into_iter().chain(old));
        match fault {
            Fault::TwoStatements => {
                let row = self.read(UserKey::Id(update.id())).await?;
                if row.is_none_or(|row| row.columns != *update.before()) {
                    return Ok(false);
                }
                // Time for a concurrent call to read as well.
                tokio::time::sleep(Duration::from_millis(10)).await;
                self.run(sql, params).await
            }
            Fault::WritesFirst => {
                let row = self.read(UserKey::Id(update.id())).await?;
                self.run(sql, params).await?;
                Ok(row.is_some_and(|row| row.columns == *update.before()))
            }
            _ => self.run(sql, params).await,
        }
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.run("DELETE FROM u WHERE id = ?".into(), vec![Some(id.to_owned())]).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.notify()?;
        match self.1 {
            Fault::NotifyOfBumpFails => {
                return Err(StoreError::misconfigured("the channel's queue is full"));
            }
            Fault::BumpWritesAll => return self.bump_all(id, at_least).await,
            Fault::BusyIsAbsent => {
                if self.2.swap(true, Ordering::SeqCst) {
                    return Ok(None);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            _ => {}
        }
        let set = match self.1 {
            Fault::BumpKeepsSessions => "version = max(version + 1, ?2)",
            Fault::BumpByOne => "version = version + 1, sessions = NULL",
            Fault::BumpToTheLeast => "version = CAST(?2 AS INTEGER), sessions = NULL",
            Fault::BumpForgetsLanes => {
                "version = max(version + 1, CAST(?2 AS INTEGER)), sessions = NULL, lanes = NULL"
            }
            Fault::BumpNamesMore => {
                "version = max(version + 1, CAST(?2 AS INTEGER)), sessions = NULL,
                 password_hash = password_hash"
            }
            _ => "version = max(version + 1, CAST(?2 AS INTEGER)), sessions = NULL",
        };
        let params = vec![Some(id.to_owned()), Some(at_least.to_string())];
        let done = self.run(format!("UPDATE u SET {set} WHERE id = ?1"), params).await?;
        self.2.store(false, Ordering::SeqCst);
        let row = self.read(UserKey::Id(id)).await?;
        let version = row.and_then(|row| row.columns.version);
        Ok(match self.1 {
            Fault::BumpOfNobody => Some(version.unwrap_or(at_least)),
            Fault::BumpReturnsAnother => version.map(|version| version + 1),
            _ => version.filter(|_| done),
        })
    }

    async fn disable(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        if self.1 != Fault::StaysActive {
            self.run("UPDATE u SET active = 0 WHERE id = ?1".into(), vec![Some(id.to_owned())])
                .await?;
        }
        self.bump_version(id, at_least).await
    }

    async fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        let present = self.read(UserKey::Id(id)).await?.and_then(|row| row.columns.version);
        if present != version && self.1 != Fault::EnablesLate {
            return Ok(None);
        }
        self.run("UPDATE u SET active = 1 WHERE id = ?1".into(), vec![Some(id.to_owned())]).await?;
        self.bump_version(id, at_least).await
    }
}

async fn check(fault: Fault) -> Result<(), Nonconformance> {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, TABLE).await;
    let store = Wrong(pool, fault, AtomicBool::new(false));
    Conformance::new("1").login("ada").check(&store).await
}

/// [`Conformance::check_written`], with triggers that record what is written.
async fn check_written(fault: Fault) -> Result<(), Nonconformance> {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, TABLE).await;
    run_sqlite(&pool, "CREATE TABLE written (name TEXT)").await;
    for name in NAMES {
        let trigger = format!(
            "CREATE TRIGGER of_{name} AFTER UPDATE OF {name} ON u
                 BEGIN INSERT INTO written VALUES ('{name}'); END"
        );
        run_sqlite(&pool, trigger).await;
    }
    let store = Wrong(pool.clone(), fault, AtomicBool::new(false));
    let written = async || {
        let names = sqlx::query_scalar("DELETE FROM written RETURNING name");
        names.fetch_all(&pool).await.unwrap()
    };
    Conformance::new("1").check_written(&store, written).await
}

/// [`Conformance::check_locked`], with a writer that holds SQLite's lock.
async fn check_locked(fault: Fault) -> Result<(), Nonconformance> {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, TABLE).await;
    run_sqlite(&pool, "PRAGMA journal_mode = WAL").await;
    let options = SqliteConnectOptions::new().filename(directory.file());
    let options = options.busy_timeout(Duration::from_millis(50));
    let hasty = SqlitePool::connect_with(options).await.unwrap();
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let store = Wrong(hasty, fault, AtomicBool::new(false));
    let checked = Conformance::new("1").check_locked(&store).await;
    writer.rollback().await.unwrap();
    checked
}

const TABLE: &str = "CREATE TABLE u (id TEXT, login TEXT, version BIGINT, password_hash TEXT,
                                     secret TEXT, carried TEXT, sessions TEXT, lanes TEXT,
                                     active BOOLEAN DEFAULT TRUE);
                     INSERT INTO u (id, login) VALUES ('other', 'other'), ('1', 'ada')";

#[tokio::test]
async fn without_a_fault_it_conforms() {
    check(Fault::None).await.unwrap();
    check(Fault::WritesUnchanged).await.unwrap();
    check_written(Fault::None).await.unwrap();
    check_locked(Fault::None).await.unwrap();
}

#[tokio::test]
async fn columns_that_are_written_unchanged_are_found_and_named() {
    let found = check_written(Fault::WritesUnchanged).await.unwrap_err();
    assert!(found.to_string().contains("although it does not change"), "{found}");
    assert!(found.column().is_some(), "{found}");
    let found = check_written(Fault::BumpNamesMore).await.unwrap_err();
    assert_eq!(found.column(), Some("password_hash"), "{found}");
}

#[tokio::test]
async fn a_store_that_takes_a_locked_row_for_a_missing_one_is_found() {
    let found = check_locked(Fault::LockedIsAbsent).await.unwrap_err();
    assert!(found.to_string().contains("which means that there is no such row"), "{found}");
}

#[tokio::test]
async fn each_fault_is_reported_by_its_kind() {
    for (fault, text) in [
        (Fault::NotifyFails, "if its notification cannot be sent"),
        (Fault::NotifyOfBumpFails, "if its notification cannot be sent"),
        (Fault::AbsenceIsFailure, "return `None` or `false`"),
        (Fault::RefusesNul, "return `None` or `false`"),
        (Fault::BumpWritesAll, "undid a simultaneous `compare_and_set`"),
        (Fault::BusyIsAbsent, "wait for the row"),
    ] {
        let found = check(fault).await.map(|()| format!("{fault:?} is not found")).unwrap_err();
        assert!(found.to_string().contains(text), "{fault:?}: {found}");
    }
}

#[tokio::test]
async fn each_column_that_is_overlooked_is_found_and_named() {
    for name in NAMES {
        for fault in [Fault::Missing(name), Fault::NullIsAnything(name), Fault::NotWritten(name)] {
            let found = check(fault).await.expect_err(name);
            assert_eq!(found.column(), Some(name), "{fault:?}: {found}");
        }
        if name != "version" {
            assert!(check(Fault::NullIsUnlikeNull(name)).await.is_err(), "{name}");
        }
    }
    for name in ["password_hash", "secret", "carried", "sessions", "lanes"] {
        let found = check(Fault::IgnoresCase(name)).await.expect_err(name);
        assert_eq!(found.column(), Some(name), "{found}");
    }
}

#[tokio::test]
async fn each_other_fault_is_found() {
    for fault in [
        Fault::OnlyChanged,
        Fault::TwoStatements,
        Fault::WritesFirst,
        Fault::AnyFormOfTheId,
        Fault::ReformatsJson,
        Fault::DropsNulls,
        Fault::BumpKeepsSessions,
        Fault::BumpByOne,
        Fault::BumpToTheLeast,
        Fault::BumpForgetsLanes,
        Fault::BumpOfNobody,
        Fault::BumpReturnsAnother,
        Fault::StaysActive,
        Fault::EnablesLate,
        Fault::LoginOfAnybody,
    ] {
        let found = check(fault).await.map(|()| format!("{fault:?} is not found"));
        println!("{fault:?}: {}", found.unwrap_err());
    }
}
