//! The errors of issuing, verifying and refreshing.

mod issue;
mod refresh;
mod verify;

pub use self::{issue::IssueError, refresh::RefreshError, verify::VerifyError};
