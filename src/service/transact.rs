//! Transactions: read a row, decide on it, and store the decision by a compare-and-set; again if
//! the row was changed in between. After several lost races in a row, a call locks the row and wins.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use tokio::time::sleep;

use super::{Service, ServiceError, records::Records};
use crate::{
    authority::{
        Authority,
        decision::{Committed, Decision},
        verified::Verified,
    },
    store::{Columns, Record, RowLock, StoreError, StoredUser, UserKey},
    token::{Token, purpose::Purpose},
};

/// The number of attempts before the call fails as busy.
const ATTEMPTS: u32 = 12;

/// The number of attempts before one that locks the row, if the store has locks.
const UNLOCKED: u32 = 3;

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
/// then, and after some attempts it locks the row before it reads. The body has the record as an
/// `Option`; its `?` and `return` leave the function that the macro stands in.
///
/// A body that awaits, such as for a hash, takes the lock as its second argument and ends it before:
/// `*lock = None`. With `yielding` before the service, the row is never locked.
///
/// With `bare` before the service, the record is without the application's fields, and may be read
/// even if they cannot be: for revocations.
///
/// A macro, and not a function of an async closure: the compiler cannot prove the future of such a
/// function to be `Send` where the closure borrows, and applications spawn these futures.
macro_rules! transact {
    (bare $service:expr, $key:expr, |$read:ident| $propose:expr) => {
        $crate::service::transact::transact!(@ default, read_bare, $service, $key, |$read| $propose)
    };
    (yielding $service:expr, $key:expr, |$read:ident| $propose:expr) => {
        $crate::service::transact::transact!(@ yielding, read, $service, $key, |$read| $propose)
    };
    (
        @ $attempts:ident, $how:ident, $service:expr, $key:expr,
        |$read:ident $(, $lock:ident)?| $propose:expr
    ) => {{
        let mut attempts = $crate::service::transact::Attempts::$attempts();
        loop {
            attempts.begin().await?;
            let read = attempts.$how(&$service.0.records, $key).await?;
            let $read = read.as_ref();
            $(let $lock = &mut attempts.lock;)?
            let proposal = $propose;
            let read = read.ok_or(ServiceError::NoSuchUser)?;
            if let Some(outcome) = $service.commit(&read, attempts.lock.take(), proposal).await? {
                break Ok(outcome);
            }
            attempts.lost(&read)?;
        }
    }};
    ($service:expr, $key:expr, |$read:ident $(, $lock:ident)?| $propose:expr) => {
        $crate::service::transact::transact!(
            @ default, read, $service, $key, |$read $(, $lock)?| $propose
        )
    };
}

pub(super) use transact;

/// The number of attempts in a row that changed nothing although the row was the same each time, after
/// which no other change can have been the reason.
const INEXPLICABLE: u32 = 3;

/// The attempts of one call.
#[derive(Default)]
pub(super) struct Attempts {
    begun: u32,
    /// Whether the call gives way to all others.
    yields: bool,
    /// The lock of the row, in an attempt that has locked it.
    pub(super) lock: Option<RowLock>,
    /// The columns on which the last attempt failed, and the number of attempts that did in a row.
    lost: Option<(Columns, u32)>,
}

impl Attempts {
    /// The attempts of a call that somebody may repeat without limit, such as a refresh: it never locks
    /// the row, and so keeps nobody from it.
    pub(super) fn yielding() -> Self {
        Self { yields: true, ..Self::default() }
    }

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

    /// Reads the row of this attempt, after some attempts under a lock.
    pub(super) async fn read<F: Clone + Send + Sync + 'static>(
        &mut self,
        records: &Records<F>,
        key: UserKey<'_>,
    ) -> Result<Option<Record<F>>, StoreError> {
        match self.read_locked(records, key).await? {
            None => records.read(key).await,
            locked => Ok(locked),
        }
    }

    /// [`read`](Self::read) without the application's fields. A row whose fields cannot be read is not
    /// locked.
    pub(super) async fn read_bare<F: Clone + Send + Sync + 'static>(
        &mut self,
        records: &Records<F>,
        key: UserKey<'_>,
    ) -> Result<Option<Record<()>>, StoreError> {
        match self.read_locked(records, key).await {
            Ok(Some(locked)) => Record::bare(Ok(Some(locked.into_row()))),
            Err(error) if error.bare_row().is_none() => Err(error),
            Ok(None) | Err(_) => records.read_bare(key).await,
        }
    }

    /// `None` before enough attempts have failed, if the store has no locks, or if it finds no row to
    /// lock.
    async fn read_locked<F: Clone + Send + Sync + 'static>(
        &mut self,
        records: &Records<F>,
        key: UserKey<'_>,
    ) -> Result<Option<Record<F>>, StoreError> {
        if self.yields || self.begun <= UNLOCKED {
            return Ok(None);
        }
        let Some(locked) = records.lock(key).await? else { return Ok(None) };
        let (row, lock) = locked.into_parts();
        let read = row.map(Record::read).transpose()?;
        self.lock = read.is_some().then_some(lock);
        Ok(read)
    }
}

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// [`transact!`] for a decision that awaits nothing and edits nothing.
    pub(super) async fn decide_on<T>(
        &self,
        key: UserKey<'_>,
        mut decide: impl FnMut(Option<&Record<F>>) -> Result<Decision<T>, ServiceError>,
    ) -> Result<T, ServiceError> {
        transact!(self, key, |read| {
            let decision = decide(read)?;
            Proposal::unedited(decision, read.ok_or(ServiceError::NoSuchUser)?)
        })
    }

    /// [`decide_on`](Self::decide_on) that gives way to all other changes of the row.
    pub(super) async fn decide_yielding<T>(
        &self,
        key: UserKey<'_>,
        mut decide: impl FnMut(Option<&Record<F>>) -> Result<Decision<T>, ServiceError>,
    ) -> Result<T, ServiceError> {
        transact!(yielding self, key, |read| {
            let decision = decide(read)?;
            Proposal::unedited(decision, read.ok_or(ServiceError::NoSuchUser)?)
        })
    }

    /// [`decide_on`](Self::decide_on) for a decision that needs none of the application's fields.
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
        lock: Option<RowLock>,
        proposal: Proposal<T, G>,
    ) -> Result<Option<T>, ServiceError> {
        let Proposal { decision, edited } = proposal;
        let update = decision.change().map(|change| read.update(&edited, change)).transpose()?;
        let store = async |_| match update {
            None => Ok(true),
            Some(update) => match lock {
                Some(lock) => self.0.records.write_locked(lock, update).await,
                None => self.0.records.compare_and_set(update).await,
            },
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
