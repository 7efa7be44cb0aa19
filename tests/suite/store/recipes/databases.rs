//! A database for each recipe.

use relatch::{
    service::Service,
    store::{SqliteStore, UsersTable},
};
use sqlx::SqlitePool;
#[cfg(feature = "postgres")]
use {
    crate::store::databases::{postgres_url, run_postgres, unique},
    relatch::store::PostgresStore,
    sqlx::{PgPool, postgres::PgConnectOptions},
};

use super::new_service;
use crate::{
    service::hash,
    store::databases::{Directory, run_sqlite},
};

/// The hexadecimal digits of a UUID.
const BYTES: &str = "67e5504410b1426f9247bb680e5fe0c8";

/// A file of SQLite with the tables of a recipe.
pub(super) struct Sqlite {
    directory: Directory,
    pool: SqlitePool,
}

impl Sqlite {
    pub(super) async fn with(sql: &str) -> Self {
        let directory = Directory::new();
        let pool = directory.pool().await;
        run_sqlite(&pool, sql).await;
        Self { directory, pool }
    }

    /// A service over the table after `migrate`.
    pub(super) async fn service(&self, table: UsersTable) -> Service {
        let store = self.store(table).await;
        store.migrate().await.unwrap();
        new_service(store)
    }

    /// A service over the table after the text of the migration.
    pub(super) async fn service_by_sql(&self, table: UsersTable) -> Service {
        let store = self.store(table).await;
        run_sqlite(&self.pool, store.migration_sql()).await;
        new_service(store)
    }

    /// A service over the table as it is.
    pub(super) async fn unmigrated(&self, table: UsersTable) -> Service {
        new_service(self.store(table).await)
    }

    pub(super) async fn store(&self, table: UsersTable) -> SqliteStore {
        SqliteStore::open(self.directory.file(), table).await.unwrap()
    }

    /// Runs the application's own SQL, with the password's hash in place of `:hash` and an id of 16 bytes
    /// in place of `:bytes`.
    pub(super) async fn run(&self, sql: &str) {
        let sql = sql.replace(":bytes", &format!("X'{BYTES}'"));
        run_sqlite(&self.pool, sql.replace(":hash", &format!("'{}'", hash()))).await;
    }
}

/// A database of PostgreSQL with the tables of a recipe. Names of roles are the whole cluster's, so those
/// of a recipe get the database's name as a suffix.
#[cfg(feature = "postgres")]
pub(super) struct Postgres {
    cluster: PgPool,
    pool: PgPool,
    options: PgConnectOptions,
    name: String,
}

#[cfg(feature = "postgres")]
const ROLES: [&str; 2] = ["login_service", "reports"];

#[cfg(feature = "postgres")]
impl Postgres {
    /// `None` if there is no server for tests.
    pub(super) async fn new() -> Option<Self> {
        let options: PgConnectOptions = postgres_url()?.parse().unwrap();
        let cluster = PgPool::connect_with(options.clone()).await.unwrap();
        let name = unique("recipe");
        run_postgres(&cluster, format!("CREATE DATABASE {name}")).await;
        let options = options.database(&name);
        let pool = PgPool::connect_with(options.clone()).await.unwrap();
        Some(Self { cluster, pool, options, name })
    }

    pub(super) async fn with(sql: &str) -> Option<Self> {
        let this = Self::new().await?;
        this.run(sql).await;
        Some(this)
    }

    /// A service over the migrated table.
    pub(super) async fn service(&self, table: UsersTable) -> Service {
        new_service(self.migrated(table).await)
    }

    /// A service over the table as it is.
    pub(super) fn unmigrated(&self, table: UsersTable) -> Service {
        new_service(PostgresStore::new(self.pool.clone(), table).unwrap())
    }

    /// A store over the table after the text of the migration, to which `migrate` adds nothing.
    pub(super) async fn migrated(&self, table: UsersTable) -> PostgresStore {
        let store = PostgresStore::new(self.pool.clone(), table).unwrap();
        self.run(&format!("BEGIN; {} COMMIT;", store.migration_sql())).await;
        store.migrate().await.unwrap();
        store.migrate_triggers().await.unwrap();
        store
    }

    pub(super) async fn run(&self, sql: &str) {
        let sql = sql.replace(":hash", &format!("'{}'", hash()));
        let sql = sql.replace(":bytes", &format!("'\\x{BYTES}'"));
        let roles = ROLES.iter().fold(sql, |sql, role| sql.replace(role, &self.role(role)));
        run_postgres(&self.pool, roles).await;
    }

    pub(super) fn role(&self, role: &str) -> String {
        format!("{role}_{}", self.name)
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// Creates the role, which has no rights.
    pub(super) async fn create_role(&self, role: &str) {
        run_postgres(&self.cluster, format!("CREATE ROLE {} LOGIN", self.role(role))).await;
    }

    pub(super) async fn pool_of(&self, role: &str) -> PgPool {
        PgPool::connect_with(self.options.clone().username(&self.role(role))).await.unwrap()
    }

    /// Deletes the database and its roles.
    pub(super) async fn end(self) {
        run_postgres(&self.cluster, format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
        for role in ROLES {
            run_postgres(&self.cluster, format!("DROP ROLE IF EXISTS {}", self.role(role))).await;
        }
    }
}
