//! The columns that a live table of users lacks, added.

#[cfg(feature = "postgres")]
use sha2::{Digest, Sha256};
#[cfg(feature = "postgres")]
use sqlx::PgConnection;
#[cfg(feature = "sqlite")]
use sqlx::SqliteConnection;
use sqlx::{AssertSqlSafe, Row as _};

#[cfg(feature = "postgres")]
use super::postgres;
#[cfg(feature = "sqlite")]
use super::sqlite;
use super::{
    Failure, Name, TableName,
    users_table::{IdType, Names},
};
#[cfg(feature = "postgres")]
use crate::store::PostgresStore;
#[cfg(feature = "sqlite")]
use crate::store::SqliteStore;
use crate::store::StoreError;

#[cfg(feature = "sqlite")]
impl<F: Clone + Send + Sync + 'static> SqliteStore<F> {
    /// Makes the ready table, or adds to the application's own the columns that it lacks, in one
    /// transaction: those for the version, what is carried, sessions, lanes, the secret and whether
    /// a user is active, and the counters of groups; and a trigger that gives a new user the
    /// version that it begins with. Existing rows keep `NULL`, which logs nobody out. The id, the
    /// login and the hash are not touched.
    ///
    /// It may run at each start, and in several processes at once. In the end it
    /// [checks](Self::check) the table.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| Failure::new(&error, sqlite::classify);
        let names = self.engine().names();
        let pool = &self.engine().driver().0;
        // Others wait until it is done, and then find nothing to do.
        let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(failed)?;
        if names.is_ready {
            run_sqlite(&mut transaction, sqlite_table(names)).await.map_err(failed)?;
        }
        for Additions { table, columns } in additions(names) {
            let present = sqlite_columns(&mut transaction, table).await.map_err(failed)?;
            for (column, kind) in columns {
                if !present.iter().any(|name| name.eq_ignore_ascii_case(column.as_str())) {
                    let add = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
                    run_sqlite(&mut transaction, add).await.map_err(failed)?;
                }
            }
        }
        run_sqlite(&mut transaction, sqlite_trigger(names)).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        self.check().await
    }

    /// What [`migrate`](Self::migrate) runs, as text: for a migration tool of the application's own.
    /// Leave out the columns that there are already, which SQLite cannot do by itself, and run it
    /// in one transaction. To print it takes no database: `SqlitePool::connect_lazy` makes a pool.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        let names = self.engine().names();
        let mut statements: Vec<_> =
            names.is_ready.then(|| sqlite_table(names)).into_iter().collect();
        for Additions { table, columns } in additions(names) {
            let columns = columns.into_iter().filter(|_| !names.is_ready || *table != names.table);
            statements.extend(
                columns.map(|(name, kind)| format!("ALTER TABLE {table} ADD COLUMN {name} {kind}")),
            );
        }
        statements.push(sqlite_trigger(names));
        script(&statements)
    }
}

