//! The migration of a table in PostgreSQL.

use sqlx::{AssertSqlSafe, PgConnection};

use super::{
    Additions, Secrets, Types, additions,
    first_version::{CLOCK, default_sql, postgres_now},
    ready_table, script,
};
use crate::store::{
    MigrationPhase, PostgresStore, StoreError, UserStore as _,
    sql::{Name, TableName, check::refuse_postgres, postgres::failure, users_table::Names},
};

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Creates the ready table, or adds the missing columns to the application's own, in one
    /// transaction: the version, the carried value, sessions, lanes, the secret, whether a user is
    /// active, and the counters of groups. It also gives the version a default, the initial
    /// version of new users. Existing rows keep `NULL`, which logs nobody out. The id, the login and the
    /// hash are not touched.
    ///
    /// It rewrites no row. It locks the table briefly, and only to add something. It waits at most 2
    /// seconds for the lock, so that other statements do not queue for long. If the error
    /// [`is_unreachable`](StoreError::is_unreachable), try again. It may run at each start, and in several
    /// processes at once.
    ///
    /// While code that does not know relatch runs beside, call [`migrate_columns`](Self::migrate_columns)
    /// in place of it: with the default, users whom that code inserts would have another version than that
    /// of the [`Adoption`](crate::authority::Adoption), and their plain tokens would be rejected.
    ///
    /// It first refuses a table whose existing columns do not fit, for example a version that is not
    /// `BIGINT`, or a login that is not unique. At the end it [checks](crate::store::UserStore::check) the
    /// whole table.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known whether it was. If the table has a
    /// problem, the kind is [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured), and the
    /// `source` is the first problem.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.migrate_to(MigrationPhase::Complete).await
    }

    /// The first phase of [`migrate`](Self::migrate), beside code that does not know relatch: it adds the
    /// missing columns, and no default for the version. That code is not disturbed, and a user whom it
    /// inserts has the version `NULL`, as users have from before. When that code no longer runs, call
    /// [`migrate`](Self::migrate). The guide's page [Switching over](crate::guide::switching_over) has all
    /// phases.
    ///
    /// A table that has the default already keeps it.
    ///
    /// # Errors
    ///
    /// Those of [`migrate`](Self::migrate). The warning that the migration is not complete is no error.
    pub async fn migrate_columns(&self) -> Result<(), StoreError> {
        self.migrate_to(MigrationPhase::Columns).await
    }

    async fn migrate_to(&self, phase: MigrationPhase) -> Result<(), StoreError> {
        let names = self.engine().names();
        let mut transaction = self.engine().driver().pool.begin().await.map_err(failure)?;
        begin(&mut transaction).await.map_err(failure)?;
        refuse_postgres(&mut transaction, names).await?;
        if names.is_ready {
            run(&mut transaction, table_sql(names)).await.map_err(failure)?;
        }
        for Additions { table, columns } in additions(names, &Types::POSTGRES) {
            for (column, kind) in columns {
                let present = present_column(&mut transaction, table, column).await;
                let present = present.map_err(failure)?;
                if present.is_none() {
                    let add = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
                    run(&mut transaction, add).await.map_err(failure)?;
                }
                let is_done = present.is_some_and(|default| default.contains(CLOCK));
                let is_version = *column == names.version && *table == names.table;
                if is_version && !is_done && phase == MigrationPhase::Complete {
                    let default = default_sql(names);
                    run(&mut transaction, default).await.map_err(failure)?;
                }
            }
        }
        transaction.commit().await.map_err(failure)?;
        self.check().await?.into_result().map(drop)
    }

    /// The SQL that [`migrate`](Self::migrate) runs, for the application's own migration tool. Run it in
    /// one transaction. No database is needed to print it: `PgPool::connect_lazy` makes a pool.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        let names = self.engine().names();
        let last = (!names.is_ready).then(|| default_sql(names));
        script(&[self.of_columns(), last.into_iter().collect()].concat())
    }

    /// The SQL that [`migrate_columns`](Self::migrate_columns) runs. Run it in one transaction.
    #[must_use]
    pub fn columns_sql(&self) -> String {
        script(&self.of_columns())
    }

    /// The SQL by which [`migrate`](Self::migrate) completes a table on which
    /// [`columns_sql`](Self::columns_sql) ran: the default of the version. Run it in one transaction, when
    /// code that does not know relatch no longer runs.
    #[must_use]
    pub fn first_version_sql(&self) -> String {
        let mut statements = Vec::from(IN_TURN.map(str::to_owned));
        statements.push(default_sql(self.engine().names()));
        script(&statements)
    }

    /// The SQL that gives a random secret to each user who has neither a password hash nor a secret: the
    /// hash is `NULL`, or a placeholder such as `!` or `oauth`. Without one, no session and no link can be
    /// issued for the user. `None` if the table's description names no column for secrets.
    ///
    /// Run it after [`columns_sql`](Self::columns_sql), and again when no code that does not know relatch
    /// runs any more. It changes only rows without a secret, and logs nobody out. The
    /// [check](crate::store::UserStore::check) reports such users, with this SQL.
    #[must_use]
    pub fn secrets_sql(&self) -> Option<String> {
        Secrets::POSTGRES.sql(self.engine().names()).map(|sql| script(&[sql]))
    }

    fn of_columns(&self) -> Vec<String> {
        let names = self.engine().names();
        let mut statements = Vec::from(IN_TURN.map(str::to_owned));
        statements.extend(names.is_ready.then(|| table_sql(names)));
        for Additions { table, columns } in additions(names, &Types::POSTGRES) {
            let columns = columns.into_iter().filter(|_| !names.is_ready || *table != names.table);
            statements.extend(columns.map(|(name, kind)| {
                format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {kind}")
            }));
        }
        statements
    }
}

/// Lets one migration run at a time: two that replace the same function at once would fail. The number
/// is this library's own. The last timeout is short, since all other statements queue behind a waiting
/// lock.
pub(super) const IN_TURN: [&str; 3] = [
    "SET LOCAL lock_timeout = '10s'",
    "SELECT pg_catalog.pg_advisory_xact_lock(8241996470512873)",
    "SET LOCAL lock_timeout = '2s'",
];

/// Begins a migration, which may wait longer for its turn than the connection's own timeout allows.
pub(super) async fn begin(connection: &mut PgConnection) -> sqlx::Result<()> {
    for statement in ["SET LOCAL statement_timeout = '12s'"].into_iter().chain(IN_TURN) {
        run(connection, statement.to_owned()).await?;
    }
    Ok(())
}

fn table_sql(names: &Names) -> String {
    ready_table(names, &Types::POSTGRES, &postgres_now())
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
