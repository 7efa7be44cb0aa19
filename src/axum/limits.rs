//! How many passwords may be tried.

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

/// How many passwords may be tried, for each account and from each address, right ones among them.
///
/// So many at once, and then one more each time that an interval has passed (the generic cell rate
/// algorithm). Unless set: 10 for an account, and one more every 30 seconds; 30 from an address,
/// and one more every 2 seconds. An IPv6 address stands for its network of 64 bits.
///
/// # Security
///
/// The limit for an account holds for its owner as well: who floods a name keeps its owner from
/// logging in meanwhile, though not from sessions there are. That is the price of bounding what a
/// guesser with many addresses gets.
///
/// They are counted by each [`Web`](super::Web) of each process: several let that many more through.
/// Names that differ in case or in blanks around them are one; fold what else your database takes for
/// the same before you hand it over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginLimits {
    account: Option<(NonZeroU32, Duration)>,
    address: Option<(NonZeroU32, Duration)>,
}

impl LoginLimits {
    /// The limits above.
    #[must_use]
    pub const fn new() -> Self {
        const ONE: NonZeroU32 = NonZeroU32::MIN;
        Self {
            account: Some((ONE.saturating_add(9), Duration::seconds(30))),
            address: Some((ONE.saturating_add(29), Duration::seconds(2))),
        }
    }

    /// For each account: so many at once, and one more each `interval`, of at least a millisecond.
    #[must_use]
    pub const fn per_account(mut self, at_once: NonZeroU32, interval: Duration) -> Self {
        self.account = Some((at_once, interval));
        self
    }

    /// From each address: so many at once, and one more each `interval`, of at least a millisecond.
    #[must_use]
    pub const fn per_address(mut self, at_once: NonZeroU32, interval: Duration) -> Self {
        self.address = Some((at_once, interval));
        self
    }

    /// Does not count by address, which then need not be known: where a proxy does it.
    #[must_use]
    pub const fn without_addresses(mut self) -> Self {
        self.address = None;
        self
    }

    /// Counts nothing: where something in front does.
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

/// The limits, and what was counted.
pub(super) struct Limits {
    account: Option<Limit>,
    address: Option<Limit>,
}

impl Limits {
    pub(super) fn new(limits: LoginLimits) -> Self {
        let limit = |(at_once, interval)| Limit::new(at_once, interval);
        Self { account: limits.account.map(limit), address: limits.address.map(limit) }
    }

    /// Counts an attempt on this account from this address, by the address first: one that is over
    /// its limit uses nothing up of an account's.
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

/// What an attempt is counted by: a name never counts for the user of that id.
#[derive(Clone, Copy)]
pub(super) enum Account<'a> {
    Login(&'a str),
    Id(&'a str),
}

impl Account<'_> {
    fn key(self) -> (bool, String) {
        match self {
            // A database that compares without case is tried by other spellings of a name.
            Self::Login(login) => (true, login.trim().to_lowercase()),
            Self::Id(id) => (false, id.to_owned()),
        }
    }
}

/// The bits of a hash that are kept: accounts and addresses in as many drawers as these count bound
/// the memory, whatever an attacker makes up. Two share one seldom, and nobody can aim.
const BUCKETS: u64 = (1 << 20) - 1;

/// After so many attempts what is no longer needed is thrown away.
const CLEAN_EVERY: u32 = 1 << 12;

struct Limit {
    limiter: RateLimiter<u64, HashMapStateStore<u64>, TokioClock, NoOpMiddleware<Instant>>,
    hasher: RandomState,
    counted: AtomicU32,
}

impl Limit {
    fn new(at_once: NonZeroU32, interval: Duration) -> Self {
        // A burst is counted in nanoseconds, of which 64 bits are not to run over.
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

/// Tokio's, as all time-outs of the service.
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
