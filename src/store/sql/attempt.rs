//! Further attempts of a statement, on other connections, within the call's one deadline.

use tokio::time::Instant;

use super::{Cells, Failure, failure::Fault, outcome::Outcome, place::COUNTER};
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

    /// Tries again after each conflict until the deadline: of transactions that conflict, one is
    /// committed each time.
    pub(super) const fn despite_conflicts(self) -> Self {
        Self { conflicts: u32::MAX, ..self }
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

/// The answer to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Done {
    pub(super) changes_rows: bool,
    /// The counter that was moved, by a statement that returns it.
    pub(super) counter: Option<i64>,
}

impl Done {
    /// Of a statement that changes this number of rows and returns nothing.
    pub(super) const fn new(rows: u64) -> Self {
        Self { changes_rows: rows > 0, counter: None }
    }

    /// Of a statement that returns the rows that it changes.
    pub(super) fn returning<C: Cells>(rows: &[C]) -> Self {
        let counters = rows.iter().filter_map(|row| row.integer(COUNTER).ok().flatten());
        Self { changes_rows: !rows.is_empty(), counter: counters.max() }
    }

    /// The counter, if there was one to move.
    pub(super) fn moved(self) -> Result<Option<i64>, StoreError> {
        match self {
            Self { changes_rows: false, .. } => Ok(None),
            Self { counter: Some(counter), .. } => Ok(Some(counter)),
            Self { counter: None, .. } => Err(StoreError::misconfigured(
                "a counter was moved, and is NULL: does a trigger set it?",
            )),
        }
    }
}

/// A write.
pub(super) trait Write: Attempt<Answer = Done> {
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

/// Writes once. Before another run, it reads whether the one before was written although its answer was
/// lost.
pub(super) async fn write(write: &impl Write, mut attempts: Attempts) -> Result<Done, Failure> {
    let written = |version| Done { changes_rows: true, counter: version };
    let mut may_be_written = false;
    loop {
        let failure = match write.run(attempts.deadline()).await {
            // An earlier run may have changed the row late, so that this one did not find it.
            Ok(Done { changes_rows: false, .. }) if may_be_written => {
                return match write.outcome(attempts.until).await {
                    Ok(Outcome::Written(version)) => Ok(written(version)),
                    Ok(Outcome::NotWritten) => Ok(Done::new(0)),
                    Ok(Outcome::Unknown) | Err(_) => Err(Failure::unknown()),
                };
            }
            Ok(done) => return Ok(done),
            Err(failure) => failure,
        };
        let has_more = attempts.again(failure.fault);
        if failure.fault.is_outcome_unknown() {
            may_be_written = true;
            write.recover(failure.fault);
            match write.outcome(attempts.until).await {
                Ok(Outcome::Written(version)) => return Ok(written(version)),
                Ok(Outcome::NotWritten) if has_more => continue,
                _ => return Err(Failure::unknown()),
            }
        }
        if !has_more {
            return Err(failure);
        }
        write.recover(failure.fault);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        sync::{Mutex, PoisonError},
        time::Duration,
    };

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(8);

    /// One step of a script.
    enum Step {
        Changed(u64),
        Fails(Fault),
        /// It answers nothing before its deadline, which is this long.
        Hangs(u64),
        Row(Outcome),
        RowUnreadable,
    }

    use Step::{Changed, Fails, Hangs, Row, RowUnreadable};

    struct Script(Mutex<VecDeque<Step>>);

    impl Script {
        fn next(&self) -> Option<Step> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
        }
    }

    impl Attempt for Script {
        type Answer = Done;

        async fn run(&self, until: Instant) -> Result<Done, Failure> {
            match self.next() {
                Some(Changed(count)) => Ok(Done::new(count)),
                Some(Fails(fault)) => Err(Failure::of(fault)),
                Some(Hangs(seconds)) => {
                    assert_eq!((until - Instant::now()).as_secs(), seconds);
                    tokio::time::sleep_until(until).await;
                    Err(Failure::timed_out())
                }
                _ => panic!("no run is due"),
            }
        }

        fn recover(&self, _: Fault) {}
    }

    impl Write for Script {
        async fn outcome(&self, _: Instant) -> Result<Outcome, StoreError> {
            match self.next() {
                Some(Row(outcome)) => Ok(outcome),
                Some(RowUnreadable) => Err(StoreError::unreachable("away")),
                _ => panic!("the row is not to be read"),
            }
        }
    }

