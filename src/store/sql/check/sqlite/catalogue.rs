//! What SQLite's schema says of a table.

use sqlx::{Row as _, SqliteConnection, sqlite::SqliteRow};

use crate::store::sql::{Name, TableName};

/// The settings of the connection and the database.
pub(super) struct Database {
    pub(super) is_in_memory: bool,
    pub(super) journal: String,
    pub(super) synchronous: i64,
    pub(super) is_query_only: bool,
    pub(super) enforces_keys: bool,
    /// The tables with foreign keys to the users' table.
    pub(super) referring: Vec<String>,
}

impl Database {
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        users: &TableName,
    ) -> sqlx::Result<Self> {
        let schema = schema(users);
        let file = "SELECT coalesce(file, '') FROM pragma_database_list WHERE name = $1";
        let file: Option<String> =
            sqlx::query_scalar(file).bind(schema.clone()).fetch_optional(&mut *connection).await?;
        let mode = "SELECT journal_mode FROM pragma_journal_mode($1)";
        let journal: String =
            sqlx::query_scalar(mode).bind(schema.clone()).fetch_one(&mut *connection).await?;
        let synchronous = "SELECT synchronous FROM pragma_synchronous($1)";
        let synchronous: i64 = sqlx::query_scalar(synchronous)
            .bind(schema.clone())
            .fetch_one(&mut *connection)
            .await?;
        let row = sqlx::query(
            "SELECT query_only, (SELECT foreign_keys FROM pragma_foreign_keys)
               FROM pragma_query_only",
        );
        let row = row.fetch_one(&mut *connection).await?;
        let referring = sqlx::query_scalar(
            "SELECT DISTINCT l.name FROM pragma_table_list AS l, pragma_foreign_key_list(l.name, $2) AS f
              WHERE l.schema = $2 AND f.\"table\" = $1 COLLATE NOCASE ORDER BY 1",
        );
        let referring = referring.bind(users.table().as_str().to_owned()).bind(schema);
        Ok(Self {
            is_in_memory: file.is_none_or(|file| file.is_empty()),
            journal,
            synchronous,
            is_query_only: row.try_get(0)?,
            enforces_keys: row.try_get(1)?,
            referring: referring.fetch_all(connection).await?,
        })
    }
}

/// A table, its columns and its triggers.
pub(super) struct Table {
    pub(super) is_view: bool,
    pub(super) is_strict: bool,
    has_rowid: bool,
    columns: Vec<Column>,
    unique: Vec<Unique>,
    pub(super) triggers: Vec<Trigger>,
}

/// A trigger on a table.
pub(super) struct Trigger {
    pub(super) name: String,
    /// Before an update, or instead of it.
    pub(super) may_stop_update: bool,
    pub(super) is_of_update: bool,
}

/// A unique index over a single column, or an expression over it.
struct Unique {
    column: String,
    /// Without quotes.
    condition: Option<String>,
}

pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) is_not_null: bool,
    pub(super) is_generated: bool,
    pub(super) has_default: bool,
    /// The place in the primary key, from 1; 0 if it is not in it.
    key: i64,
}

impl Table {
    pub(super) async fn read(
        connection: &mut SqliteConnection,
        table: &TableName,
    ) -> sqlx::Result<Option<Self>> {
        let (name, schema) = (table.table().as_str().to_owned(), schema(table));
        let list = "SELECT type, wr, strict FROM pragma_table_list($1) WHERE schema = $2";
        let row = sqlx::query(list).bind(name.clone()).bind(schema.clone());
        let Some(row) = row.fetch_optional(&mut *connection).await? else { return Ok(None) };
        let columns = sqlx::query(
            "SELECT name, type, \"notnull\", hidden IN (2, 3), pk,
                    coalesce(upper(dflt_value), 'NULL') <> 'NULL' FROM pragma_table_xinfo($1, $2)",
        );
        let columns = columns.bind(name.clone()).bind(schema.clone());
        let columns = columns.fetch_all(&mut *connection).await?;
        let triggers = triggers(connection, table).await?;
        Ok(Some(Self {
            is_view: row.try_get::<String, _>(0)? == "view",
            has_rowid: !row.try_get::<bool, _>(1)?,
            is_strict: row.try_get(2)?,
            columns: columns.iter().map(Column::read).collect::<sqlx::Result<_>>()?,
            unique: unique(connection, &name, &schema).await?,
            triggers,
        }))
    }

