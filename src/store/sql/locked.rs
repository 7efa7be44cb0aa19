//! Rows that are locked in a transaction: one of the store's own, or the application's.

use std::{future::Future, ops::DerefMut, sync::Arc};

use tokio::time::{Instant, timeout_at};

use super::{
    Driver, Engine, Failure, Fault, Param, Slot,
    attempt::{self, Attempt, Attempts, Done},
    capacity::Kind,
    outcome::{Effect, Outcome},
    statements::{Sql, Statement},
};
use crate::store::{Locked, Row, StoreError, Update, UserKey, sql::users_table::Names};

/// A driver's transactions.
pub(super) trait Transactions: Driver {
    type Connection: Send;

    /// A transaction of the store's own. If it is dropped before its commit, it is rolled back.
    type Own: DerefMut<Target = Self::Connection> + Send + 'static;

    fn begin(
        &self,
        slot: &Slot,
        until: Instant,
    ) -> impl Future<Output = Result<Self::Own, Failure>> + Send;

    fn commit(own: Self::Own) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Locks the whole table against other writers, in a database that locks no rows.
    fn lock_table(
        &self,
        connection: &mut Self::Connection,
        names: &Names,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Runs a statement in the connection's transaction, and returns the number of changed rows.
    fn execute_in(
        &self,
        connection: &mut Self::Connection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<u64, Failure>> + Send;

    fn fetch_in(
        &self,
        connection: &mut Self::Connection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;

    /// Notifies other processes of a change of this user when the transaction is committed. If it
    /// cannot, it leaves the transaction as it was: nothing depends on a notification.
    fn notify_in(
        &self,
        connection: &mut Self::Connection,
        id: &str,
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// A transaction of the application's, with the store's statements.
pub(crate) trait InTransaction<F>: Send {
    fn read(
        &mut self,
        key: UserKey<'_>,
    ) -> impl Future<Output = Result<Option<Row<F>>, StoreError>> + Send;

    /// Reads the row, and locks it until the transaction ends.
    fn lock(
        &mut self,
        key: UserKey<'_>,
    ) -> impl Future<Output = Result<Option<Row<F>>, StoreError>> + Send;

    fn compare_and_set(
        &mut self,
        update: &Update,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// [`UserStore::bump_version`](crate::store::UserStore::bump_version).
    fn bump_version(
        &mut self,
        id: &str,
        at_least: i64,
    ) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send;
}

/// A change of one user.
struct Change<'a> {
    id: &'a str,
    statement: Statement,
    params: Vec<Param<'a>>,
    revokes: bool,
}

/// A read that locks its row, in a new transaction.
struct Locking<'a, D, F> {
    engine: &'a Engine<D, F>,
    statement: Statement,
    param: Param<'a>,
    slot: &'a Slot,
}

impl<D: Transactions, F: Clone + Send + Sync + 'static> Engine<D, F> {
    /// Locks a row in a transaction of the store's own. `None` if the row cannot be locked for another
    /// reason than time, as in a view that aggregates: it is then decided without a lock.
    pub(super) async fn lock(&self, key: UserKey<'_>) -> Result<Option<Locked<F>>, StoreError> {
        let Some((statement, param)) = self.read_statement(key) else { return Ok(None) };
        let locked = self.locked_rows(statement, param).await.map_err(StoreError::from);
        let locked = locked.and_then(|(own, rows)| Ok((own, self.one(rows)?)));
        let (own, row) = match locked {
            Err(error) if !error.is_unreachable() => return Ok(None),
            locked => locked?,
        };
        let engine = self.clone();
        let write = async move |update: Update| engine.write_locked(own, &update).await;
        Ok(Some(Locked::new(row, write)))
    }

    async fn locked_rows(
        &self,
        statement: Statement,
        param: Param<'_>,
    ) -> Result<(D::Own, Vec<D::Row>), Failure> {
        let until = self.deadline();
        // Those who wait for a row keep no revocation from the connections that are reserved for it.
        let slot = &self.driver().capacity().enter(Kind::Write, until).await?;
        let attempts = Attempts::new(until, self.driver().connections());
        attempt::read(&Locking { engine: self, statement, param, slot }, attempts).await
    }

    /// What the row shows of a change whose commit was not answered. It is read under a lock of its own,
    /// which waits for a commit that is still under way.
    async fn settled(&self, update: &Update) -> Result<Outcome, StoreError> {
        let Some((statement, param)) = self.read_statement(UserKey::Id(update.id())) else {
            return Ok(Outcome::Unknown);
        };
        let (_own, rows) = self.locked_rows(statement, param).await?;
        let row = Row::bare(self.one(rows))?;
        Ok(Effect::Set(update).outcome(row.as_ref()))
    }

    async fn write_locked(&self, mut own: D::Own, update: &Update) -> Result<bool, StoreError> {
        let Some(change) = self.change_of(update)? else { return Ok(false) };
        let until = self.deadline();
        let write = async {
            let done = self.change_in(&mut own, &change, &Slot::default(), until).await?;
            if done.changes_rows {
                D::commit(own).await?;
            }
            Ok(done.changes_rows)
        };
        match timeout_at(until, write).await.unwrap_or_else(|_| Err(Failure::timed_out())) {
            Err(failure) if failure.fault.is_outcome_unknown() => match self.settled(update).await?
            {
                Outcome::Written(_) => Ok(true),
                // What was sent may still arrive.
                Outcome::NotWritten | Outcome::Unknown => Err(Failure::unknown().into()),
            },
            done => Ok(done?),
        }
    }

    fn change_of<'a>(&self, update: &'a Update) -> Result<Option<Change<'a>>, StoreError> {
        let statement = self.set_statement(update)?;
        Ok(statement.map(|(statement, params)| {
            let (id, revokes) = (update.id(), update.revokes());
            Change { id, statement, params, revokes }
        }))
    }

    async fn lock_in(
        &self,
        connection: &mut D::Connection,
        statement: Statement,
        param: Param<'_>,
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<D::Row>, Failure> {
        let sql = self.text_of(statement, slot, until).await?;
        self.driver().lock_table(connection, self.names()).await?;
        let sql = sql.locking.as_ref().unwrap_or(&sql.plain);
        self.driver().fetch_in(connection, sql, &[param]).await
    }

    /// Makes a change, and notifies of it.
    async fn change_in(
        &self,
        connection: &mut D::Connection,
        change: &Change<'_>,
        slot: &Slot,
        until: Instant,
    ) -> Result<Done, Failure> {
        let Change { id, statement, params, revokes } = change;
        let (driver, sql) = (self.driver(), self.text_of(*statement, slot, until).await?);
        let done = match statement.reads() || statement.moves_a_counter() {
            true => {
                let rows = driver.fetch_in(connection, &sql.plain, params).await?;
                Done::returning(&rows)
            }
            false => Done::new(driver.execute_in(connection, &sql.plain, params).await?),
        };
        if done.changes_rows && *revokes {
            driver.notify_in(connection, id).await?;
        }
        Ok(done)
    }

    async fn text_of(
        &self,
        statement: Statement,
        slot: &Slot,
        until: Instant,
    ) -> Result<Arc<Sql>, Failure> {
        Ok(self.sql(&*self.statements(slot, until).await?, statement))
    }

    /// The store's statements in the application's transaction on this connection.
    pub(super) const fn join<'a>(
        &'a self,
        connection: &'a mut D::Connection,
    ) -> impl InTransaction<F> + use<'a, D, F> {
        Joined { engine: self, connection }
    }
}

