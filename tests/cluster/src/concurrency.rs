//! Two processes, all operations at once on a few users, no faults.

use std::{path::Path, sync::Arc};

use crate::{
    Extent,
    check::{Terms, check},
    cluster::Cluster,
    dice::Dice,
    node::Node,
    plain, prepare,
    rpc::{Config, Database},
    site::Failure,
    storm::{Storm, outcomes, repeated_refreshes},
    until_listening,
};

const USERS: usize = 4;
const TASKS: usize = 24;
const SESSIONS: u32 = 16;

/// With a cache in each process, and a listener.
const STALENESS_MS: i64 = 5000;

pub async fn postgres(extent: &Extent, cluster: &Cluster) -> Result<(), Failure> {
    let database = cluster.database("concurrency").await?;
    let worker = Config {
        staleness_ms: Some(STALENESS_MS),
        listens: true,
        ..plain(database.clone(), SESSIONS)
    };
    let staleness = u64::try_from(STALENESS_MS)? * 1_000_000;
    run("PostgreSQL", extent, database, &worker, Terms { staleness }).await
}

pub async fn sqlite(extent: &Extent, directory: &Path) -> Result<(), Failure> {
    let path = directory.join("concurrency.sqlite").display().to_string();
    let database = Database::Sqlite(path);
    let worker = plain(database.clone(), SESSIONS);
    run("SQLite", extent, database, &worker, Terms { staleness: 0 }).await
}

async fn run(
    name: &str,
    extent: &Extent,
    database: Database,
    worker: &Config,
    terms: Terms,
) -> Result<(), Failure> {
    let site = prepare(&plain(database, SESSIONS), USERS).await?;
    let nodes = vec![Arc::new(Node::spawn(worker)?), Arc::new(Node::spawn(worker)?)];
    for node in nodes.iter().filter(|_| worker.listens) {
        until_listening(node).await?;
    }
    let storm = Storm::new(nodes, USERS, 40);
    let mut dice = Dice::new(extent.seed);
    storm.run(&mut dice, TASKS, extent.steps).await;
    storm.drain(&mut dice).await;
    let records = storm.records();
    let counts = check(&site, &records, USERS, &terms).await?;
    println!(
        "{name}, two processes: {} operations {:?}, {} refresh tokens presented again; {counts:?}",
        records.len(),
        outcomes(&records),
        repeated_refreshes(&records),
    );
    Ok(())
}
