//! The result of a lookup.

use tokio::time::Instant;

use crate::store::StoredUser;

/// A user's record, or `None` if there is no such user, and its age.
pub(super) struct Found<F> {
    pub(super) user: Option<StoredUser<F>>,
    /// From before the read began.
    pub(super) began: Instant,
}

#[cfg(feature = "cache")]
impl<F> Clone for Found<F> {
    fn clone(&self) -> Self {
        Self { user: self.user.clone(), began: self.began }
    }
}
