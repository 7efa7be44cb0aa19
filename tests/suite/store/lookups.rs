//! Look-ups in PostgreSQL: each in its column's own type, so that the column's index serves.

use relatch::store::{
    GroupsTable, IdType, NewUser, PostgresOptions, PostgresStore, UserKey, UserStore, UsersTable,
};
use sqlx::{AssertSqlSafe, PgPool};

use super::{
    HASH,
    databases::{postgres, postgres_url, run_postgres, unique},
};
use crate::common::in_time;

/// How often the tables were read from end to end.
async fn scans(pool: &PgPool, name: &str) -> i64 {
    // The counts are those that this connection has reported.
    sqlx::raw_sql("SELECT pg_stat_force_next_flush()").execute(pool).await.unwrap();
    let query = sqlx::query_scalar(
        "SELECT sum(seq_scan)::bigint FROM pg_stat_all_tables WHERE relname LIKE $1 || '%'",
    );
    query.bind(name).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn each_look_up_uses_the_column_s_index() {
    let Some(pool) = postgres().await else { return };
    let has_citext = sqlx::raw_sql(
        "CREATE SCHEMA IF NOT EXISTS extensions;
        CREATE EXTENSION IF NOT EXISTS citext SCHEMA extensions",
    )
    .execute(&pool)
    .await
    .is_ok();
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let mut kinds = vec![
        ("CHAR(36)", IdType::Uuid, uuid, "VARCHAR(99)"),
        ("VARCHAR(40)", IdType::Text, "ada-1", "TEXT"),
        ("UUID", IdType::Uuid, uuid, "CHAR(40)"),
        ("UUID", IdType::Text, uuid, "TEXT"),
        ("INTEGER", IdType::Integer, "17", "TEXT"),
        ("NUMERIC", IdType::Integer, "17", "TEXT"),
        ("BYTEA", IdType::UuidBytes, uuid, "TEXT"),
    ];
    if has_citext {
        kinds.push(("extensions.citext", IdType::Text, "Ada-1", "extensions.citext"));
    }
    for domain in [false, true] {
        for (id_type_sql, id_type, id, login) in kinds.clone() {
            let name = unique("lookups");
            let [id_sql, login_sql] = match domain {
                true => {
                    let sql = "CREATE DOMAIN D_id AS ID; CREATE DOMAIN D_id2 AS D_id NOT NULL;
                               CREATE DOMAIN D_login AS LOGIN CHECK (VALUE IS NOT NULL)";
                    let sql = sql.replace("ID", id_type_sql).replace("LOGIN", login);
                    run_postgres(&pool, sql.replace("D_", &format!("{name}_"))).await;
                    [format!("{name}_id2"), format!("{name}_login")]
                }
                false => [id_type_sql.to_owned(), login.to_owned()],
            };
            let sql = format!(
                "CREATE TABLE {name}_t (id VARCHAR(9) PRIMARY KEY, epoch BIGINT);
                 INSERT INTO {name}_t VALUES ('acme', 1);
                 CREATE TABLE {name} (id {id_sql} PRIMARY KEY, login {login_sql} UNIQUE,
                    password_hash TEXT, token_version BIGINT, carried TEXT, sessions TEXT, lanes TEXT,
                    tenant TEXT DEFAULT 'acme')"
            );
            run_postgres(&pool, sql).await;
            let groups = GroupsTable::named(&format!("{name}_t"));
            let table = UsersTable::named(&name).id_type(id_type);
            let table = table.user_epoch("tenant", "tenant", groups);
            let url = postgres_url().unwrap() + "&options=-c%20enable_seqscan%3Doff";
            let options = PostgresOptions::new().max_connections(1);
            let store = options.connect(&url, table).await.unwrap();
            assert!(store.insert(NewUser::with_password_hash(id, "ada", HASH)).await.unwrap());
            let before = scans(store.pool(), &name).await;
            let row = store.read(UserKey::Id(id)).await.unwrap().unwrap();
            assert_eq!(row.id, id);
            assert!(store.read(UserKey::Login("ada")).await.unwrap().is_some());
            assert!(store.bump_version(id, 0).await.unwrap().is_some());
            assert!(store.bump_epoch("tenant", "acme", 0).await.unwrap().is_some());
            let what = format!("{id_sql} {login_sql}");
            assert_eq!(scans(store.pool(), &name).await, before, "{what}");
            // The column's own type compares a login.
            let is_found = store.read(UserKey::Login("ADA")).await.unwrap().is_some();
            assert_eq!(is_found, login.contains("citext"), "{what}");
            if id_type == IdType::Text {
                assert!(store.read(UserKey::Id(&id.to_uppercase())).await.unwrap().is_none());
                assert!(store.read(UserKey::Id("no id")).await.unwrap().is_none());
            }
            assert!(store.delete(id).await.unwrap());
        }
    }
}

/// A table that is altered or moved while the store is in use.
#[tokio::test]
async fn the_store_reads_the_types_of_a_changed_table_again() {
    let Some(pool) = postgres().await else { return };
    let name = unique("altered");
    run_postgres(
        &pool,
        format!("CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT)"),
    )
    .await;
    run_postgres(&pool, format!("CREATE SCHEMA {name}_new")).await;
    let url = postgres_url().unwrap() + "&options=-c%20search_path%3Dpublic%2C" + &name + "_new";
    let store = PostgresStore::connect(&url, UsersTable::named(&name)).await.unwrap();
    store.migrate().await.unwrap();
    let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    assert!(store.insert(NewUser::with_password_hash(id, "ada", HASH)).await.unwrap());
    assert!(store.read(UserKey::Id(id)).await.unwrap().is_some());
    for sql in [
        format!("ALTER TABLE {name} ALTER id TYPE UUID USING id::uuid"),
        format!("ALTER TABLE {name} ADD COLUMN note TEXT"),
        format!("ALTER TABLE {name} ALTER sessions TYPE VARCHAR(20000)"),
        format!("ALTER TABLE {name} SET SCHEMA {name}_new"),
    ] {
        run_postgres(&pool, sql.clone()).await;
        assert!(store.read(UserKey::Id(id)).await.unwrap().is_some(), "{sql}");
        assert!(store.read(UserKey::Login("ada")).await.unwrap().is_some(), "{sql}");
        assert!(store.bump_version(id, 0).await.unwrap().is_some(), "{sql}");
    }
    // An id that was no value of the column's type before.
    assert!(store.read(UserKey::Id("ada-1")).await.unwrap().is_none());
    let sql = format!(
        "ALTER TABLE {name}_new.{name} ALTER id TYPE TEXT;
         INSERT INTO {name}_new.{name} (id, login) VALUES ('ada-1', 'ada-1')"
    );
    run_postgres(&pool, sql).await;
    assert!(store.bump_version("ada-1", 0).await.unwrap().is_some());
    assert!(store.read(UserKey::Id("ada-1")).await.unwrap().is_some());
}

/// For the id and for the login.
#[tokio::test]
async fn a_locked_row_is_locked_against_other_connections() {
    let Some(pool) = postgres().await else { return };
    let name = unique("locked");
    let store = PostgresStore::new(pool.clone(), UsersTable::named(&name)).unwrap();
    let sql =
        format!("CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT)");
    run_postgres(&pool, sql).await;
    store.migrate().await.unwrap();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap());
    let other = format!("SELECT FROM {name} WHERE id = '1' FOR UPDATE NOWAIT");
    for key in [UserKey::Id("1"), UserKey::Login("ada")] {
        let locked = store.lock(key).await.unwrap().unwrap();
        assert_eq!(locked.row().unwrap().id, "1");
        let error = sqlx::raw_sql(AssertSqlSafe(other.clone())).execute(&pool).await.unwrap_err();
        assert_eq!(error.as_database_error().unwrap().code().unwrap(), "55P03", "{error}");
        drop(locked);
        in_time(async {
            while sqlx::raw_sql(AssertSqlSafe(other.clone())).execute(&pool).await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
        })
        .await;
    }
}
