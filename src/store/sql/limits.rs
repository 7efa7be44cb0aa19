//! Counts of password attempts in a table that processes share.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration as StdDuration,
};

use time::{Duration, OffsetDateTime};
use tokio::time::Instant;

use super::{Cells as _, Driver, Engine, Failure, Param, TableName, capacity::Kind};
use crate::{
    store::StoreError,
    throttle::{Count, LimitStore, SKEW, Taken},
};

/// Counts of password attempts in a table that processes share, for
/// [`Throttle::shared`](crate::throttle::Throttle::shared): `SqliteStore::limits`,
/// `PostgresStore::limits`. A clone is cheap.
///
/// An attempt is one statement. The table `relatch_limits`, in the schema of the users' table, has a row
/// per counter that is in use: its number, and the time in microseconds since 1970 at which it is unused
/// again. It has at most 5 × 2²⁰ rows, and each process deletes those of unused counters once a minute.
///
/// PostgreSQL takes the time of the server. The table is `UNLOGGED`: after a crash of the server it is
/// empty, which allows a new burst.
///
/// # Security
///
/// A row reveals neither a name nor an address, without the master key. Who can write the table can
/// lift the limits, down to those in the memory of each process, and can refuse all attempts.
#[derive(Clone)]
pub struct SqlLimits(Arc<dyn Table>);

/// The database's two statements for an attempt.
pub(super) trait LimitsSql: Driver {
    /// Creates the table.
    fn limits_table_sql(table: &str) -> String;

    /// Deletes rows of unused counters, before `now` if the database needs to be told.
    fn expired_sql(table: &str) -> String;

    /// Takes an attempt from these buckets, in the order of [`params`].
    fn take(
        &self,
        table: &str,
        counts: &[Count],
        until: Instant,
    ) -> impl Future<Output = Result<Taken, Failure>> + Send;
}

/// The time of one statement: longer than the caller waits.
const TIMEOUT: StdDuration = StdDuration::from_secs(1);

/// The least time between two deletions of unused rows.
const SWEEP_EVERY: StdDuration = StdDuration::from_secs(60);

struct Limits<D> {
    driver: D,
    table: String,
    /// The time of the next deletion.
    sweep: Mutex<Instant>,
}

trait Table: Send + Sync {
    fn take<'a>(
        self: Arc<Self>,
        counts: &'a [Count],
    ) -> Pin<Box<dyn Future<Output = Result<Taken, StoreError>> + Send + 'a>>
    where
        Self: 'a;
}

impl<D: LimitsSql, F: Send + Sync + 'static> Engine<D, F> {
    pub(super) fn limits(&self) -> SqlLimits {
        let table = table(&self.names().table);
        let sweep = Mutex::new(Instant::now() + SWEEP_EVERY);
        SqlLimits(Arc::new(Limits { driver: self.driver().clone(), table, sweep }))
    }

    pub(super) async fn migrate_limits(&self) -> Result<(), StoreError> {
        let until = self.deadline();
        let slot = self.driver().capacity().enter(Kind::Write, until).await?;
        self.driver().execute(&self.limits_sql().into(), &[], &slot, until).await?;
        Ok(())
    }

    pub(super) fn limits_sql(&self) -> String {
        D::limits_table_sql(&table(&self.names().table))
    }
}

/// The name of the table of counts, beside the users' table.
pub(super) fn table(users: &TableName) -> String {
    users.beside("relatch_limits")
}

impl LimitStore for SqlLimits {
    type Error = StoreError;

    async fn take(&self, counts: &[Count]) -> Result<Taken, StoreError> {
        Arc::clone(&self.0).take(counts).await
    }
}

impl<D: LimitsSql> Table for Limits<D> {
    fn take<'a>(
        self: Arc<Self>,
        counts: &'a [Count],
    ) -> Pin<Box<dyn Future<Output = Result<Taken, StoreError>> + Send + 'a>>
    where
        Self: 'a,
    {
        Box::pin(async move {
            let taken = self.driver.take(&self.table, counts, Instant::now() + TIMEOUT).await?;
            if self.is_sweep_due() {
                // A failure waits for the next time.
                tokio::spawn(async move { self.sweep().await });
            }
            Ok(taken)
        })
    }
}

impl<D: LimitsSql> Limits<D> {
    fn is_sweep_due(&self) -> bool {
        let mut next = self.sweep.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = Instant::now() >= *next;
        if is_due {
            *next = Instant::now() + SWEEP_EVERY;
        }
        is_due
    }

