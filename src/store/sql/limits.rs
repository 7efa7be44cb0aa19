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

use super::{Driver, Engine, Failure, Param, TableName, capacity::Kind};
use crate::{
    store::StoreError,
    throttle::{Count, LimitStore, Taken},
};

/// Counts of password attempts in a table that processes share, for
/// [`Throttle::shared`](crate::throttle::Throttle::shared): `SqliteStore::limits`,
/// `PostgresStore::limits`. A clone is cheap.
///
/// An attempt is one statement; in SQLite a refused one is two. The table `relatch_limits`, in the schema
/// of the users' table, has a row per counter that is in use: its number, and the time in microseconds
/// since 1970 at which it is unused again. It has at most 6 × 2²⁰ rows, and each process deletes those of
/// unused counters once a minute.
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
pub(super) fn params(counts: &[Count]) -> impl Iterator<Item = Param<'static>> {
    counts.iter().flat_map(|Count { bucket, limit }| {
        [bucket.number().into(), limit.interval_micros(), limit.tolerance()]
            .map(|number| Param::Integer(Some(number)))
    })
}

/// This machine's time, in microseconds since 1970.
pub(super) fn now() -> i64 {
    i64::try_from(OffsetDateTime::now_utc().unix_timestamp_nanos() / 1000).unwrap_or(0)
}

pub(super) fn wait(micros: Option<i64>) -> Taken {
    Taken::Refused { retry_after: Duration::microseconds(micros.unwrap_or_default().max(1)) }
}

pub(super) fn damaged(_: sqlx::Error) -> Failure {
    Failure::unreadable()
}
