//! A store of users in a table of PostgreSQL.

mod codes;
mod limits;
mod locked;
mod pooled;

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration as StdDuration,
};

use sqlx::{
    AssertSqlSafe, PgConnection, PgPool, Postgres, Row as _,
    postgres::{PgArguments, PgConnectOptions, PgRow},
    query::Query,
};
use tokio::time::{Instant, error::Elapsed, timeout_at};

pub(super) use self::{codes::failure, pooled::Timeouts};
use super::{
    Batches, Capacity, Cells, Checkout, Dialect, Driver, Engine, Failure, Fault, Name, Param, Slot,
    dialect::STANDBY,
    shape::{catalogue_sql, parse},
    store::store_over_engine,
    users_table::Names,
};
use crate::store::StoreError;

/// A store of users in a table of PostgreSQL (14 or later), for many machines. A clone is cheap and
/// shares the pool.
///
/// A statement that revokes also notifies, in the same transaction. Each process that
/// [listens](Self::listen) then reads the user again at once. If the server refuses to notify, the store
/// still writes the revocation, and [counts](Self::unsent_notifications) the failure.
///
/// The first call reads the schemas of the tables, by the `search_path` of its connection, and the types
/// of the columns that find users. Later statements name each schema, and compare each key in its
/// column's type, so the database can use the index. If a statement fails because of the table, the store
/// reads both again: you can alter or move a table while the store is in use.
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

/// The time in which an idle connection must answer a ping.
pub(super) const PING: StdDuration = StdDuration::from_millis(500);

/// The time in which a connection must be back in the pool. A statement whose caller has hung up must
/// end within it.
const RETURN: StdDuration = StdDuration::from_secs(2);

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// The pool, for the application's own statements.
    #[must_use]
    pub const fn pool(&self) -> &PgPool {
        &self.0.driver().pool
    }

    /// The number of revocations that this store and its clones wrote without a notification, because
    /// the server refused to notify: for example, its queue was full, or the role lacked the right. Use it
    /// as a metric.
    ///
    /// Such a revocation holds. It takes effect in another process after at most the bound of its cache.
    #[must_use]
    pub fn unsent_notifications(&self) -> u64 {
        self.0.driver().unsent.load(Ordering::Relaxed)
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
    pub(super) listen: Option<Arc<PgConnectOptions>>,
    /// The timeouts of each transaction, behind a proxy that pools transactions.
    pub(super) pooled: Option<Timeouts>,
    capacity: Arc<Capacity>,
    batches: Batches<PgRow>,
    /// How many changes were written without their notifications.
    unsent: Arc<AtomicU64>,
}

impl PostgresDriver {
    pub(super) fn new(
        pool: PgPool,
        channel: Name,
        listen: Option<PgConnectOptions>,
        pooled: Option<Timeouts>,
    ) -> Self {
        let (connections, patience) =
            (pool.options().get_max_connections(), pool.options().get_acquire_timeout());
        Self {
            pool,
            channel,
            listen: listen.map(Arc::new),
            pooled,
            capacity: Arc::new(Capacity::new(connections, patience)),
            batches: Batches::default(),
            unsent: Arc::default(),
        }
    }

    /// Takes a connection for one statement.
    async fn checkout(&self, slot: &Slot, until: Instant) -> Result<Connection, Failure> {
        let connection = timeout_at(until, self.pool.acquire()).await;
        let connection = connection.map_err(|_| Failure::timed_out())?;
        let connection = connection.map_err(|error| failure(error).before_the_statement())?;
        Ok(Checkout::new(connection, slot.clone(), Some(RETURN)))
    }

    /// Runs the statement on this connection, and returns the number of changed rows. If the transaction
    /// is dropped before its end, the driver rolls it back.
    async fn execute_on(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> Result<u64, Failure> {
        let query = bind(sql, params);
        let Some(timeouts) = self.pooled else {
            let done = query.execute(connection).await.map_err(failure)?;
            return Ok(done.rows_affected());
        };
        let mut transaction = timeouts.begin(connection).await.map_err(failure)?;
        let done = query.persistent(false).execute(&mut *transaction).await.map_err(failure)?;
        transaction.commit().await.map_err(failure)?;
        Ok(done.rows_affected())
    }

    async fn fetch_on(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> Result<Vec<PgRow>, Failure> {
        let query = bind(sql, params);
        let Some(timeouts) = self.pooled else {
            return of_primary(query.fetch_all(connection).await.map_err(failure)?);
        };
        let mut transaction = timeouts.begin(connection).await.map_err(failure)?;
        let rows = query.persistent(false).fetch_all(&mut *transaction).await.map_err(failure)?;
        transaction.commit().await.map_err(failure)?;
        of_primary(rows)
    }
}

impl Driver for PostgresDriver {
    type Row = PgRow;

    async fn dialect(
        &self,
        names: &Names,
        slot: &Slot,
        until: Instant,
    ) -> Result<Dialect, Failure> {
        let rows = self.fetch(&catalogue_sql(names).into(), &[], slot, until).await?;
        let shape = parse(names, &rows).map_err(Failure::misconfigured)?;
        Ok(Dialect::Postgres { channel: self.channel.clone(), shape: Box::new(shape) })
    }

    fn capacity(&self) -> &Capacity {
        &self.capacity
    }

    fn batches(&self) -> Option<&Batches<PgRow>> {
        Some(&self.batches)
    }

    fn connections(&self) -> u32 {
        self.pool.size()
    }

    async fn execute(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<u64, Failure> {
        let mut connection = self.checkout(slot, until).await?;
        let done = timeout_at(until, self.execute_on(&mut connection, sql, params)).await;
        answer(connection, done)
    }

    async fn execute_returning(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<PgRow>, Failure> {
        self.fetch(sql, params, slot, until).await
    }

    async fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<PgRow>, Failure> {
        let mut connection = self.checkout(slot, until).await?;
        let rows = timeout_at(until, self.fetch_on(&mut connection, sql, params)).await;
        answer(connection, rows)
    }

    /// One broken connection is seldom alone: those that are idle must answer a ping, or are closed.
    fn recover(&self, fault: Fault) {
        if fault.is_outcome_unknown() {
            for _ in 0..self.pool.num_idle() {
                let Some(idle) = self.pool.try_acquire() else { return };
                drop(Checkout::new(idle, Slot::default(), Some(PING)));
            }
        }
    }

    fn not_notified(&self, failure: Failure) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
        let error = StoreError::from(failure);
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "relatch",
            error = &error as &(dyn std::error::Error + 'static),
            "a revocation was written without its notification"
        );
        let _ = error;
    }
}

/// Closes a connection that is of no further use: a ping or an orderly close would occupy its place in
/// the pool until the network notices that the server is gone.
fn answer<T>(
    connection: Connection,
    answer: Result<Result<T, Failure>, Elapsed>,
) -> Result<T, Failure> {
    let answer = answer.unwrap_or_else(|_| Err(Failure::timed_out()));
    if answer.as_ref().is_err_and(|failure| failure.fault.is_of_connection()) {
        connection.discard();
    }
    answer
}

/// The rows of a read, unless they are a standby's: it may lack a revocation.
fn of_primary(rows: Vec<PgRow>) -> Result<Vec<PgRow>, Failure> {
    match rows.iter().any(|row| row.try_get(STANDBY).unwrap_or(false)) {
        true => Err(Failure::standby()),
        false => Ok(rows),
    }
}

type Connection = Checkout<Postgres>;

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
        Param::Bytes(bytes) => query.bind(bytes.to_vec()),
    })
}
