//! A standby becomes the primary: after the primary's crash under load, and by a switchover in which the
//! address leads to the old server for some time, which now only reads.

use std::{path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    Extent, ask_fresh,
    cluster::Cluster,
    concurrently, expect,
    load::{Load, SESSIONS},
    node::Node,
    plain, prepare,
    proxy::Proxy,
    rpc::{Database, Op, Outcome},
    site::Failure,
    start,
    storm::user_id,
};

/// The revocations after a switchover.
const REVOCATIONS: usize = 25;

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
    primary.database("failover").await?;
    let proxy = Proxy::start(primary.directory()).await?;
    let database = Database::Postgres(proxy.url("failover"));
    let mut load = Load::new(database, 0, extent.seed).await?;
    load.start();
    sleep(Duration::from_millis(load.dice.between(1000, 2000))).await;
    primary.kill().await?;
    let killed = Instant::now();
    standby.promote().await?;
    proxy.switch_to(standby.directory());
    load.until_back().await?;
    let outage = killed.elapsed();
    sleep(Duration::from_millis(1000)).await;
    load.stop().await?;
    let operations = load.check("after the standby was promoted").await?;
    println!("PostgreSQL killed and its standby promoted, back after {outage:.1?}: {operations}");
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
    let services = Services {
        writers: [Node::spawn(&worker)?, Node::spawn(&worker)?],
        reader: Node::spawn(&worker)?,
    };
    let tokens = services.start_sessions().await?;

    old.stop().await?;
    new.promote().await?;
    old.follow(&new).await?;
    services.read_the_old_server(&tokens).await?;
    proxy.switch_to(new.directory());
    services.revoke().await?;

    let tokens = services.start_sessions().await?;
    services.until_read(&tokens).await?;
    // From now on the old server does not receive what the new one writes.
    let admin = old.admin("switchover").await?;
    sqlx::query("SELECT pg_wal_replay_pause()").execute(&admin).await?;
    services.read_the_new_server(&tokens).await?;
    admin.close().await;
    Ok(())
}

/// Services in a switchover.
struct Services {
    writers: [Node; 2],
    /// It does not write, and so does not learn from an error that its server only reads.
    reader: Node,
}

impl Services {
    fn all(&self) -> impl Iterator<Item = &Node> {
        self.writers.iter().chain([&self.reader])
    }

    /// Starts a session of each user.
    async fn start_sessions(&self) -> Result<Vec<String>, Failure> {
        let mut tokens = Vec::new();
        for user in 0..2 * REVOCATIONS {
            tokens.push(start(&self.writers[user % 2], &user_id(user)).await?.0);
        }
        Ok(tokens)
    }

    /// Fills the pools with connections to the old server, which refuses to write.
    async fn read_the_old_server(&self, tokens: &[String]) -> Result<(), Failure> {
        for node in self.all() {
            // Several at once, so that the pool has several connections. Whether the old server may be read
            // is left open: a standby may be behind.
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
        for node in &self.writers {
            let bump = node.call(Op::Bump { user: user_id(0) }).await;
            let is_refused = matches!(bump, Outcome::Unavailable(_));
            expect(is_refused, "a revocation that the old server refuses", &bump)?;
        }
        Ok(())
    }

    /// Every revocation works as soon as the address leads to the new server.
    async fn revoke(&self) -> Result<(), Failure> {
        let mut done = [0; 2];
        let mut failures = Vec::new();
        for round in 0..REVOCATIONS {
            for (at, node) in self.writers.iter().enumerate() {
                match node.call(Op::Bump { user: user_id(2 * round + at) }).await {
                    Outcome::Done => done[at] += 1,
                    other => failures.push(other),
                }
            }
        }
        println!(
            "after a switchover, {done:?} of {REVOCATIONS} revocations by each of two services"
        );
        expect(failures.is_empty(), "revocations after a switchover", &failures.first())
    }

    /// Waits until the reader finds every session.
    async fn until_read(&self, tokens: &[String]) -> Result<(), Failure> {
        for (user, token) in tokens.iter().enumerate() {
            let since = Instant::now();
            while ask_fresh(&self.reader, token).await != Outcome::Done {
                expect(since.elapsed().as_secs() < 20, "a session after a switchover", &user)?;
                sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    /// No service reads the old server any longer: it would accept tokens after their revocation.
    async fn read_the_new_server(&self, tokens: &[String]) -> Result<(), Failure> {
        let (mut asked, mut stale) = (0, 0);
        for (user, token) in tokens.iter().enumerate() {
            let bump = self.writers[user % 2].call(Op::Bump { user: user_id(user) }).await;
            expect(bump == Outcome::Done, "a revocation after a switchover", &bump)?;
            for node in self.all() {
                asked += 1;
                match ask_fresh(node, token).await {
                    Outcome::Rejected(_) => {}
                    Outcome::Done => stale += 1,
                    other => return Err(format!("a read after a switchover: {other:?}").into()),
                }
            }
        }
        println!(
            "after a switchover, {stale} of {asked} tokens were accepted after their revocation"
        );
        expect(stale == 0, "reads of the old server after a switchover", &stale)
    }
}