#[cfg(feature = "postgres")]
impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Makes the ready table, or adds to the application's own the columns that it lacks, in one
    /// transaction: those for the version, what is carried, sessions, lanes, the secret and whether
    /// a user is active, and the counters of groups; and gives the version a default, with which new
    /// users begin. Existing rows keep `NULL`, which logs nobody out. The id, the login and the hash
    /// are not touched.
    ///
    /// No row is rewritten. The table is locked only where something is to be added, for a moment,
    /// and waited for at most 2 seconds, so that nothing queues behind it: on
    /// [`is_unreachable`](StoreError::is_unreachable) try again. It may run at each start, and in
    /// several processes at once. In the end it [checks](Self::check) the table.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known. A version or a counter that is there
    /// already, but not as a `BIGINT`, is
    /// [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured).
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| Failure::new(&error, postgres::classify);
        let names = self.engine().names();
        let mut transaction = self.engine().driver().pool.begin().await.map_err(failed)?;
        for statement in POSTGRES_BEGIN {
            run_postgres(&mut transaction, statement.to_owned()).await.map_err(failed)?;
        }
        if names.is_ready {
            run_postgres(&mut transaction, postgres_table(names)).await.map_err(failed)?;
        }
        for Additions { table, columns } in additions(names) {
            for (column, kind) in columns {
                let present = postgres_column(&mut transaction, table, column).await;
                let present = present.map_err(failed)?;
                match &present {
                    None => {
                        let add = format!("ALTER TABLE {table} ADD COLUMN {column} {kind}");
                        run_postgres(&mut transaction, add).await.map_err(failed)?;
                    }
                    Some((found, _)) if kind == BIGINT && found != "bigint" => {
                        let text = format!("the column {column} of {table} is {found}, not bigint");
                        return Err(StoreError::misconfigured(text));
                    }
                    Some(_) => {}
                }
                let has_default = |default: &str| default.contains(POSTGRES_CLOCK);
                let is_done = present.is_some_and(|(_, default)| has_default(&default));
                if *column == names.version && *table == names.table && !is_done {
                    let default = postgres_default(names);
                    run_postgres(&mut transaction, default).await.map_err(failed)?;
                }
            }
        }
        transaction.commit().await.map_err(failed)?;
        self.check().await
    }

    /// What [`migrate`](Self::migrate) runs, as text: for a migration tool of the application's own.
    /// Run it in one transaction. To print it takes no database: `PgPool::connect_lazy` makes a pool.
    #[must_use]
    pub fn migration_sql(&self) -> String {
        let names = self.engine().names();
        let mut statements = vec![POSTGRES_LOCK.to_owned()];
        statements.extend(names.is_ready.then(|| postgres_table(names)));
        for Additions { table, columns } in additions(names) {
            let columns = columns.into_iter().filter(|_| !names.is_ready || *table != names.table);
            statements.extend(columns.map(|(name, kind)| {
                format!("ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {kind}")
            }));
        }
        statements.extend((!names.is_ready).then(|| postgres_default(names)));
        script(&statements)
    }

    /// Adds triggers, so that what the application's own SQL does is told to those who
    /// [listen](Self::listen), too: a change of the version, the hash, the secret, of whether the
    /// user is active, of the user's groups or of the fields; sessions that become `NULL`; a user who is deleted;
    /// a group's counter, and a group that comes or goes. With [`migrate`](Self::migrate) run before.
    ///
    /// Without them the application tells of its own changes itself, by
    /// [`Changes`](crate::store::Changes) or `pg_notify`. Each time, the table is locked for a
    /// moment against writers, who are waited for at most 2 seconds: let it be part of a deployment,
    /// rather than of each start. Several processes may run it at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known.
    pub async fn migrate_triggers(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| Failure::new(&error, postgres::classify);
        let mut transaction = self.engine().driver().pool.begin().await.map_err(failed)?;
        for statement in POSTGRES_BEGIN {
            run_postgres(&mut transaction, statement.to_owned()).await.map_err(failed)?;
        }
        for statement in postgres_triggers(self.engine().names(), &self.engine().driver().channel) {
            run_postgres(&mut transaction, statement).await.map_err(failed)?;
        }
        Ok(transaction.commit().await.map_err(failed)?)
    }

    /// What [`migrate_triggers`](Self::migrate_triggers) runs, as text.
    #[must_use]
    pub fn triggers_sql(&self) -> String {
        let mut statements = vec![POSTGRES_LOCK.to_owned()];
        statements
            .extend(postgres_triggers(self.engine().names(), &self.engine().driver().channel));
        script(&statements)
    }
}

const BIGINT: &str = "BIGINT";

/// The columns that a table must have besides the application's own.
struct Additions<'a> {
    table: &'a TableName,
    columns: Vec<(&'a Name, &'static str)>,
}

