//! Reading a row, deciding on it and storing what was decided: again, where it was changed in
//! between.

use std::{
    hash::{BuildHasher, RandomState},
    panic::resume_unwind,
    time::Duration,
};

use tokio::{task::JoinError, time::sleep};

use super::{Service, ServiceError, records::Write};
use crate::{
    authority::decision::{Committed, Decision},
    store::{Key, Record, StoreError},
};

/// How often a decision is made anew before the caller is told to come back later.
const ATTEMPTS: u32 = 12;

/// The longest pause between two attempts, in milliseconds.
const MAX_PAUSE: u64 = 64;

/// What was decided on a record, with what the service itself changes of it in the same statement.
pub(super) struct Proposal<T, F> {
    pub(super) decision: Decision<T>,
    pub(super) edited: Record<F>,
}

/// Counts how often something is tried: decided anew each time, on the row as it is then.
#[derive(Default)]
pub(super) struct Attempts(u32);

impl Attempts {
    /// Begins one, after a pause that lets the others finish: for a random time, so that they do not
    /// meet again.
    pub(super) async fn begin(&mut self) -> Result<(), ServiceError> {
        match self.0 {
            0 => {}
            ATTEMPTS => return Err(ServiceError::Busy),
            tried => {
                let longest = 2_u64.saturating_pow(tried).min(MAX_PAUSE);
                // A random number of the standard library's is enough for this.
                let millis = RandomState::new().hash_one(tried) % longest;
                sleep(Duration::from_millis(millis)).await;
            }
        }
        self.0 += 1;
        Ok(())
    }
}

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Decides on the record of this user, until what was decided is stored.
    pub(super) async fn decide<T>(
        &self,
        key: Key<'_>,
        mut decide: impl FnMut(Option<&Record<F>>) -> Result<Decision<T>, ServiceError>,
    ) -> Result<T, ServiceError> {
        let mut attempts = Attempts::default();
        loop {
            attempts.begin().await?;
            let read = self.0.records.read(key).await?;
            let decision = decide(read.as_ref())?;
            let read = read.ok_or(ServiceError::NoSuchUser)?;
            let edited = read.clone();
            if let Committed::Stored(outcome) =
                self.commit(&read, Proposal { decision, edited }).await?
            {
                return Ok(outcome);
            }
        }
    }

    /// Stores what was decided on this record, if it still is the one in the store.
    pub(super) async fn commit<T>(
        &self,
        read: &Record<F>,
        proposal: Proposal<T, F>,
    ) -> Result<Committed<T>, ServiceError> {
        let Proposal { decision, edited } = proposal;
        let update = decision.change().map(|change| read.update(&edited, change)).transpose()?;
        let store = async |_| match update {
            Some(update) => self.0.records.write(Write::CompareAndSet(Box::new(update))).await,
            None => Ok(true),
        };
        Ok(decision.commit_async(store).await?)
    }
}

/// Does this in a task of its own: to its end, though whoever waits for it is dropped.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> Result<T, ServiceError> {
    match tokio::spawn(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(shut_down)) => Err(StoreError::unreachable(shut_down).into()),
    }
}
