//! Stores with one fault each. `check_conformance` finds each fault.

use std::time::Duration;

use relatch::store::{
    Columns, Conformance, Nonconformance, Row, StoreError, Update, UserKey, UserStore,
};
use sqlx::{AssertSqlSafe, Row as _, SqlitePool};

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
    BumpOfNobody,
    StaysActive,
    EnablesLate,
    LoginOfAnybody,
}

const NAMES: [&str; 6] = ["version", "password_hash", "secret", "carried", "sessions", "lanes"];

struct Wrong(SqlitePool, Fault);

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
        let done = query.execute(&self.0).await.map_err(failed)?;
        Ok(done.rows_affected() > 0)
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
        let sql = format!("SELECT * FROM u WHERE {condition}");
        let query = sqlx::query(AssertSqlSafe(sql)).bind(value.to_owned());
        let Some(row) = query.fetch_optional(&self.0).await.map_err(failed)? else {
            return Ok(None);
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
        let set: Vec<_> = (2..)
            .zip(NAMES)
            .map(|(at, name)| match fault {
                Fault::NotWritten(missing) if missing == name => format!("{name} = {name}"),
                Fault::ReformatsJson => format!("{name} = replace(?{at}, ',', ', ')"),
                Fault::DropsNulls => format!("{name} = coalesce(?{at}, {name})"),
                _ => format!("{name} = ?{at}"),
            })
            .collect();
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

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<bool, StoreError> {
        let set = match self.1 {
            Fault::BumpKeepsSessions => "version = max(version + 1, ?2)",
            Fault::BumpByOne => "version = version + 1, sessions = NULL",
            Fault::BumpToTheLeast => "version = CAST(?2 AS INTEGER), sessions = NULL",
            Fault::BumpForgetsLanes => {
                "version = max(version + 1, CAST(?2 AS INTEGER)), sessions = NULL, lanes = NULL"
            }
            _ => "version = max(version + 1, CAST(?2 AS INTEGER)), sessions = NULL",
        };
        let params = vec![Some(id.to_owned()), Some(at_least.to_string())];
        let done = self.run(format!("UPDATE u SET {set} WHERE id = ?1"), params).await?;
        Ok(done || self.1 == Fault::BumpOfNobody)
    }

    async fn disable(&self, id: &str, at_least: i64) -> Result<bool, StoreError> {
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
    ) -> Result<bool, StoreError> {
        let present = self.read(UserKey::Id(id)).await?.and_then(|row| row.columns.version);
        if present != version && self.1 != Fault::EnablesLate {
            return Ok(false);
        }
        self.run("UPDATE u SET active = 1 WHERE id = ?1".into(), vec![Some(id.to_owned())]).await?;
        self.bump_version(id, at_least).await
    }
}

async fn check(fault: Fault) -> Result<(), Nonconformance> {
    let directory = Directory::new();
    let pool = directory.pool().await;
    let table = "CREATE TABLE u (id TEXT, login TEXT, version BIGINT, password_hash TEXT,
                                 secret TEXT, carried TEXT, sessions TEXT, lanes TEXT,
                                 active BOOLEAN DEFAULT TRUE);
                 INSERT INTO u (id, login) VALUES ('other', 'other'), ('1', 'ada')";
    run_sqlite(&pool, table).await;
    Conformance::new("1").login("ada").check(&Wrong(pool, fault)).await
}

#[tokio::test]
async fn without_a_fault_it_conforms() {
    check(Fault::None).await.unwrap();
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
        Fault::StaysActive,
        Fault::EnablesLate,
        Fault::LoginOfAnybody,
    ] {
        let found = check(fault).await.map(|()| format!("{fault:?} is not found"));
        println!("{fault:?}: {}", found.unwrap_err());
    }
}
