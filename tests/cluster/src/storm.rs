//! A load of all operations at once on a few users. The tasks share the tokens that they receive, and
//! record every answer.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use serde::Deserialize;
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    dice::Dice,
    node::Node,
    rpc::{Op, Outcome},
    worker::now,
};

/// One call and its outcome.
#[derive(Clone, Debug)]
pub struct Record {
    pub user: usize,
    pub node: usize,
    pub op: Op,
    pub start: u64,
    pub end: u64,
    pub outcome: Outcome,
    /// The claims of the token presented, and of the refresh token or link handed out.
    pub given: Option<Claims>,
    pub handed: Option<Claims>,
}

/// The claims that the check needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
pub struct Claims {
    pub ver: i64,
    pub sid: Option<String>,
    pub seq: Option<u64>,
    pub lane: Option<i64>,
}

impl Claims {
    pub fn of(token: &str) -> Option<Self> {
        let payload = B64.decode(token.split('.').nth(1)?).ok()?;
        serde_json::from_slice(&payload).ok()
    }

    /// The identity of the session.
    pub fn session(&self) -> Option<SessionKey> {
        Some((self.ver, self.sid.clone()?))
    }
}

pub type SessionKey = (i64, String);

pub struct Storm {
    nodes: RwLock<Vec<Arc<Node>>>,
    users: Vec<Mutex<Pool>>,
    records: Mutex<Vec<Record>>,
    passwords: AtomicU32,
    max_passwords: AtomicU32,
    stopped: AtomicBool,
}

/// A user's tokens, shared by the tasks.
struct Pool {
    access: Vec<String>,
    chains: HashMap<SessionKey, Chain>,
    password: String,
}

/// A session's refresh token. Concurrent refreshes present the same one, so a presented token is never
/// older than the last but one.
struct Chain {
    current: String,
    next: Option<String>,
    refreshing: u32,
}

pub fn user_id(user: usize) -> String {
    format!("user-{user}")
}

pub const FIRST_PASSWORD: &str = "the first password";

impl Storm {
    pub fn new(nodes: Vec<Arc<Node>>, users: usize, max_passwords: u32) -> Arc<Self> {
        let pool = || Pool {
            access: Vec::new(),
            chains: HashMap::new(),
            password: FIRST_PASSWORD.to_owned(),
        };
        Arc::new(Self {
            nodes: RwLock::new(nodes),
            users: (0..users).map(|_| Mutex::new(pool())).collect(),
            records: Mutex::default(),
            passwords: AtomicU32::new(0),
            max_passwords: AtomicU32::new(max_passwords),
            stopped: AtomicBool::new(false),
        })
    }

    pub fn replace_nodes(&self, nodes: Vec<Arc<Node>>) {
        *self.nodes.write().unwrap_or_else(PoisonError::into_inner) = nodes;
    }

    pub fn records(&self) -> Vec<Record> {
        lock(&self.records).clone()
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
    }

