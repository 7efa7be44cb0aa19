//! The fault that a conformance check found.

use std::{error, fmt};

use super::{StoreError, column::Column};

/// A store does not do what [`UserStore`](crate::store::UserStore) requires.
#[derive(Clone, Debug)]
pub struct Nonconformance(Kind);

#[derive(Clone, Debug)]
enum Kind {
    General(&'static str),
    Column { column: Column, what: &'static str },
    Stale { column: Column, told: &'static str },
    Store { what: &'static str, error: StoreError },
}

impl Nonconformance {
    /// The field of [`Columns`](crate::store::Columns) that the fault concerns, if it concerns one.
    #[must_use]
    pub const fn column(&self) -> Option<&'static str> {
        match self.0 {
            Kind::Column { column, .. } | Kind::Stale { column, .. } => Some(column.name()),
            Kind::General(_) | Kind::Store { .. } => None,
        }
    }

    pub(super) const fn new(what: &'static str) -> Self {
        Self(Kind::General(what))
    }

    pub(super) const fn of(column: Column, what: &'static str) -> Self {
        Self(Kind::Column { column, what })
    }

    pub(super) const fn stale(column: Column, told: &'static str) -> Self {
        Self(Kind::Stale { column, told })
    }

    pub(super) const fn failed(what: &'static str, error: StoreError) -> Self {
        Self(Kind::Store { what, error })
    }

    /// The same fault; with this text if it is that the store failed.
    pub(super) fn if_failed(self, what: &'static str) -> Self {
        match self.0 {
            Kind::Store { error, .. } => Self::failed(what, error),
            other => Self(other),
        }
    }
}

impl From<StoreError> for Nonconformance {
    fn from(error: StoreError) -> Self {
        Self::failed("the store failed", error)
    }
}

impl fmt::Display for Nonconformance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::General(what) | Kind::Store { what, .. } => f.write_str(what),
            Kind::Column { column, what } => write!(f, "{}: {what}", column.name()),
            Kind::Stale { column, told } => write!(
                f,
                "{0}: `compare_and_set` wrote although `Update::before` had {told}: always put {0} \
                 into the condition, compare it byte for byte, and let `NULL` equal only `NULL` \
                 (`IS`, in PostgreSQL `IS NOT DISTINCT FROM`)",
                column.name()
            ),
        }
    }
}

impl error::Error for Nonconformance {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match &self.0 {
            Kind::Store { error, .. } => Some(error),
            Kind::General(_) | Kind::Column { .. } | Kind::Stale { .. } => None,
        }
    }
}
