//! The migration of a table in SQLite.

use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};

use super::{
    Additions, Types, additions,
    first_version::{NOW, trigger_sql},
    ready_table, script,
};
use crate::store::{
    SqliteStore, StoreError, UserStore as _,
    sql::{Failure, Name, TableName, check::refuse_sqlite, sqlite::classify, users_table::Names},
};

impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    /// Creates the ready table, or adds the missing columns to the application's own, in one
    /// transaction: the version, the carried value, sessions, lanes, the secret, whether a user is
    /// active, and the counters of groups. It also adds a trigger that gives a new user its
    /// initial version. Existing rows keep `NULL`, which logs nobody out. The id, the login and the hash
    /// are not touched.
    ///
    /// It may run at each start, and in several processes at once. It refuses a table with a column that
    /// exists already but does not fit, such as a login that is not unique, before it changes anything.
    /// Finally it [checks](crate::store::UserStore::check) the whole table.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known whether it was. A problem that the check
    /// finds is [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured), with its text.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| Failure::new(&error, classify);
        let names = self.engine().names();
        let pool = &self.engine().driver().pool;
        // Other migrations wait for this one and then find nothing to do.
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        refuse_sqlite(&mut transaction, names).await?;
        if names.is_ready {
            run(&mut transaction, table_sql(names)).await.map_err(failed)?;
        }
        for Additions { table, columns } in additions(names, &Types::SQLITE) {
            let present = present_columns(&mut transaction, table).await.map_err(failed)?;
            for (column, kind) in columns {
                if !present.iter().any(|name| name.eq_ignore_ascii_case(column.as_str())) {
                    let add = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
                    run(&mut transaction, add).await.map_err(failed)?;
                }
            }
        }
        run(&mut transaction, trigger_sql(names)).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.check().await?.into_result().map(drop)
    }

    /// The SQL that [`migrate`](Self::migrate) runs, for the application's own migration tool. Leave out
    /// columns that exist already, which SQLite cannot do by itself, and run it in one transaction. No
    /// database is needed to print it: `SqlitePool::connect_lazy` makes a pool.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        let names = self.engine().names();
        let mut statements: Vec<_> = names.is_ready.then(|| table_sql(names)).into_iter().collect();
        for Additions { table, columns } in additions(names, &Types::SQLITE) {
            let columns = columns.into_iter().filter(|_| !names.is_ready || *table != names.table);
            statements.extend(
                columns.map(|(name, kind)| format!("ALTER TABLE {table} ADD COLUMN {name} {kind}")),
            );
        }
        statements.push(trigger_sql(names));
        script(&statements)
    }
}

fn table_sql(names: &Names) -> String {
    ready_table(names, &Types::SQLITE, NOW)
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
