//! The run of a statement: its place among other calls, further attempts, and the notification.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Driver, Engine, Failure, Fault, Param, Slot,
    attempt::{self, Attempt, Attempts, Write},
    capacity::Kind,
    outcome::{Effect, Outcome},
    statements::Change,
};
use crate::store::{StoreError, UserKey};

/// A read of rows.
struct Reading<'a, D> {
    driver: &'a D,
    sql: &'a Arc<str>,
    params: &'a [Param<'a>],
    slot: &'a Slot,
}

/// A change of rows.
struct Writing<'a, D, F> {
    engine: &'a Engine<D, F>,
    change: &'a Change,
    params: &'a [Param<'a>],
    slot: &'a Slot,
    witness: Option<Witness<'a>>,
}

/// The row that shows whether a change was written.
#[derive(Clone, Copy)]
pub(super) struct Witness<'a> {
    pub(super) key: UserKey<'a>,
    pub(super) effect: Effect<'a>,
}

impl<D: Driver> Attempt for Reading<'_, D> {
    type Answer = Vec<D::Row>;

    async fn run(&self, until: Instant) -> Result<Vec<D::Row>, Failure> {
        self.driver.fetch(self.sql, self.params, self.slot, until).await
    }

    fn recover(&self, fault: Fault) {
        self.driver.recover(fault);
    }
}

impl<D: Driver, F: Send + Sync> Attempt for Writing<'_, D, F> {
    type Answer = u64;

    /// A notification that fails fails no change: it is then made without.
    async fn run(&self, until: Instant) -> Result<u64, Failure> {
        let driver = self.engine.driver();
        let answer = driver.execute(&self.change.sql, self.params, self.slot, until).await;
        let (Err(failure), Some(silent)) = (&answer, &self.change.silent) else { return answer };
        if !failure.is_refusal() {
            return answer;
        }
        let changed = driver.execute(silent, self.params, self.slot, until).await?;
        if changed > 0 {
            driver.not_notified(failure);
        }
        Ok(changed)
    }

    fn recover(&self, fault: Fault) {
        self.engine.driver().recover(fault);
    }
}

impl<D: Driver, F: Send + Sync> Write for Writing<'_, D, F> {
    async fn outcome(&self, until: Instant) -> Result<Outcome, StoreError> {
        let Some(Witness { key, effect }) = self.witness else { return Ok(Outcome::NotWritten) };
        match self.engine.read_row(key, self.slot, until).await {
            Ok(row) => Ok(effect.outcome(row.as_ref())),
            Err(error) => error.bare_row().map(|row| effect.outcome(Some(row))).ok_or(error),
        }
    }
}

impl<D: Driver, F: Send + Sync> Engine<D, F> {
    pub(super) async fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<D::Row>, Failure> {
        let driver = self.driver();
        let attempts = Attempts::new(until, driver.connections());
        attempt::read(&Reading { driver, sql, params, slot }, attempts).await
    }

    /// Runs a change and returns whether it changed a row. Without a witness it may be made twice.
    pub(super) async fn change(
        &self,
        change: &Change,
        params: &[Param<'_>],
        kind: Kind,
        witness: Option<Witness<'_>>,
    ) -> Result<bool, StoreError> {
        let until = self.deadline();
        let slot = &self.driver().capacity().enter(kind, until).await?;
        let attempts = Attempts::new(until, self.driver().connections());
        attempt::write(&Writing { engine: self, change, params, slot, witness }, attempts).await
    }
}
