//! A place for counts that several processes share.

use std::{error::Error, future::Future, pin::Pin};

use time::Duration;

use super::Count;

/// A place for counts that several processes share: [`Throttle::shared`](super::Throttle::shared).
///
/// The tables of the SQL stores are ready (`SqliteStore::limits`, `PostgresStore::limits`). For another
/// place, such as Redis, implement this trait; [`Limit::take`](super::Limit::take) is the algorithm.
///
/// # Security
///
/// The place needs no secrets and holds none: a bucket does not reveal the name or the address. It can
/// forget its counts, which allows a new burst.
pub trait LimitStore: Send + Sync + 'static {
    /// The error of this place.
    type Error: Error + Send + Sync + 'static;

    /// Takes one attempt from each of these buckets, if each of them allows it; otherwise from none.
    /// There are 1 to 8 counts, no bucket is there twice, and they are in the order of their buckets.
    ///
    /// Two simultaneous calls must not both take the last attempt of a bucket. The caller waits for half
    /// a second at most, and then drops the future.
    ///
    /// # Errors
    ///
    /// If it fails, the caller decides by its counts in memory, and does not ask again for some seconds.
    fn take(&self, counts: &[Count]) -> impl Future<Output = Result<Taken, Self::Error>> + Send;
}

/// The answer of a [`LimitStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "an attempt is either allowed or not")]
pub enum Taken {
    /// The attempt is allowed, and is counted.
    Allowed,
    /// The attempt is not allowed, and is not counted.
    Refused {
        /// The time until all buckets allow an attempt.
        retry_after: Duration,
    },
}

/// A [`LimitStore`] of any type.
pub(super) trait ErasedLimitStore: Send + Sync {
    fn take<'a>(&'a self, counts: &'a [Count]) -> Answer<'a>;
}

pub(super) type Answer<'a> =
    Pin<Box<dyn Future<Output = Result<Taken, Box<dyn Error + Send + Sync>>> + Send + 'a>>;

impl<S: LimitStore> ErasedLimitStore for S {
    fn take<'a>(&'a self, counts: &'a [Count]) -> Answer<'a> {
        Box::pin(async move { Ok(LimitStore::take(self, counts).await?) })
    }
}
