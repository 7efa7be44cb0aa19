//! Databases that are locked, read-only, or full.

use std::{path::Path, time::Duration};

use relatch::{
    RefreshToken, SessionTokens,
    service::{Service, ServiceError},
    store::{NewUser, SqliteStore, UsersTable},
};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqlitePoolOptions},
};
use tokio::time::Instant;

use crate::{
    cluster::Cluster,
    expect, plain, prepare,
    site::{Failure, authority},
    storm::user_id,
};

/// The longest that a call may take before it is given up.
const TIMEOUT: Duration = Duration::from_millis(5500);

const SESSIONS: u32 = 64;

/// A write while the database refuses writes must end as unavailable, in time.
async fn expect_unavailable<T: std::fmt::Debug>(
    what: &str,
    call: impl Future<Output = Result<T, ServiceError>>,
) -> Result<(), Failure> {
    let began = Instant::now();
    let outcome = call.await;
    let is_unavailable = matches!(&outcome, Err(error) if error.is_unavailable());
    expect(is_unavailable, &format!("{what} is unavailable"), &outcome)?;
    expect(began.elapsed() < TIMEOUT, &format!("{what} gave up in time"), &began.elapsed())
}

fn copy(tokens: &SessionTokens) -> RefreshToken {
    RefreshToken::new(tokens.refresh().expose())
}

async fn expect_reads(service: &Service, tokens: &SessionTokens) -> Result<(), Failure> {
    let found = service.authenticate(tokens.access()).await.map(drop);
    expect(found.is_ok(), "reads still work", &found)
}

async fn expect_writes(service: &Service, tokens: &SessionTokens) -> Result<(), Failure> {
    let found = service.refresh(copy(tokens)).await;
    expect(found.is_ok(), "the failed refresh works now", &found)?;
    expect_reads(service, &found?).await
}

async fn expect_no_writes(service: &Service, tokens: &SessionTokens) -> Result<(), Failure> {
    let id = user_id(0);
    let refresh = async { service.refresh(copy(tokens)).await.map(drop) };
    let start = async { service.start_session(&id, "device").await.map(drop) };
    expect_unavailable("a refresh", refresh).await?;
    expect_unavailable("a login", start).await?;
    expect_unavailable("a bump", service.log_out_everywhere(&id)).await
}

pub async fn postgres(cluster: &Cluster) -> Result<(), Failure> {
    let database = cluster.database("slow").await?;
    let site = prepare(&plain(database, SESSIONS), 2).await?;
    let (service, id) = (&site.service, user_id(0));
    let admin = cluster.admin("slow").await?;

    let tokens = service.start_session(&id, "device").await?;
    let mut holder = admin.begin().await?;
    sqlx::query("SELECT id FROM relatch_users FOR UPDATE").execute(&mut *holder).await?;
    let began = Instant::now();
    let refresh = async { service.refresh(copy(&tokens)).await.map(drop) };
    expect_unavailable("a refresh of a locked row", refresh).await?;
    let locked = began.elapsed();
    expect_reads(service, &tokens).await?;
    holder.rollback().await?;
    expect_writes(service, &tokens).await?;

    let tokens = service.start_session(&id, "device").await?;
    let mut holder = admin.begin().await?;
    sqlx::query("LOCK TABLE relatch_users").execute(&mut *holder).await?;
    let read = async { service.authenticate(tokens.access()).await.map(drop) };
    expect_unavailable("a read of a locked table", read).await?;
    expect_no_writes(service, &tokens).await?;
    holder.rollback().await?;
    expect_writes(service, &tokens).await?;

    let tokens = service.start_session(&id, "device").await?;
    let set = "ALTER SYSTEM SET default_transaction_read_only = on";
    sqlx::query(set).execute(&admin).await?;
    sqlx::query("SELECT pg_reload_conf()").execute(&admin).await?;
    let since = Instant::now();
    // The server's processes read the new setting one after another. A repeated refresh would not do:
    // it writes nothing.
    let another = user_id(1);
    while service.log_out_everywhere(&another).await.is_ok() && since.elapsed().as_secs() < 10 {}
    expect_no_writes(service, &tokens).await?;
    expect_reads(service, &tokens).await?;
    sqlx::query("ALTER SYSTEM RESET default_transaction_read_only").execute(&admin).await?;
    sqlx::query("SELECT pg_reload_conf()").execute(&admin).await?;
    let since = Instant::now();
    while service.refresh(copy(&tokens)).await.is_err() && since.elapsed().as_secs() < 10 {}
    expect_writes(service, &tokens).await?;
    println!("PostgreSQL locked (given up after {locked:.1?}), and read-only: recovered");
    admin.close().await;
    Ok(())
}

pub async fn sqlite(directory: &Path) -> Result<(), Failure> {
    let path = directory.join("slow.sqlite");
    let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let service_over = |pool: &SqlitePool| -> Result<_, Failure> {
        let store = SqliteStore::new(pool.clone(), UsersTable::ready())?;
        Ok((Service::new(authority(SESSIONS)?, store.clone()), store))
    };

    // A write transaction that never ends.
    let store = SqliteStore::open(&path, UsersTable::ready()).await?;
    store.migrate().await?;
    let id = user_id(0);
    store.insert(NewUser::without_password(id.clone(), id.clone())?).await?;
    let service = Service::new(authority(SESSIONS)?, store);
    let tokens = service.start_session(&id, "device").await?;
    let pool = SqlitePool::connect_with(options.clone()).await?;
    let holder = pool.begin_with("BEGIN IMMEDIATE").await?;
    let refresh = async { service.refresh(copy(&tokens)).await.map(drop) };
    expect_unavailable("a refresh of a locked file", refresh).await?;
    expect_reads(&service, &tokens).await?;
    holder.rollback().await?;
    expect_writes(&service, &tokens).await?;

    // A read-only file.
    let tokens = service.start_session(&id, "device").await?;
    let reading = SqlitePool::connect_with(options.clone().read_only(true)).await?;
    let (reader, _) = service_over(&reading)?;
    expect_no_writes(&reader, &tokens).await?;
    expect_reads(&reader, &tokens).await?;
    reading.close().await;
    expect_writes(&service, &tokens).await?;

    // A full disk: the table grows until the page limit.
    service.log_out_everywhere(&id).await?;
    let one = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    let (full, _) = service_over(&one)?;
    let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&one).await?;
    let limit = format!("PRAGMA max_page_count = {pages}");
    sqlx::query(sqlx::AssertSqlSafe(limit)).execute(&one).await?;
    let tokens = full.start_session(&id, "device").await?;
    let mut started = 1;
    let error = loop {
        let label = format!("{} {started}", "a device of a long name".repeat(2));
        match full.start_session(&id, label).await {
            Ok(_) if started < i64::from(SESSIONS) => started += 1,
            Ok(_) => return Err("the disk was never full".into()),
            Err(error) => break error,
        }
    };
    expect(error.is_unavailable(), "a login where the disk is full", &error)?;
    expect_reads(&full, &tokens).await?;
    sqlx::query("PRAGMA max_page_count = 1000000").execute(&one).await?;
    expect_writes(&full, &tokens).await?;
    let sessions = full.sessions(&full.authenticate(tokens.access()).await?).await?.len();
    expect(i64::try_from(sessions)? == started, "no session was lost", &(sessions, started))?;
    println!("SQLite locked, read-only, and full after {started} sessions: recovered");
    Ok(())
}
