//! Several server processes over one database that fails, is slow, or is killed. README.md says what
//! is checked.

mod check;
mod cluster;
mod concurrency;
mod dice;
mod disk;
mod failover;
mod faults;
mod half_open;
mod load;
mod node;
mod pooler;
mod proxy;
mod queue;
mod rpc;
mod site;
mod slow;
mod staleness;
mod storm;
mod worker;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use relatch::{password::PasswordHasher, store::NewUser};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    cluster::Cluster,
    node::Node,
    rpc::{Config, Database, Op, Outcome},
    site::{Failure, Missing, Site},
    storm::{FIRST_PASSWORD, user_id},
};

const USAGE: &str = "\
relatch-cluster [--seed N] [--rounds N] [--steps N] [--bumps N] [--pooled N] [PART...]

Parts: concurrency, crash (kills PostgreSQL), cut (cuts a listener's connection), disk (is full),
failover (to a standby), half-open (connections), kill (kills servers over SQLite), pooler (PgBouncer),
queue (of notifications is full), slow, staleness. All of them, if none is named.

--rounds N   kills in crash, cut and kill (6)
--steps N    steps of each task in concurrency (50)
--bumps N    bumps in staleness (1000)
--pooled N   operations of each client in pooler (10000; a fifth through the current version)
--seed N     repeats the random choices of a run";

const PARTS: [&str; 11] = [
    "concurrency",
    "crash",
    "cut",
    "disk",
    "failover",
    "half-open",
    "kill",
    "pooler",
    "queue",
    "slow",
    "staleness",
];

/// The size of a run.
pub struct Extent {
    pub seed: u64,
    pub rounds: u32,
    pub steps: usize,
    pub bumps: usize,
    pub pooled: usize,
}

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    if env::args().nth(1).as_deref() == Some("worker") {
        let config = args.nth(1).and_then(|text| serde_json::from_str(&text).ok());
        let Some(config) = config else { return ExitCode::from(2) };
        return done(worker::run(config).await);
    }
    let seed = u64::from(std::process::id()) ^ worker::now();
    let mut extent =
        Extent { seed: seed % 1_000_000, rounds: 6, steps: 50, bumps: 1000, pooled: 10_000 };
    let mut parts = Vec::new();
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse::<u64>().ok());
        let is_taken = match &*arg {
            "--seed" => number().map(|n| extent.seed = n),
            "--rounds" => number().and_then(|n| u32::try_from(n).ok()).map(|n| extent.rounds = n),
            "--steps" => number().and_then(|n| usize::try_from(n).ok()).map(|n| extent.steps = n),
            "--bumps" => number().and_then(|n| usize::try_from(n).ok()).map(|n| extent.bumps = n),
            "--pooled" => number().and_then(|n| usize::try_from(n).ok()).map(|n| extent.pooled = n),
            part if PARTS.contains(&part) => {
                parts.push(arg.clone());
                Some(())
            }
            _ => None,
        };
        if is_taken.is_none() {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    }
    println!("seed {}", extent.seed);
    done(run_until_stopped(&extent, &parts).await)
}

fn done(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("VIOLATION: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Stops all servers on Ctrl-C too: they are processes of their own.
async fn run_until_stopped(extent: &Extent, parts: &[String]) -> Result<(), Failure> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        outcome = run(extent, parts) => outcome,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        _ = terminated.recv() => Err("terminated".into()),
    }
}

async fn run(extent: &Extent, parts: &[String]) -> Result<(), Failure> {
    let directory = Directory::new()?;
    let cluster = Cluster::start(&directory.0.join("postgres")).await?;
    run_over(extent, parts, &cluster, &directory.0).await
}

