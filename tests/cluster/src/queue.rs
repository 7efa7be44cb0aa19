//! A server whose queue of notifications is full, because a listener has been idle in a transaction for
//! long.

use std::{path::Path, time::Duration};

use relatch::{
    Access, RefreshToken, SessionTokens, Token,
    service::{CachePolicy, Service, ServiceError},
    store::{PostgresStore, UsersTable},
};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::{Instant, sleep};

use crate::{
    cluster::Cluster,
    expect, plain,
    pooler::Pooler,
    prepare,
    rpc::Database,
    site::{Failure, Site, authority},
    storm::{FIRST_PASSWORD, user_id},
};

const SESSIONS: u32 = 16;

/// The cache's bound of another process.
const BOUND: Duration = Duration::from_secs(1);

/// The delay allowed for a busy machine.
const SLACK: Duration = Duration::from_secs(2);

const USERS: usize = 8;

/// Starts a server of the version whose queue can be made small.
async fn cluster(directory: &Path) -> Result<Cluster, Failure> {
    Cluster::start_with(&directory.join("queue"), Some("18"), &["max_notify_queue_pages = 64"])
        .await
}

pub async fn run(directory: &Path) -> Result<(), Failure> {
    let cluster = cluster(directory).await?;
    let database = cluster.database("queue").await?;
    drop(prepare(&plain(database.clone(), SESSIONS), 2 * USERS).await?);
    let Database::Postgres(url) = &database else { return Err("no database".into()) };
    PostgresStore::connect(url, UsersTable::ready()).await?.migrate_triggers().await?;
    revoke(&cluster, url, database.clone(), 0).await?;
    let pooler = Pooler::start("packaged", &directory.join("queue-pooler"), url).await?;
    revoke(&cluster, url, pooler.database("queue"), USERS).await
}

/// Fills the queue, and makes every kind of revocation through this way to the database.
async fn revoke(
    cluster: &Cluster,
    url: &str,
    database: Database,
    first_user: usize,
) -> Result<(), Failure> {
    let way = if matches!(database, Database::Pooled(_)) { ", through PgBouncer" } else { "" };
    let site = Site::open(&plain(database, SESSIONS)).await?;
    let store = PostgresStore::connect(url, UsersTable::ready()).await?;
    let admin = cluster.admin("queue").await?;
    let holder = fill(url).await?;

    // The other process has a cache and hears nothing.
    let bound = CachePolicy::new(BOUND.try_into()?, 1000)?;
    let there = Service::builder(authority(SESSIONS)?, store.clone()).cache(bound).build();
    let listener = store.listen(there.changes());
    let mut failed = Vec::new();
    for (user, revocation) in REVOCATIONS.into_iter().enumerate() {
        let id = user_id(first_user + user);
        let revoked = revoke_one(&site.service, &there, &admin, revocation, &id).await?;
        failed.extend(revoked.err().map(|error| format!("{revocation}: {error}")));
    }
    let done = REVOCATIONS.len() - failed.len();
    println!("queue of notifications full{way}: {done} of {} revocations", REVOCATIONS.len());
    expect(failed.is_empty(), "revocations while the queue is full", &failed)?;

    drop(listener);
    holder.close().await?;
    until_notified(&site.service, &store, &admin, &user_id(first_user)).await?;
    admin.close().await;
    Ok(())
}

/// Makes one revocation, and waits until the other process has it. Gives the error of the revocation.
async fn revoke_one(
    here: &Service,
    there: &Service,
    admin: &PgPool,
    revocation: &str,
    id: &str,
) -> Result<Result<(), Failure>, Failure> {
    let tokens = here.login(id, FIRST_PASSWORD, "device").await?;
    let tokens = here.refresh(RefreshToken::new(tokens.refresh().expose())).await?;
    let found = there.authenticate(tokens.access()).await.map(drop);
    expect(found.is_ok(), "before the revocation", &found)?;
    let session = here.authenticate_fresh(tokens.access()).await?;
    let answer: Result<(), ServiceError> = match revocation {
        "log_out" => here.log_out(&session).await.map(drop),
        "log_out_others" => here.log_out_others(tokens.access()).await.map(drop),
        "log_out_everywhere" => here.log_out_everywhere(id).await.map(drop),
        "change_password" => here
            .change_password(tokens.access(), FIRST_PASSWORD, "another password")
            .await
            .map(drop),
        "set_password" => here.set_password(id, "another password").await.map(drop),
        "disable" => here.disable(id).await.map(drop),
        "delete" => here.delete(id).await,
        _ => {
            let sql = "UPDATE relatch_users SET token_version = token_version + 1 WHERE id = $1";
            if let Err(error) = sqlx::query(sql).bind(id).execute(admin).await {
                return Ok(Err(error.into()));
            }
            Ok(())
        }
    };
    if let Err(error) = answer {
        return Ok(Err(error.into()));
    }
    until_refused(there, &tokens, revocation).await?;
    let found = here.authenticate_fresh(tokens.access()).await.map(drop);
    expect(is_refused(&found), revocation, &found)?;
    Ok(Ok(()))
}

