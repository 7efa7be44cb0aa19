//! The `StoreErrorKind` of a database's failures.

#[cfg(feature = "postgres")]
use std::net::TcpListener;
use std::{error::Error, time::Duration};

#[cfg(feature = "postgres")]
use relatch::store::PostgresOptions;
use relatch::store::{
    NewUser, SqliteOptions, SqliteStore, StoreError, StoreErrorKind, UserKey, UserStore, UsersTable,
};
#[cfg(feature = "postgres")]
use sqlx::{AssertSqlSafe, postgres::PgPoolOptions};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tokio::time::Instant;
#[cfg(feature = "postgres")]
use tokio::time::sleep;

#[cfg(feature = "postgres")]
use super::databases::{PostgresStore, Proxy, postgres, postgres_url, run_postgres, url_of};
use super::{
    HASH,
    databases::{Directory, run_sqlite, unique},
};

const COLUMNS: [&str; 9] = [
    "id",
    "login",
    "password_hash",
    "token_version",
    "carried",
    "sessions",
    "lanes",
    "secret",
    "is_active",
];

fn whole(name: &str) -> UsersTable {
    UsersTable::named(name).secret("secret").active("is_active")
}

/// A table that lacks one of the columns.
fn without(name: &str, missing: &str) -> String {
    let columns = COLUMNS.into_iter().filter(|column| *column != missing);
    let typed = columns.map(|column| match column {
        "is_active" => format!("{column} BOOLEAN"),
        _ => format!("{column} TEXT"),
    });
    format!("CREATE TABLE {name} ({})", typed.collect::<Vec<_>>().join(", "))
}

fn is_misconfigured<T: std::fmt::Debug>(answer: Result<T, StoreError>, what: &str) {
    let error = answer.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{what}: {error:?}");
    let source = error.source().unwrap().to_string();
    assert!(source.contains(what) || source.contains("no such table"), "{what}: {source}");
}

/// By default SQLite takes the quoted name of a missing column for a string.
#[tokio::test]
async fn a_column_that_is_not_there_is_a_misconfiguration() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    for column in COLUMNS {
        let name = unique("accounts");
        run_sqlite(&pool, without(&name, column)).await;
        let store = SqliteStore::new(pool.clone(), whole(&name)).unwrap();
        is_misconfigured(store.read(UserKey::Login("1")).await, column);
        assert!(!store.check().await.unwrap().is_ok());
        match column {
            "id" => is_misconfigured(store.delete("1").await, column),
            "token_version" | "sessions" => {
                is_misconfigured(store.bump_version("1", 0).await, column);
            }
            "is_active" => is_misconfigured(store.disable("1", 0).await, column),
            _ => {}
        }
    }
    let store = SqliteStore::new(pool, whole("nowhere")).unwrap();
    is_misconfigured(store.read(UserKey::Id("1")).await, "nowhere");

    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        for column in COLUMNS {
            let name = unique("accounts");
            run_postgres(&pool, without(&name, column)).await;
            let store = PostgresStore::new(pool.clone(), whole(&name)).unwrap();
            is_misconfigured(store.read(UserKey::Login("1")).await, column);
        }
        let store = PostgresStore::new(pool.clone(), whole("nowhere")).unwrap();
        is_misconfigured(store.read(UserKey::Id("1")).await, "nowhere");
        let role = unique("role");
        let name = unique("accounts");
        run_postgres(&pool, format!("CREATE ROLE {role} LOGIN; {}", without(&name, ""))).await;
        let url = url_of(&role, "postgres").unwrap();
        let store = PostgresStore::connect(&url, whole(&name)).await.unwrap();
        is_misconfigured(store.read(UserKey::Id("1")).await, "permission denied");
        run_postgres(&pool, format!("DROP ROLE {role}")).await;
    }
}

/// A value that is not of the column's type.
#[tokio::test]
async fn a_damaged_row_is_told_with_its_column() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, without("accounts", "")).await;
    let insert = "INSERT INTO accounts (id, login, token_version) VALUES ('1', 'ada', 'SECRET')";
    run_sqlite(&pool, insert).await;
    let store = SqliteStore::new(pool.clone(), whole("accounts")).unwrap();
    let error = store.read(UserKey::Id("1")).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Damaged);
    assert!(error.to_string().contains("`version`"), "{error}");
    let printed = format!("{error:?}");
    assert!(!printed.contains("SECRET"), "{printed}");
    run_sqlite(&pool, "UPDATE accounts SET token_version = NULL, sessions = x'00ff'").await;
    let error = store.read(UserKey::Id("1")).await.unwrap_err();
    assert!(error.to_string().contains("`sessions`"), "{error}");
    // Two users with the same login: neither can log in.
    run_sqlite(&pool, "INSERT INTO accounts (id, login) VALUES ('2', 'bob'), ('3', 'bob')").await;
    is_misconfigured(store.read(UserKey::Login("bob")).await, "unique");
}

