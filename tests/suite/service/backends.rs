//! The stores that the suite runs over.

use std::{
    env, fs,
    path::PathBuf,
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use relatch::store::{MemoryStore, NewUser, SqliteStore, UserStore, UsersTable};
#[cfg(feature = "postgres")]
use relatch::store::{PostgresOptions, PostgresStore};
use serde::Deserialize;
#[cfg(feature = "postgres")]
use sqlx::PgPool;
use sqlx::{AssertSqlSafe, SqlitePool, sqlite::SqliteConnectOptions};

#[cfg(feature = "postgres")]
use crate::store::databases::through_pooler;

/// The application's own fields in a user's row.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Profile {
    pub(crate) email: Option<String>,
    pub(crate) role: Option<String>,
}

/// A column of a user's row, for writes by the application's own SQL.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Column {
    Version,
    PasswordHash,
    Carried,
    Sessions,
    Lanes,
    Email,
    Role,
}

/// An empty store of one test.
pub(crate) trait Backend: 'static {
    type Store: UserStore<Fields = Profile> + Clone;

    fn store(&self) -> &Self::Store;

    async fn insert(&self, user: NewUser);

    /// An unconditional write by the application's own SQL.
    async fn write(&self, id: &str, column: Column, value: Option<&str>);
}

pub(crate) struct Memory(MemoryStore<Profile>);

impl Memory {
    pub(crate) fn new() -> Self {
        Self(MemoryStore::new())
    }
}

impl Backend for Memory {
    type Store = MemoryStore<Profile>;

    fn store(&self) -> &Self::Store {
        &self.0
    }

    async fn insert(&self, user: NewUser) {
        assert!(self.0.insert(user, Profile::default()));
    }

    async fn write(&self, id: &str, column: Column, value: Option<&str>) {
        let text = value.map(str::to_owned);
        let is_there = self.0.edit(id, |row| match column {
            Column::Version => row.columns.version = value.map(|value| value.parse().unwrap()),
            Column::PasswordHash => row.columns.password_hash = text,
            Column::Carried => row.columns.carried = text,
            Column::Sessions => row.columns.sessions = text,
            Column::Lanes => row.columns.lanes = text,
            Column::Email => row.fields.email = text,
            Column::Role => row.fields.role = text,
        });
        assert!(is_there);
    }
}

/// A SQLite file, deleted on drop.
pub(crate) struct Sqlite {
    store: SqliteStore<Profile>,
    pool: SqlitePool,
    directory: PathBuf,
}

impl Sqlite {
    pub(crate) async fn new() -> Self {
        let directory = env::temp_dir().join(format!("relatch-suite-{}", unique()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("users.sqlite");
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true);
        let pool = SqlitePool::connect_with(options).await.unwrap();
        sqlx::query(AssertSqlSafe(create("accounts"))).execute(&pool).await.unwrap();
        let store = SqliteStore::open(&path, table("accounts")).await.unwrap();
        store.migrate().await.unwrap();
        Self { store, pool, directory }
    }

    /// Runs the application's own SQL. Its table is `accounts`.
    pub(crate) async fn run(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }
}

impl Sqlite {
    pub(crate) fn table(&self) -> &str {
        "accounts"
    }
}

impl Backend for Sqlite {
    type Store = SqliteStore<Profile>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn insert(&self, user: NewUser) {
        assert!(self.store.insert(user).await.unwrap());
    }

    async fn write(&self, id: &str, column: Column, value: Option<&str>) {
        let query = sqlx::query(AssertSqlSafe(update("accounts", column)));
        let query = match column {
            Column::Version => query.bind(value.map(|value| value.parse::<i64>().unwrap())),
            _ => query.bind(value.map(str::to_owned)),
        };
        let done = query.bind(id.to_owned()).execute(&self.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A table in the database that `RELATCH_TEST_POSTGRES` names.
#[cfg(feature = "postgres")]
pub(crate) struct Postgres {
    store: PostgresStore<Profile>,
    pool: PgPool,
    name: String,
}

#[cfg(feature = "postgres")]
impl Postgres {
    /// `None`, with a message, if the variable is not set.
    pub(crate) async fn new() -> Option<Self> {
        let Ok(url) = env::var("RELATCH_TEST_POSTGRES") else {
            println!("skipped: RELATCH_TEST_POSTGRES names no server");
            return None;
        };
        let name = format!("accounts_{}", unique());
        let pool = PgPool::connect(&url).await.unwrap();
        sqlx::query(AssertSqlSafe(create(&name))).execute(&pool).await.unwrap();
        let (options, url) = through_pooler(PostgresOptions::new(), &url);
        let store = options.connect(&url, table(&name)).await.unwrap();
        store.migrate().await.unwrap();
        Some(Self { store, pool, name })
    }

    pub(crate) fn table(&self) -> &str {
        &self.name
    }

    /// Connections that no proxy pools.
    pub(crate) const fn direct(&self) -> &PgPool {
        &self.pool
    }

    /// Runs the application's own SQL, with the name of its table for `accounts`.
    pub(crate) async fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.replace("accounts", &self.name));
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }
}

#[cfg(feature = "postgres")]
impl Backend for Postgres {
    type Store = PostgresStore<Profile>;

    fn store(&self) -> &Self::Store {
        &self.store
    }

    async fn insert(&self, user: NewUser) {
        assert!(self.store.insert(user).await.unwrap());
    }

    async fn write(&self, id: &str, column: Column, value: Option<&str>) {
        let query = sqlx::query(AssertSqlSafe(update(&self.name, column)));
        let query = match column {
            Column::Version => query.bind(value.map(|value| value.parse::<i64>().unwrap())),
            _ => query.bind(value),
        };
        let done = query.bind(id).execute(&self.pool).await.unwrap();
        assert_eq!(done.rows_affected(), 1);
    }
}

/// The application's table.
fn create(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT NOT NULL UNIQUE, password_hash TEXT, \
         secret TEXT, enabled BOOLEAN NOT NULL DEFAULT TRUE, email TEXT, role TEXT)"
    )
}

fn table(name: &str) -> UsersTable<Profile> {
    UsersTable::named(name).secret("secret").active("enabled").fields(["email", "role"])
}

fn update(table: &str, column: Column) -> String {
    let column = match column {
        Column::Version => "token_version",
        Column::PasswordHash => "password_hash",
        Column::Carried => "carried",
        Column::Sessions => "sessions",
        Column::Lanes => "lanes",
        Column::Email => "email",
        Column::Role => "role",
    };
    format!("UPDATE {table} SET {column} = $1 WHERE id = $2")
}

/// A name that is unique among all tests and runs.
fn unique() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    format!("{}_{now}_{count}", process::id())
}