/// Notifications arrive again, once the queue is empty.
async fn until_notified(
    here: &Service,
    store: &PostgresStore,
    admin: &PgPool,
    id: &str,
) -> Result<(), Failure> {
    let since = Instant::now();
    let free = "SELECT pg_notification_queue_usage() < 0.5";
    while !sqlx::query_scalar::<_, bool>(free).fetch_one(admin).await? {
        expect(since.elapsed().as_secs() < 20, "the queue becomes empty", &since.elapsed())?;
        sleep(Duration::from_millis(50)).await;
    }
    let long = CachePolicy::new(time::Duration::minutes(10), 1000)?;
    let there = Service::builder(authority(SESSIONS)?, store.clone()).cache(long).build();
    let listener = store.listen(there.changes());
    let since = Instant::now();
    while !listener.is_connected() {
        expect(since.elapsed().as_secs() < 20, "a listener is connected", &since.elapsed())?;
        sleep(Duration::from_millis(20)).await;
    }
    let tokens = here.start_session(id, "device").await?;
    there.authenticate(tokens.access()).await.map(drop)?;
    here.log_out_everywhere(id).await?;
    until_refused(&there, &tokens, "a notification after the queue was full").await
}

/// What revokes; the last is the application's own statement, with the library's triggers.
const REVOCATIONS: [&str; USERS] = [
    "log_out",
    "log_out_others",
    "log_out_everywhere",
    "change_password",
    "set_password",
    "disable",
    "delete",
    "UPDATE",
];

/// Fills the queue, and returns the listener that keeps it full.
async fn fill(url: &str) -> Result<PgConnection, Failure> {
    let mut holder = PgConnection::connect(url).await?;
    for statement in ["LISTEN filling", "BEGIN", "SELECT 1"] {
        sqlx::query(statement).execute(&mut holder).await?;
    }
    let mut filling = PgConnection::connect(url).await?;
    // One notification has up to 8,000 bytes; small ones fill what the large ones leave.
    for size in [7000, 1] {
        let notify = format!("SELECT pg_notify('filling', repeat('x', {size}))");
        let mut count = 0;
        let error = loop {
            match sqlx::query(sqlx::AssertSqlSafe(notify.clone())).execute(&mut filling).await {
                Ok(_) if count < 100_000 => count += 1,
                Ok(_) => return Err("the queue was never full".into()),
                Err(error) => break error,
            }
        };
        let code = error.as_database_error().and_then(|error| error.code()).unwrap_or_default();
        expect(code == "54000", "the queue is full", &error)?;
    }
    filling.close().await?;
    Ok(holder)
}

/// Waits until the other process refuses the token, up to its cache's bound.
async fn until_refused(
    there: &Service,
    tokens: &SessionTokens,
    revocation: &str,
) -> Result<(), Failure> {
    let answered = Instant::now();
    loop {
        let asked = answered.elapsed();
        let found =
            there.authenticate(&Token::<Access>::new(tokens.access().expose())).await.map(drop);
        if is_refused(&found) {
            return Ok(());
        }
        expect(found.is_ok(), revocation, &found)?;
        expect(asked < BOUND + SLACK, &format!("{revocation} is refused elsewhere"), &asked)?;
        sleep(Duration::from_millis(20)).await;
    }
}

fn is_refused(found: &Result<(), ServiceError>) -> bool {
    matches!(found, Err(ServiceError::Rejected(_)))
}
