//! Kills databases and servers in the middle of writes.

use std::{path::Path, sync::Arc, time::Duration};

use sqlx::{Connection, SqliteConnection};
use tokio::time::{Instant, sleep};

use crate::{
    Extent, ask,
    check::{Terms, check},
    cluster::Cluster,
    dice::Dice,
    expect,
    load::{Load, SESSIONS, STALENESS, TASKS, USERS},
    node::Node,
    plain, prepare,
    rpc::{Config, Database, Outcome},
    site::{Failure, Site},
    start,
    storm::{Storm, outcomes, user_id},
    until_listening,
};

/// Kills PostgreSQL under two servers, again and again.
pub async fn postgres(extent: &Extent, cluster: &Cluster) -> Result<(), Failure> {
    // Each round has a user who is in no cache.
    let rounds = usize::try_from(extent.rounds)?;
    let mut load = Load::new(cluster.database("faults").await?, rounds, extent.seed).await?;
    let mut answers = Answers::default();
    let mut operations = String::new();
    for round in 0..rounds {
        let uncached = start(&load.nodes[0], &Load::other(round)).await?.0;
        load.start();
        sleep(Duration::from_millis(load.dice.between(150, 900))).await;
        // Every third outage is longer than the cache's bound.
        let length = match round % 3 {
            0 => STALENESS + Duration::from_millis(500),
            _ => Duration::from_millis(load.dice.between(50, 400)),
        };
        outage(cluster, &load, length, uncached, &mut answers).await?;
        load.until_back().await?;
        sleep(Duration::from_millis(150)).await;
        load.stop().await?;
        operations = load.check(&format!("after kill {round} of PostgreSQL")).await?;
    }
    let Answers { served, refused } = answers;
    println!(
        "PostgreSQL killed {rounds} times: {operations}; cached users answered {served} times, others \
         refused as unavailable {refused} times"
    );
    Ok(())
}

/// The answers during outages.
#[derive(Default)]
struct Answers {
    served: u32,
    refused: u32,
}

/// Kills the server and starts it again. Meanwhile a cached user is served up to the cache's bound, and
/// another one is refused as unavailable.
async fn outage(
    cluster: &Cluster,
    load: &Load,
    length: Duration,
    uncached: String,
    answers: &mut Answers,
) -> Result<(), Failure> {
    let (node, kept) = (&load.nodes[0], &load.kept);
    expect(ask(node, kept).await == Outcome::Done, "before the outage", kept)?;
    // The record may have been read at any time until the answer.
    let answered = Instant::now();
    cluster.kill().await?;
    let killed = Instant::now();
    // The call takes as long as the pool waits for a connection.
    let asked_of_other = tokio::spawn({
        let node = Arc::clone(node);
        async move { ask(&node, &uncached).await }
    });
    while killed.elapsed() < length {
        let asked = Instant::now();
        match ask(node, kept).await {
            Outcome::Done if asked - answered < STALENESS => answers.served += 1,
            Outcome::Unavailable(_) => answers.refused += 1,
            found => {
                let late = asked - answered;
                let text = format!("in an outage, {late:?} after the last answer: {found:?}");
                return Err(text.into());
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    // In a short outage the server may be back before the pool gives up.
    let is_long = length > STALENESS;
    if is_long {
        let found = asked_of_other.await?;
        let is_unavailable = matches!(found, Outcome::Unavailable(_));
        expect(is_unavailable, "who is not kept, in an outage", &found)?;
        answers.refused += 1;
        cluster.start_again().await
    } else {
        cluster.start_again().await?;
        let found = asked_of_other.await?;
        let is_either = matches!(found, Outcome::Unavailable(_) | Outcome::Done);
        expect(is_either, "who is not kept, around an outage", &found)
    }
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
        let running = storm.spawn(&mut dice, TASKS);
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
