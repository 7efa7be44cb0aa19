//! The driver's PostgreSQL server, by tests/cluster/postgres.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::process::Command;

use crate::{
    rpc::Database,
    site::{Failure, started},
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/postgres");

pub struct Cluster {
    directory: PathBuf,
    url: String,
    /// The version of the programs; `None` for the distribution's.
    version: Option<&'static str>,
}

impl Cluster {
    pub async fn start(directory: &Path) -> Result<Self, Failure> {
        Self::start_with(directory, None, &[]).await
    }

    /// Starts a server of this version with further settings.
    pub async fn start_with(
        directory: &Path,
        version: Option<&'static str>,
        settings: &[&str],
    ) -> Result<Self, Failure> {
        let new = Self { directory: directory.to_owned(), url: String::new(), version };
        new.made("start", settings).await
    }

    /// Starts a server whose file system has this size.
    pub async fn start_small(
        directory: &Path,
        mib: u32,
        settings: &[&str],
    ) -> Result<Self, Failure> {
        let new = Self { directory: directory.to_owned(), url: String::new(), version: None };
        new.script("small", &[&mib.to_string()]).await?;
        new.made("start", settings).await
    }

    /// Starts a standby of this server.
    pub async fn standby(&self, directory: &Path) -> Result<Self, Failure> {
        let new = Self { directory: directory.to_owned(), url: String::new(), version: None };
        new.made("standby", &[&self.directory.display().to_string()]).await
    }

    /// Makes a standby the primary.
    pub async fn promote(&self) -> Result<(), Failure> {
        self.script("promote", &[]).await.map(drop)
    }

    pub async fn stop(&self) -> Result<(), Failure> {
        self.script("stop", &[]).await.map(drop)
    }

    /// Starts this server, which was stopped, as a standby of the other one.
    pub async fn follow(&self, other: &Self) -> Result<(), Failure> {
        self.script("follow", &[&other.directory.display().to_string()]).await.map(drop)
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A setting of the running server.
    pub async fn set(&self, setting: &str) -> Result<(), Failure> {
        let admin = self.admin("postgres").await?;
        let set = format!("ALTER SYSTEM SET {setting}");
        sqlx::query(AssertSqlSafe(set)).execute(&admin).await?;
        sqlx::query("SELECT pg_reload_conf()").execute(&admin).await?;
        admin.close().await;
        Ok(())
    }

    /// Creates an empty database.
    pub async fn database(&self, name: &str) -> Result<Database, Failure> {
        let admin = self.admin("postgres").await?;
        let create = format!("CREATE DATABASE {name}");
        sqlx::query(AssertSqlSafe(create)).execute(&admin).await?;
        admin.close().await;
        Ok(Database::Postgres(self.url_of(name)))
    }

    /// Connections of the administrator.
    pub async fn admin(&self, database: &str) -> Result<PgPool, Failure> {
        Ok(PgPoolOptions::new().max_connections(2).connect(&self.url_of(database)).await?)
    }

    /// Kills the server and all its children at once: a loss of power, except for the disk's cache.
    pub async fn kill(&self) -> Result<(), Failure> {
        let pid_file = fs::read_to_string(self.directory.join("data/postmaster.pid"))?;
        let postmaster: u32 = pid_file.lines().next().unwrap_or_default().parse()?;
        let children = children_of(postmaster);
        self.script("kill", &[]).await?;
        for child in children {
            // Most have ended already, because their parent has.
            Command::new("kill")
                .args(["-KILL", &child.to_string()])
                .stderr(Stdio::null())
                .status()
                .await?;
        }
        Ok(())
    }

    pub async fn start_again(&self) -> Result<(), Failure> {
        self.script("start", &[]).await.map(drop)
    }

    pub fn url_of(&self, database: &str) -> String {
        self.url.replacen("/postgres?", &format!("/{database}?"), 1)
    }

    async fn made(mut self, what: &str, args: &[&str]) -> Result<Self, Failure> {
        self.url = self.script(what, args).await?;
        Ok(self)
    }

    async fn script(&self, what: &str, args: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new(SCRIPT);
        command.arg(what).arg(&self.directory).args(args).stderr(Stdio::inherit());
        if let Some(version) = self.version {
            command.env("POSTGRES_VERSION", version);
        }
        started(&format!("tests/cluster/postgres {what}"), command.output().await?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(SCRIPT);
        command.arg("stop").arg(&self.directory);
        if let Some(version) = self.version {
            command.env("POSTGRES_VERSION", version);
        }
        let stopped = command.status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the cluster in {} was not stopped", self.directory.display());
        }
    }
}

/// Reads Linux's list of processes. Empty elsewhere, where the children end by themselves.
fn children_of(parent: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        after_name.split(' ').nth(1) == Some(&parent.to_string())
    };
    pids.filter(is_child).collect()
}
