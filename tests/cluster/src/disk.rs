//! A server whose disk is full.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::time::sleep;

use crate::{
    Extent, ask_fresh,
    check::{Terms, check},
    cluster::Cluster,
    dice::Dice,
    expect,
    faults::until_back,
    node::Node,
    plain, prepare,
    rpc::{Config, Op, Outcome},
    site::Failure,
    start,
    storm::{Storm, outcomes, user_id},
    until_listening,
};

const USERS: usize = 6;
const TASKS: usize = 16;
const SESSIONS: u32 = 32;
const MIB: u32 = 120;
const STATEMENTS: usize = 8;
const STALENESS: Duration = Duration::from_secs(4);

/// Fills the server's file system under load, as another program's file would, and empties it again.
pub async fn run(extent: &Extent, directory: &Path) -> Result<(), Failure> {
    let directory = directory.join("disk");
    // Small files of the log, so that it needs new ones soon.
    let settings = ["min_wal_size = 32MB", "max_wal_size = 32MB"];
    let cluster = Cluster::start_small(&directory, MIB, &settings).await?;
    let database = cluster.database("disk").await?;
    let driver = plain(database, SESSIONS);
    let worker = Config {
        staleness_ms: Some(i64::try_from(STALENESS.as_millis())?),
        listens: true,
        ..driver.clone()
    };
    let site = prepare(&driver, USERS + 2).await?;
    let nodes = vec![Arc::new(Node::spawn(&worker)?), Arc::new(Node::spawn(&worker)?)];
    for node in &nodes {
        until_listening(node).await?;
    }
    let kept = start(&nodes[0], &user_id(USERS)).await?.0;
    let revoked = start(&nodes[0], &user_id(USERS + 1)).await?.0;
    let storm = Storm::new(nodes.clone(), USERS, 12);
    let mut dice = Dice::new(extent.seed);
    let running = {
        let (storm, mut dice) = (Arc::clone(&storm), dice.fork());
        tokio::spawn(async move { storm.run(&mut dice, TASKS, usize::MAX).await })
    };
    sleep(Duration::from_millis(1000)).await;
    let ballast = directory.join("ballast");
    fill(&ballast)?;
    // Statements that need more of the disk. For a new file of its log the server has to end itself.
    let admin = cluster.admin("disk").await?;
    let grow = "CREATE TABLE filling AS SELECT repeat('x', 2000) FROM generate_series(1, 40000)";
    let mut refused = 0;
    for statement in [grow, "SELECT pg_switch_wal()"].into_iter().cycle().take(STATEMENTS) {
        refused += usize::from(sqlx::query(statement).execute(&admin).await.is_err());
        fill(&ballast)?;
        sleep(Duration::from_millis(250)).await;
    }
    expect(refused > 0, "statements that the server refused", &refused)?;
    let bump = nodes[1].call(Op::Bump { user: user_id(USERS + 1) }).await;
    let is_either = matches!(bump, Outcome::Done | Outcome::Unavailable(_));
    expect(is_either, "a revocation while the disk is full", &bump)?;
    let during = storm.records().len();
    fs::remove_file(&ballast)?;
    cluster.start_again().await?;
    admin.close().await;
    until_back(&nodes, &kept).await?;
    if bump == Outcome::Done {
        for node in &nodes {
            let found = ask_fresh(node, &revoked).await;
            let is_refused = matches!(found, Outcome::Rejected(_));
            expect(is_refused, "after a revocation while the disk was full", &found)?;
        }
    }
    sleep(Duration::from_millis(1000)).await;
    storm.stop();
    running.await?;
    storm.drain(&mut dice).await;
    let records = storm.records();
    expect(records.len() > during, "operations after the disk was full", &records.len())?;
    let staleness = u64::try_from(STALENESS.as_nanos())?;
    let counts = check(&site, &records, USERS, &Terms { staleness })
        .await
        .map_err(|error| format!("after the disk was full: {error}"))?;
    println!(
        "disk full: {} operations {:?}, refused or unknown {}; the server refused {refused} of \
         {STATEMENTS} other statements; {counts:?}",
        records.len(),
        outcomes(&records),
        records.iter().filter(|record| record.outcome.is_unknown()).count(),
    );
    Ok(())
}

/// Appends to the file until the file system is full.
fn fill(ballast: &Path) -> Result<(), Failure> {
    let mut file = fs::File::options().create(true).append(true).open(ballast)?;
    for size in [1 << 20, 4096] {
        let block = vec![0; size];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(())
}
