//! Application fields that cannot be read as their type: the user can still be logged out.

#[cfg(feature = "postgres")]
use relatch::store::PostgresStore;
use relatch::{
    Authority, Context, MasterKey,
    service::{Service, ServiceError},
    store::{NewUser, SqliteStore, StoreErrorKind, UserStore, UsersTable},
};
use serde::Deserialize;

use super::databases::{Directory, run_sqlite};
#[cfg(feature = "postgres")]
use super::databases::{postgres, run_postgres, unique};

#[derive(Clone, Deserialize)]
struct Fields {
    level: Option<i64>,
}

fn users(name: &str) -> UsersTable<Fields> {
    UsersTable::named(name).secret("secret").fields(["level"])
}

fn create(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                              secret TEXT, level TEXT)"
    )
}

/// Logs the user in, damages the field by this SQL, and ends the session.
async fn is_logged_out(store: impl UserStore<Fields = Fields>, damage: impl AsyncFn()) {
    let key = MasterKey::generate("k").unwrap();
    let authority = Authority::new(key, "https://a.example", "https://a.example").unwrap();
    let service = Service::new(authority, store);
    let tokens = service.start_session("1", "phone").await.unwrap();
    let verified = service.authenticate(tokens.access()).await.unwrap();
    assert_eq!(verified.user().fields().level, None);
    damage().await;
    let error = service.authenticate(tokens.access()).await.unwrap_err();
    let ServiceError::Store(error) = error else { panic!("{error:?}") };
    assert_eq!(error.kind(), StoreErrorKind::Damaged);
    assert!(service.revoke(tokens.refresh().expose(), Context::new()).await.unwrap());
    assert!(!service.log_out(&verified).await.unwrap());
    service.log_out_everywhere("1").await.unwrap();
    service.delete("1").await.unwrap();
}

#[tokio::test]
async fn a_user_whose_field_in_sqlite_cannot_be_read_is_logged_out() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, create("u")).await;
    let store = SqliteStore::new(pool.clone(), users("u")).unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(NewUser::without_password("1", "ada").unwrap()).await.unwrap());
    is_logged_out(store, async || run_sqlite(&pool, "UPDATE u SET level = 'high'").await).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_user_whose_field_in_postgres_cannot_be_read_is_logged_out() {
    let Some(pool) = postgres().await else { return };
    let name = unique("fields");
    run_postgres(&pool, create(&name)).await;
    let store = PostgresStore::new(pool.clone(), users(&name)).unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(NewUser::without_password("1", "ada").unwrap()).await.unwrap());
    let damage = format!("UPDATE {name} SET level = 'high'");
    is_logged_out(store, async || run_postgres(&pool, damage.clone()).await).await;
}
