//! Transactions: read a row, decide on it, and store the decision by a compare-and-set; again if
//! the row was changed in between.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::sleep;

use super::{Service, ServiceError, records::Write};
use crate::{
    authority::{
        Authority,
        decision::{Committed, Decision},
        verified::Verified,
    },
    store::{Columns, Record, StoreError, StoredUser, UserKey},
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
/// With `bare` before the service, the record is without the application's fields, and may be read
/// even if they cannot be: for revocations.
///
/// A macro, and not a function of an async closure: the compiler cannot prove the future of such a
/// function to be `Send` where the closure borrows, and applications spawn these futures.
macro_rules! transact {
    (bare $service:expr, $key:expr, |$read:ident| $propose:expr) => {
        $crate::service::transact::transact!(@ read_bare, $service, $key, |$read| $propose)
    };
    (@ $how:ident, $service:expr, $key:expr, |$read:ident| $propose:expr) => {{
        let mut attempts = $crate::service::transact::Attempts::default();
        loop {
            attempts.begin().await?;
            let read = $service.0.records.$how($key).await?;
            let $read = read.as_ref();
            let proposal = $propose;
            let read = read.ok_or(ServiceError::NoSuchUser)?;
            if let Some(outcome) = $service.commit(&read, proposal).await? {
                break Ok(outcome);
            }
            attempts.lost(&read)?;
        }
    }};
    ($service:expr, $key:expr, |$read:ident| $propose:expr) => {
        $crate::service::transact::transact!(@ read, $service, $key, |$read| $propose)
    };
}

pub(super) use transact;

/// The number of attempts in a row that changed nothing although the row was the same each time, after
/// which no other change can have been the reason.
const INEXPLICABLE: u32 = 3;

/// Counts the attempts of one call.
#[derive(Default)]
pub(super) struct Attempts {
    begun: u32,
    /// The columns on which the last attempt failed, and the number of attempts that did in a row.
    lost: Option<(Columns, u32)>,
}

impl Attempts {
    /// Begins an attempt, after a pause that lets the others finish: for a random time, so that they
    /// do not meet again.
    pub(super) async fn begin(&mut self) -> Result<(), ServiceError> {
        match self.begun {
            0 => {}
            ATTEMPTS => return Err(ServiceError::Busy),
            tried => {
                let longest = 2_u64.saturating_pow(tried).min(MAX_PAUSE);
                // The standard library's random number is good enough for this.
                let millis = RandomState::new().hash_one(tried) % longest;
                sleep(Duration::from_millis(millis)).await;
            }
        }
        self.begun += 1;
        Ok(())
    }

    /// Notes that an attempt changed nothing, on this record. It fails as misconfigured if that can
    /// be no race.
    pub(super) fn lost<F: Clone>(&mut self, read: &Record<F>) -> Result<(), StoreError> {
        let before = match &self.lost {
            Some((columns, times)) if columns == read.columns() => *times,
            _ => 0,
        };
        if before + 1 == INEXPLICABLE {
            return Err(StoreError::misconfigured(
                "the store changes no row of this user, although the row is as it was read: does \
                 row-level security allow SELECT and not UPDATE or DELETE, or does a trigger skip \
                 the change?",
            ));
        }
        self.lost = Some((read.columns().clone(), before + 1));
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

    /// [`decide`](Self::decide) for a decision that needs none of the application's fields.
    pub(super) async fn decide_bare<T>(
        &self,
        key: UserKey<'_>,
        mut decide: impl FnMut(Option<&Record<()>>) -> Result<Decision<T>, ServiceError>,
    ) -> Result<T, ServiceError> {
        transact!(bare self, key, |read| {
            let decision = decide(read)?;
            Proposal::unedited(decision, read.ok_or(ServiceError::NoSuchUser)?)
        })
    }

    /// Stores what was decided on this record, and gives its outcome; `None` if the row was changed
    /// since it was read.
    pub(super) async fn commit<T, G: Clone>(
        &self,
        read: &Record<G>,
        proposal: Proposal<T, G>,
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
