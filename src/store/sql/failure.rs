//! The classification of a database's failures.

use std::{error, fmt};

use crate::store::StoreError;

/// The failure of a statement.
#[derive(Debug)]
pub(super) enum Failure {
    /// A conflict with another transaction: nothing was written, and the statement may be run again.
    Conflict(StoreError),
    Other(StoreError),
}

/// The meaning of a database's own error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Conflict,
    Unreachable,
    Misconfigured,
}

impl Failure {
    /// Classifies an error by the database's `classify`. Only its message is kept: the details may quote
    /// a row with secrets.
    pub(super) fn new(error: &sqlx::Error, classify: fn(&str) -> Fault) -> Self {
        use sqlx::Error as E;
        let text = match error.as_database_error() {
            Some(error) => {
                let code = error.code().unwrap_or_default();
                format!("{} (code {code})", error.message())
            }
            None => error.to_string(),
        };
        let source = Message(text);
        let fault = match error {
            E::Database(error) => classify(&error.code().unwrap_or_default()),
            E::Io(_)
            | E::Tls(_)
            | E::Protocol(_)
            | E::PoolTimedOut
            | E::PoolClosed
            | E::WorkerCrashed
            | E::BeginFailed => Fault::Unreachable,
            _ => Fault::Misconfigured,
        };
        Self::of_fault(fault, source)
    }

    fn of_fault(fault: Fault, source: Message) -> Self {
        match fault {
            Fault::Conflict => Self::Conflict(StoreError::unreachable(source)),
            Fault::Unreachable => Self::Other(StoreError::unreachable(source)),
            Fault::Misconfigured => Self::Other(StoreError::misconfigured(source)),
        }
    }
}

#[cfg(feature = "sqlite")]
impl Failure {
    /// The failure of a statement that did not run through sqlx.
    pub(super) fn of_code(code: &str, message: &str, classify: fn(&str) -> Fault) -> Self {
        Self::of_fault(classify(code), Message(format!("{message} (code {code})")))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Conflict(error) | Failure::Other(error) => error,
        }
    }
}

/// The error after the store's own timeout.
pub(super) fn timed_out() -> StoreError {
    StoreError::unreachable("the database did not answer in time")
}

#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Message {}
