//! The service of each process: the same keys, over the same table.

use std::{error::Error, fmt, process::Output};

use relatch::{
    Authority, MasterKey, SessionPolicy,
    service::{CachePolicy, Service, ServiceBuilder},
    store::{
        Listener, NewUser, PostgresOptions, PostgresStore, Row, SqliteStore, StoreError, UserKey,
        UserStore, UsersTable,
    },
    throttle::Throttle,
};
use time::Duration;

use crate::rpc::{Config, Database};

pub type Failure = Box<dyn Error + Send + Sync>;

/// A program that is not available on this machine.
#[derive(Debug)]
pub struct Missing(pub String);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Missing {}

/// The output of a script that starts a server.
pub fn started(what: &str, output: Output) -> Result<String, Failure> {
    match output.status.code() {
        Some(0) => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
        Some(77) => Err(Missing(what.to_owned()).into()),
        _ => Err(format!("{what} failed").into()),
    }
}

/// A service and its store.
pub struct Site {
    pub service: Service,
    pub store: Store,
    pub listener: Option<Listener>,
}

#[derive(Clone)]
pub enum Store {
    Postgres(PostgresStore),
    Sqlite(SqliteStore),
}

impl Site {
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        let authority = authority(config.max_sessions)?;
        let store = match &config.database {
            Database::Postgres(url) => {
                Store::Postgres(PostgresStore::connect(url, UsersTable::ready()).await?)
            }
            Database::Pooled(url) => {
                let options = PostgresOptions::new().behind_pooler();
                Store::Postgres(options.connect(url, UsersTable::ready()).await?)
            }
            Database::Sqlite(path) => {
                Store::Sqlite(SqliteStore::open(path, UsersTable::ready()).await?)
            }
        };
        let service = match &store {
            Store::Postgres(store) => build(Service::builder(authority, store.clone()), config)?,
            Store::Sqlite(store) => build(Service::builder(authority, store.clone()), config)?,
        };
        let listener = match (&store, config.listens) {
            (Store::Postgres(store), true) => Some(store.listen(service.changes())),
            _ => None,
        };
        Ok(Self { service, store, listener })
    }
}

impl Store {
    pub async fn migrate(&self) -> Result<(), StoreError> {
        match self {
            Self::Postgres(store) => store.migrate().await,
            Self::Sqlite(store) => store.migrate().await,
        }
    }

    pub async fn insert(&self, user: NewUser) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(store) => store.insert(user).await,
            Self::Sqlite(store) => store.insert(user).await,
        }
    }

    pub async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        match self {
            Self::Postgres(store) => store.delete(id).await,
            Self::Sqlite(store) => store.delete(id).await,
        }
    }

    pub async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        match self {
            Self::Postgres(store) => store.bump_version(id, at_least).await,
            Self::Sqlite(store) => store.bump_version(id, at_least).await,
        }
    }

    pub async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
        match self {
            Self::Postgres(store) => store.read(key).await,
            Self::Sqlite(store) => store.read(key).await,
        }
    }
}

/// With the longest grace: a retry here follows a loss, never a theft.
pub fn authority(max_sessions: u32) -> Result<Authority, Failure> {
    let policy = SessionPolicy::new().max_sessions(max_sessions).grace(SessionPolicy::MAX_GRACE);
    let key = MasterKey::from_bytes("k1", &[7; 32])?;
    let authority = Authority::builder(key, "https://i", "https://a").sessions(policy);
    Ok(authority.lifetime(Duration::hours(1)).build()?)
}

/// Without limits, because the load logs the same users in all the time.
fn build(settings: ServiceBuilder, config: &Config) -> Result<Service, Failure> {
    let settings = settings.throttle(Throttle::danger_unlimited());
    Ok(match config.staleness_ms {
        Some(ms) => settings.cache(CachePolicy::new(Duration::milliseconds(ms), 10_000)?).build(),
        None => settings.build(),
    })
}
