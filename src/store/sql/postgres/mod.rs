//! A store of users in a table of PostgreSQL.

use std::{fmt, str::FromStr, sync::Arc, time::Duration as StdDuration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgPool, Postgres, Row as _,
    postgres::{PgArguments, PgConnectOptions, PgPoolOptions, PgRow},
    query::Query,
};
use tokio::time::{Instant, error::Elapsed, timeout_at};

use super::{
    Cells, Dialect, Driver, Engine, Failure, Fault, Name, Param, store::store_over_engine,
    timed_out,
};
use crate::{
    error::ConfigError,
    store::{StoreError, UsersTable},
};

/// A store of users in a table of PostgreSQL (14 or later), for many machines. A clone is cheap and
/// shares the pool.
///
/// A statement that revokes also notifies, in its own transaction, so that each process that
/// [listens](Self::listen) reads the user again at once.
///
/// # Example
///
/// ```no_run
/// use relatch::store::{PostgresStore, UsersTable};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let url = "postgres://app@db.internal/app";
/// let table = UsersTable::named("accounts").login("email").active("enabled");
/// let users = PostgresStore::connect(url, table).await?;
/// users.migrate().await?;
/// # Ok(())
/// # }
/// ```
pub struct PostgresStore<F = ()>(Engine<PostgresDriver, F>);

/// A connection that was idle for longer is pinged before use.
const IDLE: StdDuration = StdDuration::from_secs(1);

