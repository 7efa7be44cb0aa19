//! Look-ups by id that share statements, in PostgreSQL.

use std::{sync::Arc, time::Duration};

use relatch::store::{
    IdType, NewUser, PostgresOptions, PostgresStore, StoreErrorKind, UserKey, UserStore, UsersTable,
};
use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::{task::JoinSet, time::sleep};

use super::{
    HASH,
    databases::{postgres, postgres_url, run_postgres, unique},
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_at_once_each_get_their_own_row() {
    let Some(pool) = postgres().await else { return };
    let text = |n: usize| format!("a \"{n}\\, {{é}}");
    let number = |n: usize| n.to_string();
    let all: [(IdType, &str, fn(usize) -> String); 8] = [
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
                assert!(store.bump_version(&id, 0).await.unwrap());
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

/// The database's encoding lacks most characters.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_id_that_the_database_cannot_store_finds_no_user() {
    let Some(pool) = postgres().await else { return };
    let (url, name) = (postgres_url().unwrap(), unique("latin"));
    run_postgres(
        &pool,
        format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"),
    )
    .await;
    let mut options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    options = options.database(&name);
    let latin = PgPoolOptions::new().connect_with(options).await.unwrap();
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
    latin.close().await;
    run_postgres(&pool, format!("DROP DATABASE {name} WITH (FORCE)")).await;
}

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
        let mut callers = JoinSet::new();
        for n in 0..48 {
            let (own, id) = (Arc::clone(&own), n.to_string());
            callers.spawn(async move {
                for round in 0..60 {
                    let read = found(&own, &id);
                    if (n + round) % 5 == 0 {
                        let patience = Duration::from_micros(round * 20);
                        let _ = tokio::time::timeout(patience, read).await;
                    } else {
                        assert_eq!(read.await.as_deref(), Some(&*id));
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            });
        }
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE application_name = '{application}' LIMIT 1"
        );
        for _ in 0..20 {
            sqlx::query(AssertSqlSafe(kill.clone())).execute(&pool).await.unwrap();
            sleep(Duration::from_millis(5)).await;
        }
        while let Some(caller) = callers.join_next().await {
            caller.unwrap();
        }
    }
}