/// Each may be `NULL`, or has a constant for a default: no row is rewritten for it.
fn additions(names: &Names) -> Vec<Additions<'_>> {
    let Names { version, carried, sessions, lanes, secret, active, .. } = names;
    let mut columns = vec![(version, BIGINT)];
    let texts = [carried, sessions, lanes].into_iter().chain(secret);
    columns.extend(texts.map(|column| (column, "TEXT")));
    columns.extend(active.iter().map(|column| (column, "BOOLEAN NOT NULL DEFAULT TRUE")));
    let users = Additions { table: &names.table, columns };
    let groups = names
        .groups
        .iter()
        .map(|group| Additions { table: &group.table, columns: vec![(&group.counter, BIGINT)] });
    std::iter::once(users).chain(groups).collect()
}

fn script(statements: &[String]) -> String {
    statements.iter().map(|statement| format!("{statement};\n")).collect()
}

/// The ready table, where the version has this default.
fn ready_table(names: &Names, now: &str) -> String {
    let Names { table, id, login, password_hash, version, carried, sessions, lanes, .. } = names;
    let id_type = match names.id_type {
        IdType::Text => "TEXT",
        IdType::Integer => BIGINT,
        IdType::Uuid => "UUID",
    };
    let mut columns = vec![
        format!("{id} {id_type} NOT NULL PRIMARY KEY"),
        format!("{login} TEXT NOT NULL UNIQUE"),
        format!("{version} {BIGINT} DEFAULT ({now})"),
    ];
    let texts = [password_hash, carried, sessions, lanes].into_iter().chain(&names.secret);
    columns.extend(texts.map(|column| format!("{column} TEXT")));
    let active = names.active.iter();
    columns.extend(active.map(|column| format!("{column} BOOLEAN NOT NULL DEFAULT TRUE")));
    format!("CREATE TABLE IF NOT EXISTS {table} (\n    {}\n)", columns.join(",\n    "))
}

/// Now in milliseconds.
#[cfg(feature = "sqlite")]
const SQLITE_NOW: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

#[cfg(feature = "sqlite")]
fn sqlite_table(names: &Names) -> String {
    ready_table(names, SQLITE_NOW).replacen(" UUID NOT NULL", " TEXT NOT NULL", 1)
}

/// SQLite adds no column whose default is not a constant.
#[cfg(feature = "sqlite")]
fn sqlite_trigger(names: &Names) -> String {
    let Names { table, id, version, .. } = names;
    let trigger = table.beside(&format!("{}_relatch_{}", table.table().as_str(), version.as_str()));
    let table = table.table();
    format!(
        "CREATE TRIGGER IF NOT EXISTS {trigger} AFTER INSERT ON {table}\n\
         WHEN NEW.{version} IS NULL BEGIN\n    \
         UPDATE {table} SET {version} = {SQLITE_NOW} WHERE {id} = NEW.{id};\n\
         END"
    )
}

#[cfg(feature = "sqlite")]
async fn sqlite_columns(
    connection: &mut SqliteConnection,
    table: &TableName,
) -> sqlx::Result<Vec<String>> {
    let schema = table.schema().map_or("main", Name::as_str);
    let query = sqlx::query("SELECT name FROM pragma_table_info($1, $2)")
        .bind(table.table().as_str().to_owned())
        .bind(schema.to_owned());
    query.fetch_all(connection).await?.iter().map(|row| row.try_get(0)).collect()
}

#[cfg(feature = "sqlite")]
async fn run_sqlite(connection: &mut SqliteConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}

/// One migration at a time, each of which waits for its turn longer than the connection's own
/// time-outs may allow. The number is this library's own.
#[cfg(feature = "postgres")]
const POSTGRES_BEGIN: [&str; 4] = [
    "SET LOCAL statement_timeout = '12s'",
    "SET LOCAL lock_timeout = '10s'",
    "SELECT pg_advisory_xact_lock(8241996470512873)",
    POSTGRES_LOCK,
];

/// Whoever waits for this lock makes everybody else wait behind it.
#[cfg(feature = "postgres")]
const POSTGRES_LOCK: &str = "SET LOCAL lock_timeout = '2s'";

/// The column's default is relatch's own if it calls this.
#[cfg(feature = "postgres")]
const POSTGRES_CLOCK: &str = "clock_timestamp()";

