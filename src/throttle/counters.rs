//! The counters of a service: in memory, and then in the shared place.

use std::{
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration as StdDuration,
};

use time::Duration;
use tokio::time::{Instant, timeout};

use super::{
    Bucket, Count, Limit, Taken, Throttle, bucket::Buckets, memory::Memory, network::networks,
};

/// The longest time that a call waits for the shared place.
const PATIENCE: StdDuration = StdDuration::from_millis(500);

/// The time for which the shared place is not asked after a failure. It bounds the delay of logins and
/// the length of the log.
const PAUSE: StdDuration = StdDuration::from_secs(5);

/// All sessions of a user together have this multiple of the limit of one for codes. One session alone does
/// not use it up.
const SESSIONS: u16 = 4;

/// The time until the next attempt is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooManyAttempts(pub(crate) Duration);

/// The counters of a service.
pub(crate) struct Counters {
    limits: Throttle,
    buckets: Buckets,
    memory: Memory,
    began: Instant,
    /// The time until which the shared place is not asked.
    paused: Mutex<Option<Instant>>,
}

impl Counters {
    /// The key chooses the buckets. Processes with the same key share the counts of a shared place.
    pub(crate) fn new(limits: Throttle, key: &[u8; 32]) -> Self {
        Self {
            limits,
            buckets: Buckets::new(key),
            memory: Memory::default(),
            began: Instant::now(),
            paused: Mutex::default(),
        }
    }

    /// Whether device tokens have a limit of their own.
    pub(crate) const fn counts_devices(&self) -> bool {
        self.limits.device.is_some()
    }

    /// Whether attempts are counted by address.
    #[cfg(feature = "axum")]
    pub(crate) const fn counts_addresses(&self) -> bool {
        self.limits.address.is_some()
    }

    pub(crate) fn address(&self, address: IpAddr) -> impl Iterator<Item = Count> {
        let limit = self.limits.address;
        networks(address).into_iter().filter_map(move |network| {
            Some(Count {
                bucket: self.buckets.network(network),
                limit: limit?.times(network.times),
            })
        })
    }

    pub(crate) fn name(&self, name: &str) -> Option<Count> {
        count(self.limits.account, || self.buckets.name(name))
    }

    /// The count of the user whom this name finds. Without a user it is that of a made-up id.
    pub(crate) fn found(&self, name: &str, id: Option<&str>) -> Option<Count> {
        count(self.limits.account, || match id {
            Some(id) => self.buckets.id(id),
            None => self.buckets.made_up_id(name),
        })
    }

    pub(crate) fn device(&self, user_id: &str, device: &[u8; 16]) -> Option<Count> {
        count(self.limits.device, || self.buckets.device(user_id, device))
    }

    pub(crate) fn session(&self, user_id: &str, session: &str) -> Option<Count> {
        count(self.limits.session, || self.buckets.session(user_id, session))
    }

    pub(crate) fn user(&self, user_id: &str) -> Option<Count> {
        count(self.limits.user, || self.buckets.user(user_id))
    }

    /// The count of a code that finishes a login.
    pub(crate) fn second_step(&self, user_id: &str, device: Option<&[u8; 16]>) -> Option<Count> {
        count(self.limits.second_step, || self.buckets.second_step(user_id, device))
    }

    /// The counts of a code that is given in a session: of the session, and of all the user's. A session
    /// can get another id without a code, by a logout of the others.
    pub(crate) fn codes(&self, user_id: &str, session: &str) -> [Option<Count>; 2] {
        let limit = self.limits.second_step;
        let of_all = limit.map(|limit| limit.times(SESSIONS));
        [
            count(limit, || self.buckets.code(user_id, session)),
            count(of_all, || self.buckets.codes(user_id)),
        ]
    }

    /// Takes an attempt in memory.
    pub(crate) fn take(&self, counts: &[Count]) -> Result<(), TooManyAttempts> {
        let now = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX / 2);
        let wait = |micros| TooManyAttempts(Duration::microseconds(micros));
        self.take_at(counts, now).map_err(wait)
    }

    /// [`take`](Self::take) at this time. The times are in microseconds.
    pub(super) fn take_at(&self, counts: &[Count], now: i64) -> Result<(), i64> {
        self.memory.take(counts, now)
    }

    /// Takes an attempt in the shared place, after all of its counts were taken in memory. If the place
    /// fails, those in memory decide.
    pub(crate) async fn take_shared(&self, counts: &[Count]) -> Result<(), TooManyAttempts> {
        let Some(shared) = self.limits.shared.as_ref().filter(|_| !self.is_paused()) else {
            return Ok(());
        };
        let mut counts = counts.to_vec();
        counts.sort_unstable_by_key(|count| count.bucket);
        counts.dedup_by_key(|count| count.bucket);
        if counts.is_empty() {
            return Ok(());
        }
        match timeout(PATIENCE, shared.take(&counts)).await {
            Ok(Ok(Taken::Allowed)) => Ok(()),
            Ok(Ok(Taken::Refused { retry_after })) => Err(TooManyAttempts(retry_after)),
            Ok(Err(error)) => {
                self.pause(&*error);
                Ok(())
            }
            Err(elapsed) => {
                self.pause(&elapsed);
                Ok(())
            }
        }
    }

    fn is_paused(&self) -> bool {
        let paused = self.paused.lock().unwrap_or_else(PoisonError::into_inner);
        paused.is_some_and(|until| Instant::now() < until)
    }

    fn pause(&self, error: &(dyn std::error::Error + 'static)) {
        *self.paused.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + PAUSE);
        #[cfg(feature = "tracing")]
        tracing::warn!(
            target: "relatch",
            error,
            "the shared limits of password attempts cannot be counted: those of this process apply"
        );
        let _ = error;
    }
}

fn count(limit: Option<Limit>, bucket: impl FnOnce() -> Bucket) -> Option<Count> {
    Some(Count { limit: limit?, bucket: bucket() })
}
