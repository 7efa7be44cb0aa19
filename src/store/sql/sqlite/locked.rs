//! Transactions in SQLite, where one writes at a time.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Sqlite, SqliteConnection, Transaction, sqlite::SqliteRow};
use tokio::time::{Instant, timeout_at};

use super::{SqliteDriver, SqliteStore, bind, classify};
use crate::store::sql::{
    Failure, InTransaction, Param, locked::Transactions, timed_out, users_table::Names,
};

impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    /// The store's statements in the application's transaction on this connection.
    pub(crate) fn within<'a>(
        &'a self,
        connection: &'a mut SqliteConnection,
    ) -> impl InTransaction<F> + 'a {
        self.engine().join(connection)
    }
}

impl Transactions for SqliteDriver {
    type Connection = SqliteConnection;
    type Own = Transaction<'static, Sqlite>;

    /// The whole file is locked.
    const LOCKING: &'static str = "";

    async fn begin(&self, until: Instant) -> Result<Self::Own, Failure> {
        let own = timeout_at(until, self.pool.begin()).await;
        own.map_err(|_| Failure::Other(timed_out()))?.map_err(failure)
    }

    async fn commit(own: Self::Own) -> Result<(), Failure> {
        own.commit().await.map_err(failure)
    }

    /// A statement that changes nothing takes the lock for writing. A read that came first would be of
    /// a snapshot on which nothing can be written after another's change.
    async fn lock_table(
        &self,
        connection: &mut SqliteConnection,
        names: &Names,
    ) -> Result<(), Failure> {
        let nothing = AssertSqlSafe(format!("DELETE FROM {} WHERE 0", names.table));
        sqlx::query(nothing).execute(connection).await.map_err(failure)?;
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
    ) -> Result<Vec<SqliteRow>, Failure> {
        bind(sql, params).fetch_all(connection).await.map_err(failure)
    }

    /// An SQLite file has no notifications.
    async fn notify_in(&self, _: &mut SqliteConnection, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

fn failure(error: sqlx::Error) -> Failure {
    Failure::new(&error, classify)
}
