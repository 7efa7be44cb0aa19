//! Transactions in PostgreSQL that lock a row.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, PgConnection, postgres::PgRow};
use tokio::time::{Instant, timeout_at};

use super::{Connection, PostgresDriver, PostgresStore, Timeouts, bind, failure};
use crate::store::sql::{
    Driver as _, Failure, InTransaction, Param, Slot, locked::Transactions, users_table::Names,
};

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// The store's statements in the application's transaction on this connection.
    pub(crate) const fn within<'a>(
        &'a self,
        connection: &'a mut PgConnection,
    ) -> impl InTransaction<F> + use<'a, F> {
        self.engine().join(connection)
    }
}

impl Transactions for PostgresDriver {
    type Connection = PgConnection;

    /// The server rolls back what a closed connection leaves open. An orderly rollback would wait for an
    /// answer, which may not come.
    type Own = Connection;

    /// The lock of an update that changes no key: rows that refer to the user can still be written.
    const LOCKING: &'static str = " FOR NO KEY UPDATE OF u";

    async fn begin(&self, slot: &Slot, until: Instant) -> Result<Connection, Failure> {
        let mut own = self.checkout(slot, until).await?;
        own.set_unfit(true);
        let settings = self.pooled.map(Timeouts::set_local).unwrap_or_default();
        // A snapshot that is older than the lock would be of no use.
        let begin = format!("BEGIN ISOLATION LEVEL READ COMMITTED{settings}");
        let begun = timeout_at(until, run(&mut own, &begin)).await;
        begun.map_err(|_| Failure::timed_out())??;
        Ok(own)
    }

    async fn commit(mut own: Connection) -> Result<(), Failure> {
        run(&mut own, "COMMIT").await?;
        own.set_unfit(false);
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
            Ok(sent) if !sent.is_empty() => ("RELEASE SAVEPOINT relatch", None),
            Ok(_) => ("RELEASE SAVEPOINT relatch", Some(Failure::queue_full())),
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
