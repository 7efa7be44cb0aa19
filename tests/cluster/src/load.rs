//! Two servers with caches, under a storm over a database that fails.

use std::{sync::Arc, time::Duration};

use relatch::store::UserKey;
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    ask_fresh,
    check::{Terms, check},
    dice::Dice,
    node::Node,
    plain, prepare,
    rpc::{Config, Database, Outcome},
    site::{Failure, Site},
    start,
    storm::{Storm, outcomes, user_id},
    until_listening,
};

/// The users whom the storm changes.
pub const USERS: usize = 6;

pub const TASKS: usize = 16;
pub const SESSIONS: u32 = 32;

/// The caches' bound.
pub const STALENESS: Duration = Duration::from_secs(4);

pub struct Load {
    pub site: Site,
    pub nodes: [Arc<Node>; 2],
    /// A token of a user whom the storm does not change.
    pub kept: String,
    pub dice: Dice,
    storm: Arc<Storm>,
    running: Option<JoinHandle<()>>,
}

impl Load {
    /// Over an empty database. `others` more users are not changed by the storm.
    pub async fn new(database: Database, others: usize, seed: u64) -> Result<Self, Failure> {
        let driver = plain(database, SESSIONS);
        let staleness_ms = Some(i64::try_from(STALENESS.as_millis())?);
        let worker = Config { staleness_ms, listens: true, ..driver.clone() };
        let site = prepare(&driver, USERS + 1 + others).await?;
        let nodes = [Arc::new(Node::spawn(&worker)?), Arc::new(Node::spawn(&worker)?)];
        for node in &nodes {
            until_listening(node).await?;
        }
        let kept = start(&nodes[0], &user_id(USERS)).await?.0;
        let storm = Storm::new(nodes.to_vec(), USERS, 12);
        Ok(Self { site, nodes, kept, dice: Dice::new(seed), storm, running: None })
    }

    /// The id of one of the other users.
    pub fn other(at: usize) -> String {
        user_id(USERS + 1 + at)
    }

    /// Starts the storm.
    pub fn start(&mut self) {
        self.running = Some(self.storm.spawn(&mut self.dice, TASKS));
    }

    pub async fn stop(&mut self) -> Result<(), Failure> {
        self.storm.stop();
        if let Some(running) = self.running.take() {
            running.await?;
        }
        self.storm.drain(&mut self.dice).await;
        Ok(())
    }

    /// The number of operations until now.
    pub fn count(&self) -> usize {
        self.storm.records().len()
    }

    /// Waits until all read again.
    pub async fn until_back(&self) -> Result<(), Failure> {
        let since = Instant::now();
        let is_late = || since.elapsed().as_secs() >= 20;
        for node in &self.nodes {
            loop {
                match ask_fresh(node, &self.kept).await {
                    Outcome::Done => break,
                    Outcome::Unavailable(_) if !is_late() => {}
                    found => return Err(format!("after the outage: {found:?}").into()),
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
        while let Err(error) = self.site.store.read(UserKey::Id(&user_id(0))).await {
            if is_late() {
                return Err(error.into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Checks every answer against what is stored, and describes the operations.
    pub async fn check(&self, when: &str) -> Result<String, Failure> {
        let (records, staleness) = (self.storm.records(), u64::try_from(STALENESS.as_nanos())?);
        let counts = check(&self.site, &records, USERS, &Terms { staleness }).await;
        let counts = counts.map_err(|error| format!("{when}: {error}"))?;
        let unknown = records.iter().filter(|record| record.outcome.is_unknown()).count();
        Ok(format!(
            "{} operations {:?}, refused or of unknown outcome {unknown}; {counts:?}",
            records.len(),
            outcomes(&records)
        ))
    }
}
