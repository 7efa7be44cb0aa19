//! Kills databases and servers in the middle of writes.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{Connection, SqliteConnection};
use tokio::time::{Instant, sleep};

use crate::{
    Extent, ask, ask_fresh,
    check::{Terms, check},
    cluster::Cluster,
    dice::Dice,
    expect,
    node::Node,
    plain, prepare,
    rpc::{Config, Database, Outcome},
    site::{Failure, Site},
    start,
    storm::{Storm, outcomes, user_id},
    until_listening,
};

const USERS: usize = 6;
const TASKS: usize = 16;
const SESSIONS: u32 = 32;

/// The cache's bound.
const STALENESS: Duration = Duration::from_secs(4);

/// Kills PostgreSQL under two servers, again and again.
pub async fn postgres(extent: &Extent, cluster: &Cluster) -> Result<(), Failure> {
    let database = cluster.database("faults").await?;
    let driver = plain(database.clone(), SESSIONS);
    let worker = Config {
        staleness_ms: Some(i64::try_from(STALENESS.as_millis())?),
        listens: true,
        ..driver.clone()
    };
    // More users, whom no task changes: one stays in the caches; each round has one that is not there.
    let rounds = usize::try_from(extent.rounds)?;
    let site = prepare(&driver, USERS + 1 + rounds).await?;
    let nodes = vec![Arc::new(Node::spawn(&worker)?), Arc::new(Node::spawn(&worker)?)];
    for node in &nodes {
        until_listening(node).await?;
    }
    let kept = start(&nodes[0], &user_id(USERS)).await?.0;
    let storm = Storm::new(nodes.clone(), USERS, 12);
    let mut dice = Dice::new(extent.seed);
    let (mut served, mut refused) = (0, 0);
    for round in 0..rounds {
        let other = start(&nodes[0], &user_id(USERS + 1 + round)).await?.0;
        let running = {
            let (storm, mut dice) = (Arc::clone(&storm), dice.fork());
            tokio::spawn(async move { storm.run(&mut dice, TASKS, usize::MAX).await })
        };
        sleep(Duration::from_millis(dice.between(150, 900))).await;
        expect(ask(&nodes[0], &kept).await == Outcome::Done, "before the outage", &kept)?;
        // The record may have been read at any time until the answer.
        let answered = Instant::now();
        cluster.kill().await?;
        // Every third outage is longer than the cache's bound.
        let outage = match round % 3 {
            0 => STALENESS + Duration::from_millis(500),
            _ => Duration::from_millis(dice.between(50, 400)),
        };
        let killed = Instant::now();
        // The call takes as long as the pool waits for a connection.
        let asked_of_other = tokio::spawn({
            let (node, other) = (Arc::clone(&nodes[0]), other.clone());
            async move { ask(&node, &other).await }
        });
        while killed.elapsed() < outage {
            let asked = Instant::now();
            match ask(&nodes[0], &kept).await {
                Outcome::Done if asked - answered < STALENESS => served += 1,
                Outcome::Unavailable(_) => refused += 1,
                found => {
                    let late = asked - answered;
                    let text = format!("in an outage, {late:?} after the last answer: {found:?}");
                    return Err(text.into());
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        // In a short outage the server may be back before the pool gives up.
        let is_long = outage > STALENESS;
        if is_long {
            let found = asked_of_other.await?;
            let is_unavailable = matches!(found, Outcome::Unavailable(_));
            expect(is_unavailable, "who is not kept, in an outage", &found)?;
            refused += 1;
            cluster.start_again().await?;
        } else {
            cluster.start_again().await?;
            let found = asked_of_other.await?;
            let is_either = matches!(found, Outcome::Unavailable(_) | Outcome::Done);
            expect(is_either, "who is not kept, around an outage", &found)?;
        }
        until_back(&nodes, &kept).await?;
        sleep(Duration::from_millis(150)).await;
        storm.stop();
        running.await?;
        storm.drain(&mut dice).await;
        let staleness = u64::try_from(STALENESS.as_nanos())?;
        let records = storm.records();
        let back = until_readable(&site).await;
        expect(back, "the database answers again", &round)?;
        check(&site, &records, USERS, &Terms { staleness })
            .await
            .map_err(|error| format!("after kill {round} of PostgreSQL: {error}"))?;
    }
    let records = storm.records();
    let staleness = u64::try_from(STALENESS.as_nanos())?;
    let counts = check(&site, &records, USERS, &Terms { staleness }).await?;
    println!(
        "PostgreSQL killed {} times: {} operations {:?}, in flight or during outages {}; cached users \
         answered {served} times, others refused as unavailable {refused} times; {counts:?}",
        extent.rounds,
        records.len(),
        outcomes(&records),
        records.iter().filter(|record| record.outcome.is_unknown()).count(),
    );
    Ok(())
}

/// Waits until both servers read again.
pub async fn until_back(nodes: &[Arc<Node>], token: &str) -> Result<(), Failure> {
    let since = Instant::now();
    for node in nodes {
        loop {
            match ask_fresh(node, token).await {
                Outcome::Done => break,
                Outcome::Unavailable(_) if since.elapsed().as_secs() < 20 => {}
                found => return Err(format!("after the outage: {found:?}").into()),
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
    Ok(())
}

async fn until_readable(site: &Site) -> bool {
    for _ in 0..100 {
        if site.store.read(relatch::store::UserKey::Id(&user_id(0))).await.is_ok() {
            return true;
        }
        sleep(Duration::from_millis(100)).await;
    }
    false
}

/// Cuts a listener's connection and bumps a user meanwhile. The bump must take effect long before the
/// cache's bound.
pub async fn listener(extent: &Extent, cluster: &Cluster) -> Result<(), Failure> {
    const AT_ONCE: Duration = Duration::from_secs(10);
    let database = cluster.database("listener").await?;
    let driver = plain(database, SESSIONS);
    let site = prepare(&driver, 1).await?;
    let worker = Config { staleness_ms: Some(600_000), listens: true, ..driver };
    let node = Node::spawn(&worker)?;
    let admin = cluster.admin("listener").await?;
    let user = user_id(0);
    let mut slowest = Duration::ZERO;
    for round in 0..extent.rounds {
        until_listening(&node).await?;
        let (token, _) = start(&node, &user).await?;
        expect(ask(&node, &token).await == Outcome::Done, "before the cut", &round)?;
        let cut: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND (query ILIKE 'listen%' OR query ILIKE '%pg_notify($1, %')",
        )
        .fetch_all(&admin)
        .await?;
        expect(cut.iter().any(|cut| *cut), "a listener's connection is cut", &cut)?;
        site.service.log_out_everywhere(&user).await?;
        let bumped = Instant::now();
        loop {
            match ask(&node, &token).await {
                Outcome::Rejected(_) => break,
                Outcome::Done if bumped.elapsed() < AT_ONCE => {}
                found => {
                    let late = bumped.elapsed();
                    return Err(
                        format!("{late:?} after a bump without a notification: {found:?}").into()
                    );
                }
            }
            sleep(Duration::from_millis(5)).await;
        }
        slowest = slowest.max(bumped.elapsed());
    }
    admin.close().await;
    println!(
        "a listener cut off {} times: a bump made meanwhile took effect within {slowest:.0?}",
        extent.rounds
    );
    Ok(())
}

/// Kills two servers over one SQLite file, again and again.
pub async fn sqlite(extent: &Extent, directory: &Path) -> Result<(), Failure> {
    let path = directory.join("faults.sqlite").display().to_string();
    let database = Database::Sqlite(path.clone());
    let config = plain(database, SESSIONS);
    drop(prepare(&config, USERS).await?);
    let storm = Storm::new(Vec::new(), USERS, 12);
    let mut dice = Dice::new(extent.seed);
    let rounds = 3 * extent.rounds;
    for round in 0..rounds {
        let nodes = vec![Arc::new(Node::spawn(&config)?), Arc::new(Node::spawn(&config)?)];
        storm.replace_nodes(nodes.clone());
        storm.drain(&mut dice).await;
        let running = {
            let (storm, mut dice) = (Arc::clone(&storm), dice.fork());
            tokio::spawn(async move { storm.run(&mut dice, TASKS, usize::MAX).await })
        };
        sleep(Duration::from_millis(dice.between(20, 400))).await;
        for node in &nodes {
            node.kill().await?;
        }
        storm.stop();
        running.await?;
        let mut connection = SqliteConnection::connect(&format!("sqlite://{path}")).await?;
        let integrity: String =
            sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await?;
        expect(integrity == "ok", "the integrity check", &integrity)?;
        connection.close().await?;
        let site = Site::open(&config).await?;
        check(&site, &storm.records(), USERS, &Terms { staleness: 0 })
            .await
            .map_err(|error| format!("after kill {round} of two servers: {error}"))?;
    }
    let records = storm.records();
    println!(
        "two servers over SQLite killed {rounds} times: {} operations {:?}",
        records.len(),
        outcomes(&records)
    );
    Ok(())
}