    async fn play<T>(
        connections: u32,
        steps: Vec<Step>,
        call: impl AsyncFnOnce(&Script, Attempts) -> T,
    ) -> T {
        let script = Script(Mutex::new(steps.into()));
        let attempts = Attempts::new(Instant::now() + PATIENCE, connections);
        let answer = call(&script, attempts).await;
        assert!(script.next().is_none(), "it ended early");
        answer
    }

    async fn reads(connections: u32, steps: Vec<Step>) -> Option<bool> {
        play(connections, steps, async |script, attempts| {
            read(script, attempts).await.ok().map(|done| done.changes_rows)
        })
        .await
    }

    async fn writes(connections: u32, steps: Vec<Step>) -> Result<bool, String> {
        let write = async |script: &Script, attempts| {
            write(script, attempts).await.map(|done| done.changes_rows)
        };
        let answer = play(connections, steps, write).await;
        answer.map_err(|failure| {
            let error = StoreError::from(failure);
            assert!(error.is_unreachable());
            std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_is_tried_on_each_connection_and_on_a_new_one() {
        for fault in [Fault::Unfit, Fault::Lost] {
            let broken = |count| (0..count).map(|_| Fails(fault)).collect::<Vec<_>>();
            let answered = [broken(3), vec![Changed(1)]].into_iter().flatten().collect();
            assert_eq!(reads(3, answered).await, Some(true));
            assert_eq!(reads(3, broken(4)).await, None);
        }
        for fault in [Fault::Value, Fault::Canceled, Fault::Unavailable, Fault::Misconfigured] {
            assert_eq!(reads(3, vec![Fails(fault)]).await, None, "{fault:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_hangs_leaves_half_of_the_time() {
        assert_eq!(reads(1, vec![Hangs(4), Changed(1)]).await, Some(true));
        assert_eq!(reads(1, vec![Fails(Fault::Lost), Hangs(4), Hangs(4)]).await, None);
        assert_eq!(writes(1, vec![Hangs(4), Row(Outcome::Written(None))]).await, Ok(true));
        let again = vec![Hangs(4), Row(Outcome::NotWritten), Changed(1)];
        assert_eq!(writes(1, again).await, Ok(true));
        // The time is over: it is known only if the row shows it.
        let over = vec![Hangs(4), Row(Outcome::NotWritten), Hangs(4), Row(Outcome::NotWritten)];
        assert!(writes(1, over).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_is_tried_a_few_times() {
        let conflicts = |count| (0..count).map(|_| Fails(Fault::Conflict)).collect::<Vec<_>>();
        let solved = [conflicts(3), vec![Changed(0)]].into_iter().flatten().collect();
        assert_eq!(writes(1, solved).await, Ok(false));
        assert!(writes(1, conflicts(4)).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn an_unconditional_write_is_tried_despite_conflicts() {
        let mut steps: Vec<_> = (0..100).map(|_| Fails(Fault::Conflict)).collect();
        steps.push(Changed(1));
        let done = play(1, steps, async |script, attempts| {
            write(script, attempts.despite_conflicts()).await.ok().map(|done| done.changes_rows)
        });
        assert_eq!(done.await, Some(true));
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_is_looked_up() {
        let lost = || Fails(Fault::Lost);
        assert_eq!(writes(2, vec![Changed(1)]).await, Ok(true));
        assert_eq!(writes(2, vec![Changed(0)]).await, Ok(false));
        assert_eq!(writes(2, vec![lost(), Row(Outcome::Written(None))]).await, Ok(true));
        let again = vec![lost(), Row(Outcome::NotWritten), Changed(1)];
        assert_eq!(writes(2, again).await, Ok(true));
        // Nothing was written on an unfit connection.
        assert_eq!(writes(2, vec![Fails(Fault::Unfit), Changed(0)]).await, Ok(false));
        for nobody_knows in [vec![lost(), Row(Outcome::Unknown)], vec![lost(), RowUnreadable]] {
            let error = writes(2, nobody_knows).await.unwrap_err();
            assert!(error.contains("it is not known"), "{error}");
        }
        // The first run was written late, while the row was read and before the second run.
        for (outcome, is_written) in [(Outcome::Written(None), true), (Outcome::NotWritten, false)]
        {
            let late = vec![lost(), Row(Outcome::NotWritten), Changed(0), Row(outcome)];
            assert_eq!(writes(2, late).await, Ok(is_written));
        }
        let late = vec![lost(), Row(Outcome::NotWritten), Changed(0), Row(Outcome::Unknown)];
        assert!(writes(2, late).await.is_err());
        // No connection is left: the row decides all the same.
        assert_eq!(writes(0, vec![lost(), Row(Outcome::Written(None))]).await, Ok(true));
        assert!(writes(0, vec![lost(), Row(Outcome::NotWritten)]).await.is_err());
    }
}