    /// Runs `tasks` tasks of `steps` steps each, or until the storm is stopped.
    pub async fn run(self: &Arc<Self>, dice: &mut Dice, tasks: usize, steps: usize) {
        self.stopped.store(false, Ordering::SeqCst);
        let tasks: Vec<_> = (0..tasks)
            .map(|_| {
                let (this, mut dice) = (Arc::clone(self), dice.fork());
                tokio::spawn(async move {
                    for _ in 0..steps {
                        if this.stopped.load(Ordering::SeqCst) {
                            return;
                        }
                        this.step(&mut dice).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            if let Err(error) = task.await {
                std::panic::resume_unwind(error.into_panic());
            }
        }
    }

    /// Runs tasks in the background until the storm is stopped.
    pub fn spawn(self: &Arc<Self>, dice: &mut Dice, tasks: usize) -> JoinHandle<()> {
        let (this, mut dice) = (Arc::clone(self), dice.fork());
        tokio::spawn(async move { this.run(&mut dice, tasks, usize::MAX).await })
    }

    /// Refreshes every known session once more, which retries lost refreshes.
    pub async fn drain(&self, dice: &mut Dice) {
        for user in 0..self.users.len() {
            let keys: Vec<_> = lock(&self.users[user]).chains.keys().cloned().collect();
            for key in keys {
                let node = dice.roll(2);
                self.refresh(user, node, &key).await;
            }
        }
    }

    async fn step(&self, dice: &mut Dice) {
        let (user, node) = (dice.roll(self.users.len()), dice.roll(2));
        let id = user_id(user);
        let access = {
            let pool = lock(&self.users[user]);
            match pool.access.len() {
                0 => None,
                some => Some(pool.access[dice.roll(some)].clone()),
            }
        };
        match (dice.roll(100), access) {
            (0..50, _) => {
                let keys: Vec<_> = lock(&self.users[user]).chains.keys().cloned().collect();
                if !keys.is_empty() {
                    let key = &keys[dice.roll(keys.len())];
                    // Two tabs, on two servers.
                    tokio::join!(self.refresh(user, 0, key), self.refresh(user, 1, key));
                }
            }
            (50..72, Some(token)) => {
                let op = Op::Authenticate { token: token.clone(), fresh: dice.roll(4) == 0 };
                if matches!(self.call(user, node, op).await, Outcome::Rejected(_)) {
                    lock(&self.users[user]).access.retain(|known| *known != token);
                }
            }
            (72..76, Some(access)) => drop(self.call(user, node, Op::LogOut { access }).await),
            (76..84, _) => self.use_a_link(user, node, id).await,
            (84..86, _) => self.bump_and_start(user, id).await,
            (86..88, Some(access)) => {
                drop(self.call(user, node, Op::LogOutOthers { access }).await);
            }
            (88..89, Some(access)) => {
                let Some(new) = self.new_password() else { return };
                let present = lock(&self.users[user]).password.clone();
                let op = Op::ChangePassword { access, present, new: new.clone() };
                if matches!(self.call(user, node, op).await, Outcome::Tokens { .. }) {
                    lock(&self.users[user]).password = new;
                }
            }
            (89..90, _) => {
                let Some(new) = self.new_password() else { return };
                let op = Op::SetPassword { user: id, new: new.clone() };
                if self.call(user, node, op).await == Outcome::Done {
                    lock(&self.users[user]).password = new;
                }
            }
            (90..91, _) if self.new_password().is_some() => {
                let password = lock(&self.users[user]).password.clone();
                // The login name is the id.
                drop(self.call(user, node, Op::Login { user: id, password }).await);
            }
            (_, access) => self.start_elsewhere(user, node, access).await,
        }
    }

    /// A new password, up to a limit: hashes are slow by design.
    fn new_password(&self) -> Option<String> {
        let number = self.passwords.fetch_add(1, Ordering::SeqCst);
        (number < self.max_passwords.load(Ordering::SeqCst))
            .then(|| format!("the user's password {number}"))
    }

    async fn use_a_link(&self, user: usize, node: usize, id: String) {
        let Outcome::Link(link) = self.call(user, node, Op::Issue { user: id }).await else {
            return;
        };
        let use_up = |node| self.call(user, node, Op::Consume { link: link.clone() });
        tokio::join!(use_up(0), use_up(1), use_up(0), use_up(1));
    }

    /// Logins that race the second of two bumps, which changes nothing but the version; and a link
    /// issued between the bumps, which only the version invalidates.
    async fn bump_and_start(&self, user: usize, id: String) {
        let bump = |node| self.call(user, node, Op::Bump { user: id.clone() });
        let start = |node| self.call(user, node, Op::Start { user: id.clone() });
        bump(0).await;
        self.call(user, 0, Op::Issue { user: id.clone() }).await;
        tokio::join!(start(1), bump(1), start(0), start(1), start(0));
    }

    /// A login on one server, and at once a request with its token on the other, whose cache may have
    /// the record from before.
    async fn start_elsewhere(&self, user: usize, node: usize, known: Option<String>) {
        let ask = |token| self.call(user, node, Op::Authenticate { token, fresh: false });
        if let Some(known) = known {
            ask(known).await;
        }
        let start = Op::Start { user: user_id(user) };
        if let Outcome::Tokens { access, .. } = self.call(user, 1 - node, start).await {
            ask(access).await;
        }
    }

    async fn refresh(&self, user: usize, node: usize, key: &SessionKey) {
        let token = {
            let mut pool = lock(&self.users[user]);
            let Some(chain) = pool.chains.get_mut(key) else { return };
            if chain.next.is_some() {
                return;
            }
            chain.refreshing += 1;
            chain.current.clone()
        };
        let outcome = self.call(user, node, Op::Refresh { token }).await;
        let mut pool = lock(&self.users[user]);
        let Some(chain) = pool.chains.get_mut(key) else { return };
        chain.refreshing = chain.refreshing.saturating_sub(1);
        match outcome {
            Outcome::Tokens { refresh, .. } => chain.next = Some(refresh),
            Outcome::Rejected(_) => drop(pool.chains.remove(key)),
            _ => {}
        }
        if let Some(chain) = pool.chains.get_mut(key)
            && chain.refreshing == 0
            && let Some(next) = chain.next.take()
        {
            chain.current = next;
        }
    }

    pub async fn call(&self, user: usize, node: usize, op: Op) -> Outcome {
        let target = {
            let nodes = self.nodes.read().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(&nodes[node % nodes.len()])
        };
        let given = match &op {
            Op::Refresh { token: text }
            | Op::Authenticate { token: text, .. }
            | Op::LogOut { access: text }
            | Op::LogOutOthers { access: text }
            | Op::ChangePassword { access: text, .. }
            | Op::Consume { link: text } => Claims::of(text),
            _ => None,
        };
        let start = now();
        let outcome = target.call(op.clone()).await;
        let end = now();
        let handed = match &outcome {
            Outcome::Tokens { refresh, .. } => Claims::of(refresh),
            Outcome::Link(link) => Claims::of(link),
            _ => None,
        };
        let is_refresh = matches!(op, Op::Refresh { .. });
        if let Outcome::Tokens { access, refresh, .. } = &outcome {
            let mut pool = lock(&self.users[user]);
            pool.access.push(access.clone());
            // Prefers the newest tokens.
            if pool.access.len() > 24 {
                pool.access.remove(0);
            }
            if !is_refresh && let Some(key) = handed.as_ref().and_then(Claims::session) {
                let current = refresh.clone();
                pool.chains.insert(key, Chain { current, next: None, refreshing: 0 });
            }
        }
        let pause = outcome.is_unknown();
        let record = Record { user, node, op, start, end, outcome: outcome.clone(), given, handed };
        lock(&self.records).push(record);
        if pause {
            sleep(Duration::from_millis(20)).await;
        }
        outcome
    }
}

/// The number of each outcome, for the report.
pub fn outcomes(records: &[Record]) -> Vec<(&'static str, usize)> {
    let name = |outcome: &Outcome| match outcome {
        Outcome::Rejected(_) => "rejected",
        Outcome::Refused => "refused",
        Outcome::Unavailable(_) => "unavailable",
        Outcome::Lost => "lost",
        Outcome::Busy => "busy",
        Outcome::Failed(_) | Outcome::NoSuchUser => "failed",
        _ => "done",
    };
    let names = ["done", "rejected", "refused", "busy", "unavailable", "lost", "failed"];
    let count = |of| records.iter().filter(|record| name(&record.outcome) == of).count();
    names.into_iter().map(|of| (of, count(of))).filter(|(_, count)| *count > 0).collect()
}

/// The number of refresh tokens presented more than once.
pub fn repeated_refreshes(records: &[Record]) -> usize {
    let mut seen = HashSet::new();
    let refreshes = records.iter().filter_map(|record| match &record.op {
        Op::Refresh { token } => Some(token),
        _ => None,
    });
    refreshes.filter(|token| !seen.insert(*token)).count()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