    async fn sweep(&self) -> Result<u64, Failure> {
        let until = Instant::now() + TIMEOUT;
        let slot = self.driver.capacity().enter(Kind::Write, until).await?;
        let now = [Param::Integer(Some(now()))];
        self.driver.execute(&D::expired_sql(&self.table).into(), &now, &slot, until).await
    }
}

impl fmt::Debug for SqlLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlLimits").finish_non_exhaustive()
    }
}

/// For each count: the bucket, the interval and the tolerance.
fn params(counts: &[Count]) -> impl Iterator<Item = Param<'static>> {
    counts.iter().flat_map(|Count { bucket, limit }| {
        [bucket.number().into(), limit.interval_micros(), limit.tolerance()]
            .map(|number| Param::Integer(Some(number)))
    })
}

/// This machine's time, in microseconds since 1970.
fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(0)
}

fn wait(micros: Option<i64>) -> Taken {
    Taken::Refused { retry_after: Duration::microseconds(micros.unwrap_or_default().max(1)) }
}

fn damaged(_: sqlx::Error) -> Failure {
    Failure::unreadable()
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use super::*;
    use crate::store::sql::sqlite::SqliteDriver;

    impl LimitsSql for SqliteDriver {
        fn limits_table_sql(table: &str) -> String {
            format!(
                "CREATE TABLE IF NOT EXISTS {table} (\n    bucket INTEGER NOT NULL PRIMARY KEY,\n    \
                 arrival BIGINT NOT NULL\n);\n"
            )
        }

        fn expired_sql(table: &str) -> String {
            format!("DELETE FROM {table} WHERE arrival < $1")
        }

        /// One writer at a time, so the statement sees the last counts.
        async fn take(
            &self,
            table: &str,
            counts: &[Count],
            until: Instant,
        ) -> Result<Taken, Failure> {
            let slot = self.capacity().enter(Kind::Write, until).await?;
            let params: Vec<_> =
                [Param::Integer(Some(now()))].into_iter().chain(params(counts)).collect();
            let due = due(table, counts.len());
            let take = format!(
                "{due} INSERT INTO {table} (bucket, arrival) SELECT bucket, arrival + step FROM due \
                 WHERE NOT EXISTS (SELECT 1 FROM due WHERE arrival - $1 > tolerance) \
                 ON CONFLICT (bucket) DO UPDATE SET arrival = excluded.arrival"
            );
            if self.execute(&take.into(), &params, &slot, until).await? > 0 {
                return Ok(Taken::Allowed);
            }
            let ask = format!("{due} SELECT max(arrival - $1 - tolerance) FROM due");
            let rows = self.fetch(&ask.into(), &params, &slot, until).await?;
            let micros = rows.first().map(|row| row.integer(0)).transpose().map_err(damaged)?;
            Ok(wait(micros.flatten()))
        }
    }

    /// The counts, with the arrival time of each bucket, or now if it is unused.
    fn due(table: &str, counts: usize) -> String {
        let values: Vec<_> = (0..counts)
            .map(|n| format!("(${}, ${}, ${})", 3 * n + 2, 3 * n + 3, 3 * n + 4))
            .collect();
        format!(
            "WITH counts (bucket, step, tolerance) AS (VALUES {}), \
             due AS (SELECT c.bucket, c.step, c.tolerance, CASE WHEN l.arrival > $1 \
             AND l.arrival <= $1 + c.step + c.tolerance + {SKEW} THEN l.arrival ELSE $1 END AS arrival \
             FROM counts c LEFT JOIN {table} l ON l.bucket = c.bucket)",
            values.join(", ")
        )
    }
}

#[cfg(feature = "postgres")]
mod postgres {
    use super::*;
    use crate::store::sql::postgres::PostgresDriver;

    impl LimitsSql for PostgresDriver {
        fn limits_table_sql(table: &str) -> String {
            format!(
                "CREATE UNLOGGED TABLE IF NOT EXISTS {table} (\n    bucket pg_catalog.int8 NOT NULL \
                 PRIMARY KEY,\n    arrival pg_catalog.int8 NOT NULL\n)"
            )
        }

