//! Look-ups by id that share statements, in PostgreSQL.

use std::{
    future::Future as _,
    sync::Arc,
    task::{Context, Waker},
    time::Duration,
};

use relatch::store::{
    IdType, NewUser, PostgresOptions, PostgresStore, StoreErrorKind, UserKey, UserStore, UsersTable,
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{
    HASH,
    databases::{latin1, postgres, postgres_url, run_postgres, unique},
};

fn described(name: &str, id_type: IdType) -> UsersTable {
    UsersTable::named(name).id("uid").id_type(id_type).login("email").password_hash("pw")
}

async fn store_of(
    pool: &PgPool,
    id_type: IdType,
    column: &str,
    ids: impl Iterator<Item = String>,
) -> PostgresStore {
    table_of(pool, id_type, column, ids).await.1
}

/// A table of the application's own with these users, and a store over it.
async fn table_of(
    pool: &PgPool,
    id_type: IdType,
    column: &str,
    ids: impl Iterator<Item = String>,
) -> (String, PostgresStore) {
    let name = unique("accounts");
    let table = format!(
        "CREATE TABLE {name} (uid {column} PRIMARY KEY, email TEXT NOT NULL UNIQUE, \
         pw VARCHAR(255) NOT NULL)"
    );
    run_postgres(pool, table).await;
    let store = PostgresStore::new(pool.clone(), described(&name, id_type)).unwrap();
    store.migrate().await.unwrap();
    for id in ids {
        assert!(store.insert(NewUser::with_password_hash(&id, &id, HASH)).await.unwrap());
    }
    (name, store)
}

/// The id of the row that is read for this id.
async fn found(store: &PostgresStore, id: &str) -> Option<String> {
    store.read(UserKey::Id(id)).await.unwrap().map(|row| row.id)
}

fn uuid(n: usize) -> String {
    format!("67e55044-10b1-426f-9247-{n:012x}")
}

type NthId = fn(usize) -> String;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_each_get_their_own_row() {
    let Some(pool) = postgres().await else { return };
    let text = |n: usize| format!("a \"{n}\\, {{é}}");
    let number = |n: usize| n.to_string();
    let all: [(IdType, &str, NthId); 8] = [
        (IdType::Text, "TEXT", text),
        (IdType::Text, "VARCHAR(100) COLLATE \"C\"", text),
        (IdType::Text, "CHAR(36)", uuid),
        (IdType::Text, "INTEGER", number),
        (IdType::Integer, "INTEGER", number),
        (IdType::Integer, "BIGINT", number),
        (IdType::Uuid, "UUID", uuid),
        (IdType::UuidBytes, "BYTEA", uuid),
    ];
    for (id_type, column, id) in all {
        let store = Arc::new(store_of(&pool, id_type, column, (0..300).map(id)).await);
        let mut callers = JoinSet::new();
        for n in 0..1200 {
            let store = Arc::clone(&store);
            callers.spawn(async move {
                let n = n * 7 % 400;
                let row = found(&store, &id(n)).await;
                assert_eq!(row, (n < 300).then(|| id(n)), "{column}");
            });
        }
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_id_is_compared_byte_for_byte() {
    let Some(pool) = postgres().await else { return };
    let collation = unique("loose");
    let create = format!(
        "CREATE COLLATION {collation} (provider = icu, locale = 'und-u-ks-level2', \
         deterministic = false)"
    );
    run_postgres(&pool, create).await;
    let column = format!("TEXT COLLATE {collation}");
    let ids = ["ada", "bob", "cy"].map(str::to_owned);
    let store = Arc::new(store_of(&pool, IdType::Text, &column, ids.into_iter()).await);
    let mut callers = JoinSet::new();
    for n in 0..300 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let (id, is_one) =
                [("ada", true), ("ADA", false), ("bob", true), ("Bob", false)][n % 4];
            assert_eq!(found(&store, id).await, is_one.then(|| id.to_owned()));
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_read_sees_each_write_that_was_answered() {
    let Some(pool) = postgres().await else { return };
    let ids = (0..8).map(|n: usize| n.to_string());
    let store = Arc::new(store_of(&pool, IdType::Text, "TEXT", ids).await);
    let mut callers = JoinSet::new();
    for n in 0..32 {
        let (store, id) = (Arc::clone(&store), (n % 8).to_string());
        callers.spawn(async move {
            let version = async || {
                let row = store.read(UserKey::Id(&id)).await.unwrap().unwrap();
                row.columns.version.unwrap_or_default()
            };
            for _ in 0..20 {
                let before = version().await;
                assert!(store.bump_version(&id, 0).await.unwrap().is_some());
                assert!(version().await > before);
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_damaged_row_and_two_of_one_id_fail_their_own_callers() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(
        &pool,
        format!(
            "CREATE TABLE {name} (id TEXT, login TEXT, password_hash TEXT, token_version BIGINT, \
             carried TEXT, sessions TEXT, lanes TEXT, enabled SMALLINT); \
             INSERT INTO {name} (id, login, enabled) VALUES ('good', 'a', 1), ('odd', 'b', 7), \
             ('twice', 'c', 1), ('twice', 'd', 1), ('other', 'e', 0)"
        ),
    )
    .await;
    let table = UsersTable::named(&name).active("enabled");
    let store = Arc::new(PostgresStore::new(pool, table).unwrap());
    let mut callers = JoinSet::new();
    for n in 0..400 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let id = ["good", "odd", "twice", "other", "nobody"][n % 5];
            let row = store.read(UserKey::Id(id)).await;
            match id {
                "odd" => assert_eq!(row.unwrap_err().kind(), StoreErrorKind::Damaged),
                "twice" => assert_eq!(row.unwrap_err().kind(), StoreErrorKind::Misconfigured),
                "nobody" => assert!(row.unwrap().is_none()),
                id => assert_eq!(row.unwrap().unwrap().id, id),
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_id_that_the_database_cannot_store_finds_no_user() {
    let Some(url) = latin1().await else { return };
    let latin = PgPool::connect(&url).await.unwrap();
    let ids = ["ada", "bob"].map(str::to_owned);
    let store = Arc::new(store_of(&latin, IdType::Text, "TEXT", ids.into_iter()).await);
    let mut callers = JoinSet::new();
    for n in 0..300 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            let id = ["ada", "漢", "bob"][n % 3];
            assert_eq!(found(&store, id).await, (id != "漢").then(|| id.to_owned()));
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.unwrap();
    }
}

/// In each round one connection is killed in the middle of the reads. A second one in one round would
/// be allowed to fail a read: it may be the new connection of the last attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_connections_and_callers_that_hang_up_harm_nobody() {
    let Some(pool) = postgres().await else { return };
    let ids = (0..50).map(|n: usize| n.to_string());
    let (name, _) = table_of(&pool, IdType::Text, "TEXT", ids).await;
    for is_pooled in [false, true] {
        let application = unique("batches");
        let url = format!("{}&application_name={application}", postgres_url().unwrap());
        let options = PostgresOptions::new();
        let options = if is_pooled { options.behind_pooler() } else { options };
        let own = options.connect(&url, described(&name, IdType::Text)).await.unwrap();
        let own = Arc::new(own);
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM (\
                 SELECT pid FROM pg_stat_activity WHERE application_name = '{application}' \
                  ORDER BY random() LIMIT 1\
             ) AS one"
        );
        for round in 0..40 {
            let mut callers = JoinSet::new();
            for n in 0..48 {
                let (own, id) = (Arc::clone(&own), n.to_string());
                callers.spawn(async move {
                    for turn in 0..5 {
                        let read = found(&own, &id);
                        if (n + turn) % 5 == 0 {
                            let patience = Duration::from_micros((round + turn) * 20);
                            let _ = tokio::time::timeout(patience, read).await;
                        } else {
                            assert_eq!(read.await.as_deref(), Some(&*id));
                        }
                    }
                });
            }
            sleep(Duration::from_micros(round * 100)).await;
            sqlx::query(AssertSqlSafe(kill.clone())).execute(&pool).await.unwrap();
            while let Some(caller) = callers.join_next().await {
                caller.unwrap();
            }
            // The next round begins without a connection that was killed and not used since.
            for _ in 0..own.pool().size() {
                assert_eq!(found(&own, "1").await.as_deref(), Some("1"));
            }
        }
    }
}

/// As in a runtime whose thread is blocked by other work.
#[tokio::test]
async fn reads_that_nobody_polls_hold_nobody_up() {
    let Some(pool) = postgres().await else { return };
    let ids = ["0", "1", "2"].map(str::to_owned);
    let (name, store) = table_of(&pool, IdType::Text, "TEXT", ids.into_iter()).await;
    let mut other = pool.begin().await.unwrap();
    let lock = format!("LOCK TABLE {name} IN ACCESS EXCLUSIVE MODE");
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *other).await.unwrap();
    let mut context = Context::from_waker(Waker::noop());
    let mut unpolled = [Box::pin(found(&store, "0")), Box::pin(found(&store, "1"))];
    for read in &mut unpolled {
        assert!(read.as_mut().poll(&mut context).is_pending());
    }
    other.rollback().await.unwrap();
    let other = timeout(Duration::from_secs(2), found(&store, "2")).await;
    assert_eq!(other.expect("it waits for the others").as_deref(), Some("2"));
    let [zero, one] = unpolled;
    assert_eq!(zero.await.as_deref(), Some("0"));
    assert_eq!(one.await.as_deref(), Some("1"));
}

/// For a login or an id that is no value of its column's type, the store reads the catalogue at most once a
/// second.
#[tokio::test]
async fn keys_that_are_no_values_cost_no_more_than_others() {
    let Some(admin) = postgres().await else { return };
    let database = unique("scratch");
    run_postgres(&admin, format!("CREATE DATABASE {database}")).await;
    let url = postgres_url().unwrap().replacen("/postgres?", &format!("/{database}?"), 1);
    let pool = PgPool::connect(&url).await.unwrap();
    let store = store_of(&pool, IdType::Text, "INTEGER", ["1".to_owned()].into_iter()).await;
    // On a slow machine, the second look-up may come after more than a second.
    let mut attempts = 0..5;
    loop {
        assert_eq!(found(&store, "ada").await, None);
        let mut other = pool.begin().await.unwrap();
        let lock = "LOCK TABLE pg_catalog.pg_opclass IN ACCESS EXCLUSIVE MODE";
        sqlx::query(lock).execute(&mut *other).await.unwrap();
        let read = timeout(Duration::from_millis(500), found(&store, "bob")).await;
        other.rollback().await.unwrap();
        match read {
            Ok(found) => break assert_eq!(found, None),
            Err(_) => assert!(attempts.next().is_some(), "it reads the catalogue each time"),
        }
    }
    pool.close().await;
    run_postgres(&admin, format!("DROP DATABASE {database} WITH (FORCE)")).await;
}
