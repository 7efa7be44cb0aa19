//! Further attempts of a statement, on other connections, within the call's one deadline.

use tokio::time::Instant;

use super::{Failure, failure::Fault, outcome::Outcome};
use crate::store::StoreError;

/// The number of attempts for a statement that conflicts with another transaction.
const CONFLICTS: u32 = 4;

/// The attempts of one call.
#[derive(Debug)]
pub(super) struct Attempts {
    until: Instant,
    /// How many more connections may turn out to be broken: each is one of the pool's, and the last is
    /// a new one.
    connections: u32,
    conflicts: u32,
    has_timed_out: bool,
}

impl Attempts {
    /// Over a pool that has this many connections now.
    pub(super) const fn new(until: Instant, connections: u32) -> Self {
        Self { until, connections, conflicts: CONFLICTS - 1, has_timed_out: false }
    }

    /// The deadline of the next attempt. Until one has timed out, each may take half of the time that is
    /// left: a connection that is half-open leaves the other half.
    pub(super) fn deadline(&self) -> Instant {
        let now = Instant::now();
        match self.has_timed_out {
            true => self.until,
            false => now + self.until.saturating_duration_since(now) / 2,
        }
    }

    /// Whether to try again after this fault.
    pub(super) fn again(&mut self, fault: Fault) -> bool {
        let left = match fault {
            Fault::Conflict => &mut self.conflicts,
            Fault::Unfit | Fault::Lost => &mut self.connections,
            Fault::TimedOut if !self.has_timed_out => {
                self.has_timed_out = true;
                return Instant::now() < self.until;
            }
            _ => return false,
        };
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left && Instant::now() < self.until
    }
}

/// A read or a write that can be tried again.
pub(super) trait Attempt: Sync {
    type Answer: Send;

    /// Runs it once.
    fn run(&self, until: Instant) -> impl Future<Output = Result<Self::Answer, Failure>> + Send;

    /// Prepares for another run after this fault.
    fn recover(&self, fault: Fault);
}

/// A write, which returns the number of changed rows.
pub(super) trait Write: Attempt<Answer = u64> {
    /// Reads what an earlier run has done, if its answer was lost.
    fn outcome(&self, until: Instant) -> impl Future<Output = Result<Outcome, StoreError>> + Send;
}

/// Reads until there is an answer.
pub(super) async fn read<A: Attempt>(
    read: &A,
    mut attempts: Attempts,
) -> Result<A::Answer, Failure> {
    loop {
        match read.run(attempts.deadline()).await {
            Err(failure) if attempts.again(failure.fault) => read.recover(failure.fault),
            answer => return answer,
        }
    }
}

/// Writes once, and returns whether it changed a row. Before another run, it reads whether the one
/// before was written although its answer was lost.
pub(super) async fn write(write: &impl Write, mut attempts: Attempts) -> Result<bool, StoreError> {
    let mut may_be_written = false;
    loop {
        let failure = match write.run(attempts.deadline()).await {
            // An earlier run may have changed the row late, so that this one did not find it.
            Ok(0) if may_be_written => {
                return match write.outcome(attempts.until).await? {
                    Outcome::Written => Ok(true),
                    Outcome::NotWritten => Ok(false),
                    Outcome::Unknown => Err(unknown()),
                };
            }
            Ok(changed) => return Ok(changed > 0),
            Err(failure) => failure,
        };
        let has_more = attempts.again(failure.fault);
        if failure.fault.is_outcome_unknown() {
            may_be_written = true;
            write.recover(failure.fault);
            match write.outcome(attempts.until).await {
                Ok(Outcome::Written) => return Ok(true),
                Ok(Outcome::NotWritten) if has_more => continue,
                _ => return Err(unknown()),
            }
        }
        if !has_more {
            return Err(failure.into());
        }
        write.recover(failure.fault);
    }
}

fn unknown() -> StoreError {
    StoreError::unreachable("the database's answer was lost: it is not known whether it wrote")
}
