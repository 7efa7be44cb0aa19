//! A store of users in a table of PostgreSQL.

mod pooled;

use std::{fmt, sync::Arc};

use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, Postgres, Row as _,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use tokio::time::{Instant, error::Elapsed, timeout_at};

pub(super) use self::pooled::Timeouts;
use super::{
    Cells, Dialect, Driver, Engine, Failure, Fault, Name, Param, store::store_over_engine,
    timed_out,
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
pub struct PostgresStore<F = ()>(pub(super) Engine<PostgresDriver, F>);

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
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
    /// The listener's own connection, if it is not the pool's.
    pub(super) listen: Option<PgConnectOptions>,
    /// The timeouts of each transaction, behind a proxy that pools transactions.
    pub(super) pooled: Option<Timeouts>,
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
        let done = timeout_at(until, self.execute_on(&mut connection, sql, params)).await;
        answer(connection, done)
    }

    async fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        until: Instant,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.acquire(until).await?;
        let rows = timeout_at(until, self.fetch_on(&mut connection, sql, params)).await;
        answer(connection, rows)
    }
}

impl PostgresDriver {
    async fn acquire(&self, until: Instant) -> Result<Connection, Failure> {
        let connection = timeout_at(until, self.pool.acquire()).await;
        let connection = connection.map_err(|_| Failure::Other(timed_out()))?;
        connection.map_err(|error| Failure::new(&error, classify))
    }

    /// Runs the statement on this connection, and returns the number of changed rows. If the transaction
    /// is dropped before its end, the driver rolls it back.
    async fn execute_on(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> sqlx::Result<u64> {
        let query = bind(sql, params);
        let Some(timeouts) = self.pooled else {
            return Ok(query.execute(connection).await?.rows_affected());
        };
        let mut transaction = timeouts.begin(connection).await?;
        let done = query.persistent(false).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    async fn fetch_on(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> sqlx::Result<Vec<PgRow>> {
        let query = bind(sql, params);
        let Some(timeouts) = self.pooled else { return query.fetch_all(connection).await };
        let mut transaction = timeouts.begin(connection).await?;
        let rows = query.persistent(false).fetch_all(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(rows)
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
