//! Recipes for roles, policies and schemas of PostgreSQL.

#![cfg(feature = "postgres")]

use relatch::store::{GroupsTable, NewUser, PostgresStore, UsersTable};
use sqlx::postgres::PgPoolOptions;

use super::*;
use crate::{service::hash, store::databases::run_postgres};

const RIGHTS: &str = "Least privilege";

fn accounts_of_tenants() -> UsersTable {
    on_page!(
        RIGHTS,
        UsersTable::named("auth.accounts").login("email").active("is_active").user_epoch(
            "tenant",
            "tenant_id",
            GroupsTable::named("auth.tenants")
        )
    )
}

/// A database whose role `login_service` has the rights of the page and no others.
async fn with_rights() -> Option<Postgres> {
    let db = Postgres::new().await?;
    db.create_role("login_service").await;
    db.run(sql(RIGHTS, "PostgreSQL, the table")).await;
    db.migrated(accounts_of_tenants()).await;
    // What every role of PostgreSQL has, unless it is taken away.
    db.run(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC;
         DO $$ BEGIN
             EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
             EXECUTE format('GRANT CONNECT ON DATABASE %I TO login_service', current_database());
         END $$",
    )
    .await;
    db.run(sql(RIGHTS, "PostgreSQL, the rights, after the migration")).await;
    Some(db)
}

#[tokio::test]
async fn the_least_rights_are_enough() {
    let Some(db) = with_rights().await else { return };
    let pool = db.pool_of("login_service").await;
    let salary = sqlx::query("SELECT salary FROM auth.accounts").fetch_all(&pool).await;
    assert!(salary.is_err(), "the role has more rights");

    let store = PostgresStore::new(pool, accounts_of_tenants()).unwrap();
    let authority = authority().user_epoch("tenant").build().unwrap();
    let service = Service::new(authority, store.clone());
    assert_clean(&service).await;
    assert!(store.insert(NewUser::with_password_hash("a-1", "ada", hash())).await.unwrap());
    db.run("INSERT INTO auth.tenants VALUES ('t'); UPDATE auth.accounts SET tenant_id = 't'").await;
    assert_clean(&service).await;
    let session = Session::start(&service, "ada").await;
    service.bump_epoch("tenant", "t").await.unwrap();
    session.assert_is_dead(&service).await;
    let session = Session::start(&service, "ada").await;
    service.disable("a-1").await.unwrap();
    session.assert_is_dead(&service).await;
    service.enable("a-1").await.unwrap();
    serves(&service, &["ada"]).await;
    db.end().await;
}

/// Each right of the page is needed: without it, the check finds something.
#[tokio::test]
async fn every_right_is_needed() {
    let Some(db) = with_rights().await else { return };
    let store =
        PostgresStore::new(db.pool_of("login_service").await, accounts_of_tenants()).unwrap();
    let rights = [
        (
            "SELECT",
            "id email password_hash token_version carried sessions lanes is_active tenant_id",
        ),
        ("UPDATE", "password_hash token_version carried sessions lanes is_active"),
        ("INSERT", "id email password_hash token_version"),
    ];
    let mut missing: Vec<_> = rights
        .iter()
        .flat_map(|(right, columns)| {
            columns.split(' ').map(move |column| format!("{right} ({column}) ON auth.accounts"))
        })
        .collect();
    missing.extend(
        ["SELECT (id)", "SELECT (epoch)", "UPDATE (epoch)"]
            .map(|right| format!("{right} ON auth.tenants")),
    );
    missing.push("DELETE ON auth.accounts".to_owned());
    missing.push("USAGE ON SCHEMA auth".to_owned());
    for right in missing {
        db.run(&format!("REVOKE {right} FROM login_service")).await;
        let is_optional = right.starts_with("INSERT") || right.starts_with("DELETE");
        let report = store.check().await.unwrap();
        assert!(!report.findings().is_empty(), "{right} is not needed");
        assert_eq!(report.is_ok(), is_optional, "{right}: {report}");
        if right.starts_with("USAGE") {
            let [finding] = report.findings() else { panic!("{report}") };
            assert_eq!(finding.subject(), "auth");
            let grant = finding.sql().unwrap();
            assert!(grant.starts_with("GRANT USAGE ON SCHEMA auth TO login_service"), "{grant}");
        }
        db.run(&format!("GRANT {right} TO login_service")).await;
        let report = store.check().await.unwrap();
        assert!(report.findings().is_empty(), "{right}: {report}");
    }
    db.end().await;
}

