//! The application alters its table while the store is in use.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use relatch::store::{IdType, UsersTable};

use super::*;

const HEADING: &str = "Changing a live table";
const TABLE: &str = "SQLite and PostgreSQL, the table";
const ALTER: &str = "SQLite and PostgreSQL, while the application runs";
const INSERT: &str = "INSERT INTO accounts (id, email, password_hash) VALUES (17, 'ada', :hash)";

fn table() -> UsersTable {
    on_page!(HEADING, UsersTable::named("accounts").id_type(IdType::Integer).login("email"))
}

/// Runs each of the statements while others use the service. No call fails.
async fn serves_meanwhile(service: Service, run: impl AsyncFn(&str), statements: &str) {
    let service = Arc::new(service);
    let is_over = Arc::new(AtomicBool::new(false));
    let user = {
        let (service, is_over) = (Arc::clone(&service), Arc::clone(&is_over));
        tokio::spawn(async move {
            let mut session = Session::start(&service, "ada").await;
            while !is_over.load(Ordering::Relaxed) {
                session.assert_lives(&service, "17").await;
                session = session.refreshed(&service).await;
            }
            session
        })
    };
    for statement in statements.split_terminator(";\n") {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        run(statement).await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    is_over.store(true, Ordering::Relaxed);
    let session = user.await.unwrap();
    service.log_out_everywhere("17").await.unwrap();
    session.assert_is_dead(&service).await;
    assert_clean(&service).await;
    serves(&service, &["ada"]).await;
}

#[tokio::test]
async fn altered_in_sqlite() {
    let db = Sqlite::with(sql(HEADING, TABLE)).await;
    let service = db.service(table()).await;
    db.run(INSERT).await;
    serves_meanwhile(service, async |sql: &str| db.run(sql).await, sql(HEADING, ALTER)).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn altered_in_postgres() {
    let Some(db) = Postgres::with(sql(HEADING, TABLE)).await else { return };
    let service = db.service(table()).await;
    db.run(INSERT).await;
    let only = sql(HEADING, "PostgreSQL only, while the application runs");
    let statements = sql(HEADING, ALTER).to_owned() + only;
    serves_meanwhile(service, async |sql: &str| db.run(sql).await, &statements).await;
    db.end().await;
}

/// SQLite changes a column's type by building the table anew, which loses its triggers.
#[tokio::test]
async fn rebuilt_in_sqlite() {
    let db = Sqlite::with(sql(HEADING, TABLE)).await;
    let service = db.service(table()).await;
    db.run(INSERT).await;
    let session = Session::start(&service, "ada").await;
    db.run(
        "BEGIN;
         CREATE TABLE accounts_new (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE,
             password_hash TEXT, token_version INTEGER, carried TEXT, sessions TEXT, lanes TEXT);
         INSERT INTO accounts_new SELECT id, email, password_hash, token_version, carried, sessions,
             lanes FROM accounts;
         DROP TABLE accounts;
         ALTER TABLE accounts_new RENAME TO accounts;
         COMMIT;",
    )
    .await;
    let session = session.refreshed(&service).await;
    session.assert_lives(&service, "17").await;
    assert_only(&service, &["its first version"]).await;
    let service = db.service(table()).await;
    session.assert_lives(&service, "17").await;
    db.run("INSERT INTO accounts (id, email, password_hash) VALUES (18, 'bob', :hash)").await;
    let bob = db.store(table()).await.read(UserKey::Id("18")).await.unwrap().unwrap();
    assert!(bob.columns.version > Some(0), "the trigger is there again");
    assert_clean(&service).await;
    serves(&service, &["ada"]).await;
}