#[cfg(feature = "postgres")]
fn postgres_now() -> String {
    format!("(EXTRACT(EPOCH FROM {POSTGRES_CLOCK}) * 1000)::BIGINT")
}

#[cfg(feature = "postgres")]
fn postgres_table(names: &Names) -> String {
    ready_table(names, &postgres_now())
}

#[cfg(feature = "postgres")]
fn postgres_default(names: &Names) -> String {
    let Names { table, version, .. } = names;
    format!("ALTER TABLE {table} ALTER COLUMN {version} SET DEFAULT {}", postgres_now())
}

/// The column's type and default, if there is such a column.
#[cfg(feature = "postgres")]
async fn postgres_column(
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

/// An argument less than two tells that everybody is concerned.
#[cfg(feature = "postgres")]
fn postgres_triggers(names: &Names, channel: &Name) -> Vec<String> {
    let Names { table, id, version, password_hash, sessions, secret, active, .. } = names;
    let function = table.beside("relatch_changed");
    let channel = channel.as_str();
    let call = |arguments: &str| format!("EXECUTE FUNCTION {function}({arguments})");
    let everybody = call(&format!("'{channel}'"));
    let user = call(&format!("'{channel}', '{}'", id.as_str()));

    let groups = names.groups.iter().map(|group| &group.column);
    let watched =
        [id, version, password_hash].into_iter().chain(secret).chain(active).chain(groups);
    let mut conditions: Vec<_> =
        watched.map(|column| format!("OLD.{column} IS DISTINCT FROM NEW.{column}")).collect();
    // As text: not every type can be compared.
    conditions.extend(names.fields.iter().flatten().map(|column| {
        format!("CAST(OLD.{column} AS TEXT) IS DISTINCT FROM CAST(NEW.{column} AS TEXT)")
    }));
    conditions.push(format!("(OLD.{sessions} IS NOT NULL AND NEW.{sessions} IS NULL)"));
    let conditions = conditions.join("\n    OR ");

    let mut statements = vec![
        format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger\n\
             LANGUAGE plpgsql SET search_path = pg_catalog AS $relatch$\n\
             BEGIN\n    \
             IF TG_NARGS = 2 THEN\n        \
             EXECUTE format('SELECT pg_notify($1, CAST(($2).%I AS TEXT))', TG_ARGV[1])\n            \
             USING TG_ARGV[0], OLD;\n    \
             ELSE\n        \
             PERFORM pg_notify(TG_ARGV[0], '');\n    \
             END IF;\n    \
             RETURN NULL;\n\
             END $relatch$"
        ),
        format!(
            "CREATE OR REPLACE TRIGGER relatch_updated AFTER UPDATE ON {table}\n\
             FOR EACH ROW WHEN ({conditions})\n{user}"
        ),
        format!(
            "CREATE OR REPLACE TRIGGER relatch_deleted AFTER DELETE ON {table}\n\
             FOR EACH ROW {user}"
        ),
        format!(
            "CREATE OR REPLACE TRIGGER relatch_truncated AFTER TRUNCATE ON {table}\n\
             FOR EACH STATEMENT {everybody}"
        ),
    ];
    for group in &names.groups {
        let (counter, table) = (&group.counter, &group.table);
        // A name of its own for each counter, which a name of 63 bytes could not hold.
        let name = Sha256::digest(counter.as_str());
        let name = format!("relatch_{:02x}{:02x}{:02x}{:02x}", name[0], name[1], name[2], name[3]);
        statements.push(format!(
            "CREATE OR REPLACE TRIGGER {name}_bumped AFTER UPDATE ON {table}\n\
             FOR EACH ROW WHEN (OLD.{counter} IS DISTINCT FROM NEW.{counter})\n{everybody}"
        ));
        statements.push(format!(
            "CREATE OR REPLACE TRIGGER {name}_there AFTER INSERT OR DELETE OR TRUNCATE ON {table}\n\
             FOR EACH STATEMENT {everybody}"
        ));
    }
    statements
}

#[cfg(feature = "postgres")]
async fn run_postgres(connection: &mut PgConnection, sql: String) -> sqlx::Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
}
