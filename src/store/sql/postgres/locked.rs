//! Transactions in PostgreSQL that lock a row.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgRow};
use tokio::time::{Instant, timeout_at};

use super::{Connection, PostgresDriver, PostgresStore, bind, classify};
use crate::store::{
    StoreError,
    sql::{
        Driver as _, Failure, InTransaction, Param, locked::Transactions, timed_out,
        users_table::Names,
    },
};

/// A transaction of the store's own.
pub(in crate::store::sql) struct Own {
    connection: Connection,
    is_open: bool,
}

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// The store's statements in the application's transaction on this connection.
    pub(crate) fn within<'a>(
        &'a self,
        connection: &'a mut PgConnection,
    ) -> impl InTransaction<F> + 'a {
        self.engine().join(connection)
    }
}

impl Transactions for PostgresDriver {
    type Connection = PgConnection;
    type Own = Own;

    /// The lock of an update that changes no key: rows that refer to the user can still be written.
    const LOCKING: &'static str = " FOR NO KEY UPDATE OF u";

    async fn begin(&self, until: Instant) -> Result<Own, Failure> {
        let mut own = Own { connection: self.acquire(until).await?, is_open: true };
        let settings = self.pooled.map(super::Timeouts::set_local).unwrap_or_default();
        // A snapshot that is older than the lock would be of no use.
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED{settings}");
        let begun = timeout_at(until, run(&mut own, &begin)).await;
        begun.map_err(|_| Failure::Other(timed_out()))??;
        Ok(own)
    }

    async fn commit(mut own: Own) -> Result<(), Failure> {
        run(&mut own, "COMMIT").await?;
        own.is_open = false;
        Ok(())
    }

    async fn lock_table(&self, _: &mut PgConnection, _: &Names) -> Result<(), Failure> {
        Ok(())
    }

    async fn execute_in(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> Result<u64, Failure> {
        let query = bind(sql, params).persistent(self.pooled.is_none());
        Ok(query.execute(connection).await.map_err(failure)?.rows_affected())
    }

    async fn fetch_in(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        params: &[Param<'_>],
    ) -> Result<Vec<PgRow>, Failure> {
        let query = bind(sql, params).persistent(self.pooled.is_none());
        query.fetch_all(connection).await.map_err(failure)
    }

    /// A full queue of notifications would fail the commit, where no savepoint helps.
    async fn notify_in(&self, connection: &mut PgConnection, id: &str) -> Result<(), Failure> {
        const NOTIFY: &str = "SELECT pg_catalog.pg_notify($1, $2) \
            WHERE pg_catalog.pg_notification_queue_usage() OPERATOR(pg_catalog.<) 0.9";
        let params = [Param::Text(Some(self.channel.as_str())), Param::Text(Some(id))];
        run(connection, "SAVEPOINT relatch").await?;
        let notified = self.fetch_in(connection, &NOTIFY.into(), &params).await;
        let (end, failure) = match notified {
            Ok(sent) if sent.is_empty() => ("RELEASE SAVEPOINT relatch", Some(queue_is_full())),
            Ok(_) => ("RELEASE SAVEPOINT relatch", None),
            Err(failure) => {
                ("ROLLBACK TO SAVEPOINT relatch; RELEASE SAVEPOINT relatch", Some(failure))
            }
        };
        run(connection, end).await?;
        if let Some(failure) = failure {
            self.not_notified(failure);
        }
        Ok(())
    }
}

async fn run(connection: &mut PgConnection, sql: &str) -> Result<(), Failure> {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(connection).await;
    done.map(drop).map_err(failure)
}

fn queue_is_full() -> Failure {
    Failure::Other(StoreError::unreachable("the server's queue of notifications is nearly full"))
}

fn failure(error: sqlx::Error) -> Failure {
    Failure::new(&error, classify)
}

impl Deref for Own {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.connection
    }
}

impl DerefMut for Own {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.connection
    }
}

impl Drop for Own {
    /// The server rolls back what a closed connection leaves open. An orderly rollback would wait for an
    /// answer, which may not come.
    fn drop(&mut self) {
        if self.is_open {
            self.connection.close_on_drop();
        }
    }
}
