//! The clock, and the form of instants in a token (NumericDate).

#[cfg(target_os = "linux")]
use rustix::time::{ClockId, clock_gettime};
use time::{Duration, OffsetDateTime};

/// A source of the current time.
///
/// Every `Fn() -> OffsetDateTime` is a clock, so a test can pass a closure and need not sleep.
pub trait Clock: Send + Sync {
    /// The current time.
    fn now(&self) -> OffsetDateTime;

    /// The whole seconds of [`now`](Self::now) since 1970, for which a clock can have a faster way.
    fn unix_timestamp(&self) -> i64 {
        self.now().unix_timestamp()
    }
}

impl<F: Fn() -> OffsetDateTime + Send + Sync> Clock for F {
    fn now(&self) -> OffsetDateTime {
        self()
    }
}

/// The clock of the operating system.
///
/// On Linux it is the time of the kernel's last tick (`CLOCK_REALTIME_COARSE`), which takes a fraction
/// of the time to read. It is up to ten milliseconds behind, never ahead. Issuing and verifying read the
/// same clock, so no new token is "not yet valid".
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[cfg(target_os = "linux")]
impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        let now = clock_gettime(ClockId::RealtimeCoarse);
        let nanos = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
        OffsetDateTime::from_unix_timestamp_nanos(nanos)
            .unwrap_or_else(|_| OffsetDateTime::now_utc())
    }

    #[inline]
    fn unix_timestamp(&self) -> i64 {
        clock_gettime(ClockId::RealtimeCoarse).tv_sec
    }
}

#[cfg(not(target_os = "linux"))]
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
    of_unix_timestamp(instant.unix_timestamp())
}

/// The NumericDate of a second within the years 1970 to 9999.
pub(crate) fn of_unix_timestamp(second: i64) -> Option<u64> {
    u64::try_from(second).ok().filter(|seconds| *seconds <= MAX_NUMERIC_DATE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_coarse_clock_is_late_by_milliseconds() {
        for _ in 0..1000 {
            let before = OffsetDateTime::now_utc();
            let (now, second) = (SystemClock.now(), SystemClock.unix_timestamp());
            assert!(
                (before - Duration::milliseconds(50)..=OffsetDateTime::now_utc()).contains(&now)
            );
            assert!((now.unix_timestamp()..=now.unix_timestamp() + 1).contains(&second));
        }
    }
}
