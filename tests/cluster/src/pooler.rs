//! A proxy that pools transactions stands between the store and the server.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use relatch::{
    service::{CachePolicy, Service},
    store::{NewUser, PostgresOptions, UserKey, UsersTable},
};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};

use crate::{
    Extent,
    cluster::Cluster,
    dice::Dice,
    expect, plain, prepare,
    proxy::Proxy,
    rpc::Database,
    site::{Failure, Missing, Site, Store, authority, started},
    storm::user_id,
};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../pgbouncer/pgbouncer");

const CLIENTS: usize = 8;

/// Each client changes its own users, and reads those of all.
const USERS: usize = 25;

/// A running PgBouncer; stops on drop.
pub struct Pooler {
    directory: PathBuf,
    url: String,
}

impl Pooler {
    pub async fn start(version: &str, directory: &Path, server: &str) -> Result<Self, Failure> {
        let mut command = Command::new(SCRIPT);
        command.args(["start", version]).arg(directory).arg(server).stderr(Stdio::inherit());
        let what = format!("tests/pgbouncer/pgbouncer start {version}");
        let url = started(&what, command.output().await?)?;
        Ok(Self { directory: directory.to_owned(), url })
    }

    pub fn database(&self, name: &str) -> Database {
        Database::Pooled(self.url.replacen("/postgres?", &format!("/{name}?"), 1))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let stopped = std::process::Command::new(SCRIPT).arg("stop").arg(&self.directory).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the PgBouncer in {} was not stopped", self.directory.display());
        }
    }
}

pub async fn run(extent: &Extent, cluster: &Cluster, directory: &Path) -> Result<(), Failure> {
    for version in ["packaged", "current"] {
        let name = format!("pooler_{version}");
        let server_url = cluster.url_of(&name);
        let server = cluster.database(&name).await?;
        let pooler = match Pooler::start(version, &directory.join(&name), &server_url).await {
            Err(error) if error.is::<Missing>() => {
                println!("skipped: PgBouncer {version}: {error} is not available here");
                continue;
            }
            pooler => pooler?,
        };
        let direct = prepare(&plain(server, 8), CLIENTS * USERS).await?;
        // The version that keeps no prepared statements is the harder one.
        let is_packaged = version == "packaged";
        let operations = if is_packaged { extent.pooled } else { extent.pooled / 5 };
        storm(extent.seed, operations, version, &direct, pooler.database(&name)).await?;
        if is_packaged {
            notified(&server_url, &pooler, &name).await?;
            abandoned(&direct, &pooler, &name).await?;
        }
    }
    Ok(())
}

/// Every client knows exactly what its users' rows must hold.
async fn storm(
    seed: u64,
    operations: usize,
    version: &str,
    direct: &Site,
    database: Database,
) -> Result<(), Failure> {
    // Two pools, as of two processes.
    let config = plain(database, 8);
    let stores = [Site::open(&config).await?.store, Site::open(&config).await?.store];
    let began = Instant::now();
    let mut dice = Dice::new(seed);
    let mut clients = Vec::new();
    for at in 0..CLIENTS {
        let mut versions = [0; USERS];
        for (own, version) in versions.iter_mut().enumerate() {
            *version = version_of(direct, at * USERS + own).await?.ok_or("no such user")?;
        }
        let (store, dice) = (stores[at % 2].clone(), dice.fork());
        let client = Client { at, store, dice, versions, faults: Vec::new() };
        clients.push(tokio::spawn(client.run(operations)));
    }
    let (mut faults, mut versions) = (Vec::new(), Vec::<Option<i64>>::new());
    for client in clients {
        // The driver may panic over an answer to another statement.
        match client.await {
            Ok(client) => {
                faults.extend(client.faults);
                versions.extend(client.versions.map(Some));
            }
            Err(error) => {
                faults.push(error.to_string());
                versions.extend([None; USERS]);
            }
        }
    }
    let took = began.elapsed();
    let (mut lost, mut wrong) = (0, 0);
    for (user, version) in versions.iter().enumerate() {
        match version_of(direct, user).await? {
            None => lost += 1,
            found => wrong += usize::from(version.is_some() && found != *version),
        }
    }
    println!(
        "PgBouncer {version}: {} operations of {CLIENTS} clients in {took:.1?}; {} failed or answered \
         for another; of {} users {lost} lost, {wrong} of another version",
        CLIENTS * operations,
        faults.len(),
        versions.len(),
    );
    expect(lost + wrong == 0, "users through PgBouncer", &(lost, wrong, faults.first()))?;
    expect(faults.is_empty(), "calls through PgBouncer", &faults.first())
}

/// The longest that a notification may take on a busy machine.
const NOTIFIED: Duration = Duration::from_secs(10);

