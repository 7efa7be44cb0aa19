//! A column for the hash that is too short for a new one: an improvement that cannot be stored fails no
//! login.

use relatch::{
    password::{Bcrypt, PasswordHasher},
    service::Service,
    store::{UserKey, UserStore, UsersTable},
};

use super::*;
use crate::web::logs::Log;

/// The hash of [`PASSWORD`], by the package `bcrypt` 5.0.0 of Python.
const BCRYPT: &str = "$2b$04$.BBUjjfa6vbDixCbY1YiVO0NA5bSh4NccwniLmGelaAuki7uopbZm";

async fn lets_in(store: impl UserStore<Fields = ()> + Clone) {
    let hasher = PasswordHasher::new().also_verifies(Bcrypt::new(4).unwrap());
    let authority = authority().build().unwrap();
    let service = Service::builder(authority, store.clone()).hasher(hasher).build();
    let hash = async || {
        let row = store.read(UserKey::Id("a-1")).await.unwrap().unwrap();
        row.columns.password_hash.clone().unwrap()
    };
    let log = Log::new();
    let phone = service.login("ada", PASSWORD, "phone").await.unwrap();
    assert_eq!(hash().await, BCRYPT);
    let text = log.take();
    assert!(text.contains("WARN error=") && text.contains("was not replaced"), "{text}");
    let _ = service.authenticate(phone.access()).await.unwrap();
    let phone = service.reauthenticate(phone.access(), PASSWORD).await.unwrap();
    assert_eq!(hash().await, BCRYPT);
    let _ = service.authenticate(phone.access()).await.unwrap();
    assert!(service.login("ada", "a wrong password", "phone").await.is_err());
    // What cannot do without a new hash still fails, and the user stays logged in.
    let refused = service.set_password("a-1", "another battery staple").await.unwrap_err();
    assert_eq!(refused.status(), 500, "{refused:?}");
    let _ = service.authenticate(phone.access()).await.unwrap();
}

fn table() -> UsersTable {
    UsersTable::named("accounts").login("email")
}

const INSERT: &str = "INSERT INTO accounts (id, email, password_hash) VALUES ('a-1', 'ada', '$2b$04$.BBUjjfa6vbDixCbY1YiVO0NA5bSh4NccwniLmGelaAuki7uopbZm')";

#[tokio::test]
async fn in_sqlite() {
    let db = Sqlite::with(
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, \
         password_hash TEXT CHECK (length(password_hash) <= 85));",
    )
    .await;
    let store = db.store(table()).await;
    store.migrate().await.unwrap();
    db.run(INSERT).await;
    lets_in(store).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn in_postgres() {
    let Some(db) = Postgres::with(
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, \
         password_hash TEXT)",
    )
    .await
    else {
        return;
    };
    let store = db.migrated(table()).await;
    // The migration refuses such a column, as no new password fits.
    db.run("ALTER TABLE accounts ALTER password_hash TYPE VARCHAR(85)").await;
    db.run(INSERT).await;
    lets_in(store).await;
    db.end().await;
}
