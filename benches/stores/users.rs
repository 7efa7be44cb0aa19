//! Users in the ready table of each store; some of them are logged in on three devices.

use std::path::Path;

use relatch::{
    BindingMode, User,
    service::{CachePolicy, Service},
    sessions::SessionInfo,
    store::{PostgresStore, SqliteStore, StoredUser, UserStore, UsersTable},
};
use relatch_benches::{Claims, Pool, WARM, authority, user_id};
use sqlx::{Connection, PgConnection, SqliteConnection};
use time::Duration;

use crate::{LoggedIn, Servers};

/// The users in each table.
pub(crate) const USERS: usize = 100_000;

/// The numbers of the users who have tokens: far from one another in the table.
pub(crate) fn warm() -> impl Iterator<Item = usize> {
    (0..WARM).map(|number| number * (USERS / WARM))
}

pub(crate) struct Users {
    /// The users of `postgres`, cached.
    pub(crate) cached: LoggedIn,
    pub(crate) sqlite: LoggedIn,
    pub(crate) postgres: LoggedIn,
}

impl Users {
    pub(crate) async fn prepare(servers: &Servers) -> Self {
        let postgres =
            PostgresStore::connect(&servers.postgres, UsersTable::ready()).await.unwrap();
        postgres.migrate().await.unwrap();
        fill_postgres(&servers.postgres).await;

        let file = servers.sqlite();
        let sqlite = SqliteStore::open(&file, UsersTable::ready()).await.unwrap();
        sqlite.migrate().await.unwrap();
        fill_sqlite(&sqlite_url(&file)).await;

        let policy = CachePolicy::new(Duration::HOUR, USERS).unwrap();
        Self {
            cached: log_in(postgres.clone(), Some(policy)).await,
            sqlite: log_in(sqlite, None).await,
            postgres: log_in(postgres, None).await,
        }
    }
}

pub(crate) fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}", file.display())
}

async fn log_in(store: impl UserStore<Fields = ()>, policy: Option<CachePolicy>) -> LoggedIn {
    let service = Service::builder(authority(BindingMode::Key), store).claims(claims);
    let service = match policy {
        Some(policy) => service.cache(policy),
        None => service,
    };
    let service = service.build();
    let mut tokens = Vec::with_capacity(WARM);
    for user in warm() {
        let id = user_id(user);
        let start = |label| service.start_session(&id, label);
        drop(start("Firefox on Linux").await.unwrap());
        drop(start("Safari on an iPhone").await.unwrap());
        let (access, _) = start("Chrome on Windows").await.unwrap().into_parts();
        tokens.push(access);
    }
    (service, Pool::new(tokens))
}

/// The claims of a plain token of the user.
fn claims(user: &StoredUser, _: Option<&SessionInfo>) -> Claims {
    Claims::of(usize::from_str_radix(&user.id()[..8], 16).unwrap())
}

async fn fill_postgres(url: &str) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    let insert = "INSERT INTO relatch_users (id, login, password_hash) \
        SELECT lpad(to_hex(n), 8, '0') || '-7f3a-4c1e-9b2d-0123456789ab', \
            'user' || n || '@example.com', \
            '$argon2id$v=19$m=19456,t=2,p=1$' || lpad(n::text, 22, '0') || \
            '$Wmc6Nq0mZ4T7nJm8yJ3n1i0mVb6cQ2s7l4yq8h5oXkE' \
        FROM generate_series(0, $1::int - 1) AS n";
    sqlx::query(insert).bind(USERS as i32).execute(&mut connection).await.unwrap();
    sqlx::query("VACUUM ANALYZE relatch_users").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn fill_sqlite(url: &str) {
    let mut connection = SqliteConnection::connect(url).await.unwrap();
    let insert = "WITH RECURSIVE numbers (n) AS \
            (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < $1) \
        INSERT INTO relatch_users (id, login, password_hash) \
        SELECT printf('%08x-7f3a-4c1e-9b2d-0123456789ab', n), \
            'user' || n || '@example.com', \
            '$argon2id$v=19$m=19456,t=2,p=1$' || printf('%022d', n) || \
            '$Wmc6Nq0mZ4T7nJm8yJ3n1i0mVb6cQ2s7l4yq8h5oXkE' \
        FROM numbers";
    sqlx::query(insert).bind(USERS as i64).execute(&mut connection).await.unwrap();
    sqlx::query("ANALYZE").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