/// The report on the page about the database is a real one.
#[tokio::test]
async fn a_report_as_the_guide_shows_it() {
    let guide = include_str!("../../../../src/guide/your_database.md");
    let (_, shown) = guide.split_once("```text\n").unwrap();
    let shown: Vec<_> = shown.split_once("```").unwrap().0.split_whitespace().collect();
    let Some(db) = Postgres::with(
        "CREATE TABLE accounts (id TEXT PRIMARY KEY, email TEXT NOT NULL UNIQUE, password_hash TEXT, \
         token_version INTEGER)",
    )
    .await
    else {
        return;
    };
    let service = db.unmigrated(UsersTable::named("accounts").login("email"));
    let report = service.check().await.unwrap().to_string();
    assert!(report.contains(&shown.join(" ")), "{report}");
    db.end().await;
}

#[tokio::test]
async fn policies_that_let_the_service_work() {
    let heading = "Row-level security";
    let Some(db) = Postgres::new().await else { return };
    for role in ["login_service", "reports"] {
        db.create_role(role).await;
    }
    db.run(sql(heading, "PostgreSQL")).await;
    let table = on_page!(heading, UsersTable::named("accounts").login("email"));
    db.migrated(table.clone()).await;
    let store = PostgresStore::new(db.pool_of("login_service").await, table).unwrap();
    let service = new_service(store);
    db.run(
        "INSERT INTO accounts (id, email, password_hash, tenant) VALUES ('a-1', 'ada', :hash, 'x')",
    )
    .await;
    assert_clean(&service).await;

    let count = "SET app.tenant = 'y'; SELECT FROM accounts";
    let seen = sqlx::raw_sql(count).fetch_all(&db.pool_of("reports").await).await.unwrap();
    assert!(seen.is_empty(), "another tenant's rows");

    db.run(
        "ALTER POLICY logins ON accounts RENAME TO reads; ALTER POLICY reads ON accounts \
            WITH CHECK (false)",
    )
    .await;
    let report = service.check().await.unwrap();
    assert!(!report.is_ok(), "{report}");
    db.run("ALTER POLICY reads ON accounts WITH CHECK (true)").await;
    serves(&service, &["ada"]).await;
    db.end().await;
}

/// The table is found although another role creates a table of that name on the path.
#[tokio::test]
async fn a_search_path_of_another_role() {
    let heading = "A schema that is not on the search_path";
    let Some(db) = Postgres::with(sql(heading, "PostgreSQL")).await else { return };
    let table = on_page!(heading, UsersTable::named("auth.accounts").login("email"));
    db.migrated(table.clone()).await;
    db.run("CREATE SCHEMA other; CREATE TABLE other.accounts (LIKE auth.accounts)").await;
    for table in [table, UsersTable::named("accounts").login("email")] {
        db.run(&ADA.replace("accounts", "auth.accounts")).await;
        let pool = PgPoolOptions::new().max_connections(1);
        let pool = pool.connect_with(db.options()).await.unwrap();
        run_postgres(&pool, "SET search_path = auth").await;
        let service = new_service(PostgresStore::new(pool.clone(), table).unwrap());
        let session = Session::start(&service, "ada").await;
        run_postgres(&pool, "SET search_path = other").await;
        session.refreshed(&service).await.assert_lives(&service, "a-1").await;
        serves(&service, &["ada"]).await;
    }
    db.end().await;
}