impl<D: Transactions, F: Clone + Send + Sync + 'static> Attempt for Locking<'_, D, F> {
    type Answer = (D::Own, Vec<D::Row>);

    async fn run(&self, until: Instant) -> Result<Self::Answer, Failure> {
        let Self { engine, statement, param, slot } = *self;
        let mut own = engine.driver().begin(slot, until).await?;
        let rows = engine.lock_in(&mut own, statement, param, slot, until);
        let rows = timeout_at(until, rows).await.unwrap_or_else(|_| Err(Failure::timed_out()))?;
        Ok((own, rows))
    }

    fn recover(&self, fault: Fault) {
        self.engine.driver().recover(fault);
    }
}

/// A call has no place among the store's own while it uses the application's connection.
struct Joined<'a, D: Transactions, F> {
    engine: &'a Engine<D, F>,
    connection: &'a mut D::Connection,
}

impl<D: Transactions, F: Clone + Send + Sync + 'static> Joined<'_, D, F> {
    async fn change(&mut self, change: &Change<'_>) -> Result<Done, StoreError> {
        let until = self.engine.deadline();
        Ok(self.engine.change_in(self.connection, change, &Slot::default(), until).await?)
    }
}

impl<D: Transactions, F: Clone + Send + Sync + 'static> InTransaction<F> for Joined<'_, D, F> {
    async fn read(&mut self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        let engine = self.engine;
        let Some((statement, param)) = engine.read_statement(key) else { return Ok(None) };
        let sql = engine.text_of(statement, &Slot::default(), engine.deadline()).await?;
        engine.one(engine.driver().fetch_in(self.connection, &sql.plain, &[param]).await?)
    }

    async fn lock(&mut self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        let engine = self.engine;
        let Some((statement, param)) = engine.read_statement(key) else { return Ok(None) };
        let (slot, until) = (Slot::default(), engine.deadline());
        engine.one(engine.lock_in(self.connection, statement, param, &slot, until).await?)
    }

    async fn compare_and_set(&mut self, update: &Update) -> Result<bool, StoreError> {
        match self.engine.change_of(update)? {
            Some(change) => Ok(self.change(&change).await?.changes_rows),
            None => Ok(false),
        }
    }

    async fn bump_version(&mut self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        let Some(param) = self.engine.id(id) else { return Ok(None) };
        let params = vec![param, Param::Integer(Some(at_least))];
        let statement = Statement::BumpVersion;
        self.change(&Change { id, statement, params, revokes: true }).await?.moved()
    }
}