/// The stores are behind the pooler, and a listener has the server's own URL: revocations arrive by
/// notification. Without that URL, the check of the table warns.
async fn notified(server: &str, pooler: &Pooler, name: &str) -> Result<(), Failure> {
    const REVOCATIONS: usize = 50;
    let Database::Pooled(url) = pooler.database(name) else { return Err("no database".into()) };
    let options = || PostgresOptions::new().behind_pooler();
    let here = options().connect(&url, UsersTable::ready()).await?;
    let here = Service::new(authority(8)?, here);
    let store = options().listen_url(server).connect(&url, UsersTable::ready()).await?;
    // The bound is so long that only a notification can end the wait.
    let cache = CachePolicy::new(time::Duration::minutes(10), 1000)?;
    let there = Service::builder(authority(8)?, store.clone()).cache(cache).build();
    let listener = store.listen(there.changes());
    let since = Instant::now();
    while !listener.is_connected() {
        expect(since.elapsed() < NOTIFIED, "a listener is connected", &listener)?;
        sleep(Duration::from_millis(10)).await;
    }
    let mut slowest = Duration::ZERO;
    for user in 0..REVOCATIONS {
        let id = user_id(user);
        let tokens = here.start_session(&id, "device").await?;
        there.authenticate(tokens.access()).await.map(drop)?;
        here.log_out_everywhere(&id).await?;
        let since = Instant::now();
        while there.authenticate(tokens.access()).await.is_ok() {
            expect(since.elapsed() < NOTIFIED, "a notification of a revocation", &id)?;
            sleep(Duration::from_millis(1)).await;
        }
        slowest = slowest.max(since.elapsed());
    }
    let reconnections = listener.reconnections();
    expect(reconnections == 0, "the listener's connection was never lost", &reconnections)?;
    println!(
        "stores behind PgBouncer, a listener with the server's URL: {REVOCATIONS} revocations arrived, \
         each within {slowest:.1?}"
    );
    let warns = async |service: Service| -> Result<bool, Failure> {
        let report = service.check().await?;
        Ok(report.findings().iter().any(|finding| finding.subject() == "listen_url"))
    };
    let found = (warns(here).await?, warns(there).await?);
    expect(found == (true, false), "warnings without and with the server's URL", &found)
}

/// The longest that a client that disappeared may hold a row. The server ends its transaction after 10
/// seconds.
const HELD: Duration = Duration::from_secs(30);

/// A client disappears between its statement and `COMMIT`: its transaction holds the row, and neither
/// PgBouncer nor the server learns of it.
async fn abandoned(direct: &Site, pooler: &Pooler, name: &str) -> Result<(), Failure> {
    let id = user_id(0);
    let proxy = Proxy::start(&pooler.directory).await?;
    let away = Site::open(&plain(Database::Pooled(proxy.url(name)), 8)).await?;
    away.store.read(UserKey::Id(&id)).await?;
    let tokens = direct.service.start_session(&id, "device").await?;
    proxy.silence_from("COMMIT");
    let bumping = tokio::spawn({
        let (store, id) = (away.store.clone(), id.clone());
        async move { store.bump_version(&id, 0).await }
    });
    let since = Instant::now();
    while !proxy.is_sprung() {
        expect(since.elapsed() < HELD, "the client's COMMIT", &since.elapsed())?;
        sleep(Duration::from_millis(10)).await;
    }
    let since = Instant::now();
    let mut attempts = 1;
    while let Err(error) = direct.service.log_out_everywhere(&id).await {
        expect(error.is_unavailable(), "a revocation of a row that is held", &error)?;
        expect(since.elapsed() < HELD, "the row is held", &since.elapsed())?;
        attempts += 1;
    }
    let found = direct.service.authenticate_fresh(tokens.access()).await.map(drop);
    expect(found.is_err(), "a token after its revocation", &found)?;
    println!(
        "a client gone before COMMIT: its row was revoked after {:.1?}, at attempt {attempts}",
        since.elapsed()
    );
    drop(bumping.await?);
    Ok(())
}

async fn version_of(site: &Site, user: usize) -> Result<Option<i64>, Failure> {
    let row = site.store.read(UserKey::Id(&user_id(user))).await?;
    Ok(row.map(|row| row.columns.version.unwrap_or(0)))
}

struct Client {
    at: usize,
    store: Store,
    dice: Dice,
    /// What the rows of its own users hold.
    versions: [i64; USERS],
    faults: Vec<String>,
}

impl Client {
    async fn run(mut self, operations: usize) -> Self {
        for number in 0..operations {
            if let Err(error) = self.step(number).await {
                let source = error.source().map(ToString::to_string).unwrap_or_default();
                self.faults.push(format!("{error}: {source}"));
            }
        }
        self
    }

    async fn step(&mut self, number: usize) -> Result<(), Failure> {
        let own = self.dice.roll(USERS);
        let (id, version) = (user_id(self.at * USERS + own), self.versions[own]);
        let absent = format!("absent-{}-{number}", self.at);
        match self.dice.roll(100) {
            0..40 => {
                let row = self.store.read(UserKey::Id(&id)).await?.ok_or("a user's row is gone")?;
                let found = (&*row.id, row.columns.version.unwrap_or(0));
                expect(found == (&*id, version), "a read of its own user", &found)
            }
            40..60 => {
                let other = user_id(self.dice.roll(CLIENTS * USERS));
                let row = self.store.read(UserKey::Login(&other)).await?;
                let row = row.ok_or("another's row is gone")?;
                expect(row.id == other, "a read by login", &row.id)
            }
            60..70 => {
                let found = self.store.read(UserKey::Id(&absent)).await?;
                expect(found.is_none(), "a read of nobody", &found.map(|row| row.id))
            }
            70..80 => {
                let is_deleted = self.store.delete(&absent).await?;
                expect(!is_deleted, "a deletion of nobody", &is_deleted)
            }
            80..95 => {
                let version = self.store.bump_version(&id, 0).await?;
                self.versions[own] += i64::from(version.is_some());
                expect(version == Some(self.versions[own]), "a bump", &version)
            }
            _ => {
                let new = NewUser::without_password(absent.clone(), absent.clone())?;
                let is_new = self.store.insert(new).await?;
                let is_deleted = self.store.delete(&absent).await?;
                expect((is_new, is_deleted) == (true, true), "a new user", &(is_new, is_deleted))
            }
        }
    }
}
