//! The run of a statement: its place among other calls, further attempts, and its notification.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Driver, Engine, Failure, Fault, Param, Slot,
    attempt::{self, Attempt, Attempts, Done, Write},
    capacity::Kind,
    outcome::{Outcome, Witness},
    statements::{Sql, Statement},
};
use crate::store::{Row, StoreError};

/// A statement, its parameters, and the call's place.
#[derive(Clone, Copy)]
struct Call<'a> {
    statement: Statement,
    params: &'a [Param<'a>],
    slot: &'a Slot,
}

/// A read of rows.
struct Reading<'a, D, F> {
    engine: &'a Engine<D, F>,
    call: Call<'a>,
}

/// A change of rows.
struct Writing<'a, D, F> {
    engine: &'a Engine<D, F>,
    call: Call<'a>,
    witness: Option<Witness<'a>>,
}

impl<D: Driver, F: Send + Sync + 'static> Attempt for Reading<'_, D, F> {
    type Answer = Vec<D::Row>;

    async fn run(&self, until: Instant) -> Result<Vec<D::Row>, Failure> {
        self.engine.fetch_once(self.call, until).await
    }

    fn recover(&self, fault: Fault) {
        self.engine.driver().recover(fault);
    }
}

impl<D: Driver, F: Send + Sync + 'static> Attempt for Writing<'_, D, F> {
    type Answer = Done;

    async fn run(&self, until: Instant) -> Result<Done, Failure> {
        self.engine.execute_once(self.call, until).await
    }

    fn recover(&self, fault: Fault) {
        self.engine.driver().recover(fault);
    }
}

impl<D: Driver, F: Send + Sync + 'static> Write for Writing<'_, D, F> {
    async fn outcome(&self, until: Instant) -> Result<Outcome, StoreError> {
        let Some(Witness { key, effect }) = self.witness else { return Ok(Outcome::NotWritten) };
        let row = Row::bare(self.engine.read_row(key, self.call.slot, until).await)?;
        Ok(effect.outcome(row.as_ref()))
    }
}

impl<D: Driver, F: Send + Sync + 'static> Engine<D, F> {
    /// Runs a statement that returns rows.
    pub(super) async fn fetch(
        &self,
        statement: Statement,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<D::Row>, Failure> {
        let attempts = Attempts::new(until, self.driver().connections());
        let call = Call { statement, params, slot };
        // In a box, as in `execute`: the compiler computes the size of a future through all that it
        // contains, and without one, an application's own functions soon exceed its limit.
        Box::pin(attempt::read(&Reading { engine: self, call }, attempts)).await
    }

    /// Runs a change. Without a witness it may be made twice.
    pub(super) async fn execute(
        &self,
        statement: Statement,
        params: &[Param<'_>],
        kind: Kind,
        witness: Option<Witness<'_>>,
    ) -> Result<Done, Failure> {
        let until = self.deadline();
        let slot = &self.driver().capacity().enter(kind, until).await?;
        let attempts = Attempts::new(until, self.driver().connections());
        let attempts = match statement.is_unconditional() {
            true => attempts.despite_conflicts(),
            false => attempts,
        };
        let call = Call { statement, params, slot };
        Box::pin(attempt::write(&Writing { engine: self, call, witness }, attempts)).await
    }

    /// If the statement does not fit the tables, it learns them again.
    async fn fetch_once(&self, call: Call<'_>, until: Instant) -> Result<Vec<D::Row>, Failure> {
        let Call { statement, params, slot } = call;
        let statements = self.statements(slot, until).await?;
        let sql = self.sql(&statements, statement);
        match self.driver().fetch(&sql.plain, params, slot, until).await {
            Err(failure) if !self.is_of_its_key(&failure, until).await => {
                let statements = self.relearnt(failure, &statements, slot, until).await?;
                let sql = self.sql(&statements, statement);
                self.driver().fetch(&sql.plain, params, slot, until).await
            }
            rows => rows,
        }
    }

    /// If the statement does not fit the tables, it learns them again.
    async fn execute_once(&self, call: Call<'_>, until: Instant) -> Result<Done, Failure> {
        let Call { statement, slot, .. } = call;
        let statements = self.statements(slot, until).await?;
        let sql = self.sql(&statements, statement);
        match self.notifying(&sql, call, until).await {
            Err(failure) => {
                let statements = self.relearnt(failure, &statements, slot, until).await?;
                let sql = self.sql(&statements, statement);
                self.notifying(&sql, call, until).await
            }
            done => done,
        }
    }

    /// Runs the statement with its notification. If the database refuses that, nothing was written, and
    /// the statement runs again without the notification: a change must not depend on it.
    async fn notifying(&self, sql: &Sql, call: Call<'_>, until: Instant) -> Result<Done, Failure> {
        let Some(notifying) = &sql.notifying else {
            return self.change_rows(&sql.plain, call, until).await;
        };
        match self.change_rows(notifying, call, until).await {
            Err(failure) if failure.is_refusal() => {
                let done = self.change_rows(&sql.plain, call, until).await?;
                if done.changes_rows {
                    self.driver().not_notified(failure);
                }
                Ok(done)
            }
            done => done,
        }
    }

    async fn change_rows(
        &self,
        sql: &Arc<str>,
        call: Call<'_>,
        until: Instant,
    ) -> Result<Done, Failure> {
        let Call { statement, params, slot } = call;
        if !statement.moves_a_counter() {
            return self.driver().execute(sql, params, slot, until).await.map(Done::new);
        }
        let rows = self.driver().execute_returning(sql, params, slot, until).await?;
        Ok(Done::returning(&rows))
    }
}
