//! Shared by the benchmarks: users, an authority, and pools of tokens.

#![allow(
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a benchmark fails by panicking"
)]

use std::{cell::Cell, collections::HashMap, convert::Infallible};

use relatch::{
    Access, Authority, Binding, BindingMode, MasterKey, Token, User,
    authority::Committed,
    sessions::SessionTable,
    user::{Credential, KeyCache},
};
use serde::{Deserialize, Serialize};
use time::Duration;

/// As long as the signed part of an access token with a few private claims.
pub const SIGNING_INPUT: [u8; 300] = [b'a'; 300];

pub const ISSUER: &str = "https://login.example.com";
pub const AUDIENCE: &str = "https://api.example.com";
pub const MASTER: [u8; 32] = [7; 32];

/// Enough users that no single cache line is hot; all of them fit into the cache.
pub const WARM: usize = 256;

/// So many users that hardly any record is in a cache.
pub const COLD: usize = 100_000;

/// The private claims.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Claims {
    pub role: String,
    pub tenant: u64,
}

impl Claims {
    #[must_use]
    pub fn of(user: usize) -> Self {
        Self { role: "editor".to_owned(), tenant: 1000 + user as u64 }
    }
}

pub type AccessToken = Token<Access<Claims>>;

/// A user's record in memory.
pub struct Account {
    pub id: String,
    pub password_hash: String,
    pub credential: Credential,
    pub version: i64,
    pub sessions: SessionTable,
    /// Whether the tokens are bound to the stored digest, or to one computed from the hash each time.
    pub keeps_digest: bool,
    pub keys: Option<KeyCache>,
}

impl User for Account {
    fn id(&self) -> &str {
        &self.id
    }

    fn binding(&self) -> Binding<'_> {
        let binding = match self.keeps_digest {
            true => Binding::credential(&self.credential),
            false => Binding::password_hash(&self.password_hash),
        };
        binding.version(self.version)
    }

    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }

    fn key_cache(&self) -> Option<&KeyCache> {
        self.keys.as_ref()
    }
}

/// The name of a user, as long as a UUID.
#[must_use]
pub fn user_id(user: usize) -> String {
    format!("{user:08x}-7f3a-4c1e-9b2d-0123456789ab")
}

fn account(user: usize) -> Account {
    let password_hash = format!(
        "$argon2id$v=19$m=19456,t=2,p=1${user:022}$Wmc6Nq0mZ4T7nJm8yJ3n1i0mVb6cQ2s7l4yq8h5oXkE"
    );
    Account {
        id: user_id(user),
        credential: Credential::from_password_hash(&password_hash).expect("a hash"),
        password_hash,
        version: 1_700_000_000_000,
        sessions: SessionTable::default(),
        keeps_digest: true,
        keys: None,
    }
}

/// The users' table.
pub struct Users(HashMap<String, Account>);

impl Users {
    #[must_use]
    pub fn new(count: usize) -> Self {
        Self((0..count).map(|user| (user_id(user), account(user))).collect())
    }

    /// Binds the tokens to a digest that is computed from the hash each time.
    #[must_use]
    pub fn hashing(mut self) -> Self {
        self.0.values_mut().for_each(|account| account.keeps_digest = false);
        self
    }

    /// Keeps the derived keys beside the records.
    #[must_use]
    pub fn caching(mut self) -> Self {
        self.0.values_mut().for_each(|account| account.keys = Some(KeyCache::default()));
        self
    }

    /// Increments all versions, which revokes all tokens.
    #[must_use]
    pub fn bumped(mut self) -> Self {
        self.0.values_mut().for_each(|account| account.version += 1);
        self
    }

    #[must_use]
    pub fn get(&self, user: usize) -> &Account {
        &self.0[&user_id(user)]
    }

    /// The lookup for a verification.
    ///
    /// # Errors
    ///
    /// None.
    pub fn find(&self, id: &str) -> Result<Option<&Account>, Infallible> {
        Ok(self.0.get(id))
    }

    /// A token of each user.
    #[must_use]
    pub fn tokens(&self, authority: &Authority) -> Pool<AccessToken> {
        self.pool(|user| {
            authority
                .issue(self.get(user), &Claims::of(user))
                .lifetime(LIFETIME)
                .sign()
                .expect("a token")
        })
    }

    /// Logs in three devices of each user, and gives the tokens of the last.
    #[must_use]
    pub fn log_in(&mut self, authority: &Authority) -> Pool<AccessToken> {
        let mut tokens = Vec::with_capacity(self.0.len());
        for user in 0..self.0.len() {
            let account = self.0.get_mut(&user_id(user)).expect("a user");
            let mut log_in = |label| log_in(authority, account, &Claims::of(user), label);
            log_in("Firefox on Linux");
            log_in("Safari on an iPhone");
            tokens.push(log_in("Chrome on Windows"));
        }
        Pool::new(tokens)
    }

    /// One of something for each user.
    #[must_use]
    pub fn pool<T>(&self, of_user: impl Fn(usize) -> T) -> Pool<T> {
        Pool::new((0..self.0.len()).map(of_user).collect())
    }
}

fn log_in(
    authority: &Authority,
    account: &mut Account,
    claims: &Claims,
    label: &str,
) -> AccessToken {
    let decision = authority.issue(&*account, claims).lifetime(LIFETIME).start_session(label);
    let mut stored = SessionTable::default();
    let committed = decision.expect("a session").commit(|change| {
        stored = change.sessions().cloned().unwrap_or_default();
        Ok::<_, Infallible>(true)
    });
    let Ok(Committed::Stored(tokens)) = committed else { unreachable!("it is always stored") };
    account.sessions = stored;
    AccessToken::new(tokens.access().expose())
}

/// Items that are used in turn, so that no measurement uses a single one.
pub struct Pool<T> {
    items: Vec<T>,
    next: Cell<usize>,
}

impl<T> Pool<T> {
    #[must_use]
    pub fn new(items: Vec<T>) -> Self {
        Self { items, next: Cell::new(0) }
    }

    /// Steps through the pool so that two successive items are never neighbours.
    pub fn turn(&self) -> &T {
        const STEP: usize = 97;
        let at = self.next.get();
        self.next.set((at + STEP) % self.items.len());
        &self.items[at]
    }

    #[must_use]
    pub fn map<U>(&self, f: impl Fn(&T) -> U) -> Pool<U> {
        Pool::new(self.items.iter().map(f).collect())
    }

    #[must_use]
    pub fn items(&self) -> &[T] {
        &self.items
    }
}

/// The lifetime of the tokens: longer than any benchmark runs.
const LIFETIME: Duration = Duration::days(1);

#[must_use]
pub fn master_key() -> MasterKey {
    MasterKey::from_bytes("2026-11", &MASTER).expect("a key")
}

pub fn authority(mode: BindingMode) -> Authority {
    Authority::builder(master_key(), ISSUER, AUDIENCE).mode(mode).build().expect("an authority")
}
