//! The commands for a worker and its answers, as lines of JSON over pipes.

use serde::{Deserialize, Serialize};

/// A worker's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    pub database: Database,
    pub max_sessions: u32,
    /// The cache's bound; `None` for no cache.
    pub staleness_ms: Option<i64>,
    pub listens: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Database {
    Postgres(String),
    /// Through a proxy that pools transactions.
    Pooled(String),
    Sqlite(String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    pub number: u64,
    pub op: Op,
}

/// One call of the service, with the user's id, or with tokens as text.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Op {
    Start {
        user: String,
    },
    Login {
        user: String,
        password: String,
    },
    Refresh {
        token: String,
    },
    Authenticate {
        token: String,
        fresh: bool,
    },
    LogOut {
        access: String,
    },
    LogOutOthers {
        access: String,
    },
    ChangePassword {
        access: String,
        present: String,
        new: String,
    },
    SetPassword {
        user: String,
        new: String,
    },
    Bump {
        user: String,
    },
    Issue {
        user: String,
    },
    Consume {
        link: String,
    },
    /// Authenticates until the token is refused.
    WatchUntilRefused {
        token: String,
        pause_us: u64,
    },
    IsListening,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answer {
    pub number: u64,
    pub outcome: Outcome,
    /// Nanoseconds of the machine's clock.
    pub at: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Tokens {
        access: String,
        refresh: String,
        evicted: Option<String>,
    },
    Link(String),
    Done,
    Is(bool),
    Rejected(String),
    /// A wrong password.
    Refused,
    NoSuchUser,
    /// The outcome is unknown: a write may have been made or not.
    Unavailable(String),
    /// Too many conflicts: nothing was written.
    Busy,
    Failed(String),
    /// The worker died before it answered.
    Lost,
}

impl Outcome {
    /// Whether a write may have been made or not.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Lost)
    }
}
