//! The shared counts of password attempts in SQLite.

use tokio::time::Instant;

use super::SqliteDriver;
use crate::{
    store::sql::{
        Cells as _, Driver as _, Failure, Param,
        capacity::Kind,
        limits::{LimitsSql, damaged, now, params, wait},
    },
    throttle::{Count, SKEW, Taken},
};

impl LimitsSql for SqliteDriver {
    fn limits_table_sql(table: &str) -> String {
        format!(
            "CREATE TABLE IF NOT EXISTS {table} (\n    bucket INTEGER NOT NULL PRIMARY KEY,\n    \
             arrival BIGINT NOT NULL\n);\n"
        )
    }

    fn expired_sql(table: &str) -> String {
        format!("DELETE FROM {table} WHERE arrival < $1")
    }

    /// One writer at a time, so the statement sees the last counts.
    async fn take(&self, table: &str, counts: &[Count], until: Instant) -> Result<Taken, Failure> {
        let slot = self.capacity().enter(Kind::Write, until).await?;
        let params: Vec<_> =
            [Param::Integer(Some(now()))].into_iter().chain(params(counts)).collect();
        let due = due(table, counts.len());
        let take = format!(
            "{due} INSERT INTO {table} (bucket, arrival) SELECT bucket, arrival + step FROM due \
             WHERE NOT EXISTS (SELECT 1 FROM due WHERE arrival - $1 > tolerance) \
             ON CONFLICT (bucket) DO UPDATE SET arrival = excluded.arrival"
        );
        if self.execute(&take.into(), &params, &slot, until).await? > 0 {
            return Ok(Taken::Allowed);
        }
        let ask = format!("{due} SELECT max(arrival - $1 - tolerance) FROM due");
        let rows = self.fetch(&ask.into(), &params, &slot, until).await?;
        let micros = rows.first().map(|row| row.integer(0)).transpose().map_err(damaged)?;
        Ok(wait(micros.flatten()))
    }
}

/// The counts, with the arrival time of each bucket, or now if it is unused.
fn due(table: &str, counts: usize) -> String {
    let values: Vec<_> =
        (0..counts).map(|n| format!("(${}, ${}, ${})", 3 * n + 2, 3 * n + 3, 3 * n + 4)).collect();
    format!(
        "WITH counts (bucket, step, tolerance) AS (VALUES {}), \
         due AS (SELECT c.bucket, c.step, c.tolerance, CASE WHEN l.arrival > $1 \
         AND l.arrival <= $1 + c.step + c.tolerance + {SKEW} THEN l.arrival ELSE $1 END AS arrival \
         FROM counts c LEFT JOIN {table} l ON l.bucket = c.bucket)",
        values.join(", ")
    )
}