/// The default channel of the notifications.
const CHANNEL: &str = "relatch";

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Connects with a new pool of at most 10 connections.
    ///
    /// A call waits up to 2 seconds for a connection. The server aborts a statement after 2½ seconds (2
    /// seconds of waiting for a lock), before the store's own timeout. A proxy that pools transactions
    /// may refuse these options: use a pool without them, by [`new`](Self::new).
    ///
    /// # Security
    ///
    /// For TLS, enable one of `sqlx`'s `tls-…` features, in the version that this crate uses, **and**
    /// set `sslmode=verify-full` in the URL: the default silently falls back to plain text.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the server cannot be reached, or the table's description is not valid
    /// ([`ConfigError`]).
    pub async fn connect(url: &str, table: UsersTable<F>) -> Result<Self, StoreError> {
        let failure = |error: sqlx::Error| Failure::new(&error, classify);
        let options = PgConnectOptions::from_str(url).map_err(failure)?.options([
            ("statement_timeout", "2500"),
            ("lock_timeout", "2000"),
            ("idle_in_transaction_session_timeout", "10000"),
        ]);
        let pool = PgPoolOptions::new()
            .acquire_timeout(StdDuration::from_secs(2))
            // A ping before each use would take as long as the read itself.
            .test_before_acquire(false)
            .before_acquire(|connection, about| {
                Box::pin(async move {
                    if about.idle_for > IDLE {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_with(options)
            .await
            .map_err(failure)?;
        Ok(Self::new(pool, table)?)
    }

    /// Makes a store over a pool of the application's own.
    ///
    /// Its connections should have a `statement_timeout` and a `lock_timeout` shorter than the store's
    /// own [`timeout`](Self::timeout), and the pool an `acquire_timeout`: a call that has timed out here
    /// may otherwise still be written. They must lead to the primary server, not to a replica: each
    /// change is decided on what is read.
    ///
    /// Through a proxy that pools transactions (pgbouncer), set the timeouts by
    /// `ALTER ROLE … SET statement_timeout`, let it keep prepared statements (pgbouncer since 1.21) or
    /// connect with `statement_cache_capacity(0)`, and [listen](Self::listen) by another store that
    /// [connects](Self::connect) to the server directly: `direct.listen(service.changes())`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]
    pub fn new(pool: PgPool, table: UsersTable<F>) -> Result<Self, ConfigError> {
        let driver = PostgresDriver { pool, channel: Name::fixed(CHANNEL) };
        Ok(Self(Engine::new(driver, &table)?))
    }

    /// Sets the channel of the notifications of revocations. Default: `relatch`. It must be the same for
    /// all processes over one table, and follow the rules for a column's name.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]
    pub fn channel(self, channel: &str) -> Result<Self, ConfigError> {
        let channel = Name::parse("the channel", channel)?;
        let driver = PostgresDriver { channel, ..self.0.driver().clone() };
        Ok(Self(self.0.with_driver(driver)))
    }

    /// The pool, for the application's own statements.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.0.driver().pool
    }
}

store_over_engine!(PostgresStore, PostgresDriver);

impl<F> fmt::Debug for PostgresStore<F> {
    /// Without the connection's options, which hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("channel", &self.0.driver().channel)
            .finish_non_exhaustive()
    }
}

/// Runs the statements, and notifies of revocations on the channel.
#[derive(Clone)]
pub(super) struct PostgresDriver {
    pub(super) pool: PgPool,
    pub(super) channel: Name,
}

impl Driver for PostgresDriver {
    type Row = PgRow;

    fn dialect(&self) -> Dialect {
        Dialect::Postgres { channel: self.channel.clone() }
    }

    async fn execute(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        until: Instant,
    ) -> Result<u64, Failure> {
        let mut connection = self.acquire(until).await?;
        let done = timeout_at(until, bind(sql, params).execute(&mut *connection)).await;
        Ok(answer(connection, done)?.rows_affected())
    }

    async fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        until: Instant,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.acquire(until).await?;
        let rows = timeout_at(until, bind(sql, params).fetch_all(&mut *connection)).await;
        answer(connection, rows)
    }
}

impl PostgresDriver {
    async fn acquire(&self, until: Instant) -> Result<Connection, Failure> {
        let connection = timeout_at(until, self.pool.acquire()).await;
        let connection = connection.map_err(|_| Failure::Other(timed_out()))?;
        connection.map_err(|error| Failure::new(&error, classify))
    }
}

/// Discards a connection that did not answer in time: its server may be gone, and a ping or an orderly
/// close would occupy its place in the pool for as long.
fn answer<T>(
    connection: Connection,
    answer: Result<sqlx::Result<T>, Elapsed>,
) -> Result<T, Failure> {
    match answer {
        Ok(answer) => answer.map_err(|error| Failure::new(&error, classify)),
        Err(_) => {
            drop(connection.detach());
            Err(Failure::Other(timed_out()))
        }
    }
}

type Connection = sqlx::pool::PoolConnection<Postgres>;

impl Cells for PgRow {
    fn text(&self, at: usize) -> sqlx::Result<Option<String>> {
        self.try_get(at)
    }

    fn integer(&self, at: usize) -> sqlx::Result<Option<i64>> {
        self.try_get(at)
    }
}

fn bind<'a>(sql: &Arc<str>, params: &[Param<'a>]) -> Query<'a, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
    params.iter().fold(query, |query, param| match *param {
        Param::Text(text) => query.bind(text),
        Param::Integer(integer) => query.bind(integer),
        Param::Bool(is) => query.bind(is),
    })
}

/// Classifies an SQLSTATE (PostgreSQL's manual, appendix A).
pub(super) fn classify(code: &str) -> Fault {
    match code {
        // A serialization failure, and a deadlock.
        "40001" | "40P01" => Fault::Conflict,
        // A lock that is not available, and a read-only server.
        "55P03" | "25006" => Fault::Unreachable,
        _ => match code.get(..2) {
            // Feature, cardinality, data, constraint, state of the object, authorization, database,
            // schema, name or permission, limit: the table or its configuration is at fault.
            Some("0A" | "21" | "22" | "23" | "28" | "3D" | "3F" | "42" | "54" | "55") => {
                Fault::Misconfigured
            }
            _ => Fault::Unreachable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_whom_to_call() {
        for code in ["08006", "53300", "57014", "57P01", "55P03", "25006", "XX000", "58030", ""] {
            assert_eq!(classify(code), Fault::Unreachable, "{code}");
        }
        for code in ["42P01", "42703", "42501", "28P01", "3D000", "22003", "23502", "0A000"] {
            assert_eq!(classify(code), Fault::Misconfigured, "{code}");
        }
        for code in ["40001", "40P01"] {
            assert_eq!(classify(code), Fault::Conflict, "{code}");
        }
    }
}
