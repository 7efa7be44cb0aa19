//! Recipes for kinds of tables.

use relatch::store::UsersTable;
#[cfg(feature = "postgres")]
use relatch::store::{NewUser, StoreErrorKind};

use super::*;
#[cfg(feature = "postgres")]
use crate::service::hash;

const VIEWS: &str = "Views";

#[tokio::test]
async fn a_strict_table_in_sqlite() {
    let heading = "STRICT tables";
    let db = Sqlite::with(sql(heading, "SQLite")).await;
    let table = on_page!(heading, UsersTable::named("accounts").login("email").active("is_active"));
    let service = db.service(table.clone()).await;
    db.run(ADA).await;
    let session = Session::start(&service, "ada").await;
    service.disable("a-1").await.unwrap();
    session.assert_is_dead(&service).await;
    service.enable("a-1").await.unwrap();
    assert_clean(&service).await;
    serves(&service, &["ada"]).await;

    let db = Sqlite::with(sql(heading, "SQLite")).await;
    let service = db.service_by_sql(table).await;
    db.run(ADA).await;
    serves(&service, &["ada"]).await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_partitioned_table_in_postgres() {
    let heading = "Partitioned tables";
    let Some(db) = Postgres::with(sql(heading, "PostgreSQL")).await else { return };
    let table = on_page!(heading, UsersTable::named("accounts").id("username").login("username"));
    let store = db.migrated(table).await;
    let service = new_service(store.clone());
    for name in ["ada", "bob", "eve"] {
        let user = NewUser::with_password_hash(name, name, hash());
        assert!(store.insert(user).await.unwrap());
    }
    let error = store.insert(NewUser::with_password_hash("a", "b", hash())).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
    assert_clean(&service).await;
    for name in ["ada", "bob", "eve"] {
        serves(&service, &[name]).await;
    }
    db.end().await;
}

/// No index keeps a login unique in all partitions, unless it is what they are made by.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_table_that_is_partitioned_by_another_column() {
    let Some(db) = Postgres::with(
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT NOT NULL, password_hash TEXT) \
         PARTITION BY HASH (id)",
    )
    .await
    else {
        return;
    };
    let service = db.unmigrated(UsersTable::named("accounts").login("email"));
    let report = service.check().await.unwrap();
    let is_told = report.findings().iter().any(|finding| {
        finding.subject() == "accounts.email" && finding.text().contains("no unique index")
    });
    assert!(is_told && !report.is_ok(), "{report}");
    db.end().await;
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_view_in_postgres() {
    let Some(db) = Postgres::with(sql(VIEWS, "PostgreSQL")).await else { return };
    db.migrated(UsersTable::named("people").login("mail")).await;
    db.run(sql(VIEWS, "PostgreSQL, after the migration of the table")).await;
    let table = on_page!(VIEWS, UsersTable::named("members").login("email"));
    let service = db.unmigrated(table);
    db.run("INSERT INTO people (id, mail, password_hash) VALUES ('a-1', 'ada', :hash)").await;
    db.run("INSERT INTO people (id, mail, kind) VALUES ('b-1', 'bob', 'guest')").await;
    assert_only(&service, &["it is a view"]).await;
    assert_refused(&service, "bob").await;
    serves(&service, &["ada"]).await;
    db.end().await;
}

#[tokio::test]
async fn a_view_in_sqlite_is_refused() {
    let view = sql(VIEWS, "PostgreSQL, after the migration of the table");
    let columns = "token_version INTEGER, carried TEXT, sessions TEXT, lanes TEXT";
    let people = sql(VIEWS, "PostgreSQL").replace("kind ", &format!("{columns}, kind "));
    let db = Sqlite::with(&(people + view)).await;
    let service = db.unmigrated(UsersTable::named("members").login("email")).await;
    let report = service.check().await.unwrap();
    assert!(!report.is_ok(), "{report}");
}
