//! A limit, by the generic cell rate algorithm (GCRA, ITU-T I.371).

use std::num::NonZeroU32;

use time::Duration;

/// A limit: a number of attempts at once, and one more per interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    at_once: NonZeroU32,
    /// Microseconds.
    interval: i64,
}

/// The longest time in which a limit may become unused, in microseconds: 36,000 years. Sums with the
/// present do not overflow.
const MAX_TIME: i64 = 1 << 60;

/// The shortest interval that can be set, in microseconds.
const MIN_INTERVAL: i128 = 1_000;

/// The greatest difference between the clocks of those who share a counter, in microseconds.
pub(crate) const SKEW: i64 = 60_000_000;

impl Limit {
    /// A burst of `at_once` attempts, plus one per `interval`. The interval is at least 1 millisecond; a
    /// shorter or negative one becomes that.
    #[must_use]
    pub const fn new(at_once: NonZeroU32, interval: Duration) -> Self {
        let longest = MAX_TIME / at_once.get() as i64;
        let interval = match interval.whole_microseconds() {
            ..MIN_INTERVAL => MIN_INTERVAL as i64,
            interval if interval > longest as i128 => longest,
            interval => interval as i64,
        };
        Self { at_once, interval }
    }

    /// The number of attempts at once.
    #[must_use]
    pub const fn at_once(self) -> NonZeroU32 {
        self.at_once
    }

    /// The time after which one more attempt is allowed.
    #[must_use]
    pub const fn interval(self) -> Duration {
        Duration::microseconds(self.interval)
    }

    /// Counts an attempt. `arrival` is the theoretical arrival time (TAT): the time at which the counter
    /// is unused again. A counter that was never used has any time in the past.
    ///
    /// All times are in microseconds since the same instant. An implementation of
    /// [`LimitStore`](super::LimitStore) can call this, or write the same in its own language:
    ///
    /// ```text
    /// arrival  = now             if arrival < now
    /// arrival  = now             if arrival > now + interval × at_once + 1 minute
    /// wait     = arrival − now − interval × (at_once − 1)
    /// refused    if wait > 0
    /// arrival' = arrival + interval
    /// ```
    ///
    /// The limit gives no time as late as in the second line: the clock was set back by more than a minute,
    /// or the limit was greater. The counter then begins anew, and locks nobody out until that time.
    ///
    /// # Errors
    ///
    /// The time until the next attempt is allowed, in microseconds. The counter stays as it is.
    pub const fn take(self, arrival: i64, now: i64) -> Result<i64, i64> {
        let latest = now.saturating_add(self.tolerance() + self.interval + SKEW);
        let arrival = if arrival > now && arrival <= latest { arrival } else { now };
        let wait = arrival.saturating_sub(now).saturating_sub(self.tolerance());
        if wait > 0 { Err(wait) } else { Ok(arrival.saturating_add(self.interval)) }
    }

    /// `interval × (at_once − 1)`, in microseconds.
    pub(crate) const fn tolerance(self) -> i64 {
        self.interval * (self.at_once.get() as i64 - 1)
    }

    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) const fn interval_micros(self) -> i64 {
        self.interval
    }

    /// A limit of `times` as many attempts.
    pub(super) const fn times(self, times: u16) -> Self {
        let at_once =
            match self.at_once.checked_mul(NonZeroU32::MIN.saturating_add(times as u32 - 1)) {
                Some(at_once) => at_once,
                None => self.at_once,
            };
        let interval = self.interval / times as i64;
        Self { at_once, interval: if interval > 0 { interval } else { 1 } }
    }
}
