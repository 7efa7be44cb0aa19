//! The options of a store in PostgreSQL.

use std::{fmt, io, str::FromStr, time::Duration as StdDuration};

use sqlx::{
    Connection as _, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use time::Duration;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::{TIMEOUT, lock_timeout, statement_timeout};
use crate::{
    error::ConfigError,
    store::{
        StoreError, UsersTable,
        sql::{
            Engine, Name,
            postgres::{PING, PostgresDriver, PostgresStore, Timeouts, failure},
        },
    },
};

/// A connection that was idle for longer is pinged before use.
const IDLE: StdDuration = StdDuration::from_secs(1);

/// The options of a [`PostgresStore`].
///
/// # Example
///
/// ```no_run
/// use relatch::store::{PostgresOptions, UsersTable};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let users = PostgresOptions::new()
///     .behind_pooler()
///     .listen_url("postgres://app@db.internal:5432/app")
///     .connect("postgres://app@pgbouncer.internal:6432/app", UsersTable::ready())
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until a store is made of them"]
pub struct PostgresOptions {
    behind_pooler: bool,
    listen_url: Option<Zeroizing<String>>,
    channel: String,
    timeout: StdDuration,
    max_connections: u32,
}

impl PostgresOptions {
    /// The default options: a direct connection to the server.
    pub fn new() -> Self {
        Self {
            behind_pooler: false,
            listen_url: None,
            channel: "relatch".to_owned(),
            timeout: TIMEOUT,
            max_connections: 10,
        }
    }

    /// Works through a proxy that pools transactions, such as PgBouncer with
    /// `pool_mode=transaction`.
    ///
    /// Such a proxy may send two messages of one client to two server connections, unless they are in one
    /// transaction. With this option each statement runs unnamed in a transaction of its own, which also
    /// sets the timeouts. That takes four round trips instead of one. The store sends no startup option
    /// that PgBouncer 1.18 refuses; leave `options=…` out of the URL.
    ///
    /// It does not work with PgBouncer's `pool_mode=statement`, which allows no transactions. A proxy in
    /// `pool_mode=session` needs no option, and neither does a direct connection.
    ///
    /// The proxy passes no notifications on: set [`listen_url`](Self::listen_url) to listen.
    ///
    /// # Security
    ///
    /// **Without this option a proxy that pools transactions mixes up the statements of its clients**: a
    /// read may run another client's `DELETE`. No setting of the driver's statement cache prevents it.
    pub fn behind_pooler(self) -> Self {
        Self { behind_pooler: true, ..self }
    }

    /// Sets the URL to which [`PostgresStore::listen`] connects: that of the server itself, not of the
    /// pooling proxy. Default: the options of the store's pool.
    pub fn listen_url(self, url: impl Into<String>) -> Self {
        Self { listen_url: Some(Zeroizing::new(url.into())), ..self }
    }

    /// Sets the channel of the notifications of revocations. Default: `relatch`. It must be the same for
    /// all processes over one table, and follow the rules for a column's name.
    pub fn channel(self, channel: impl Into<String>) -> Self {
        Self { channel: channel.into(), ..self }
    }

    /// Sets the timeout of a call, after which it fails as unreachable. Default: 5 seconds.
    ///
    /// If the store [connects](Self::connect) by itself or is [behind a pooler](Self::behind_pooler), the
    /// server aborts a statement that waits for a lock after two fifths of the timeout, and any other
    /// statement shortly before half of it. If a connection has not answered after half of the timeout,
    /// the store closes it, and continues the call on another connection.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::ZERO).unsigned_abs(), ..self }
    }

    /// Sets the greatest number of connections of the pool that [`connect`](Self::connect) makes, at
    /// least 1. Default: 10.
    pub fn max_connections(self, count: u32) -> Self {
        Self { max_connections: count, ..self }
    }

    /// Connects with a new pool.
    ///
    /// A call waits up to 2 seconds for a connection. Reads and ordinary changes, such as logins, leave two
    /// connections to revocations (one, if the pool has at most four), and ordinary changes use at most
    /// half of the others. Changes and revocations together leave as many connections to reads, if the pool
    /// has at least three.
    ///
    /// # Security
    ///
    /// For TLS, enable one of `sqlx`'s `tls-…` features, in the version that this crate uses, **and**
    /// set `sslmode=verify-full` in the URL: the default silently falls back to plain text.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server cannot be reached, or an option or the table's description is not
    /// valid ([`ConfigError`]).
    pub async fn connect<F: Clone + Send + Sync + 'static>(
        self,
        url: &str,
        table: UsersTable<F>,
    ) -> Result<PostgresStore<F>, StoreError> {
        if self.max_connections == 0 {
            let text = "a pool needs at least one connection";
            return Err(ConfigError::new("max_connections", text).into());
        }
        let options = options_of(url, "url")?;
        let options = match self.behind_pooler {
            true => options.extra_float_digits(None).statement_cache_capacity(0),
            false => options.options(self.timeouts().settings()),
        };
        let pool = PgPoolOptions::new()
            .max_connections(self.max_connections)
            .acquire_timeout(StdDuration::from_secs(2))
            // A ping before each use would take as long as the read itself.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > IDLE {
                        timeout(PING, connection.ping()).await.map_err(io::Error::from)??;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await
            .map_err(failure)?;
        Ok(self.over(pool, table)?)
    }

    /// Makes a store over a pool of the application's own.
    ///
    /// Its connections should have a `statement_timeout` and a `lock_timeout` shorter than half of the
    /// store's own [`timeout`](Self::timeout), and the pool an `acquire_timeout`. Otherwise the server may
    /// still write a change after its call has timed out. The connections must lead to the primary server,
    /// not to a replica: the service decides each change on what it reads.
    ///
    /// The store shares the pool among reads, changes and revocations as [`connect`](Self::connect) says.
    /// This does not limit the application's own statements, nor another store over this pool that is not
    /// a clone of this one.
    ///
    /// If the connections lead through a proxy that pools transactions, set
    /// [`behind_pooler`](Self::behind_pooler) here too. The store then sets the timeouts itself.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]
    pub fn over<F: Clone + Send + Sync + 'static>(
        self,
        pool: PgPool,
        table: UsersTable<F>,
    ) -> Result<PostgresStore<F>, ConfigError> {
        let channel = Name::parse("the channel", &self.channel)?;
        let listen =
            self.listen_url.as_ref().map(|url| options_of(url, "listen_url")).transpose()?;
        let pooled = self.behind_pooler.then(|| self.timeouts());
        let driver = PostgresDriver::new(pool, channel, listen, pooled);
        Ok(PostgresStore(Engine::new(driver, &table, self.timeout)?))
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts { statement: statement_timeout(self.timeout), lock: lock_timeout(self.timeout) }
    }
}

