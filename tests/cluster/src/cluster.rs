//! The driver's PostgreSQL server, by tests/cluster/postgres.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use sqlx::{AssertSqlSafe, PgPool, postgres::PgPoolOptions};
use tokio::process::Command;

use crate::{rpc::Database, site::Failure};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/postgres");

pub struct Cluster {
    directory: PathBuf,
    url: String,
}

impl Cluster {
    pub async fn start(directory: &Path) -> Result<Self, Failure> {
        let url = script("start", directory).await?;
        Ok(Self { directory: directory.to_owned(), url: url.trim().to_owned() })
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
        script("kill", &self.directory).await?;
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
        script("start", &self.directory).await.map(drop)
    }

    fn url_of(&self, database: &str) -> String {
        self.url.replacen("/postgres?", &format!("/{database}?"), 1)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let stopped = std::process::Command::new(SCRIPT).arg("stop").arg(&self.directory).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the cluster in {} was not stopped", self.directory.display());
        }
    }
}

async fn script(what: &str, directory: &Path) -> Result<String, Failure> {
    let output = Command::new(SCRIPT).arg(what).arg(directory).stderr(Stdio::inherit()).output();
    let output = output.await?;
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout)?),
        false => Err(format!("tests/cluster/postgres {what} failed").into()),
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
