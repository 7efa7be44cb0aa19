//! Errors of verifying.

use std::{convert::Infallible, error, fmt};

use crate::{
    rejection::{Reason, Rejection},
    user::RecordError,
};

/// Why a token could not be verified.
///
/// Only [`Rejected`](Self::Rejected) is a statement about the token (401 on the web). With the
/// other two, the server could not check the token (503, 500), and the client should keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VerifyError<E = Infallible> {
    /// The token is not accepted.
    Rejected(Rejection),
    /// The lookup failed with this error.
    Lookup(E),
    /// The record that the lookup returned cannot be used.
    Record(RecordError),
}

impl<E> VerifyError<E> {
    /// The reason, if the token was rejected.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Rejected(rejection) => Some(rejection.reason()),
            _ => None,
        }
    }

    /// Converts the lookup's error; the other variants stay the same.
    pub fn map_lookup<F>(self, map: impl FnOnce(E) -> F) -> VerifyError<F> {
        match self {
            Self::Rejected(rejection) => VerifyError::Rejected(rejection),
            Self::Lookup(error) => VerifyError::Lookup(map(error)),
            Self::Record(error) => VerifyError::Record(error),
        }
    }
}

impl VerifyError {
    /// The same error, for a lookup that can fail.
    pub(crate) fn of_lookup<E>(self) -> VerifyError<E> {
        self.map_lookup(|never| match never {})
    }
}

impl<E> From<Rejection> for VerifyError<E> {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl<E> fmt::Display for VerifyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Lookup(_) => f.write_str("the lookup of the user's record failed"),
            Self::Record(_) => f.write_str("the user's record cannot be used"),
        }
    }
}

impl<E: error::Error + 'static> error::Error for VerifyError<E> {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Rejected(_) => None,
            Self::Lookup(error) => Some(error),
            Self::Record(error) => Some(error),
        }
    }
}
