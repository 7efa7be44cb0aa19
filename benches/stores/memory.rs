//! The memory of a user in a service's cache, as one line of JSON: the bytes allocated, and the growth
//! of the process.
//!
//! `cargo bench -p relatch-benches --features stores --bench memory [USERS]`

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark fails by panicking")]

use std::{
    convert::Infallible,
    env, fs, mem,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use allocation_counter::measure;
use relatch::{
    Authority, Binding, BindingMode, User,
    authority::Committed,
    service::{CachePolicy, Service},
    sessions::SessionTable,
    store::{Columns, Row, StoreError, Update, UserKey, UserStore},
    user::Credential,
};
use relatch_benches::{AccessToken, Claims, authority, user_id};
use time::Duration;
use tokio::runtime::Builder;

fn main() {
    // `cargo bench` adds an argument.
    let users = env::args().skip(1).find_map(|argument| argument.parse().ok());
    let users = users.unwrap_or(1_000_000);
    // A stamp belongs to one token, so no key is cached.
    let record = fill(users, BindingMode::StampHs256);
    let with_key = fill(users, BindingMode::Key);
    println!(r#"{{"users": {users}, "record": {record}, "record_and_key": {with_key}}}"#);
}

/// Fills a cache with `users` users. Gives the memory of each.
fn fill(users: usize, mode: BindingMode) -> String {
    let (authority, store) = (authority(mode), Synthetic::new());
    let reads = Arc::clone(&store.reads);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let resident = resident_bytes();
    let mut service = None;
    let mut kept = users;
    let allocated = measure(|| {
        let policy = CachePolicy::new(Duration::HOUR, users).unwrap();
        let service = service
            .insert(Service::builder(authority.clone(), store.clone()).cache(policy).build());
        runtime.block_on(async {
            for user in 0..users {
                let token = store.token(user, &authority);
                drop(service.authenticate(&token).await.unwrap());
            }
        });
    })
    .bytes_current;
    let grown = resident_bytes() - resident;
    assert_eq!(reads.load(Ordering::Relaxed), users);

    // The number still cached, by a sample of every hundredth.
    let service = service.unwrap();
    runtime.block_on(async {
        for user in (0..users).step_by(100) {
            let token = store.token(user, &authority);
            drop(service.authenticate(&token).await.unwrap());
        }
    });
    kept -= (reads.load(Ordering::Relaxed) - users) * 100;
    // Keeps the memory: otherwise the next cache would reuse it.
    mem::forget(service);
    let each = |bytes: i64| bytes / kept as i64;
    format!(r#"{{"allocated": {}, "resident": {}, "kept": {kept}}}"#, each(allocated), each(grown))
}

/// A store that computes each row, so it needs no memory.
#[derive(Clone)]
struct Synthetic {
    /// The sessions of one user, used for all.
    sessions: Option<String>,
    reads: Arc<AtomicUsize>,
}

impl Synthetic {
    fn new() -> Self {
        let account = Account::of(0);
        let authority = authority(BindingMode::Key);
        let decision = authority.issue(&account, &Claims::of(0)).start_session("Chrome on Windows");
        let mut sessions = None;
        let stored = decision.unwrap().commit(|change| {
            sessions = change.sessions().and_then(SessionTable::to_column);
            Ok::<_, Infallible>(true)
        });
        assert!(matches!(stored, Ok(Committed::Stored(_))));
        Self { sessions, reads: Arc::default() }
    }

    fn token(&self, user: usize, authority: &Authority) -> AccessToken {
        authority.issue(&Account::of(user), &Claims::of(user)).sign().unwrap()
    }
}

impl UserStore for Synthetic {
    type Fields = ();

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
        let UserKey::Id(id) = key else { return Ok(None) };
        self.reads.fetch_add(1, Ordering::Relaxed);
        let mut columns = Columns::default();
        columns.version = Some(VERSION);
        columns.secret = Some(SECRET.to_owned());
        columns.sessions.clone_from(&self.sessions);
        Ok(Some(Row::new(id, columns, ())))
    }

    async fn compare_and_set(&self, _: &Update) -> Result<bool, StoreError> {
        Err(StoreError::unsupported("it is only read"))
    }

    async fn delete(&self, _: &str) -> Result<bool, StoreError> {
        Err(StoreError::unsupported("it is only read"))
    }
}

/// The user of such a row, to issue tokens for.
struct Account {
    id: String,
    credential: Credential,
    sessions: SessionTable,
}

const VERSION: i64 = 1_700_000_000_000;
const SECRET: &str = "Wmc6Nq0mZ4T7nJm8yJ3n1i0mVb6cQ2s7l4yq8h5oXkE";

impl Account {
    fn of(user: usize) -> Self {
        let credential = Credential::from_secrets([SECRET]).unwrap();
        Self { id: user_id(user), credential, sessions: SessionTable::default() }
    }
}

impl User for Account {
    fn id(&self) -> &str {
        &self.id
    }

    fn binding(&self) -> Binding<'_> {
        Binding::credential(&self.credential).version(VERSION)
    }

    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }
}

/// The resident memory of the process (proc_pid_status(5)).
fn resident_bytes() -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<i64>().unwrap() * 1024
}
