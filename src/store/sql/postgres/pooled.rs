//! Statements through a proxy that pools transactions.
//!
//! The driver sends a statement in two round trips: it is parsed and described, then bound and executed.
//! Outside a transaction such a proxy may send the second one to another server, where a statement of
//! that name (or the unnamed one) is another client's. In a transaction all go to one server, and an
//! unnamed statement collides with none that was left there.

use std::time::Duration;

use sqlx::{Connection as _, PgConnection, Postgres, Transaction};

/// The server's timeouts.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::sql) struct Timeouts {
    pub(in crate::store::sql) statement: Duration,
    pub(in crate::store::sql) lock: Duration,
}

impl Timeouts {
    /// The settings, in milliseconds.
    pub(in crate::store::sql) fn settings(self) -> [(&'static str, u128); 3] {
        // 0 would be no timeout, and PostgreSQL's greatest is that of 31 bits.
        let of = |timeout: Duration| timeout.as_millis().clamp(1, 2_147_483_647);
        [
            ("statement_timeout", of(self.statement)),
            ("lock_timeout", of(self.lock)),
            // A lost client holds no lock for longer.
            ("idle_in_transaction_session_timeout", 10_000),
        ]
    }

    /// Begins a transaction with these timeouts, in one round trip.
    pub(super) async fn begin(
        self,
        connection: &mut PgConnection,
    ) -> sqlx::Result<Transaction<'_, Postgres>> {
        let settings = self.settings().map(|(name, value)| format!("; SET LOCAL {name} = {value}"));
        let begin = format!("BEGIN{}", settings.concat());
        connection.begin_with(sqlx::AssertSqlSafe(begin)).await
    }
}
