//! Transactions in SQLite, where one writes at a time.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, Transaction};
use tokio::time::{Instant, timeout_at};

use super::{SqliteCells, SqliteDriver, SqliteStore, bind, failure};
use crate::store::sql::{
    Failure, InTransaction, Param, Slot, locked::Transactions, users_table::Names,
};

/// A transaction of the store's own, and its place among the writers.
pub(in crate::store::sql) struct Own {
    transaction: Transaction<'static, Sqlite>,
    /// Dropped after the transaction.
    _slot: Slot,
}

impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    /// The store's statements in the application's transaction on this connection.
    pub(crate) const fn within<'a>(
        &'a self,
        connection: &'a mut SqliteConnection,
    ) -> impl InTransaction<F> + use<'a, F> {
        self.engine().join(connection)
    }
}

impl Transactions for SqliteDriver {
    type Connection = SqliteConnection;
    type Own = Own;

    /// The whole file is locked.
    const LOCKING: &'static str = "";

    async fn begin(&self, slot: &Slot, until: Instant) -> Result<Own, Failure> {
        let begun = timeout_at(until, self.pool.begin()).await;
        let transaction = begun.map_err(|_| Failure::timed_out())?.map_err(failure)?;
        Ok(Own { transaction, _slot: slot.clone() })
    }

    async fn commit(own: Own) -> Result<(), Failure> {
        own.transaction.commit().await.map_err(failure)
    }

    /// A statement that changes nothing takes the lock for writing. A read that came first would be of
    /// a snapshot on which nothing can be written after another's change.
    async fn lock_table(
        &self,
        connection: &mut SqliteConnection,
        names: &Names,
    ) -> Result<(), Failure> {
        let Names { table, version, .. } = names;
        let nothing = format!("UPDATE {table} SET {version} = {version} WHERE 0");
        sqlx::query(AssertSqlSafe(nothing)).execute(connection).await.map_err(failure)?;
        Ok(())
    }

    async fn execute_in(
        &self,
        connection: &mut SqliteConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> Result<u64, Failure> {
        let done = bind(sql, params).execute(connection).await.map_err(failure)?;
        Ok(done.rows_affected())
    }

    async fn fetch_in(
        &self,
        connection: &mut SqliteConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> Result<Vec<SqliteCells>, Failure> {
        let rows = bind(sql, params).fetch_all(connection).await.map_err(failure)?;
        Ok(rows.into_iter().map(SqliteCells::Fetched).collect())
    }

    /// An SQLite file has no notifications.
    async fn notify_in(&self, _: &mut SqliteConnection, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

impl Deref for Own {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.transaction
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        &mut self.transaction
    }
}
