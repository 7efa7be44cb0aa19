//! A standby becomes the primary: after the primary's crash under load, and by a switchover in which the
//! address leads to the old server for some time, which now only reads.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    Extent, ask_fresh,
    check::{Terms, check},
    cluster::Cluster,
    concurrently,
    dice::Dice,
    expect,
    faults::until_back,
    node::Node,
    plain, prepare,
    proxy::Proxy,
    rpc::{Config, Database, Op, Outcome},
    site::Failure,
    start,
    storm::{Storm, outcomes, user_id},
    until_listening,
};

const USERS: usize = 6;
const TASKS: usize = 16;
const SESSIONS: u32 = 32;

/// The revocations after a switchover.
const REVOCATIONS: usize = 25;

/// The cache's bound.
const STALENESS: Duration = Duration::from_secs(4);

/// A primary whose commits wait for its standby, so that a failover loses nothing that was acknowledged.
async fn pair(directory: &Path, name: &str) -> Result<(Cluster, Cluster), Failure> {
    let primary = Cluster::start(&directory.join(format!("{name}-1"))).await?;
    let standby = primary.standby(&directory.join(format!("{name}-2"))).await?;
    primary.set("synchronous_standby_names = '*'").await?;
    Ok((primary, standby))
}

/// The primary is killed under load, and the standby is promoted.
pub async fn crash(extent: &Extent, directory: &Path) -> Result<(), Failure> {
    let (primary, standby) = pair(directory, "crash").await?;
    let Database::Postgres(_) = primary.database("failover").await? else {
        return Err("no database".into());
    };
    let proxy = Proxy::start(primary.directory()).await?;
    let driver = plain(Database::Postgres(proxy.url("failover")), SESSIONS);
    let worker = Config {
        staleness_ms: Some(i64::try_from(STALENESS.as_millis())?),
        listens: true,
        ..driver.clone()
    };
    let site = prepare(&driver, USERS + 1).await?;
    let nodes = vec![Arc::new(Node::spawn(&worker)?), Arc::new(Node::spawn(&worker)?)];
    for node in &nodes {
        until_listening(node).await?;
    }
    let kept = start(&nodes[0], &user_id(USERS)).await?.0;
    let storm = Storm::new(nodes.clone(), USERS, 12);
    let mut dice = Dice::new(extent.seed);
    let running = {
        let (storm, mut dice) = (Arc::clone(&storm), dice.fork());
        tokio::spawn(async move { storm.run(&mut dice, TASKS, usize::MAX).await })
    };
    sleep(Duration::from_millis(dice.between(1000, 2000))).await;
    primary.kill().await?;
    let killed = Instant::now();
    standby.promote().await?;
    proxy.switch_to(standby.directory());
    until_back(&nodes, &kept).await?;
    let outage = killed.elapsed();
    sleep(Duration::from_millis(1000)).await;
    storm.stop();
    running.await?;
    storm.drain(&mut dice).await;
    let records = storm.records();
    let staleness = u64::try_from(STALENESS.as_nanos())?;
    let counts = check(&site, &records, USERS, &Terms { staleness })
        .await
        .map_err(|error| format!("after the standby was promoted: {error}"))?;
    println!(
        "PostgreSQL killed and its standby promoted, back after {outage:.1?}: {} operations {:?}, in \
         flight or during the outage {}; {counts:?}",
        records.len(),
        outcomes(&records),
        records.iter().filter(|record| record.outcome.is_unknown()).count(),
    );
    Ok(())
}

/// The primary and the standby change places. For some time the address leads to the old primary, so that
/// the services' connections are to a server that only reads, and stay open after the address has changed.
pub async fn switchover(directory: &Path) -> Result<(), Failure> {
    let (old, new) = pair(directory, "switchover").await?;
    old.database("switchover").await?;
    let proxy = Proxy::start(old.directory()).await?;
    let worker = plain(Database::Postgres(proxy.url("switchover")), SESSIONS);
    drop(prepare(&worker, 2 * REVOCATIONS).await?);
    let nodes = [Node::spawn(&worker)?, Node::spawn(&worker)?];
    // It does not write, and so does not learn from an error that its server only reads.
    let reader = Node::spawn(&worker)?;
    let mut tokens = Vec::new();
    for user in 0..2 * REVOCATIONS {
        tokens.push(start(&nodes[user % 2], &user_id(user)).await?.0);
    }

    old.stop().await?;
    new.promote().await?;
    old.follow(&new).await?;
    for node in nodes.iter().chain([&reader]) {
        // Several at once, so that the pool has several connections to the old server. Whether it may be
        // read is left open: a standby may be behind.
        let since = Instant::now();
        while since.elapsed().as_secs() < 2 {
            let reads = tokens.iter().take(8).map(|token| ask_fresh(node, token));
            for answer in concurrently(reads).await {
                let is_either = matches!(answer, Outcome::Done | Outcome::Unavailable(_));
                expect(is_either, "a read in a switchover", &answer)?;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    for node in &nodes {
        let bump = node.call(Op::Bump { user: user_id(0) }).await;
        let is_refused = matches!(bump, Outcome::Unavailable(_));
        expect(is_refused, "a revocation that the old server refuses", &bump)?;
    }

    proxy.switch_to(new.directory());
    let mut done = [0; 2];
    let mut failures = Vec::new();
    for round in 0..REVOCATIONS {
        for (at, node) in nodes.iter().enumerate() {
            let bump = node.call(Op::Bump { user: user_id(2 * round + at) }).await;
            match bump {
                Outcome::Done => done[at] += 1,
                other => failures.push(other),
            }
        }
    }
    println!("after a switchover, {done:?} of {REVOCATIONS} revocations by each of two services");
    expect(failures.is_empty(), "revocations after a switchover", &failures.first())?;

    let mut tokens = Vec::new();
    for user in 0..2 * REVOCATIONS {
        let (token, _) = start(&nodes[user % 2], &user_id(user)).await?;
        let since = Instant::now();
        while ask_fresh(&reader, &token).await != Outcome::Done {
            expect(since.elapsed().as_secs() < 20, "a session after a switchover", &user)?;
            sleep(Duration::from_millis(20)).await;
        }
        tokens.push(token);
    }
    // From now on the old server does not receive what the new one writes.
    let admin = old.admin("switchover").await?;
    sqlx::query("SELECT pg_wal_replay_pause()").execute(&admin).await?;
    let mut stale = 0;
    for (user, token) in tokens.iter().enumerate() {
        let bump = nodes[user % 2].call(Op::Bump { user: user_id(user) }).await;
        expect(bump == Outcome::Done, "a revocation after a switchover", &bump)?;
        for node in nodes.iter().chain([&reader]) {
            match ask_fresh(node, token).await {
                Outcome::Rejected(_) => {}
                Outcome::Done => stale += 1,
                other => return Err(format!("a read after a switchover: {other:?}").into()),
            }
        }
    }
    admin.close().await;
    println!(
        "after a switchover, {stale} of {} tokens were accepted after their revocation",
        6 * REVOCATIONS
    );
    expect(stale == 0, "reads of the old server after a switchover", &stale)
}
