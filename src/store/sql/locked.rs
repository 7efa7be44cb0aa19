//! Rows that are locked in a transaction: one of the store's own, or the application's.

use std::{future::Future, ops::DerefMut, sync::Arc};

use tokio::time::{Instant, timeout_at};

use super::{Driver, Engine, Failure, Param, statements::Statement, timed_out};
use crate::store::{Locked, Row, StoreError, Update, UserKey, sql::users_table::Names};

/// A driver's transactions.
pub(super) trait Transactions: Driver {
    type Connection: Send;

    /// A transaction of the store's own. If it is dropped before its commit, it is rolled back.
    type Own: DerefMut<Target = Self::Connection> + Send + 'static;

    /// Is appended to a read that locks what it reads.
    const LOCKING: &'static str;

    fn begin(&self, until: Instant) -> impl Future<Output = Result<Self::Own, Failure>> + Send;

    fn commit(own: Self::Own) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Locks the whole table against other writers, in a database that locks no rows.
    fn lock_table(
        &self,
        connection: &mut Self::Connection,
        names: &Names,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// [`Driver::execute`] in the connection's transaction.
    fn execute_in(
        &self,
        connection: &mut Self::Connection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// [`Driver::fetch`] in the connection's transaction.
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
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

struct Joined<'a, D: Transactions, F> {
    engine: &'a Engine<D, F>,
    connection: &'a mut D::Connection,
}

impl<D: Transactions, F: Clone + Send + Sync + 'static> Engine<D, F> {
    /// Locks a row in a transaction of the store's own. `None` if the row cannot be locked for another
    /// reason than time, as in a view that aggregates: it is then decided without a lock.
    pub(super) async fn lock(&self, key: UserKey<'_>) -> Result<Option<Locked<F>>, StoreError> {
        let until = self.deadline();
        let mut own = self.driver().begin(until).await?;
        let row = match within(until, self.lock_in(&mut own, key)).await {
            Err(error) if !error.is_unreachable() => return Ok(None),
            row => row?,
        };
        let engine = self.clone();
        let write = async move |update: Update| engine.write_locked(own, &update).await;
        Ok(Some(Locked::new(row, write)))
    }

    async fn write_locked(&self, mut own: D::Own, update: &Update) -> Result<bool, StoreError> {
        let write = async {
            let is_written = self.set_in(&mut own, update).await?;
            if is_written {
                D::commit(own).await?;
            }
            Ok(is_written)
        };
        within(self.deadline(), write).await
    }

    /// The store's statements in the application's transaction on this connection.
    pub(super) fn join<'a>(
        &'a self,
        connection: &'a mut D::Connection,
    ) -> impl InTransaction<F> + 'a {
        Joined { engine: self, connection }
    }

    async fn lock_in(
        &self,
        connection: &mut D::Connection,
        key: UserKey<'_>,
    ) -> Result<Option<Row<F>>, StoreError> {
        let Some((statement, param)) = self.read_statement(key) else { return Ok(None) };
        let sql = self.statement(statement, self.deadline()).await?;
        let sql = format!("{}{}", sql.plain, D::LOCKING).into();
        self.driver().lock_table(connection, self.names()).await?;
        self.one(self.driver().fetch_in(connection, &sql, &[param]).await?)
    }

    /// Runs a change of this user, and returns whether it was made.
    async fn change_in(
        &self,
        connection: &mut D::Connection,
        id: &str,
        statement: Statement,
        params: &[Param<'_>],
        revokes: bool,
    ) -> Result<bool, StoreError> {
        let sql = self.statement(statement, self.deadline()).await?;
        let is_made = match statement.reads() {
            true => !self.driver().fetch_in(connection, &sql.plain, params).await?.is_empty(),
            false => self.driver().execute_in(connection, &sql.plain, params).await? > 0,
        };
        if is_made && revokes {
            self.driver().notify_in(connection, id).await?;
        }
        Ok(is_made)
    }

    async fn set_in(
        &self,
        connection: &mut D::Connection,
        update: &Update,
    ) -> Result<bool, StoreError> {
        let Some((statement, params)) = self.set_statement(update)? else { return Ok(false) };
        self.change_in(connection, update.id(), statement, &params, update.revokes()).await
    }
}

impl<D: Transactions, F: Clone + Send + Sync + 'static> InTransaction<F> for Joined<'_, D, F> {
    async fn read(&mut self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        let Some((statement, param)) = self.engine.read_statement(key) else { return Ok(None) };
        let sql = self.engine.statement(statement, self.engine.deadline()).await?;
        self.engine.one(self.engine.driver().fetch_in(self.connection, &sql.plain, &[param]).await?)
    }

    async fn lock(&mut self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        self.engine.lock_in(self.connection, key).await
    }

    async fn compare_and_set(&mut self, update: &Update) -> Result<bool, StoreError> {
        self.engine.set_in(self.connection, update).await
    }

    async fn bump_version(&mut self, id: &str, at_least: i64) -> Result<bool, StoreError> {
        let Some(param) = self.engine.id(id) else { return Ok(false) };
        let params = [param, Param::Integer(Some(at_least))];
        self.engine.change_in(self.connection, id, Statement::BumpVersion, &params, true).await
    }
}

async fn within<T>(
    until: Instant,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout_at(until, answer).await.unwrap_or_else(|_| Err(timed_out()))
}
