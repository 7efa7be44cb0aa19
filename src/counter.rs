//! Counters: a revocation increases one of them.

use time::OffsetDateTime;

/// A counter that only increases: a user's version, a lane or an epoch.
///
/// It has the range of its database column, a signed 64-bit integer. It can hold a negative value
/// as read; using that value gives a [`RecordError`](crate::user::RecordError). `NULL` is the initial
/// value, 0, so a column added to an existing table needs no back-fill. Use a `BIGINT` column:
/// [`next`](Self::next) returns milliseconds, which do not fit in 32 bits. There is no conversion
/// from `u64`, because a `BIGINT` cannot hold half of its range.
///
/// # Example
///
/// ```
/// use relatch::user::Counter;
/// use time::OffsetDateTime;
///
/// let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
/// assert_eq!(Counter::from(None::<i64>), Counter::INITIAL);
/// assert_eq!(Counter::INITIAL.next(now), Some(Counter::from(1_800_000_000_000_i64)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Counter(i64);

impl Counter {
    /// The value before the first change: 0.
    pub const INITIAL: Self = Self(0);

    /// The next value: `max(self + 1, now in milliseconds)`.
    ///
    /// Because of the time, a re-created user or a restored backup does not repeat an earlier
    /// value. `None` only at the end of the range of `i64`.
    #[must_use]
    pub fn next(self, now: OffsetDateTime) -> Option<Self> {
        let now_ms = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).ok()?;
        Some(Self(self.0.checked_add(1)?.max(now_ms)))
    }

    /// The value as a database stores it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The value for the derivation; `None` if it is negative.
    pub(crate) fn checked(self) -> Option<u64> {
        u64::try_from(self.0).ok()
    }
}

impl From<i64> for Counter {
    fn from(value: i64) -> Self {
        Self(value)
    }
}

impl From<Counter> for i64 {
    fn from(counter: Counter) -> Self {
        counter.0
    }
}

impl From<i32> for Counter {
    fn from(value: i32) -> Self {
        Self(value.into())
    }
}

impl From<u32> for Counter {
    fn from(value: u32) -> Self {
        Self(value.into())
    }
}

impl<T: Into<Counter>> From<Option<T>> for Counter {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::INITIAL, Into::into)
    }
}

/// The greatest accepted counter.
pub(crate) const MAX_COUNT: u64 = i64::MAX.cast_unsigned();

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).unwrap()
    }

    #[test]
    fn next_is_the_larger_of_successor_and_clock() {
        assert_eq!(Counter(5).next(at(3)), Some(Counter(6)));
        assert_eq!(Counter(5).next(at(9)), Some(Counter(9)));
        assert_eq!(Counter(5).next(at(-9)), Some(Counter(6)));
        assert_eq!(Counter(-7).next(at(2)), Some(Counter(2)));
        assert_eq!(Counter(i64::MAX).next(at(0)), None);
    }

    #[test]
    fn a_negative_value_is_kept_and_refused_at_use() {
        assert_eq!(Counter::from(-1).get(), -1);
        assert_eq!(Counter::from(-1).checked(), None);
        assert_eq!(Counter::from(7_u32).checked(), Some(7));
    }
}
