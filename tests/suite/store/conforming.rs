//! The parts of the conformance check that need something of the test, over the stores.

#[cfg(feature = "postgres")]
use relatch::store::PostgresOptions;
use relatch::store::{Conformance, NewUser, SqliteOptions, SqliteStore, UsersTable};
#[cfg(feature = "postgres")]
use sqlx::AssertSqlSafe;
use time::Duration;

#[cfg(feature = "postgres")]
use super::databases::{postgres, postgres_url, run_postgres, through_pooler, unique};
use super::{
    HASH,
    databases::{Directory, run_sqlite},
};

/// The fields of a row's columns, and the columns of the ready table.
const COLUMNS: [(&str, &str); 6] = [
    ("version", "token_version"),
    ("password_hash", "password_hash"),
    ("carried", "carried"),
    ("sessions", "sessions"),
    ("lanes", "lanes"),
    ("secret", "secret"),
];

const PATIENCE: Duration = Duration::milliseconds(500);

fn check() -> Conformance {
    Conformance::new("1").login("ada")
}

#[tokio::test]
async fn the_ready_table_of_sqlite() {
    let directory = Directory::new();
    let options = SqliteOptions::new().timeout(PATIENCE);
    let hasty = options.open(directory.file(), UsersTable::ready()).await.unwrap();
    let store = SqliteStore::open(directory.file(), UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    let user = NewUser::with_password_hash("1", "ada", HASH);
    assert!(store.insert(user).await.unwrap());
    Conformance::new("1").login("ada").check(&store).await.unwrap();

    let pool = directory.pool().await;
    run_sqlite(&pool, "CREATE TABLE written (name TEXT)").await;
    for (field, column) in COLUMNS {
        let trigger = format!(
            "CREATE TRIGGER of_{field} AFTER UPDATE OF {column} ON relatch_users
                 BEGIN INSERT INTO written VALUES ('{field}'); END"
        );
        run_sqlite(&pool, trigger).await;
    }
    let written = async || {
        let names = sqlx::query_scalar("DELETE FROM written RETURNING name");
        names.fetch_all(&pool).await.unwrap()
    };
    check().check_written(&store, written).await.unwrap();

    // Last: a call that has timed out may still write afterwards.
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    check().check_locked(&hasty).await.unwrap();
    writer.rollback().await.unwrap();
}

/// Alone, as behind a proxy that pools transactions, and through one if there is one.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn tables_of_postgres() {
    let Some(pool) = postgres().await else { return };
    let url = postgres_url().unwrap();
    let (through, pooler) = through_pooler(PostgresOptions::new(), &url);
    for (options, url) in [
        (PostgresOptions::new(), &url),
        (PostgresOptions::new().behind_pooler(), &url),
        (through, &pooler),
    ] {
        let name = unique("conforming");
        let table = UsersTable::named(&name).secret("secret");
        let hasty = options.clone().timeout(PATIENCE).connect(url, table.clone()).await.unwrap();
        let store = options.connect(url, table).await.unwrap();
        let sql = format!(
            "CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT NOT NULL UNIQUE, password_hash TEXT)"
        );
        run_postgres(&pool, sql).await;
        store.migrate().await.unwrap();
        let user = NewUser::with_password_hash("1", "ada", HASH);
        assert!(store.insert(user).await.unwrap());
        check().check(&store).await.unwrap();

        let function = format!(
            "CREATE TABLE {name}_written (name TEXT);
             CREATE FUNCTION {name}_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO {name}_written VALUES (TG_ARGV[0]); RETURN NULL; END $$"
        );
        run_postgres(&pool, function).await;
        for (field, column) in COLUMNS {
            let trigger = format!(
                "CREATE TRIGGER of_{field} AFTER UPDATE OF {column} ON {name}
                     FOR EACH ROW EXECUTE FUNCTION {name}_write('{field}')"
            );
            run_postgres(&pool, trigger).await;
        }
        let delete = format!("DELETE FROM {name}_written RETURNING name");
        let written = async || {
            let names = sqlx::query_scalar(AssertSqlSafe(delete.clone()));
            names.fetch_all(&pool).await.unwrap()
        };
        check().check_written(&store, written).await.unwrap();

        let mut writer = pool.begin().await.unwrap();
        let lock = format!("SELECT * FROM {name} FOR UPDATE");
        sqlx::query(AssertSqlSafe(lock)).execute(&mut *writer).await.unwrap();
        check().check_locked(&hasty).await.unwrap();
        writer.rollback().await.unwrap();
    }
}
