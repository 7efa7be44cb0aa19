//! The migration of a table in PostgreSQL.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Additions, Types, additions,
    first_version::{CLOCK, default_sql, now_sql},
    ready_table, script,
};
use crate::store::{
    PostgresStore, StoreError, UserStore as _,
    sql::{
        Failure, Name, TableName, check::refuse_postgres, postgres::classify, users_table::Names,
    },
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
    /// several processes at once.
    ///
    /// It refuses a table with a column that exists already but does not fit, such as a version that is
    /// no `BIGINT` or a login that is not unique, before it changes anything. Finally it
    /// [checks](crate::store::UserStore::check) the whole table.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known whether it was. A problem that the check
    /// finds is [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured), with its text.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| Failure::new(&error, classify);
        let names = self.engine().names();
        let mut transaction = self.engine().driver().pool.begin().await.map_err(failed)?;
        for statement in BEGIN {
            run(&mut transaction, statement.to_owned()).await.map_err(failed)?;
        }
        refuse_postgres(&mut transaction, names).await?;
        if names.is_ready {
            run(&mut transaction, table_sql(names)).await.map_err(failed)?;
        }
        for Additions { table, columns } in additions(names, &Types::POSTGRES) {
            for (column, kind) in columns {
                let present = present_column(&mut transaction, table, column).await;
                let present = present.map_err(failed)?;
                if present.is_none() {
                    let add = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
                    run(&mut transaction, add).await.map_err(failed)?;
                }
                let is_done = present.is_some_and(|default| default.contains(CLOCK));
                if *column == names.version && *table == names.table && !is_done {
                    let default = default_sql(names);
                    run(&mut transaction, default).await.map_err(failed)?;
                }
            }
        }
        transaction.commit().await.map_err(failed)?;
        self.check().await?.into_result().map(drop)
    }

    /// The SQL that [`migrate`](Self::migrate) runs, for the application's own migration tool. Run it in
    /// one transaction. No database is needed to print it: `PgPool::connect_lazy` makes a pool.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        let names = self.engine().names();
        let mut statements = vec![LOCK_TIMEOUT.to_owned()];
        statements.extend(names.is_ready.then(|| table_sql(names)));
        for Additions { table, columns } in additions(names, &Types::POSTGRES) {
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

fn table_sql(names: &Names) -> String {
    ready_table(names, &Types::POSTGRES, &now_sql())
}

/// The column's default, if there is such a column.
async fn present_column(
    connection: &mut PgConnection,
    table: &TableName,
    column: &Name,
) -> sqlx::Result<Option<String>> {
    let query = sqlx::query_scalar(
        "SELECT coalesce(pg_catalog.pg_get_expr(d.adbin, d.adrelid), '') \
           FROM pg_catalog.pg_attribute a \
           LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid OPERATOR(pg_catalog.=) a.attrelid \
                                            AND d.adnum OPERATOR(pg_catalog.=) a.attnum \
          WHERE a.attrelid OPERATOR(pg_catalog.=) \
                    CAST(pg_catalog.to_regclass($1) AS pg_catalog.oid) \
            AND a.attname OPERATOR(pg_catalog.=) CAST($2 AS pg_catalog.name) \
            AND a.attnum OPERATOR(pg_catalog.>) 0",
    );
    let query = query.bind(table.to_string()).bind(column.as_str().to_owned());
    query.persistent(false).fetch_optional(connection).await
}

pub(super) async fn run(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
