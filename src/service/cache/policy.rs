//! The policy of a cache: its staleness and its size.

use std::time::Duration as StdDuration;

use time::Duration;

use crate::{
    error::ConfigError,
    live::{MAX_BOUND, MIN_BOUND},
};

/// The greatest age of a cached record that a request is decided on, and the greatest number of
/// cached users.
///
/// The staleness is **a security setting**. After a revocation by another process or by SQL, a process
/// with a cache accepts the old token for at most this time, even if every notification is lost.
/// Without such a bound, a cached record would silently outlive a bump
/// (better-auth #6893).
///
/// - Changes by this process, and those notified through [`Changes`](crate::store::Changes), take
///   effect at once.
/// - The store must read the primary. The lag of a replica would add to the staleness.
/// - A record's age counts from before its read began, on a monotonic clock. A read that takes as
///   long as the staleness fails.
/// - During an outage of the database, cached users are served until their records are too old.
/// - The absence of a user is cached for at most one second.
///
/// A user takes some 700 bytes of memory, in one allocation with the id and one derived key, plus its
/// sessions, some 150 bytes each, and the application's own fields. Each further derived key takes some
/// 450 bytes. The cache contains credentials and derived keys, but no password hash.
///
/// # Example
///
/// ```
/// use relatch::service::CachePolicy;
/// use time::Duration;
///
/// // A revocation takes effect within 30 seconds. The cache holds about 100,000 users.
/// let policy = CachePolicy::new(Duration::seconds(30), 100_000)?;
/// # Ok::<(), relatch::ConfigError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    max_staleness: StdDuration,
    max_users: usize,
}

const MAX_USERS: usize = 100_000_000;

impl CachePolicy {
    /// A policy of records at most `max_staleness` old, [`MIN_BOUND`] to [`MAX_BOUND`], and about
    /// `max_users` users, 1 to 100 million. A full cache evicts rarely read users first.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if one of the two is out of range; the text says which.
    pub fn new(max_staleness: Duration, max_users: usize) -> Result<Self, ConfigError> {
        if !(MIN_BOUND..=MAX_BOUND).contains(&max_staleness) {
            let (min, max) = (MIN_BOUND.whole_seconds(), MAX_BOUND.whole_seconds());
            return Err(ConfigError::new(
                "max_staleness",
                format!("a cached record's staleness must be {min} to {max} seconds"),
            ));
        }
        match max_users {
            1..=MAX_USERS => Ok(Self { max_staleness: max_staleness.unsigned_abs(), max_users }),
            _ => Err(ConfigError::new(
                "max_users",
                format!("a cache must have room for 1 to {MAX_USERS} users"),
            )),
        }
    }

    pub(super) const fn max_staleness(&self) -> StdDuration {
        self.max_staleness
    }

    pub(super) const fn max_users(&self) -> usize {
        self.max_users
    }
}
