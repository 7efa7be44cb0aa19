//! Many calls at once leave connections to each other, and to revocations most of all.

use std::time::Duration;

#[cfg(feature = "postgres")]
use relatch::store::{PostgresStore, UserKey};
use relatch::store::{SqliteOptions, SqliteStore, UserStore, UsersTable};
#[cfg(feature = "postgres")]
use sqlx::PgPool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use tokio::task::JoinSet;
#[cfg(feature = "postgres")]
use tokio::time::sleep;

#[cfg(feature = "postgres")]
use super::scratch::{Scratch, USERS, service};
use super::{
    calls::{at_once, bump_at_once, user},
    databases::Directory,
};

/// Ten thousand reads wait for a connection, for hours if need be. A revocation does not wait for them.
/// They are reads by login, of which each has a statement of its own.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_revocation_waits_for_no_read() {
    let Some(scratch) = Scratch::new().await else { return };
    for own_pool in [true, false] {
        let url = scratch.url();
        let store = match own_pool {
            true => scratch.connect(&url).await,
            false => {
                let pool = PgPool::connect(&url).await.unwrap();
                PostgresStore::new(pool, scratch.table.clone()).unwrap()
            }
        };
        let (service, _) = service(store.clone());
        let mut reads = JoinSet::new();
        for number in 0..10_000 {
            let (store, login) = (store.clone(), format!("user {}", number % USERS));
            reads.spawn(async move { store.read(UserKey::Login(&login)).await.map(drop) });
        }
        sleep(Duration::from_millis(50)).await;
        for id in ["1", "2", "3"] {
            service.log_out_everywhere(id).await.unwrap();
        }
        assert!(reads.try_join_next().is_some_and(|first| first.unwrap().is_ok()));
        let mut rest = 0;
        while reads.try_join_next().is_some() {
            rest += 1;
        }
        assert!(rest < 5_000, "the revocations waited for {rest} reads");
        reads.shutdown().await;
    }
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
    assert!(store.bump_version("0", 0).await.unwrap());
    while writers.try_join_next().is_some() {}
    let overtaken = writers.len();
    assert!(overtaken + 3 >= before, "{before} were in line, and {overtaken} still are");
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
}