/// Reads a URL. The driver ignores the scheme, and the text of its error may quote a password.
fn options_of(url: &str, setting: &'static str) -> Result<PgConnectOptions, ConfigError> {
    let is_postgres = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let options = is_postgres.then(|| PgConnectOptions::from_str(url).ok()).flatten();
    let text = "it is not a URL of PostgreSQL, as in `postgres://user@host/database`";
    options.ok_or_else(|| ConfigError::new(setting, text))
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PostgresOptions {
    /// Without the URL, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("behind_pooler", &self.behind_pooler)
            .field("channel", &self.channel)
            .field("timeout", &self.timeout)
            .field("max_connections", &self.max_connections)
            .finish_non_exhaustive()
    }
}

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Connects with a new pool: [`PostgresOptions::connect`] with the default options.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server cannot be reached, or the table's description is not valid
    /// ([`ConfigError`]).
    pub async fn connect(url: &str, table: UsersTable<F>) -> Result<Self, StoreError> {
        PostgresOptions::new().connect(url, table).await
    }

    /// Makes a store over a pool of the application's own: [`PostgresOptions::over`] with the default
    /// options.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]
    pub fn new(pool: PgPool, table: UsersTable<F>) -> Result<Self, ConfigError> {
        PostgresOptions::new().over(pool, table)
    }
}
