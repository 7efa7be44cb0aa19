//! The options of the stores.

use std::error::Error;

#[cfg(feature = "postgres")]
use relatch::store::PostgresOptions;
use relatch::store::{
    NewUser, SqliteOptions, SqliteStore, StoreErrorKind, UserKey, UserStore, UsersTable,
};

#[cfg(feature = "postgres")]
use super::databases::{postgres_url, unique};
use super::{HASH, databases::Directory};

/// Each connection of a pool would have a database of its own.
#[tokio::test]
async fn only_a_path_of_a_file_is_opened() {
    for (path, text) in [
        (":memory:", "in_memory"),
        ("", "empty"),
        ("sqlite:users.sqlite", "URL"),
        ("sqlite::memory:", "URL"),
        ("SQLite://users.sqlite", "URL"),
        ("file:users.sqlite?mode=memory", "URL"),
        ("postgres://db/app", "URL"),
    ] {
        let error = SqliteStore::open(path, UsersTable::ready()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{path}");
        let source = error.source().unwrap().to_string();
        assert!(source.contains(text), "{path}: {source}");
    }
    let directory = Directory::new();
    let odd = directory.path().join("a:b.sqlite");
    let store = SqliteStore::open(odd, UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
}

#[tokio::test]
async fn a_database_in_memory_is_one_for_all_calls() {
    let options = SqliteOptions::new().timeout(time::Duration::seconds(20));
    let store = options.in_memory(UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    let users = (0..20).map(|id| {
        let store = store.clone();
        tokio::spawn(async move {
            let user = NewUser::with_password_hash(id.to_string(), id.to_string(), HASH);
            store.insert(user).await.unwrap();
        })
    });
    for user in users.collect::<Vec<_>>() {
        user.await.unwrap();
    }
    for id in 0..20 {
        assert!(store.read(UserKey::Id(&id.to_string())).await.unwrap().is_some());
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_wrong_option_of_postgres_is_reported() {
    let pool = || sqlx::PgPool::connect_lazy("postgres://nobody@localhost/none").unwrap();
    let over =
        |options: PostgresOptions| options.over(pool(), UsersTable::ready()).map(drop).unwrap_err();
    let error = over(PostgresOptions::new().channel("a b"));
    assert!(error.to_string().contains("the channel"), "{error}");
    let options = PostgresOptions::new().listen_url("no url: SECRET");
    let printed = format!("{options:?}");
    let error = over(options);
    assert_eq!(error.setting(), "listen_url");
    assert!(!format!("{printed} {error} {error:?}").contains("SECRET"));
    for url in ["mysql://app:SECRET@localhost/app", "no url: SECRET", "postgres://[SECRET/app"] {
        let error = PostgresOptions::new().connect(url, UsersTable::ready()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{url}");
        let text = format!("{error:?}");
        assert!(text.contains("not a URL of PostgreSQL") && !text.contains("SECRET"), "{text}");
    }
    let none = PostgresOptions::new().max_connections(0);
    let error = none.connect("postgres://localhost/none", UsersTable::ready()).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
}

/// A proxy that pools transactions starts no server for a client that sends startup options.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn behind_a_pooler_the_timeouts_hold_in_each_transaction() {
    let Some(url) = postgres_url() else { return };
    let name = unique("pooled");
    let options = PostgresOptions::new().behind_pooler().max_connections(1);
    let options = options.timeout(time::Duration::seconds(4));
    let table = UsersTable::named(&name).fields::<Shown>(["statement", "lock"]);
    let store = options.connect(&url, table).await.unwrap();
    let view = format!(
        "CREATE VIEW {name} AS SELECT '1' AS id, '1' AS login, NULL AS password_hash,
            NULL::BIGINT AS token_version, NULL AS carried, NULL AS sessions, NULL AS lanes,
            current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(view)).execute(store.pool()).await.unwrap();
    let row = store.read(UserKey::Login("1")).await.unwrap().unwrap();
    assert_eq!(row.fields, Shown { statement: "1800ms".to_owned(), lock: "1600ms".to_owned() });
    let query = sqlx::query_as(
        "SELECT current_setting('statement_timeout'),
        (SELECT count(*) FROM pg_prepared_statements WHERE statement NOT LIKE '%prepared%')",
    );
    let left: (String, i64) = query.fetch_one(store.pool()).await.unwrap();
    assert_eq!(left, ("0".to_owned(), 0), "nothing is left in the session");
}

#[cfg(feature = "postgres")]
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Shown {
    statement: String,
    lock: String,
}