async fn run_over(
    extent: &Extent,
    parts: &[String],
    cluster: &Cluster,
    directory: &Path,
) -> Result<(), Failure> {
    let all = Instant::now();
    for part in
        PARTS.iter().filter(|part| parts.is_empty() || parts.iter().any(|named| named == *part))
    {
        let began = Instant::now();
        match run_part(part, extent, cluster, directory).await {
            Err(error) if error.is::<Missing>() => {
                println!("skipped: {part}, or the rest of it: {error} is not available here");
            }
            outcome => outcome?,
        }
        println!("{part}: {:.1?}", began.elapsed());
    }
    println!("all: {:.1?}", all.elapsed());
    Ok(())
}

async fn run_part(
    part: &str,
    extent: &Extent,
    cluster: &Cluster,
    directory: &Path,
) -> Result<(), Failure> {
    match part {
        "concurrency" => {
            concurrency::postgres(extent, cluster).await?;
            concurrency::sqlite(extent, directory).await?;
        }
        "crash" => faults::postgres(extent, cluster).await?,
        "cut" => faults::listener(extent, cluster).await?,
        "disk" => disk::run(extent, directory).await?,
        "failover" => {
            failover::crash(extent, directory).await?;
            failover::switchover(directory).await?;
        }
        "half-open" => half_open::run(cluster).await?,
        "kill" => faults::sqlite(extent, directory).await?,
        "pooler" => pooler::run(extent, cluster, directory).await?,
        "queue" => queue::run(directory).await?,
        "slow" => {
            slow::postgres(cluster).await?;
            slow::sqlite(directory).await?;
        }
        _ => staleness::measure(extent, cluster).await?,
    }
    Ok(())
}

/// A temporary directory, deleted on drop.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Result<Self, Failure> {
        let path = env::temp_dir().join(format!("relatch-cluster-{}", std::process::id()));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A service in this process, over a new table with `users` users.
pub async fn prepare(config: &Config, users: usize) -> Result<Site, Failure> {
    let site = Site::open(config).await?;
    site.store.migrate().await?;
    let hash = PasswordHasher::new().hash(FIRST_PASSWORD)?;
    for user in (0..users).map(user_id) {
        site.store.insert(NewUser::with_password_hash(user.clone(), user, hash.clone())).await?;
    }
    Ok(site)
}

/// The driver's configuration: without a cache, it reads the rows themselves.
pub fn plain(database: Database, max_sessions: u32) -> Config {
    Config { database, max_sessions, staleness_ms: None, listens: false }
}

/// Waits until a worker's listener is connected.
pub async fn until_listening(node: &Node) -> Result<(), Failure> {
    let since = Instant::now();
    while node.call(Op::IsListening).await != Outcome::Is(true) {
        if since.elapsed().as_secs() > 30 {
            return Err("a listener is not connected after 30 seconds".into());
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Starts a session on a worker. Gives its tokens.
pub async fn start(node: &Node, user: &str) -> Result<(String, String), Failure> {
    match node.call(Op::Start { user: user.to_owned() }).await {
        Outcome::Tokens { access, refresh, .. } => Ok((access, refresh)),
        other => Err(format!("no session was started: {other:?}").into()),
    }
}

/// Authenticates this token on a worker.
pub async fn ask(node: &Node, token: &str) -> Outcome {
    node.call(Op::Authenticate { token: token.to_owned(), fresh: false }).await
}

/// Authenticates this token on a worker, which asks the database.
pub async fn ask_fresh(node: &Node, token: &str) -> Outcome {
    node.call(Op::Authenticate { token: token.to_owned(), fresh: true }).await
}

/// Fails with this text and value unless `is_so`.
pub fn expect(is_so: bool, what: &str, found: &dyn std::fmt::Debug) -> Result<(), Failure> {
    match is_so {
        true => Ok(()),
        false => Err(format!("{what}: {found:?}").into()),
    }
}

/// Polls all futures concurrently.
pub async fn concurrently<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (future, output) in &mut all {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(ready) => *output = Some(ready),
                    std::task::Poll::Pending => is_done = false,
                }
            }
        }
        match is_done {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    all.into_iter().filter_map(|(_, output)| output).collect()
}
