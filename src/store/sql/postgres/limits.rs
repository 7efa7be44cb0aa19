//! The shared counts of password attempts in PostgreSQL.

use tokio::time::Instant;

use super::PostgresDriver;
use crate::{
    store::sql::{
        Cells as _, Driver as _, Failure,
        capacity::Kind,
        limits::{LimitsSql, damaged, params, wait},
    },
    throttle::{Count, SKEW, Taken},
};

impl LimitsSql for PostgresDriver {
    fn limits_table_sql(table: &str) -> String {
        format!(
            "CREATE UNLOGGED TABLE IF NOT EXISTS {table} (\n    bucket pg_catalog.int8 NOT NULL \
             PRIMARY KEY,\n    arrival pg_catalog.int8 NOT NULL\n)"
        )
    }

    /// It skips the rows that attempts have locked.
    fn expired_sql(table: &str) -> String {
        format!(
            "DELETE FROM {table} WHERE bucket OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT l.bucket \
             FROM {table} l WHERE l.arrival OPERATOR(pg_catalog.<) \
             LEAST({NOW}, CAST($1 AS pg_catalog.int8)) LIMIT 10000 FOR UPDATE SKIP LOCKED))"
        )
    }

    async fn take(&self, table: &str, counts: &[Count], until: Instant) -> Result<Taken, Failure> {
        let slot = self.capacity().enter(Kind::Write, until).await?;
        let params: Vec<_> = params(counts).collect();
        let sql = take_sql(table, counts.len()).into();
        let rows = self.fetch(&sql, &params, &slot, until).await?;
        let row = rows.first().ok_or_else(Failure::unreadable)?;
        let cells = (row.integer(0).map_err(damaged)?, row.integer(1).map_err(damaged)?);
        match cells {
            (Some(..=0), Some(taken)) if usize::try_from(taken) == Ok(counts.len()) => {
                Ok(Taken::Allowed)
            }
            (micros, _) => Ok(wait(micros)),
        }
    }
}

/// The server's time, in microseconds since 1970.
const NOW: &str = "CAST(pg_catalog.date_part('epoch', pg_catalog.statement_timestamp()) \
                   OPERATOR(pg_catalog.*) CAST(1000000 AS pg_catalog.float8) AS pg_catalog.int8)";

/// The class of the advisory locks of buckets: a number of this library's own.
const TURNS: i32 = 824_199_647;

/// Takes a turn at each bucket, in their order, and then counts in each or in none. A row that is used
/// for the first time cannot be locked: without the turns, two attempts could wait for each other. An
/// attempt does not see a row that was made while it waited for its turn, so the update has the
/// condition once more. The result is the time to wait and the number of counted buckets.
fn take_sql(table: &str, counts: usize) -> String {
    let number = |n: usize| format!("CAST(${n} AS pg_catalog.int8)");
    let values: Vec<_> = (0..counts)
        .map(|n| format!("({}, {}, {})", number(3 * n + 1), number(3 * n + 2), number(3 * n + 3)))
        .collect();
    let values = values.join(", ");
    let plus = "OPERATOR(pg_catalog.+)";
    let minus = "OPERATOR(pg_catalog.-)";
    let equals = "OPERATOR(pg_catalog.=)";
    let (above, at_most) = ("OPERATOR(pg_catalog.>)", "OPERATOR(pg_catalog.<=)");
    let ahead = |arrival: &str| {
        format!(
            "(CASE WHEN {arrival} {above} d.now AND {arrival} {at_most} d.latest \
             THEN {arrival} {minus} d.now ELSE 0 END)"
        )
    };
    let (held, present) = (ahead("h.arrival"), ahead("l.arrival"));
    format!(
        "WITH counts (bucket, step, tolerance) AS (VALUES {values}), \
         clock (now) AS (SELECT {NOW}), \
         turns AS MATERIALIZED (SELECT c.bucket, \
         pg_catalog.pg_advisory_xact_lock({TURNS}, CAST(c.bucket AS pg_catalog.int4)) \
         FROM (SELECT o.bucket FROM counts o ORDER BY o.bucket) c), \
         held AS (SELECT l.bucket, l.arrival FROM {table} l \
         WHERE l.bucket {equals} ANY (ARRAY(SELECT t.bucket FROM turns t)) ORDER BY l.bucket FOR UPDATE), \
         due AS (SELECT c.bucket, c.tolerance, k.now, k.now {plus} c.step AS arrival, \
         k.now {plus} c.step {plus} c.tolerance {plus} {SKEW} AS latest \
         FROM counts c CROSS JOIN clock k), \
         verdict (wait) AS (SELECT pg_catalog.max({held} {minus} d.tolerance) \
         FROM due d LEFT JOIN held h ON h.bucket {equals} d.bucket), \
         taken AS (INSERT INTO {table} AS l (bucket, arrival) \
         SELECT d.bucket, d.arrival FROM due d \
         WHERE (SELECT v.wait FROM verdict v) {at_most} 0 ORDER BY d.bucket \
         ON CONFLICT (bucket) DO UPDATE SET arrival = \
         (SELECT d.arrival {plus} {present} FROM due d WHERE d.bucket {equals} l.bucket) \
         WHERE (SELECT {present} {at_most} d.tolerance \
         FROM due d WHERE d.bucket {equals} l.bucket) \
         RETURNING 1) \
         SELECT CAST((SELECT v.wait FROM verdict v) AS pg_catalog.int8), \
         CAST((SELECT pg_catalog.count(*) FROM taken) AS pg_catalog.int8)"
    )
}
