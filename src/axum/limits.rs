//! Rate limits for passwords, by account and by address.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering},
    time::Instant,
};

use governor::{
    Quota, RateLimiter, clock::Clock, middleware::NoOpMiddleware, state::keyed::HashMapStateStore,
};
use time::Duration;

use super::{misconfigured::Misconfigured, refusal::Refusal};

/// The limits for password attempts, per account and per address. Correct passwords count too.
///
/// Each limit is a burst, plus one attempt per interval (the generic cell rate algorithm).
/// Defaults: 10 for an account, plus one every 30 seconds; 30 from an address, plus one every 2
/// seconds. An IPv6 address counts as its /64 network.
///
/// # Security
///
/// The limit for an account also applies to its owner. An attacker who floods a name keeps the
/// owner from logging in during that time; existing sessions are not affected. Without
/// this limit, an attacker with many addresses could try any number of passwords.
///
/// Each [`Web`](super::Web) of each process counts by itself, so several of them allow several
/// times as many attempts. Names that differ only in case or in surrounding spaces count as one. If
/// your database treats other spellings as equal, normalise the name before you pass it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    account: Option<(NonZeroU32, Duration)>,
    address: Option<(NonZeroU32, Duration)>,
}

impl LoginLimits {
    /// The default limits, as above.
    #[must_use]
    pub const fn new() -> Self {
        const ONE: NonZeroU32 = NonZeroU32::MIN;
        Self {
            account: Some((ONE.saturating_add(9), Duration::seconds(30))),
            address: Some((ONE.saturating_add(29), Duration::seconds(2))),
        }
    }

    /// Sets the limit per account: a burst of `at_once`, plus one per `interval` (at least 1 ms).
    #[must_use]
    pub const fn per_account(mut self, at_once: NonZeroU32, interval: Duration) -> Self {
        self.account = Some((at_once, interval));
        self
    }

    /// Sets the limit per address: a burst of `at_once`, plus one per `interval` (at least 1 ms).
    #[must_use]
    pub const fn per_address(mut self, at_once: NonZeroU32, interval: Duration) -> Self {
        self.address = Some((at_once, interval));
        self
    }

    /// Removes the limit per address, for a server behind a proxy that limits addresses. The
    /// client's address then need not be known.
    #[must_use]
    pub const fn without_addresses(mut self) -> Self {
        self.address = None;
        self
    }

    /// Removes both limits, for a server behind something that limits attempts.
    #[must_use]
    pub const fn danger_unlimited() -> Self {
        Self { account: None, address: None }
    }
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self::new()
    }
}

/// The limits and their counters.
pub(super) struct Limits {
    account: Option<Limit>,
    address: Option<Limit>,
}

impl Limits {
    pub(super) fn new(limits: LoginLimits) -> Self {
        let limit = |(at_once, interval)| Limit::new(at_once, interval);
        Self { account: limits.account.map(limit), address: limits.address.map(limit) }
    }

    /// Counts an attempt at this account from this address. The address is first: an address over
    /// its limit does not use up the limit of an account.
    pub(super) fn attempt(
        &self,
        account: Account<'_>,
        address: impl FnOnce() -> Option<IpAddr>,
    ) -> Result<(), Refusal> {
        if let Some(limit) = &self.address {
            let address = address().ok_or(Misconfigured::NoClientAddress)?;
            limit.count(network(address))?;
        }
        match &self.account {
            Some(limit) => limit.count(account.key()),
            None => Ok(()),
        }
    }
}

/// The key by which an attempt is counted. A name and an id are different keys even if equal.
#[derive(Clone, Copy)]
pub(super) enum Account<'a> {
    Login(&'a str),
    Id(&'a str),
}

impl Account<'_> {
    fn key(self) -> (bool, String) {
        match self {
            // If the database ignores case, other spellings of a name would evade the limit.
            Self::Login(login) => (true, login.trim().to_lowercase()),
            Self::Id(id) => (false, id.to_owned()),
        }
    }
}

/// The mask of a hash that gives the bucket of an account or address. The number of buckets (2²⁰)
/// bounds the memory whatever names an attacker invents. Two keys rarely share a bucket, and the
/// hash is random, so an attacker cannot choose one.
const BUCKETS: u64 = (1 << 20) - 1;

/// The number of attempts after which unused buckets are removed.
const CLEAN_EVERY: u32 = 1 << 12;

struct Limit {
    limiter: RateLimiter<u64, HashMapStateStore<u64>, TokioClock, NoOpMiddleware<Instant>>,
    hasher: RandomState,
    counted: AtomicU32,
}

impl Limit {
    fn new(at_once: NonZeroU32, interval: Duration) -> Self {
        // The limiter counts a burst in nanoseconds, which must not overflow 64 bits.
        let longest = std::time::Duration::from_nanos(u64::MAX / 4) / at_once.get();
        let interval = interval.max(Duration::MILLISECOND).unsigned_abs().min(longest);
        let quota = Quota::with_period(interval).unwrap_or(Quota::per_second(at_once));
        Self {
            limiter: RateLimiter::hashmap_with_clock(quota.allow_burst(at_once), TokioClock),
            hasher: RandomState::new(),
            counted: AtomicU32::new(0),
        }
    }

    fn count(&self, key: impl Hash) -> Result<(), Refusal> {
        if self.counted.fetch_add(1, Ordering::Relaxed) % CLEAN_EVERY == CLEAN_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let bucket = self.hasher.hash_one(key) & BUCKETS;
        self.limiter.check_key(&bucket).map_err(|until| {
            let wait = until.wait_time_from(TokioClock.now());
            let retry_after = Duration::try_from(wait).unwrap_or(Duration::HOUR);
            Refusal::TooManyAttempts { retry_after }
        })
    }
}

/// Tokio's clock, as for all timeouts of the service.
#[derive(Clone, Debug)]
struct TokioClock;

impl Clock for TokioClock {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        v4 => v4,
    }
}
