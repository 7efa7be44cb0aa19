//! Databases for tests: temporary SQLite files, and PostgreSQL tables with unique names.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};
#[cfg(feature = "postgres")]
use std::{
    io::{self, Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize},
    },
    thread,
    time::Duration,
};

#[cfg(feature = "postgres")]
use relatch::{
    ConfigError,
    store::{PostgresOptions, StoreError, UsersTable},
};
use sqlx::{AssertSqlSafe, SqlitePool};
#[cfg(feature = "postgres")]
use sqlx::{PgPool, postgres::PgConnectOptions};

/// A directory that is deleted on drop.
pub(super) struct Directory(PathBuf);

impl Directory {
    pub(super) fn new() -> Self {
        let path = env::temp_dir().join(unique("relatch"));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self) -> PathBuf {
        self.0.join("users.sqlite")
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A pool that creates the file.
    pub(super) async fn pool(&self) -> SqlitePool {
        let url = format!("sqlite://{}?mode=rwc", self.file().display());
        SqlitePool::connect(&url).await.unwrap()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A name that is unique among all tests and runs.
pub(super) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The URL of the server for tests, if there is one.
#[cfg(feature = "postgres")]
pub(super) fn postgres_url() -> Option<String> {
    let url = env::var("RELATCH_TEST_POSTGRES").ok();
    if url.is_none() {
        println!("skipped: RELATCH_TEST_POSTGRES names no server");
    }
    url
}

#[cfg(feature = "postgres")]
pub(super) async fn postgres() -> Option<PgPool> {
    Some(PgPool::connect(&postgres_url()?).await.unwrap())
}

/// The URL of another role and database of the server for tests.
#[cfg(feature = "postgres")]
pub(super) fn url_of(role: &str, database: &str) -> Option<String> {
    let url = postgres_url()?.replace("postgres@", &format!("{role}@"));
    Some(url.replace("/postgres?", &format!("/{database}?")))
}

/// A database whose encoding lacks most characters: its URL.
#[cfg(feature = "postgres")]
pub(super) async fn latin1() -> Option<String> {
    let (server, name) = (postgres().await?, unique("latin"));
    let create = format!("CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0");
    run_postgres(&server, create).await;
    url_of("postgres", &name)
}

/// A database of its own, which a superuser prepares by this SQL: the URL of its owner, and a pool of the
/// superuser's.
#[cfg(feature = "postgres")]
pub(super) async fn database(prepare: &str) -> Option<(String, PgPool)> {
    let (server, name) = (postgres().await?, unique("own"));
    run_postgres(&server, format!("CREATE ROLE {name} LOGIN")).await;
    run_postgres(&server, format!("CREATE DATABASE {name} OWNER {name}")).await;
    let admin = PgPool::connect(&url_of("postgres", &name)?).await.unwrap();
    run_postgres(&admin, prepare).await;
    Some((url_of(&name, &name)?, admin))
}

/// A database in which the server answers `pg_notify` with an error, as with a full queue.
#[cfg(feature = "postgres")]
pub(super) async fn without_notifications() -> Option<(String, PgPool)> {
    database("REVOKE EXECUTE ON FUNCTION pg_catalog.pg_notify(text, text) FROM PUBLIC").await
}

/// The URL of a PgBouncer that pools transactions in front of the server for tests, if there is one.
#[cfg(feature = "postgres")]
fn pooler_url() -> Option<String> {
    env::var("RELATCH_TEST_PGBOUNCER").ok()
}

/// Makes stores as `relatch::store::PostgresStore` does, but through PgBouncer if there is one. A
/// connection that needs something else (startup options, another role, a proxy) stays direct.
#[cfg(feature = "postgres")]
pub(super) struct PostgresStore;

#[cfg(feature = "postgres")]
impl PostgresStore {
    #[expect(clippy::new_ret_no_self, reason = "it stands for the store's own type")]
    pub(super) fn new<F: Clone + Send + Sync + 'static>(
        pool: PgPool,
        table: UsersTable<F>,
    ) -> Result<relatch::store::PostgresStore<F>, ConfigError> {
        let direct: Option<PgConnectOptions> = postgres_url().map(|url| url.parse().unwrap());
        let of_pool = pool.connect_options();
        let is_plain = direct.is_some_and(|direct| {
            direct.get_socket() == of_pool.get_socket()
                && direct.get_username() == of_pool.get_username()
                && of_pool.get_options().is_none()
        });
        match pooler_url() {
            Some(url) if is_plain => {
                let options: PgConnectOptions = url.parse().unwrap();
                let pool = PgPool::connect_lazy_with(options.extra_float_digits(None));
                PostgresOptions::new().behind_pooler().over(pool, table)
            }
            _ => relatch::store::PostgresStore::new(pool, table),
        }
    }

    pub(super) async fn connect<F: Clone + Send + Sync + 'static>(
        url: &str,
        table: UsersTable<F>,
    ) -> Result<relatch::store::PostgresStore<F>, StoreError> {
        let (options, url) = through_pooler(PostgresOptions::new(), url);
        options.connect(&url, table).await
    }
}

/// The options and the URL that lead through PgBouncer to the server of this URL, if there is one.
/// It listens directly.
#[cfg(feature = "postgres")]
pub(crate) fn through_pooler(options: PostgresOptions, url: &str) -> (PostgresOptions, String) {
    let rest = postgres_url().and_then(|direct| Some(url.strip_prefix(&direct)?.to_owned()));
    match (pooler_url(), rest) {
        (Some(pooler), Some(rest)) if !rest.contains("options=") => {
            (options.behind_pooler().listen_url(url), pooler + &rest)
        }
        _ => (options, url.to_owned()),
    }
}

#[cfg(feature = "postgres")]
pub(super) async fn run_postgres(pool: &PgPool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

pub(super) async fn run_sqlite(pool: &SqlitePool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

/// A proxy between TCP and the server's socket.
#[cfg(feature = "postgres")]
pub(super) struct Proxy {
    port: u16,
    wire: Arc<Wire>,
}

/// The state of a proxy, for all its connections.
#[cfg(feature = "postgres")]
#[derive(Default)]
struct Wire {
    /// Data that arrives is dropped.
    is_silent: AtomicBool,
    /// Data of the connections up to this number is dropped, for ever.
    stranded: AtomicUsize,
    /// The number of connections.
    count: AtomicUsize,
    /// The answer with these bytes is not passed on; its connection is closed.
    lost_answer: Mutex<Option<&'static [u8]>>,
    /// The request with these bytes is held. Its client sees a closed connection.
    held_request: Mutex<Option<&'static [u8]>>,
    /// Whether that request may go on to the server.
    is_released: AtomicBool,
}

#[cfg(feature = "postgres")]
impl Proxy {
    /// Starts it in front of the server for tests.
    pub(super) fn start() -> Self {
        let url = postgres_url().unwrap();
        let (_, directory) = url.split_once("host=").unwrap();
        let socket = format!("{directory}/.s.PGSQL.5432");
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let wire = Arc::new(Wire::default());
        let shared = Arc::clone(&wire);
        thread::spawn(move || {
            for client in server.incoming() {
                let (client, server) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let number = shared.count.fetch_add(1, Ordering::SeqCst) + 1;
                let wires = (Arc::clone(&shared), Arc::clone(&shared));
                thread::spawn(move || {
                    wires.0.pass(number, Holding(&wires.0, &client), &server);
                    close(&client, &server);
                });
                thread::spawn(move || {
                    wires.1.pass(number, &back.0, &back.1);
                    close(&back.1, &back.0);
                });
            }
        });
        Self { port, wire }
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    pub(super) fn set_silent(&self, is_silent: bool) {
        self.wire.is_silent.store(is_silent, Ordering::SeqCst);
    }

    /// Makes the present connections half-open: they stay open and pass nothing more on. Later ones
    /// work.
    pub(super) fn strand(&self) {
        self.wire.stranded.store(self.wire.count.load(Ordering::SeqCst), Ordering::SeqCst);
    }

    /// Loses the server's next answer with these bytes, and closes its connection.
    pub(super) fn lose_answer(&self, bytes: &'static [u8]) {
        *self.wire.lost_answer.lock().unwrap() = Some(bytes);
    }

    /// Holds the client's next request with these bytes, and closes its connection to the client.
    pub(super) fn hold_request(&self, bytes: &'static [u8]) {
        self.wire.is_released.store(false, Ordering::SeqCst);
        *self.wire.held_request.lock().unwrap() = Some(bytes);
    }

    /// Sends the held request to the server.
    pub(super) fn release_request(&self) {
        self.wire.is_released.store(true, Ordering::SeqCst);
    }

    /// Whether the answer was lost.
    pub(super) fn has_lost_answer(&self) -> bool {
        self.wire.lost_answer.lock().unwrap().is_none()
    }
}

/// What one side closes, the other sees as closed.
#[cfg(feature = "postgres")]
fn close(client: &TcpStream, server: &UnixStream) {
    let _ = client.shutdown(Shutdown::Both);
    let _ = server.shutdown(Shutdown::Both);
}

/// A client, whose requests may be held.
#[cfg(feature = "postgres")]
struct Holding<'a>(&'a Wire, &'a TcpStream);

#[cfg(feature = "postgres")]
impl Read for Holding<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self(wire, mut client) = *self;
        let count = client.read(buffer)?;
        let is_held = has(&buffer[..count], &wire.held_request);
        if is_held {
            client.shutdown(Shutdown::Both)?;
            while !wire.is_released.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(count)
    }
}

/// Whether the data has the bytes that are waited for, once.
#[cfg(feature = "postgres")]
fn has(data: &[u8], wanted: &Mutex<Option<&'static [u8]>>) -> bool {
    let mut wanted = wanted.lock().unwrap();
    let found = wanted.is_some_and(|bytes| data.windows(bytes.len()).any(|part| part == bytes));
    if found {
        *wanted = None;
    }
    found
}

#[cfg(feature = "postgres")]
impl Wire {
    fn pass(&self, number: usize, mut from: impl Read, mut to: impl Write) {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            let data = &buffer[..count];
            if has(data, &self.lost_answer) {
                return;
            }
            let is_dropped = self.is_silent.load(Ordering::SeqCst)
                || number <= self.stranded.load(Ordering::SeqCst);
            if !is_dropped && to.write_all(data).is_err() {
                return;
            }
        }
    }
}
