//! A store of users in a table of an SQLite file.

mod codes;
mod limits;
mod locked;
mod reader;

use std::{fmt, sync::Arc};

use sqlx::{
    AssertSqlSafe, Row as _, Sqlite, SqlitePool,
    query::Query,
    sqlite::{SqliteArguments, SqliteRow},
};
use tokio::time::{Instant, timeout_at};

use self::reader::ReadRow;
pub(super) use self::{codes::failure, reader::Reader};
use super::{
    Capacity, Cells, Checkout, Dialect, Driver, Engine, Failure, Fault, Param, Slot,
    store::store_over_engine, users_table::Names,
};
/// A store of users in a table of an SQLite file, for one machine. A clone is cheap and shares the pool.
///
/// # Example
///
/// ```
/// use relatch::store::{UserKey, NewUser, SqliteStore, UserStore, UsersTable};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("relatch-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// # let path = directory.join("users.sqlite");
/// let users = SqliteStore::open(&path, UsersTable::ready()).await?;
/// users.migrate().await?;
/// # let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA";
/// assert!(users.insert(NewUser::with_password_hash("1", "alice", hash)).await?);
///
/// let alice = users.read(UserKey::Login("alice")).await?;
/// assert_eq!(alice.map(|row| row.id), Some("1".to_owned()));
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
pub struct SqliteStore<F = ()>(pub(super) Engine<SqliteDriver, F>);

impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    /// The pool, for the application's own statements.
    #[must_use]
    pub const fn pool(&self) -> &SqlitePool {
        &self.0.driver().pool
    }
}

store_over_engine!(SqliteStore, SqliteDriver);

impl<F> fmt::Debug for SqliteStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("reader", &self.0.driver().reader)
            .finish_non_exhaustive()
    }
}

#[derive(Clone)]
pub(super) struct SqliteDriver {
    pub(super) pool: SqlitePool,
    /// Reads the file; without it, the pool does.
    pub(super) reader: Option<Reader>,
    capacity: Arc<Capacity>,
}

impl SqliteDriver {
    pub(super) fn new(pool: SqlitePool, reader: Option<Reader>) -> Self {
        let (connections, patience) =
            (pool.options().get_max_connections(), pool.options().get_acquire_timeout());
        let capacity = Capacity::new(connections, patience).with_one_writer();
        Self { pool, reader, capacity: Arc::new(capacity) }
    }

    /// Takes a connection for one statement. A statement that was given up goes on, for no longer than
    /// the `busy_timeout`, and keeps its place as long.
    async fn checkout(&self, slot: &Slot, until: Instant) -> Result<Checkout<Sqlite>, Failure> {
        let connection = timeout_at(until, self.pool.acquire()).await;
        let connection = connection.map_err(|_| Failure::timed_out())?;
        let connection = connection.map_err(|error| failure(error).before_the_statement())?;
        Ok(Checkout::new(connection, slot.clone(), None))
    }
}

impl Driver for SqliteDriver {
    type Row = SqliteCells;

    async fn dialect(&self, _: &Names, _: &Slot, _: Instant) -> Result<Dialect, Failure> {
        Ok(Dialect::Sqlite)
    }

    fn capacity(&self) -> &Capacity {
        &self.capacity
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
        let done = timeout_at(until, bind(sql, params).execute(&mut *connection)).await;
        let done = done.map_err(|_| Failure::timed_out())?;
        done.map(|done| done.rows_affected()).map_err(failure)
    }

    async fn execute_returning(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<SqliteCells>, Failure> {
        let mut connection = self.checkout(slot, until).await?;
        let rows = timeout_at(until, bind(sql, params).fetch_all(&mut *connection)).await;
        let rows = rows.map_err(|_| Failure::timed_out())?.map_err(failure)?;
        Ok(rows.into_iter().map(SqliteCells::Fetched).collect())
    }

    async fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<SqliteCells>, Failure> {
        if let Some(reader) = &self.reader {
            if self.pool.is_closed() {
                reader.close();
                return Err(failure(sqlx::Error::PoolClosed));
            }
            let rows = reader.fetch(sql, params, slot, until).await?;
            return Ok(rows.into_iter().map(SqliteCells::Read).collect());
        }
        self.execute_returning(sql, params, slot, until).await
    }

    /// A connection to a file does not break.
    fn recover(&self, _: Fault) {}
}

/// A row, of a connection of the pool or of the reader.
pub(super) enum SqliteCells {
    Fetched(SqliteRow),
    Read(ReadRow),
}

impl Cells for SqliteCells {
    fn text(&self, at: usize) -> sqlx::Result<Option<String>> {
        match self {
            Self::Fetched(row) => row.try_get(at),
            Self::Read(row) => row.text(at),
        }
    }

    fn integer(&self, at: usize) -> sqlx::Result<Option<i64>> {
        match self {
            Self::Fetched(row) => row.try_get(at),
            Self::Read(row) => row.integer(at),
        }
    }
}

fn bind<'a>(sql: &Arc<str>, params: &[Param<'a>]) -> Query<'a, Sqlite, SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(Arc::clone(sql)));
    params.iter().fold(query, |query, param| match *param {
        Param::Text(text) => query.bind(text),
        Param::Integer(integer) => query.bind(integer),
        Param::Bool(is) => query.bind(is),
        Param::Bytes(bytes) => query.bind(bytes.to_vec()),
    })
}
