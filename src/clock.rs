//! The clock, and the form of instants in a token (NumericDate).

use time::{Duration, OffsetDateTime};

/// A source of the current time.
///
/// Every `Fn() -> OffsetDateTime` is a clock, so a test can pass a closure and need not sleep.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> OffsetDateTime;
}

impl<F: Fn() -> OffsetDateTime + Send + Sync> Clock for F {
    fn now(&self) -> OffsetDateTime {
        self()
    }
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
    }
}

/// The maximum lifetime of a token: 366 days.
pub const MAX_LIFETIME: Duration = Duration::days(366);

/// The greatest accepted NumericDate (RFC 7519 §2): the end of the year 9999.
pub(crate) const MAX_NUMERIC_DATE: u64 = 253_402_300_799;

/// The time of a NumericDate, at most the end of the year 9999.
pub(crate) fn numeric_date(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds.min(MAX_NUMERIC_DATE)).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// The NumericDate of an instant within the years 1970 to 9999.
pub(crate) fn to_numeric_date(instant: OffsetDateTime) -> Option<u64> {
    let seconds = u64::try_from(instant.unix_timestamp()).ok();
    seconds.filter(|seconds| *seconds <= MAX_NUMERIC_DATE)
}
