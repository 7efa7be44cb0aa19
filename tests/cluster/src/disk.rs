//! A server whose disk is full.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::Path,
    time::Duration,
};

use sqlx::PgPool;
use tokio::time::sleep;

use crate::{
    Extent, ask_fresh,
    cluster::Cluster,
    expect,
    load::Load,
    rpc::{Op, Outcome},
    site::Failure,
    start,
};

const MIB: u32 = 120;
const STATEMENTS: usize = 8;

/// Fills the server's file system under load, as another program's file would, and empties it again.
pub async fn run(extent: &Extent, directory: &Path) -> Result<(), Failure> {
    let directory = directory.join("disk");
    // Small files of the log, so that it needs new ones soon.
    let settings = ["min_wal_size = 32MB", "max_wal_size = 32MB"];
    let cluster = Cluster::start_small(&directory, MIB, &settings).await?;
    let mut load = Load::new(cluster.database("disk").await?, 1, extent.seed).await?;
    let revoked = start(&load.nodes[0], &Load::other(0)).await?.0;
    load.start();
    sleep(Duration::from_millis(1000)).await;
    let ballast = directory.join("ballast");
    fill(&ballast)?;
    let admin = cluster.admin("disk").await?;
    let refused = grow(&admin, &ballast).await?;
    let bump = load.nodes[1].call(Op::Bump { user: Load::other(0) }).await;
    let is_either = matches!(bump, Outcome::Done | Outcome::Unavailable(_));
    expect(is_either, "a revocation while the disk is full", &bump)?;
    let during = load.count();
    fs::remove_file(&ballast)?;
    cluster.start_again().await?;
    admin.close().await;
    load.until_back().await?;
    if bump == Outcome::Done {
        for node in &load.nodes {
            let found = ask_fresh(node, &revoked).await;
            let is_refused = matches!(found, Outcome::Rejected(_));
            expect(is_refused, "after a revocation while the disk was full", &found)?;
        }
    }
    sleep(Duration::from_millis(1000)).await;
    load.stop().await?;
    expect(load.count() > during, "operations after the disk was full", &load.count())?;
    let operations = load.check("after the disk was full").await?;
    println!(
        "disk full: {operations}; the server refused {refused} of {STATEMENTS} other statements"
    );
    Ok(())
}

/// Runs statements that need more of the disk, and fills what each leaves. For a new file of its log the
/// server has to end itself. Gives how many it refused.
async fn grow(admin: &PgPool, ballast: &Path) -> Result<usize, Failure> {
    let grow = "CREATE TABLE filling AS SELECT repeat('x', 2000) FROM generate_series(1, 40000)";
    let mut refused = 0;
    for statement in [grow, "SELECT pg_switch_wal()"].into_iter().cycle().take(STATEMENTS) {
        refused += usize::from(sqlx::query(statement).execute(admin).await.is_err());
        fill(ballast)?;
        sleep(Duration::from_millis(250)).await;
    }
    expect(refused > 0, "statements that the server refused", &refused)?;
    Ok(refused)
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