        /// It skips the rows that attempts have locked.
        fn expired_sql(table: &str) -> String {
            format!(
                "DELETE FROM {table} WHERE bucket OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT l.bucket \
                 FROM {table} l WHERE l.arrival OPERATOR(pg_catalog.<) \
                 LEAST({NOW}, CAST($1 AS pg_catalog.int8)) LIMIT 10000 FOR UPDATE SKIP LOCKED))"
            )
        }

        async fn take(
            &self,
            table: &str,
            counts: &[Count],
            until: Instant,
        ) -> Result<Taken, Failure> {
            let slot = self.capacity().enter(Kind::Write, until).await?;
            let params: Vec<_> = params(counts).collect();
            let sql = take_sql(table, counts.len()).into();
            let rows = self.fetch(&sql, &params, &slot, until).await?;
            let row = rows.first().ok_or_else(Failure::unreadable)?;
            let cells = (row.integer(0).map_err(damaged)?, row.integer(1).map_err(damaged)?);
            match cells {
                (Some(..=0), Some(taken)) if usize::try_from(taken) == Ok(counts.len()) => {
                    Ok(Taken::Allowed)
                }
                (micros, _) => Ok(wait(micros)),
            }
        }
    }

    /// The server's time, in microseconds since 1970.
    const NOW: &str = "CAST(pg_catalog.date_part('epoch', pg_catalog.statement_timestamp()) \
                       OPERATOR(pg_catalog.*) CAST(1000000 AS pg_catalog.float8) AS pg_catalog.int8)";

    /// Locks the counters in the order of their buckets, and counts in each or in none. A counter that
    /// two attempts use for the first time at once has no row to lock, so the update has the condition
    /// once more. The result is the time to wait and the number of counted buckets.
    fn take_sql(table: &str, counts: usize) -> String {
        let number = |n: usize| format!("CAST(${n} AS pg_catalog.int8)");
        let values: Vec<_> = (0..counts)
            .map(|n| {
                format!("({}, {}, {})", number(3 * n + 1), number(3 * n + 2), number(3 * n + 3))
            })
            .collect();
        let buckets: Vec<_> = (0..counts).map(|n| number(3 * n + 1)).collect();
        let (values, buckets) = (values.join(", "), buckets.join(", "));
        let plus = "OPERATOR(pg_catalog.+)";
        let minus = "OPERATOR(pg_catalog.-)";
        let equals = "OPERATOR(pg_catalog.=)";
        let (above, at_most) = ("OPERATOR(pg_catalog.>)", "OPERATOR(pg_catalog.<=)");
        let ahead = |arrival: &str| {
            format!(
                "(CASE WHEN {arrival} {above} d.now AND {arrival} {at_most} d.latest \
                 THEN {arrival} {minus} d.now ELSE 0 END)"
            )
        };
        let (held, present) = (ahead("h.arrival"), ahead("l.arrival"));
        format!(
            "WITH counts (bucket, step, tolerance) AS (VALUES {values}), \
             clock (now) AS (SELECT {NOW}), \
             held AS (SELECT l.bucket, l.arrival FROM {table} l \
             WHERE l.bucket {equals} ANY (ARRAY[{buckets}]) ORDER BY l.bucket FOR UPDATE), \
             due AS (SELECT c.bucket, c.tolerance, k.now, k.now {plus} c.step AS arrival, \
             k.now {plus} c.step {plus} c.tolerance {plus} {SKEW} AS latest \
             FROM counts c CROSS JOIN clock k), \
             verdict (wait) AS (SELECT pg_catalog.max({held} {minus} d.tolerance) \
             FROM due d LEFT JOIN held h ON h.bucket {equals} d.bucket), \
             taken AS (INSERT INTO {table} AS l (bucket, arrival) \
             SELECT d.bucket, d.arrival FROM due d \
             WHERE (SELECT v.wait FROM verdict v) {at_most} 0 ORDER BY d.bucket \
             ON CONFLICT (bucket) DO UPDATE SET arrival = \
             (SELECT d.arrival {plus} {present} FROM due d WHERE d.bucket {equals} l.bucket) \
             WHERE (SELECT {present} {at_most} d.tolerance \
             FROM due d WHERE d.bucket {equals} l.bucket) \
             RETURNING 1) \
             SELECT CAST((SELECT v.wait FROM verdict v) AS pg_catalog.int8), \
             CAST((SELECT pg_catalog.count(*) FROM taken) AS pg_catalog.int8)"
        )
    }
}
