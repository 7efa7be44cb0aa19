//! The migration of a table in PostgreSQL.

use sqlx::{AssertSqlSafe, PgConnection, Row as _};

use super::{Additions, Types, additions, ready_table, script};
use crate::store::{
    PostgresStore, StoreError,
    sql::{Failure, Name, TableName, postgres::classify, users_table::Names},
};

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Creates the ready table, or adds the missing columns to the application's own, in one
    /// transaction: the version, the carried value, sessions, lanes, the secret, whether a user is
    /// active, and the counters of groups. It also gives the version a default, the initial
    /// version of new users. Existing rows keep `NULL`, which logs nobody out. The id, the login and the
    /// hash are not touched.
    ///
    /// No row is rewritten. The table is locked only if something is to be added, and briefly. It
    /// waits at most 2 seconds for the lock, so that other statements do not queue for long. If the
    /// error [`is_unreachable`](StoreError::is_unreachable), try again. It may run at each start, and in
    /// several processes at once. Finally it [checks](Self::check) the table.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known whether it was. A version or a counter
    /// that exists already, but not as a `BIGINT`, is
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured).
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| Failure::new(&error, classify);
        let names = self.engine().names();
        let mut transaction = self.engine().driver().pool.begin().await.map_err(failed)?;
        for statement in BEGIN {
            run(&mut transaction, statement.to_owned()).await.map_err(failed)?;
        }
        if names.is_ready {
            run(&mut transaction, table_sql(names)).await.map_err(failed)?;
        }
        for Additions { table, columns } in additions(names, &TYPES) {
            for (column, kind) in columns {
                let present = present_column(&mut transaction, table, column).await;
                let present = present.map_err(failed)?;
                match &present {
                    None => {
                        let add = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
                        run(&mut transaction, add).await.map_err(failed)?;
                    }
                    Some((found, _)) if kind == TYPES.integer && found != "bigint" => {
                        let text = format!("the column {column} of {table} is {found}, not bigint");
                        return Err(StoreError::misconfigured(text));
                    }
                    Some(_) => {}
                }
                let has_default = |default: &str| default.contains(CLOCK);
                let is_done = present.is_some_and(|(_, default)| has_default(&default));
                if *column == names.version && *table == names.table && !is_done {
                    let default = default_sql(names);
                    run(&mut transaction, default).await.map_err(failed)?;
                }
            }
        }
        transaction.commit().await.map_err(failed)?;
        self.check().await
    }

    /// The SQL that [`migrate`](Self::migrate) runs, for the application's own migration tool. Run it in
    /// one transaction. No database is needed to print it: `PgPool::connect_lazy` makes a pool.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        let names = self.engine().names();
        let mut statements = vec![LOCK_TIMEOUT.to_owned()];
        statements.extend(names.is_ready.then(|| table_sql(names)));
        for Additions { table, columns } in additions(names, &TYPES) {
            let columns = columns.into_iter().filter(|_| !names.is_ready || *table != names.table);
            statements.extend(columns.map(|(name, kind)| {
                format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {kind}")
            }));
        }
        statements.extend((!names.is_ready).then(|| default_sql(names)));
        script(&statements)
    }
}

/// Runs one migration at a time, each of which may wait longer for its turn than the connection's own
/// timeouts allow. The number is this library's own.
pub(super) const BEGIN: [&str; 4] = [
    "SET LOCAL statement_timeout = '12s'",
    "SET LOCAL lock_timeout = '10s'",
    "SELECT pg_catalog.pg_advisory_xact_lock(8241996470512873)",
    LOCK_TIMEOUT,
];

/// A short timeout: all other statements queue behind a waiting lock.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '2s'";

/// A column's default is relatch's own if it calls this.
const CLOCK: &str = "clock_timestamp()";

/// A type that is no keyword of SQL, and each function and operator, is named with its schema: another
/// role may have created its own in a schema of the `search_path`.
const TYPES: Types = Types {
    text: "pg_catalog.text",
    integer: "BIGINT",
    uuid: "pg_catalog.uuid",
    active: "BOOLEAN NOT NULL DEFAULT TRUE",
};

fn now_sql() -> String {
    format!("CAST(EXTRACT(EPOCH FROM pg_catalog.{CLOCK}) OPERATOR(pg_catalog.*) 1000 AS BIGINT)")
}

fn table_sql(names: &Names) -> String {
    ready_table(names, &TYPES, &now_sql())
}

fn default_sql(names: &Names) -> String {
    let Names { table, version, .. } = names;
    format!("ALTER TABLE {table} ALTER COLUMN {version} SET DEFAULT {}", now_sql())
}

/// The column's type and default, if there is such a column.
async fn present_column(
    connection: &mut PgConnection,
    table: &TableName,
    column: &Name,
) -> sqlx::Result<Option<(String, String)>> {
    let query = sqlx::query(
        "SELECT format_type(a.atttypid, NULL), \
                coalesce(pg_get_expr(d.adbin, d.adrelid), '') \
           FROM pg_attribute a \
           LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
          WHERE a.attrelid = to_regclass($1) AND a.attname = $2 AND a.attnum > 0",
    );
    let row =
        query.bind(table.to_string()).bind(column.as_str()).fetch_optional(connection).await?;
    row.map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).transpose()
}

pub(super) async fn run(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
