//! Calls that run at once, or on a locked row.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    task::Poll,
    time::Duration,
};

use tokio::time::timeout;

use super::{column::Column, found::Nonconformance, run::Run};
use crate::store::{StoreError, StoreErrorKind, UserStore};

/// The number of compare-and-sets that race for one row.
const RACERS: u32 = 8;
const RACES: u32 = 4;

/// The longest time that a call on a locked row may take.
const PATIENCE: Duration = Duration::from_secs(30);

const BUSY: &str = "a `bump_version` returned `false` for an existing user during other calls: wait for the \
                    row, or return `StoreError::unreachable`";

impl<S: UserStore> Run<'_, S> {
    /// Checks that of several compare-and-sets of one row one wins, and that none undoes a bump.
    pub(super) async fn races(&self) -> Result<(), Nonconformance> {
        for race in 0..RACES {
            let old = self.row().await?.columns;
            let new: Vec<_> = (0..RACERS).map(|i| self.sample(100 + race * RACERS + i)).collect();
            let sets = new.iter().map(|new| self.set(self.id, &old, new, true));
            let answers = together(sets).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            let mut winners = new.iter().zip(answers).filter_map(|(new, won)| won.then_some(new));
            let (Some(winner), None) = (winners.next(), winners.next()) else {
                return Err(Nonconformance::new(
                    "several `compare_and_set`s of one row ran at once, and not exactly one wrote: \
                     use a single statement for each, and return whether it changed a row",
                ));
            };
            if let Some(column) = self.differs(winner).await? {
                return Err(Nonconformance::of(
                    column,
                    "it is not the value of the `compare_and_set` that succeeded",
                ));
            }
        }
        for _ in 0..RACES {
            let old = self.row().await?.columns;
            let at_least = old.version.unwrap_or(0).saturating_add(1_000_000);
            let new = self.sample(7);
            let set = self.set(self.id, &old, &new, false);
            let bump = changes(self.store.bump_version(self.id, at_least));
            let calls: [Answer<'_>; 2] = [Box::pin(bump), Box::pin(set)];
            let answers = together(calls).await.into_iter().collect::<Result<Vec<_>, _>>()?;
            let &[is_bumped, is_set] = &answers[..] else { continue };
            if !is_bumped {
                return Err(Nonconformance::new(BUSY));
            }
            let row = self.row().await?;
            let mut expected = if is_set { new } else { old };
            expected.version = row.columns.version;
            expected.sessions.clone_from(&row.columns.sessions);
            if let Some(column) = self.differs(&expected).await? {
                return Err(Nonconformance::of(
                    column,
                    "a `bump_version` undid a simultaneous `compare_and_set`: write only the version and \
                     the sessions",
                ));
            }
            if row.columns.version < Some(at_least) || row.columns.sessions.is_some() {
                return Err(Nonconformance::of(
                    Column::Version,
                    "a `compare_and_set` undid a simultaneous `bump_version`",
                ));
            }
        }
        let bumps = (0..RACERS).map(|_| changes(self.store.bump_version(self.id, 0)));
        for answer in together(bumps).await {
            match answer {
                Ok(true) => {}
                Ok(false) => return Err(Nonconformance::new(BUSY)),
                // So many at once may be too many.
                Err(error) if error.is_unreachable() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Checks the calls on a row that another transaction has locked.
    pub(super) async fn is_locked(&self) -> Result<(), Nonconformance> {
        let old = self.row().await?.columns;
        let new = self.sample(13);
        let calls: [Answer<'_>; 3] = [
            Box::pin(self.set(self.id, &old, &new, true)),
            Box::pin(changes(self.store.bump_version(self.id, 0))),
            Box::pin(changes(self.store.disable(self.id, 0))),
        ];
        let Ok(answers) = timeout(PATIENCE, together(calls)).await else {
            return Err(Nonconformance::new(
                "a call on a locked row does not end: give each call a timeout of some seconds",
            ));
        };
        for answer in answers {
            match answer {
                Err(error) if error.is_unreachable() => {}
                Err(error) if error.kind() == StoreErrorKind::Unsupported => {}
                Err(error) => {
                    return Err(Nonconformance::failed(
                        "a call on a locked row fails, but not as unreachable",
                        error,
                    ));
                }
                Ok(false) => {
                    return Err(Nonconformance::new(
                        "a call on a locked row returns `false`, which means that there is no such row: \
                         return `StoreError::unreachable`",
                    ));
                }
                Ok(true) => {
                    return Err(Nonconformance::new(
                        "a call changed a row that another transaction has locked",
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Whether a bump has changed a row.
pub(super) async fn changes(
    bump: impl Future<Output = Result<Option<i64>, StoreError>>,
) -> Result<bool, StoreError> {
    bump.await.map(|version| version.is_some())
}

pub(super) type Answer<'a> = Pin<Box<dyn Future<Output = Result<bool, StoreError>> + Send + 'a>>;

/// Runs the futures concurrently, in this task.
async fn together<T>(futures: impl IntoIterator<Item: Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|context| {
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none()
                && let Poll::Ready(ready) = future.as_mut().poll(context)
            {
                *answer = Some(ready);
            }
        }
        match answers.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    answers.into_iter().flatten().collect()
}
