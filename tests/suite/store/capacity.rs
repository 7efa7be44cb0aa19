//! Many calls at once leave connections to each other, and to revocations most of all.

use std::time::Duration;

#[cfg(feature = "postgres")]
use relatch::store::{PostgresOptions, PostgresStore};
use relatch::store::{SqliteOptions, SqliteStore, UserKey, UserStore, UsersTable};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions};
#[cfg(feature = "postgres")]
use sqlx::{AssertSqlSafe, postgres::PgPoolOptions};
use tokio::task::JoinSet;
#[cfg(feature = "postgres")]
use tokio::time::sleep;

use super::{
    calls::{at_once, bump_at_once, user},
    databases::Directory,
};
#[cfg(feature = "postgres")]
use super::{
    databases::run_postgres,
    scratch::{Scratch, service},
};

/// Waits until so many statements of the role wait for a lock.
#[cfg(feature = "postgres")]
async fn until_waiting(scratch: &Scratch, count: i64) {
    while scratch.waiting().await < count {
        sleep(Duration::from_millis(5)).await;
    }
}

/// The store's pools: one of its own, and the application's. No statement and no call ends by a timeout
/// of its own during a test; a call waits 2 seconds for a connection.
#[cfg(feature = "postgres")]
async fn patient_stores(scratch: &Scratch, table: &UsersTable) -> [PostgresStore; 2] {
    let options = || PostgresOptions::new().timeout(time::Duration::minutes(2));
    let pool = PgPoolOptions::new().acquire_timeout(Duration::from_secs(2));
    let pool = pool.connect(&scratch.url()).await.unwrap();
    [
        options().connect(&scratch.url(), table.clone()).await.unwrap(),
        options().over(pool, table.clone()).unwrap(),
    ]
}

/// A hundred reads wait, some of them for an answer and all others for a connection.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_revocation_waits_for_no_read() {
    let Some(scratch) = Scratch::new().await else { return };
    // The database answers a read of the first user once it gets a lock.
    let (role, key) = (&scratch.role, i64::from(std::process::id()));
    let view = format!(
        "CREATE FUNCTION {role}_waits(login TEXT) RETURNS BOOLEAN LANGUAGE plpgsql COST 1000000 AS $$ \
         BEGIN \
             IF login = 'user 0' THEN PERFORM pg_advisory_xact_lock_shared({key}); END IF; \
             RETURN true; \
         END $$; \
         CREATE VIEW {role}_view AS SELECT * FROM {role} WHERE {role}_waits(login); \
         GRANT ALL ON {role}_view TO {role}"
    );
    run_postgres(&scratch.admin, view).await;
    let table = UsersTable::named(&format!("{role}_view")).secret("secret").active("is_active");
    for store in patient_stores(&scratch, &table).await {
        let mut holder = scratch.admin.begin().await.unwrap();
        let lock = format!("SELECT pg_advisory_xact_lock({key})");
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *holder).await.unwrap();
        let mut reads = JoinSet::new();
        for _ in 0..100 {
            let store = store.clone();
            reads.spawn(async move { store.read(UserKey::Login("user 0")).await.map(drop) });
        }
        until_waiting(&scratch, 8).await;
        let (service, _) = service(store);
        for id in ["1", "2", "3"] {
            service.log_out_everywhere(id).await.unwrap();
        }
        holder.rollback().await.unwrap();
        reads.join_next().await.unwrap().unwrap().unwrap();
        reads.shutdown().await;
    }
}

