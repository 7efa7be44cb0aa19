//! The migration of a table in SQLite.

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::{
    Additions, Secrets, Types, additions,
    first_version::{SQLITE_NOW, trigger_sql},
    ready_table, script,
};
use crate::store::{
    MigrationPhase, SqliteStore, StoreError, UserStore as _,
    sql::{Name, TableName, check::refuse_sqlite, sqlite::failure, users_table::Names},
};

impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    /// Creates the ready table, or adds the missing columns to the application's own, in one
    /// transaction: the version, the carried value, sessions, lanes, the secret, whether a user is
    /// active, and the counters of groups. It also adds a trigger that gives a new user its
    /// initial version. Existing rows keep `NULL`, which logs nobody out. The id, the login and the hash
    /// are not touched.
    ///
    /// While code that does not know relatch runs beside, call [`migrate_columns`](Self::migrate_columns)
    /// in place of it: with the trigger, users whom that code inserts would have another version than that
    /// of the [`Adoption`](crate::authority::Adoption), and their plain tokens would be rejected.
    ///
    /// It may run at each start, and in several processes at once. It first refuses a table whose existing
    /// columns do not fit, for example a login that is not unique. At the end it
    /// [checks](crate::store::UserStore::check) the whole table.
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
    /// missing columns, and no trigger. That code is not disturbed, and a user whom it inserts has the
    /// version `NULL`, as users have from before. When that code no longer runs, call
    /// [`migrate`](Self::migrate). The guide's page [Switching over](crate::guide::switching_over) has all
    /// phases.
    ///
    /// A table that has the trigger already keeps it.
    ///
    /// # Errors
    ///
    /// Those of [`migrate`](Self::migrate). The warning that the migration is not complete is no error.
    pub async fn migrate_columns(&self) -> Result<(), StoreError> {
        self.migrate_to(MigrationPhase::Columns).await
    }

    async fn migrate_to(&self, phase: MigrationPhase) -> Result<(), StoreError> {
        let names = self.engine().names();
        let pool = &self.engine().driver().pool;
        // Other migrations wait for this one and then find nothing to do.
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failure)?;
        refuse_sqlite(&mut transaction, names).await?;
        if names.is_ready {
            run(&mut transaction, table_sql(names)).await.map_err(failure)?;
        }
        for Additions { table, columns } in additions(names, &Types::SQLITE) {
            let present = present_columns(&mut transaction, table).await.map_err(failure)?;
            for (column, kind) in columns {
                if !present.iter().any(|name| name.eq_ignore_ascii_case(column.as_str())) {
                    let add = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
                    run(&mut transaction, add).await.map_err(failure)?;
                }
            }
        }
        if phase == MigrationPhase::Complete {
            run(&mut transaction, trigger_sql(names)).await.map_err(failure)?;
        }
        transaction.commit().await.map_err(failure)?;
        self.check().await?.into_result().map(drop)
    }

    /// The SQL that [`migrate`](Self::migrate) runs, for the application's own migration tool. Leave out
    /// columns that exist already, which SQLite cannot do by itself, and run it in one transaction. No
    /// database is needed to print it: `SqlitePool::connect_lazy` makes a pool.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        self.columns_sql() + &self.first_version_sql()
    }

    /// The SQL that [`migrate_columns`](Self::migrate_columns) runs. Leave out columns that exist already,
    /// and run it in one transaction.
    #[must_use]
    pub fn columns_sql(&self) -> String {
        let names = self.engine().names();
        let mut statements: Vec<_> = names.is_ready.then(|| table_sql(names)).into_iter().collect();
        for Additions { table, columns } in additions(names, &Types::SQLITE) {
            let columns = columns.into_iter().filter(|_| !names.is_ready || *table != names.table);
            statements.extend(
                columns.map(|(name, kind)| format!("ALTER TABLE {table} ADD COLUMN {name} {kind}")),
            );
        }
        script(&statements)
    }

    /// The SQL by which [`migrate`](Self::migrate) completes a table on which
    /// [`columns_sql`](Self::columns_sql) ran: a trigger that gives a new user its first version. Run it
    /// when code that does not know relatch no longer runs.
    #[must_use]
    pub fn first_version_sql(&self) -> String {
        script(&[trigger_sql(self.engine().names())])
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
        Secrets::SQLITE.sql(self.engine().names()).map(|sql| script(&[sql]))
    }
}

fn table_sql(names: &Names) -> String {
    ready_table(names, &Types::SQLITE, SQLITE_NOW)
}

/// All columns, the generated ones too.
async fn present_columns(
    connection: &mut SqliteConnection,
    table: &TableName,
) -> sqlx::Result<Vec<String>> {
    let schema = table.schema().map_or("main", Name::as_str);
    let query = sqlx::query("SELECT name FROM pragma_table_xinfo($1, $2)")
        .bind(table.table().as_str().to_owned())
        .bind(schema.to_owned());
    query.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

async fn run(connection: &mut SqliteConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
