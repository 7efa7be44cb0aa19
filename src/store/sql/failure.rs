//! The classification of a database's failures.

use std::{error, fmt};

use crate::store::StoreError;

/// The failure of a statement.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) fault: Fault,
    /// Whether the database itself answered with this error.
    is_answer: bool,
    error: StoreError,
}

/// What failed, which decides what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A conflict with another transaction. Nothing was written, and the statement may be run again.
    Conflict,
    /// This connection cannot run the statement, and another one may. Nothing was written.
    Unfit,
    /// The connection broke. It is not known whether a change was written.
    Lost,
    /// No answer in time. It is not known whether a change was written, or still will be.
    TimedOut,
    /// The database itself ended the statement, because it waited or ran too long. Nothing was written.
    Canceled,
    /// A value that the database cannot hold, or that is no value of the column's type.
    Value,
    Unavailable,
    Misconfigured,
}

impl Fault {
    /// Whether a statement with this fault may have been written, or may still be.
    pub(super) const fn is_outcome_unknown(self) -> bool {
        matches!(self, Self::Lost | Self::TimedOut)
    }

    /// Whether the connection is of no further use.
    #[cfg(feature = "postgres")]
    pub(super) const fn is_of_connection(self) -> bool {
        matches!(self, Self::Unfit | Self::Lost | Self::TimedOut)
    }
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
        let fault = match error {
            E::Database(error) => classify(&error.code().unwrap_or_default()),
            E::Io(_) | E::Tls(_) | E::Protocol(_) | E::WorkerCrashed => Fault::Lost,
            E::PoolTimedOut | E::PoolClosed | E::BeginFailed => Fault::Unavailable,
            _ => Fault::Misconfigured,
        };
        Self::of_fault(fault, error.as_database_error().is_some(), Message(text))
    }

    fn of_fault(fault: Fault, is_answer: bool, message: Message) -> Self {
        let error = match fault {
            Fault::Value | Fault::Misconfigured => StoreError::misconfigured(message),
            _ => StoreError::unreachable(message),
        };
        Self { fault, is_answer, error }
    }

    /// Whether the database refused the statement, and would refuse it again. Nothing was written.
    pub(super) const fn is_refusal(&self) -> bool {
        self.is_answer && matches!(self.fault, Fault::Unavailable | Fault::Misconfigured)
    }

    /// Whether the database refused a statement that may not fit the tables: a key that is no value of
    /// the column's type may be one of its type now.
    pub(super) const fn is_misfit(&self) -> bool {
        self.is_answer && matches!(self.fault, Fault::Misconfigured | Fault::Value)
    }

    /// The failure to get a connection: no statement was sent.
    pub(super) fn before_the_statement(self) -> Self {
        let fault = if self.fault == Fault::Lost { Fault::Unfit } else { self.fault };
        Self { fault, ..self }
    }

    /// The failure at a deadline of the store's own.
    pub(super) fn timed_out() -> Self {
        Self {
            fault: Fault::TimedOut,
            is_answer: false,
            error: StoreError::unreachable("the database did not answer in time"),
        }
    }

    /// The server is a standby, which may lack what was written to its primary.
    #[cfg(feature = "postgres")]
    pub(super) fn standby() -> Self {
        let text = "the server is a standby: the store needs the primary";
        Self { fault: Fault::Unfit, is_answer: true, error: StoreError::unreachable(text) }
    }

    /// The tables are not those of the description.
    #[cfg(feature = "postgres")]
    pub(super) fn misconfigured(text: String) -> Self {
        let error = StoreError::misconfigured(text);
        Self { fault: Fault::Misconfigured, is_answer: false, error }
    }

    /// The server's queue of notifications is nearly full. Nothing was sent.
    #[cfg(feature = "postgres")]
    pub(super) fn queue_full() -> Self {
        let text = "the server's queue of notifications is nearly full";
        Self { fault: Fault::Unavailable, is_answer: false, error: StoreError::unreachable(text) }
    }

    /// The answer to a write was lost, and the row does not show whether it was written.
    pub(super) fn unknown() -> Self {
        let text = "the answer to a write was lost: it is not known whether the change was written";
        Self { fault: Fault::Unavailable, is_answer: false, error: StoreError::unreachable(text) }
    }

    /// The answer to a statement cannot be read.
    pub(super) fn unreadable() -> Self {
        let error = StoreError::misconfigured("the answer to a statement cannot be read");
        Self { fault: Fault::Misconfigured, is_answer: false, error }
    }

    /// No connection was free in time. No statement was sent.
    pub(super) fn exhausted() -> Self {
        Self {
            fault: Fault::Unavailable,
            is_answer: false,
            error: StoreError::unreachable("too many calls wait for a connection"),
        }
    }
}

#[cfg(feature = "sqlite")]
impl Failure {
    /// The failure of a statement that did not run through sqlx.
    pub(super) fn of_code(code: &str, message: &str, classify: fn(&str) -> Fault) -> Self {
        Self::of_fault(classify(code), true, Message(format!("{message} (code {code})")))
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

#[derive(Debug)]
struct Message(String);

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl error::Error for Message {}

#[cfg(test)]
impl Failure {
    pub(super) fn of(fault: Fault) -> Self {
        Self { fault, is_answer: true, error: StoreError::unreachable("a test") }
    }
}