/// PostgreSQL's message contains the row that a constraint refuses, and with it the hash.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_refused_row_is_not_printed() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(&pool, without(&name, "")).await;
    let check = "ADD CONSTRAINT c CHECK (login <> 'ada'), ALTER token_version TYPE BIGINT USING 0";
    run_postgres(&pool, format!("ALTER TABLE {name} {check}")).await;
    let store = PostgresStore::new(pool, whole(&name)).unwrap();
    let error = store.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    let printed = format!("{error:?} {error} {}", error.source().unwrap());
    assert!(printed.contains("constraint") && !printed.contains("argon2"), "{printed}");
}

#[tokio::test]
async fn an_sqlite_file_that_is_locked_or_only_read_is_unreachable() {
    let directory = Directory::new();
    let store = SqliteStore::open(directory.file(), UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap());

    // A writer that does not finish, and a store with a shorter timeout.
    let pool = directory.pool().await;
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let options = SqliteConnectOptions::new().filename(directory.file());
    let impatient = options.clone().busy_timeout(Duration::from_millis(50));
    let impatient = SqlitePool::connect_with(impatient).await.unwrap();
    let impatient = SqliteStore::new(impatient, UsersTable::ready()).unwrap();
    let error = impatient.bump_version("1", 0).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let began = Instant::now();
    let hasty = SqliteOptions::new().timeout(time::Duration::milliseconds(50));
    let hasty = hasty.over(store.pool().clone(), UsersTable::ready()).unwrap();
    let error = hasty.delete("1").await.unwrap_err();
    assert!(error.is_unreachable() && began.elapsed() < Duration::from_secs(2), "{error:?}");
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_some(), "readers go on");
    writer.rollback().await.unwrap();

    let read_only = SqlitePool::connect_with(options.read_only(true)).await.unwrap();
    let read_only = SqliteStore::new(read_only, UsersTable::ready()).unwrap();
    let error = read_only.bump_version("1", 0).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");

    let nowhere = directory.path().join("nowhere").join("users.sqlite");
    let error = SqliteStore::open(nowhere, UsersTable::ready()).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    pool.close().await;
    let closed = SqliteStore::new(pool, UsersTable::ready()).unwrap();
    assert!(closed.read(UserKey::Id("1")).await.unwrap_err().is_unreachable());
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_postgres_server_that_is_away_or_silent_is_unreachable() {
    let table = UsersTable::ready;
    // No server listens on a port that was just free.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres");
    let error = PostgresStore::connect(&url, table()).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    let error = PostgresStore::connect("no url", table()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    // A server that listens but never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let url = format!("postgres://postgres@127.0.0.1:{port}/postgres?sslmode=disable");
    let pool = sqlx::PgPool::connect_lazy(&url).unwrap();
    let options = PostgresOptions::new().timeout(time::Duration::milliseconds(100));
    let store = options.over(pool, table()).unwrap();
    let began = Instant::now();
    assert!(store.read(UserKey::Id("1")).await.unwrap_err().is_unreachable());
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_row_that_is_locked_is_given_up() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(&pool, without(&name, "")).await;
    run_postgres(
        &pool,
        format!(
            "ALTER TABLE {name} ALTER token_version TYPE BIGINT USING 0; \
             INSERT INTO {name} (id) VALUES ('1')"
        ),
    )
    .await;
    let mut writer = pool.begin().await.unwrap();
    let lock = format!("SELECT * FROM {name} FOR UPDATE");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *writer).await.unwrap();

    // The timeout of the server, and that of the store itself.
    let store = PostgresStore::connect(&postgres_url().unwrap(), whole(&name)).await.unwrap();
    let began = Instant::now();
    let error = store.bump_version("1", 0).await.unwrap_err();
    assert!(error.is_unreachable() && began.elapsed() < Duration::from_secs(4), "{error:?}");
    let hasty = PostgresOptions::new().timeout(time::Duration::milliseconds(100));
    let hasty = hasty.over(pool.clone(), whole(&name)).unwrap();
    assert!(hasty.bump_version("1", 0).await.unwrap_err().is_unreachable());
    writer.rollback().await.unwrap();
    assert!(store.bump_version("1", 0).await.unwrap().is_some());

    // A read-only server, such as a replica.
    let read_only = postgres_url().unwrap() + "&options=-c%20default_transaction_read_only%3Don";
    let replica = PostgresStore::connect(&read_only, whole(&name)).await.unwrap();
    let error = replica.bump_version("1", 0).await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
}

/// A dead connection that was returned to the pool would keep its place until the network notices.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_connection_that_does_not_answer_is_not_kept() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(&pool, without(&name, "")).await;
    run_postgres(&pool, format!("INSERT INTO {name} (id) VALUES ('1')")).await;
    let proxy = Proxy::start();
    let one = PgPoolOptions::new().max_connections(1).test_before_acquire(false);
    let one = one.connect(&proxy.url()).await.unwrap();
    let store = PostgresStore::new(one, whole(&name)).unwrap();
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());

    // The pool tests a connection that is returned to it.
    sleep(Duration::from_millis(200)).await;
    proxy.set_silent(true);
    let hasty = PostgresOptions::new().timeout(time::Duration::milliseconds(100));
    let hasty = hasty.over(store.pool().clone(), whole(&name)).unwrap();
    assert!(hasty.read(UserKey::Id("1")).await.unwrap_err().is_unreachable());
    proxy.set_silent(false);
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());
}
