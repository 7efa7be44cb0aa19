//! Transactions: read a row, decide on it, and store the decision by a compare-and-set; again if
//! the row was changed in between.

use std::{
    hash::{BuildHasher, RandomState},
    panic::resume_unwind,
    time::Duration,
};

use tokio::{task::JoinError, time::sleep};

use super::{Service, ServiceError, records::Write};
use crate::{
    authority::{
        Authority,
        decision::{Committed, Decision},
        verified::Verified,
    },
    store::{Record, StoreError, StoredUser, UserKey},
    token::{Token, purpose::Purpose},
};

/// The number of attempts before the call fails as busy.
const ATTEMPTS: u32 = 12;

/// The longest pause between two attempts, in milliseconds.
const MAX_PAUSE: u64 = 64;

/// A decision on a record, with the record as the service itself edits it in the same statement.
pub(super) struct Proposal<T, F> {
    pub(super) decision: Decision<T>,
    pub(super) edited: Record<F>,
}

impl<T, F: Clone> Proposal<T, F> {
    /// A decision beside which the service edits nothing.
    pub(super) fn unedited(decision: Decision<T>, read: &Record<F>) -> Self {
        Self { decision, edited: read.clone() }
    }
}

/// Reads the record of a key on the primary database and stores the [`Proposal`] that the body makes
/// of it, if the row still is the one that was read. Otherwise it begins again, on the row as it is
/// then. The body has the record as an `Option`; its `?` and `return` leave the function that the
/// macro stands in.
///
/// A macro, and not a function of an async closure: the compiler cannot prove the future of such a
/// function to be `Send` where the closure borrows, and applications spawn these futures.
macro_rules! transact {
    ($service:expr, $key:expr, |$read:ident| $propose:expr) => {{
        let mut attempts = $crate::service::transact::Attempts::default();
        loop {
            attempts.begin().await?;
            let read = $service.0.records.read($key).await?;
            let $read = read.as_ref();
            let proposal = $propose;
            let read = read.ok_or(ServiceError::NoSuchUser)?;
            if let Some(outcome) = $service.commit(&read, proposal).await? {
                break Ok(outcome);
            }
        }
    }};
}

pub(super) use transact;

/// Counts the attempts of one call.
#[derive(Default)]
pub(super) struct Attempts(u32);

impl Attempts {
    /// Begins an attempt, after a pause that lets the others finish: for a random time, so that they
    /// do not meet again.
    pub(super) async fn begin(&mut self) -> Result<(), ServiceError> {
        match self.0 {
            0 => {}
            ATTEMPTS => return Err(ServiceError::Busy),
            tried => {
                let longest = 2_u64.saturating_pow(tried).min(MAX_PAUSE);
                // The standard library's random number is good enough for this.
                let millis = RandomState::new().hash_one(tried) % longest;
                sleep(Duration::from_millis(millis)).await;
            }
        }
        self.0 += 1;
        Ok(())
    }
}

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// [`transact!`] for a decision that awaits nothing and edits nothing.
    pub(super) async fn decide<T>(
        &self,
        key: UserKey<'_>,
        mut decide: impl FnMut(Option<&Record<F>>) -> Result<Decision<T>, ServiceError>,
    ) -> Result<T, ServiceError> {
        transact!(self, key, |read| {
            let decision = decide(read)?;
            Proposal::unedited(decision, read.ok_or(ServiceError::NoSuchUser)?)
        })
    }

    /// Stores what was decided on this record, and gives its outcome; `None` if the row was changed
    /// since it was read.
    pub(super) async fn commit<T>(
        &self,
        read: &Record<F>,
        proposal: Proposal<T, F>,
    ) -> Result<Option<T>, ServiceError> {
        let Proposal { decision, edited } = proposal;
        let update = decision.change().map(|change| read.update(&edited, change)).transpose()?;
        let store = async |_| match update {
            Some(update) => self.0.records.write(Write::CompareAndSet(Box::new(update))).await,
            None => Ok(true),
        };
        Ok(match decision.commit_async(store).await? {
            Committed::Stored(outcome) => Some(outcome),
            Committed::RecordChanged => None,
        })
    }
}

/// The proof of verification, and the record that the token was verified on.
type VerifiedOn<'r, F, C> = (Verified<&'r StoredUser<F>, C>, &'r Record<F>);

/// Verifies a token on the record that a change of its user is decided on: at each attempt, as the
/// change in between may have ended its session.
pub(super) fn verify_on<'r, F, P: Purpose>(
    authority: &Authority,
    token: &Token<P>,
    read: Option<&'r Record<F>>,
) -> Result<VerifiedOn<'r, F, P::Claims>, ServiceError>
where
    F: Clone,
{
    let verified = authority.open(token)?.verify(read.map(Record::user))?;
    Ok((verified, read.ok_or(ServiceError::NoSuchUser)?))
}

/// Runs this in a task of its own, which completes even if the caller is dropped.
pub(super) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) -> Result<T, ServiceError> {
    match tokio::spawn(work).await.map_err(JoinError::try_into_panic) {
        Ok(done) => done,
        Err(Ok(panic)) => resume_unwind(panic),
        Err(Err(shut_down)) => Err(StoreError::unreachable(shut_down).into()),
    }
}
