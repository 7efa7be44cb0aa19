//! Errors of a refresh.

use std::{error, fmt};

use crate::{
    authority::error::{issue::IssueError, verify::VerifyError},
    rejection::Rejection,
    user::RecordError,
};

/// Why a refresh was not decided.
#[derive(Debug)]
#[non_exhaustive]
pub enum RefreshError {
    /// The token is not accepted.
    Rejected(Rejection),
    /// The user's record cannot be used.
    Record(RecordError),
    /// The token is valid, but the new tokens could not be issued.
    Issue(IssueError),
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Record(_) => f.write_str("the user's record cannot be used"),
            Self::Issue(_) => f.write_str("the new tokens could not be issued"),
        }
    }
}

impl error::Error for RefreshError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Rejected(_) => None,
            Self::Record(error) => Some(error),
            Self::Issue(error) => Some(error),
        }
    }
}

impl From<Rejection> for RefreshError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<IssueError> for RefreshError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::Record(error) => Self::Record(error),
            other => Self::Issue(other),
        }
    }
}

impl From<VerifyError> for RefreshError {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Rejected(rejection) => Self::Rejected(rejection),
            VerifyError::Lookup(never) => match never {},
            VerifyError::Record(error) => Self::Record(error),
        }
    }
}
