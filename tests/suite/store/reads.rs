//! Reads of an SQLite file through the store's own connections, on another thread and on the caller's.

use std::{error::Error, time::Duration};

use relatch::store::{
    NewUser, Row, SqliteOptions, SqliteStore, StoreError, StoreErrorKind, UserKey, UserStore,
    UsersTable,
};
use sqlx::{Connection, SqliteConnection, sqlite::SqliteConnectOptions};
use tokio::time::{Instant, sleep, timeout};

use super::{
    HASH,
    databases::{Directory, run_sqlite},
};

fn both() -> [SqliteOptions; 2] {
    [SqliteOptions::new(), SqliteOptions::new().read_on_calling_thread()]
}

async fn with_users(options: SqliteOptions, directory: &Directory) -> SqliteStore {
    let store = options.open(directory.file(), UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    for id in ["1", "2"] {
        assert!(store.insert(NewUser::with_password_hash(id, id, HASH)).await.unwrap());
    }
    store
}

async fn version(store: &SqliteStore, id: &str) -> i64 {
    store.read(UserKey::Id(id)).await.unwrap().unwrap().columns.version.unwrap()
}

fn is_unreachable<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    assert_eq!(answer.unwrap_err().kind(), StoreErrorKind::Unreachable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_sees_each_write_that_was_answered() {
    for options in both() {
        let directory = Directory::new();
        let store = with_users(options, &directory).await;
        let all = (0..8).map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..40 {
                    let before = version(&store, "1").await;
                    assert!(store.bump_version("1", 0).await.unwrap().is_some());
                    assert!(version(&store, "1").await > before);
                }
            })
        });
        for one in all.collect::<Vec<_>>() {
            one.await.unwrap();
        }
        // And those of another connection, as of another process.
        let before = version(&store, "2").await;
        let sql = "UPDATE relatch_users SET token_version = token_version + 1 WHERE id = '2'";
        run_sqlite(&directory.pool().await, sql).await;
        assert_eq!(version(&store, "2").await, before + 1);
        assert!(store.delete("2").await.unwrap());
        assert!(store.read(UserKey::Id("2")).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn many_at_once_each_get_their_own_row() {
    for options in both() {
        let directory = Directory::new();
        let store = with_users(options, &directory).await;
        for id in 3..40 {
            let id = id.to_string();
            store.insert(NewUser::with_password_hash(&id, &id, HASH)).await.unwrap();
        }
        let all = (0..400).map(|n| {
            let (store, id) = (store.clone(), (n % 50).to_string());
            tokio::spawn(async move {
                let row = store.read(UserKey::Id(&id)).await.unwrap();
                assert_eq!(row.map(|row| row.id), (1..40).contains(&(n % 50)).then_some(id));
            })
        });
        for one in all.collect::<Vec<_>>() {
            one.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_disturbs_no_other_call() {
    for options in both() {
        let directory = Directory::new();
        let store = with_users(options, &directory).await;
        for round in 0..200 {
            let left = timeout(Duration::from_micros(round), store.read(UserKey::Id("1")));
            let other = store.read(UserKey::Id("2"));
            let (_, other) = tokio::join!(left, other);
            assert_eq!(other.unwrap().unwrap().id, "2");
        }
        assert_eq!(store.read(UserKey::Id("1")).await.unwrap().unwrap().id, "1");
    }
}

/// The row, or the kind of the error and its column.
fn told(answer: Result<Option<Row<()>>, StoreError>) -> String {
    match answer {
        Ok(row) => format!("{row:?}"),
        Err(error) => format!("{:?} {error}", error.kind()),
    }
}

/// The pool of the application reads through sqlx.
#[tokio::test]
async fn a_row_is_the_same_through_a_pool() {
    for options in both() {
        let directory = Directory::new();
        let store = with_users(options, &directory).await;
        let peer = SqliteStore::new(directory.pool().await, UsersTable::ready()).unwrap();
        let text = "X'ff66'";
        for (column, value) in [
            ("sessions", "NULL"),
            ("sessions", "''"),
            ("sessions", "'ä\u{1F600}'"),
            ("sessions", "7"),
            ("sessions", text),
            ("sessions", "CAST(X'ff66' AS TEXT)"),
            ("token_version", "NULL"),
            ("token_version", "9223372036854775807"),
            ("token_version", "-1"),
            ("token_version", "1.5"),
            ("token_version", "'x'"),
            ("token_version", text),
            ("password_hash", "NULL"),
            ("password_hash", "2"),
            ("is_active", "0"),
            ("is_active", "2"),
        ] {
            let sql = format!("UPDATE relatch_users SET {column} = {value} WHERE id = '1'");
            run_sqlite(peer.pool(), sql).await;
            for key in [UserKey::Id("1"), UserKey::Login("1")] {
                let (ours, theirs) = (store.read(key).await, peer.read(key).await);
                assert_eq!(told(ours), told(theirs), "{column} {value}");
            }
            assert_eq!(store.read(UserKey::Id("2")).await.unwrap().unwrap().id, "2");
            let repair = format!(
                "UPDATE relatch_users SET token_version = 1, sessions = NULL, is_active = 1, \
                 password_hash = '{HASH}' WHERE id = '1'"
            );
            run_sqlite(peer.pool(), repair).await;
        }
    }
}

#[tokio::test]
async fn two_rows_with_one_id_are_reported() {
    for options in both() {
        let directory = Directory::new();
        let pool = directory.pool().await;
        run_sqlite(
            &pool,
            "CREATE TABLE accounts (id TEXT, login TEXT, password_hash TEXT, token_version INTEGER, \
             carried TEXT, sessions TEXT, lanes TEXT); \
             INSERT INTO accounts (id, login) VALUES ('1', 'a'), ('1', 'b'), ('1', 'c'), ('2', 'd')",
        )
        .await;
        let table = UsersTable::named("accounts");
        let store = options.open(directory.file(), table).await.unwrap();
        let error = store.read(UserKey::Id("1")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        assert!(error.source().unwrap().to_string().contains("unique"));
        assert_eq!(store.read(UserKey::Id("2")).await.unwrap().unwrap().id, "2");
    }
}

/// A store over a file where a writer keeps readers out, as it has no write-ahead log, and a writer.
async fn locked(options: SqliteOptions, directory: &Directory) -> (SqliteStore, SqliteConnection) {
    with_users(options.clone(), directory).await.pool().close().await;
    let store = options.open(directory.file(), UsersTable::ready()).await.unwrap();
    let sql = "PRAGMA journal_mode = DELETE";
    let mode: String = sqlx::query_scalar(sql).fetch_one(store.pool()).await.unwrap();
    assert_eq!(mode, "delete");
    assert_eq!(version(&store, "1").await, version(&store, "1").await);
    let options = SqliteConnectOptions::new().filename(directory.file());
    let mut writer = SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::raw_sql("BEGIN EXCLUSIVE").execute(&mut writer).await.unwrap();
    (store, writer)
}

/// The test's runtime has one thread.
#[tokio::test]
async fn a_locked_file_blocks_no_thread_of_the_runtime() {
    for options in both() {
        let directory = Directory::new();
        let (store, mut writer) = locked(options, &directory).await;
        let read = tokio::spawn(async move { version(&store, "1").await });
        for _ in 0..20 {
            let began = Instant::now();
            sleep(Duration::from_millis(5)).await;
            assert!(began.elapsed() < Duration::from_secs(1));
        }
        assert!(!read.is_finished());
        sqlx::raw_sql("ROLLBACK").execute(&mut writer).await.unwrap();
        assert!(read.await.unwrap() > 0);
    }
}

#[tokio::test]
async fn a_read_that_does_not_end_in_time_fails_alone() {
    for options in both() {
        let directory = Directory::new();
        let options = options.timeout(time::Duration::milliseconds(100));
        let (store, mut writer) = locked(options, &directory).await;
        let began = Instant::now();
        let reads = (0..30).map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.read(UserKey::Id("1")).await })
        });
        for read in reads.collect::<Vec<_>>() {
            is_unreachable(read.await.unwrap());
        }
        assert!(began.elapsed() < Duration::from_secs(3));
        sqlx::raw_sql("ROLLBACK").execute(&mut writer).await.unwrap();
        assert!(version(&store, "1").await > 0);
    }
}

#[tokio::test]
async fn an_altered_table_can_still_be_read() {
    for options in both() {
        let directory = Directory::new();
        let store = with_users(options, &directory).await;
        let before = version(&store, "1").await;
        for sql in [
            "ALTER TABLE relatch_users ADD COLUMN shoe_size INTEGER",
            "ALTER TABLE relatch_users RENAME TO others; \
             CREATE TABLE relatch_users AS SELECT * FROM others; DROP TABLE others; VACUUM",
        ] {
            run_sqlite(store.pool(), sql).await;
            assert_eq!(version(&store, "1").await, before);
        }
        run_sqlite(store.pool(), "DROP TABLE relatch_users").await;
        let error = store.read(UserKey::Id("1")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        assert!(error.source().unwrap().to_string().contains("no such table"));
    }
}

#[tokio::test]
async fn a_closed_pool_reads_no_more_and_leaves_one_file() {
    for options in both() {
        let directory = Directory::new();
        let store = with_users(options, &directory).await;
        assert!(version(&store, "1").await > 0);
        store.pool().close().await;
        is_unreachable(store.read(UserKey::Id("1")).await);
        let files = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(files, 1, "the log is written back by the last connection");
    }
}

#[tokio::test]
async fn only_a_file_that_the_store_opens_is_read_on_the_calling_thread() {
    let directory = Directory::new();
    let [_, options] = both();
    let pool = directory.pool().await;
    let error = options.clone().over(pool, UsersTable::ready()).unwrap_err();
    assert!(error.to_string().contains("`open`"), "{error}");
    assert!(options.in_memory(UsersTable::ready()).await.is_err());
}