    pub(super) fn column(&self, name: &Name) -> Option<&Column> {
        self.columns.iter().find(|column| column.name.eq_ignore_ascii_case(name.as_str()))
    }

    /// Whether the values of a column are unique among all rows, or among those of a condition that is
    /// good enough.
    pub(super) fn is_unique(&self, name: &Name, is_enough: impl Fn(&str) -> bool) -> bool {
        let Some(column) = self.column(name) else { return true };
        // It is the row's number, and has no index.
        let is_rowid = self.has_rowid
            && column.key == 1
            && column.kind.eq_ignore_ascii_case("INTEGER")
            && self.columns.iter().all(|column| column.key < 2);
        is_rowid
            || self.unique.iter().any(|unique| {
                unique.column.eq_ignore_ascii_case(name.as_str())
                    && unique.condition.as_deref().is_none_or(&is_enough)
            })
    }
}

impl Column {
    fn read(row: &SqliteRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get(0)?,
            kind: row.try_get(1)?,
            is_not_null: row.try_get(2)?,
            is_generated: row.try_get(3)?,
            key: row.try_get(4)?,
            has_default: row.try_get(5)?,
        })
    }
}

async fn unique(
    connection: &mut SqliteConnection,
    table: &str,
    schema: &str,
) -> sqlx::Result<Vec<Unique>> {
    let query = format!(
        "SELECT min(x.name), coalesce(min(s.sql), '')
           FROM pragma_index_list($1, $2) AS i, pragma_index_xinfo(i.name, $2) AS x
           LEFT JOIN \"{schema}\".sqlite_schema AS s ON s.type = 'index' AND s.name = i.name
          WHERE i.\"unique\" AND x.key GROUP BY i.name HAVING count(*) = 1"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(query));
    let query = query.bind(table.to_owned()).bind(schema.to_owned());
    let mut found = Vec::new();
    for row in query.fetch_all(connection).await? {
        let (column, sql): (Option<String>, String) = (row.try_get(0)?, row.try_get(1)?);
        let sql = sql.replace(['"', '`', '[', ']'], "");
        let lower = sql.to_ascii_lowercase();
        let condition = lower.rfind(" where ").and_then(|at| sql.get(at + 7..));
        let condition = condition.map(|condition| condition.trim().to_owned());
        // An expression has no name: of these only the letter case is known to keep a login unique.
        let of_case = || {
            let (_, argument) =
                lower.split_once("(lower(").or_else(|| lower.split_once("(upper("))?;
            argument.split_once(')').map(|(column, _)| column.trim().to_owned())
        };
        if let Some(column) = column.or_else(of_case) {
            found.push(Unique { column, condition });
        }
    }
    Ok(found)
}

/// The triggers on the table.
async fn triggers(
    connection: &mut SqliteConnection,
    table: &TableName,
) -> sqlx::Result<Vec<Trigger>> {
    let schema = table.schema().map_or_else(String::new, |schema| format!("{schema}."));
    let sql = format!(
        "SELECT name, upper(sql) FROM {schema}sqlite_schema
          WHERE type = 'trigger' AND tbl_name = $1 COLLATE NOCASE ORDER BY name"
    );
    let query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(table.table().as_str().to_owned());
    let mut found = Vec::new();
    for row in query.fetch_all(connection).await? {
        let text: String = row.try_get(1)?;
        // Before is the default.
        let head: Vec<_> = text.split_whitespace().take_while(|word| *word != "BEGIN").collect();
        let has = |word| head.contains(&word);
        let is_of_update = has("UPDATE");
        let may_stop_update = is_of_update && !has("AFTER");
        found.push(Trigger { name: row.try_get(0)?, may_stop_update, is_of_update });
    }
    Ok(found)
}

fn schema(table: &TableName) -> String {
    table.schema().map_or("main", Name::as_str).to_owned()
}
