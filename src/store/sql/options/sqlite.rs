//! The options of a store in SQLite.

use std::{
    path::{self, Path},
    time::Duration as StdDuration,
};

use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use time::Duration;

use super::{TIMEOUT, lock_timeout};
use crate::{
    error::ConfigError,
    store::{
        StoreError, UsersTable,
        sql::{
            Engine,
            sqlite::{Reader, SqliteDriver, SqliteStore, failure},
        },
    },
};

/// The options of an [`SqliteStore`].
///
/// # Example
///
/// ```
/// use relatch::store::{SqliteOptions, UsersTable};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let timeout = time::Duration::seconds(3);
/// let users = SqliteOptions::new().timeout(timeout).in_memory(UsersTable::ready()).await?;
/// users.migrate().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "options do nothing until a store is made of them"]
pub struct SqliteOptions {
    timeout: StdDuration,
    reads_on_calling_thread: bool,
}

impl SqliteOptions {
    /// The default options.
    pub fn new() -> Self {
        Self { timeout: TIMEOUT, reads_on_calling_thread: false }
    }

    /// Sets the timeout of a call, after which it fails as unreachable. Default: 5 seconds.
    ///
    /// The writes of a store and its clones run one at a time, revocations first. If the store
    /// [opens](Self::open) the file by itself, a statement waits for a writer of another process for at
    /// most two fifths of the timeout.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(Duration::ZERO).unsigned_abs(), ..self }
    }

    /// Reads a user's row on the thread that polls the call, not on one of the runtime's threads for
    /// blocking calls. Only for a file that the store [opens](Self::open) by itself.
    ///
    /// This saves the change of threads, which is most of a read's time. The thread serves nothing else
    /// during the read: choose it only if the file is on a fast local disk and fits into memory. If the
    /// file is locked, the read waits on another thread.
    pub fn read_on_calling_thread(self) -> Self {
        Self { reads_on_calling_thread: true, ..self }
    }

    /// Opens the file with a new pool, and creates it if there is none.
    ///
    /// A committed write survives a loss of power: the store uses a write-ahead log, and syncs it at each
    /// commit. Foreign keys are enforced.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be opened, `path` is not a file's path (empty, `:memory:`, or a
    /// URL such as `sqlite:…` or `file:…`), or the table's description is not valid ([`ConfigError`]).
    pub async fn open<F: Clone + Send + Sync + 'static>(
        self,
        path: impl AsRef<Path>,
        table: UsersTable<F>,
    ) -> Result<SqliteStore<F>, StoreError> {
        let path = path.as_ref();
        is_path(path)?;
        // Further connections are opened later, perhaps in another working directory.
        let path = path::absolute(path).map_err(StoreError::unreachable)?;
        let options = self
            .connect_options()
            .filename(&path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let pool = pool(SqlitePoolOptions::new(), options).await?;
        let reader = Reader::new(path, self.reads_on_calling_thread);
        Ok(self.store(pool, Some(reader), &table)?)
    }

    /// Makes an empty store in memory, for tests. Its pool has one connection, which is never closed. The
    /// data ends with the store's last clone.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the table's description is not valid ([`ConfigError`]).
    pub async fn in_memory<F: Clone + Send + Sync + 'static>(
        self,
        table: UsersTable<F>,
    ) -> Result<SqliteStore<F>, StoreError> {
        let options = self.connect_options().filename(":memory:");
        let one = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None);
        Ok(self.over(pool(one, options).await?, table)?)
    }

    /// Makes a store over a pool of the application's own.
    ///
    /// # Security
    ///
    /// The pool must write with `synchronous=FULL`, or a loss of power may undo a revocation. Its
    /// `busy_timeout` must be shorter than half of the store's own [`timeout`](Self::timeout). Otherwise a
    /// change may still be written after its call has timed out.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]
    pub fn over<F: Clone + Send + Sync + 'static>(
        self,
        pool: SqlitePool,
        table: UsersTable<F>,
    ) -> Result<SqliteStore<F>, ConfigError> {
        match self.reads_on_calling_thread {
            true => Err(ConfigError::new(
                "read_on_calling_thread",
                "only a store that opens its file itself can read on the calling thread: use `open`",
            )),
            false => self.store(pool, None, &table),
        }
    }

    fn store<F: Clone + Send + Sync + 'static>(
        self,
        pool: SqlitePool,
        reader: Option<Reader>,
        table: &UsersTable<F>,
    ) -> Result<SqliteStore<F>, ConfigError> {
        Ok(SqliteStore(Engine::new(SqliteDriver::new(pool, reader), table, self.timeout)?))
    }

    fn connect_options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new().busy_timeout(lock_timeout(self.timeout)).foreign_keys(true)
    }
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    /// Opens the file with a new pool, and creates it if there is none: [`SqliteOptions::open`] with the
    /// default options.
    ///
    /// # Errors
    ///
    /// [`StoreError`] if the file cannot be opened, or the table's description is not valid
    /// ([`ConfigError`]).
    pub async fn open(path: impl AsRef<Path>, table: UsersTable<F>) -> Result<Self, StoreError> {
        SqliteOptions::new().open(path, table).await
    }

    /// Makes a store over a pool of the application's own: [`SqliteOptions::over`] with the default
    /// options.
    ///
    /// # Security
    ///
    /// The pool must write with `synchronous=FULL`, or a loss of power may undo a revocation.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]
    pub fn new(pool: SqlitePool, table: UsersTable<F>) -> Result<Self, ConfigError> {
        SqliteOptions::new().over(pool, table)
    }
}

async fn pool(
    pool: SqlitePoolOptions,
    options: SqliteConnectOptions,
) -> Result<SqlitePool, StoreError> {
    let pool = pool
        .acquire_timeout(StdDuration::from_secs(2))
        // A connection to a file does not break.
        .test_before_acquire(false)
        .connect_with(options)
        .await;
    pool.map_err(|error| failure(error).into())
}

/// Refuses what SQLite does not take for the path of a file: each connection to `:memory:` or to the
/// empty path has a database of its own.
fn is_path(path: &Path) -> Result<(), ConfigError> {
    let name = path.to_string_lossy();
    let error = |text: &'static str| Err(ConfigError::new("open", text));
    let is_scheme = |scheme: &str| {
        scheme.len() > 1 && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || b"+-.".contains(&c))
    };
    match name.split_once(':') {
        _ if name.is_empty() => {
            error("the path is empty: for a database in memory, use `in_memory`")
        }
        _ if name == ":memory:" => {
            error("`:memory:` is not a file's path: for a database in memory, use `in_memory`")
        }
        Some((scheme, rest))
            if is_scheme(scheme)
                && (["file", "sqlite"].iter().any(|s| scheme.eq_ignore_ascii_case(s))
                    || rest.starts_with("//")) =>
        {
            error("a URL is not a file's path: pass the path without `sqlite:` or `file:`")
        }
        _ => Ok(()),
    }
}
