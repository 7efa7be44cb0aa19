//! A table of users for one test, and a service over it.

use std::sync::{Arc, Mutex};

use relatch::{
    Authority, MasterKey,
    service::Service,
    sessions::SessionEvent,
    store::{PostgresStore, UserStore, UsersTable},
};
use sqlx::PgPool;

use super::{
    calls::user,
    databases::{postgres, postgres_url, run_postgres, unique, url_of},
};

pub(super) const USERS: usize = 25;

/// A table of its own with users, the role that owns it, and the URL of that role.
pub(super) struct Scratch {
    pub(super) admin: PgPool,
    pub(super) table: UsersTable,
    pub(super) role: String,
}

impl Scratch {
    pub(super) async fn new() -> Option<Self> {
        let admin = postgres().await?;
        let role = unique("role");
        let table = UsersTable::named(&role).secret("secret").active("is_active");
        let sql = format!(
            "CREATE ROLE {role} LOGIN; \
             CREATE TABLE {role} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT, \
                 token_version BIGINT, carried TEXT, sessions TEXT, lanes TEXT, secret TEXT, \
                 is_active BOOLEAN DEFAULT true, tenant TEXT); \
             CREATE TABLE {role}_tenants (id TEXT PRIMARY KEY, epoch BIGINT); \
             INSERT INTO {role}_tenants VALUES ('x', 0); \
             GRANT ALL ON {role}, {role}_tenants TO {role}"
        );
        run_postgres(&admin, sql).await;
        let scratch = Self { admin, table, role };
        let store = scratch.connect(&postgres_url()?).await;
        for id in 0..USERS {
            assert!(store.insert(user(id)).await.unwrap());
        }
        Some(scratch)
    }

    pub(super) fn url(&self) -> String {
        url_of(&self.role, "postgres").unwrap()
    }

    pub(super) async fn connect(&self, url: &str) -> PostgresStore {
        PostgresStore::connect(url, self.table.clone()).await.unwrap()
    }

    pub(super) async fn version(&self, id: usize) -> i64 {
        let sql = format!("SELECT token_version FROM {} WHERE id = $1", self.role);
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(id.to_string());
        query.fetch_one(&self.admin).await.unwrap()
    }

    /// The number of the role's statements that wait for a lock.
    pub(super) async fn waiting(&self) -> i64 {
        let waiting =
            "SELECT count(*) FROM pg_stat_activity WHERE usename = $1 AND wait_event_type = 'Lock'";
        sqlx::query_scalar(waiting).bind(&self.role).fetch_one(&self.admin).await.unwrap()
    }

    /// Ends the role's connections.
    pub(super) async fn terminate(&self) {
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
        sqlx::query(terminate).bind(&self.role).execute(&self.admin).await.unwrap();
    }
}

pub(super) type Events = Arc<Mutex<Vec<SessionEvent>>>;

pub(super) fn service<F>(store: impl UserStore<Fields = F>) -> (Service<F>, Events)
where
    F: Clone + Send + Sync + 'static,
{
    let key = MasterKey::generate("k").unwrap();
    let authority = Authority::builder(key, "https://i", "https://a").build().unwrap();
    let events = Events::default();
    let heard = Arc::clone(&events);
    let service = Service::builder(authority, store)
        .store_timeout(time::Duration::minutes(2))
        .on_event(move |event| heard.lock().unwrap().push(event.clone()))
        .build();
    (service, events)
}