/// Logins, and then revocations too, wait for the row of one user.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn calls_that_wait_for_a_row_leave_connections_to_reads_and_to_others_revocations() {
    let Some(scratch) = Scratch::new().await else { return };
    for store in patient_stores(&scratch, &scratch.table).await {
        let (service, _) = service(store.clone());
        let goes_on = async || {
            // Calls that would take the last connections have time to come.
            for _ in 0..20 {
                assert!(store.read(UserKey::Id("2")).await.unwrap().is_some());
                assert!(store.read(UserKey::Login("user 3")).await.unwrap().is_some());
                sleep(Duration::from_millis(5)).await;
            }
        };
        let mut other = scratch.admin.begin().await.unwrap();
        let lock = format!("SELECT FROM {} WHERE id = '1' FOR UPDATE", scratch.role);
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *other).await.unwrap();
        let mut waiting = JoinSet::new();
        for _ in 0..16 {
            let service = service.clone();
            waiting.spawn(async move { service.start_session("1", "phone").await.is_ok() });
        }
        until_waiting(&scratch, 4).await;
        goes_on().await;
        service.log_out_everywhere("2").await.unwrap();
        for _ in 0..16 {
            let store = store.clone();
            waiting.spawn(async move { store.bump_version("1", 0).await.is_ok() });
        }
        until_waiting(&scratch, 8).await;
        goes_on().await;
        other.rollback().await.unwrap();
        waiting.shutdown().await;
    }
}

/// Another process writes for long, and the pool is small.
#[tokio::test]
async fn writers_of_an_sqlite_file_leave_connections_to_reads() {
    let directory = Directory::new();
    let pool = SqlitePoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(2));
    let options = SqliteConnectOptions::new().filename(directory.file()).create_if_missing(true);
    let options =
        options.journal_mode(SqliteJournalMode::Wal).busy_timeout(Duration::from_secs(60));
    let pool = pool.connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool, UsersTable::ready()).unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(user(0)).await.unwrap());
    let other = directory.pool().await.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let mut writers = JoinSet::new();
    for id in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            match id % 2 {
                0 => store.insert(user(id)).await.is_ok(),
                _ => store.bump_version("0", 0).await.is_ok(),
            }
        });
    }
    for _ in 0..20 {
        assert!(store.read(UserKey::Id("0")).await.unwrap().is_some());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    other.rollback().await.unwrap();
    writers.shutdown().await;
}

/// A process' own writes wait for each other in line. SQLite itself lets them try again and again, and
/// some of them give up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sqlite_file_is_not_busy_with_its_own_writes() {
    let directory = Directory::new();
    let pool = SqlitePoolOptions::new().max_connections(10);
    let options = SqliteConnectOptions::new().filename(directory.file()).create_if_missing(true);
    // A connection that finds the file locked gives up at once.
    let pool = pool.connect_with(options.busy_timeout(Duration::ZERO)).await.unwrap();
    let store = SqliteStore::new(pool, UsersTable::ready()).unwrap();
    store.migrate().await.unwrap();
    let inserting = store.clone();
    let inserted = at_once(64, move |id| {
        let store = inserting.clone();
        async move { store.insert(user(id)).await }
    });
    for answer in inserted.await {
        assert!(answer.unwrap());
    }
    for _ in 0..4 {
        bump_at_once(&store, 64).await;
    }
}

/// A revocation waits for the writer that has the file, and at most for one more.
#[tokio::test]
async fn an_sqlite_revocation_overtakes_the_writers_in_line() {
    let directory = Directory::new();
    // The last writer waits for all the others.
    let patient = SqliteOptions::new().timeout(time::Duration::minutes(2));
    let store = patient.open(directory.file(), UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(user(0)).await.unwrap());
    let mut writers = JoinSet::new();
    for id in 1..200 {
        let store = store.clone();
        writers.spawn(async move { assert!(store.insert(user(id)).await.unwrap()) });
    }
    // All are in line, and the first have written.
    for _ in 0..3 {
        writers.join_next().await.unwrap().unwrap();
    }
    let before = writers.len();
    assert!(store.bump_version("0", 0).await.unwrap().is_some());
    while writers.try_join_next().is_some() {}
    let overtaken = writers.len();
    assert!(overtaken + 3 >= before, "{before} were in line, and {overtaken} still are");
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
}
