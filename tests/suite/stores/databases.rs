//! Databases to test in: a file that is deleted, and a server's tables of names that nobody else has.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{AssertSqlSafe, PgPool, SqlitePool};

/// A directory that is deleted with what is in it.
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

    /// A pool that makes the file.
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

/// A name that no other test has, of this run or another.
pub(super) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}_{}_{}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The server to test with, if there is one.
pub(super) fn postgres_url() -> Option<String> {
    let url = env::var("RELATCH_TEST_POSTGRES").ok();
    if url.is_none() {
        println!("skipped: RELATCH_TEST_POSTGRES names no server");
    }
    url
}

pub(super) async fn postgres() -> Option<PgPool> {
    Some(PgPool::connect(&postgres_url()?).await.unwrap())
}

pub(super) async fn run_postgres(pool: &PgPool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}

pub(super) async fn run_sqlite(pool: &SqlitePool, sql: impl Into<String>) {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).execute(pool).await.unwrap();
}
