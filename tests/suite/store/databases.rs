//! Databases for tests: temporary SQLite files, and PostgreSQL tables with unique names.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};
#[cfg(feature = "postgres")]
use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::net::UnixStream,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

#[cfg(feature = "postgres")]
use sqlx::PgPool;
use sqlx::{AssertSqlSafe, SqlitePool};

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

#[cfg(feature = "postgres")]
pub(super) async fn run_postgres(pool: &PgPool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

pub(super) async fn run_sqlite(pool: &SqlitePool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

/// A proxy between TCP and the server's socket. It drops the data that arrives while it is silent.
#[cfg(feature = "postgres")]
pub(super) struct Proxy {
    port: u16,
    is_silent: Arc<AtomicBool>,
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
        let is_silent = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&is_silent);
        thread::spawn(move || {
            for client in server.incoming() {
                let (client, server) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
                let back = (server.try_clone().unwrap(), client.try_clone().unwrap());
                let flags = (Arc::clone(&flag), Arc::clone(&flag));
                thread::spawn(move || pass(client, server, &flags.0));
                thread::spawn(move || pass(back.0, back.1, &flags.1));
            }
        });
        Self { port, is_silent }
    }

    pub(super) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable", self.port)
    }

    pub(super) fn set_silent(&self, is_silent: bool) {
        self.is_silent.store(is_silent, Ordering::SeqCst);
    }
}

#[cfg(feature = "postgres")]
fn pass(mut from: impl Read, mut to: impl Write, is_silent: &AtomicBool) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !is_silent.load(Ordering::SeqCst) && to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
