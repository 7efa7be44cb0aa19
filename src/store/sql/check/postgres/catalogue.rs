//! What PostgreSQL's catalogue says of a table.
//!
//! The first query names everything with its schema. The others run with `pg_catalog` alone in the
//! `search_path`.

use sqlx::{
    AssertSqlSafe, PgConnection, Row as _,
    postgres::{PgRow, types::Oid},
};

use crate::store::sql::{Name, TableName};

/// A table and its columns, indexes and triggers.
pub(super) struct Table {
    /// The table with its schema, quoted.
    pub(super) name: String,
    /// `pg_class.relkind`.
    pub(super) kind: String,
    pub(super) has_children: bool,
    /// Whether row-level security applies to this role.
    pub(super) filters_rows: bool,
    pub(super) is_updatable: bool,
    pub(super) can_delete: bool,
    pub(super) columns: Vec<Column>,
    pub(super) indexes: Vec<Index>,
    pub(super) triggers: Vec<Trigger>,
    pub(super) rules: Vec<String>,
}

pub(super) struct Column {
    pub(super) name: String,
    /// As SQL writes it.
    pub(super) kind: String,
    /// The type under all domains, `pg_type.typname` if it is PostgreSQL's own.
    pub(super) base: String,
    /// Its `pg_type.typcategory`.
    pub(super) category: String,
    /// The greatest number of characters.
    pub(super) limit: Option<i32>,
    pub(super) is_not_null: bool,
    pub(super) is_generated: bool,
    pub(super) has_default: bool,
    /// Whether equal texts of its collation are equal byte for byte.
    pub(super) is_deterministic: bool,
    pub(super) collation: Oid,
    pub(super) can_select: bool,
    pub(super) can_update: bool,
    pub(super) can_insert: bool,
}

/// An index with a single key.
pub(super) struct Index {
    /// Unique and valid.
    pub(super) is_unique: bool,
    /// The columns that it depends on: one, and then the key is that column or an expression over it.
    pub(super) columns: Vec<String>,
    pub(super) predicate: Option<String>,
    pub(super) collation: Oid,
}

pub(super) struct Trigger {
    pub(super) name: String,
    pub(super) is_enabled: bool,
    /// Before the change of a row, or instead of it.
    pub(super) may_stop_update: bool,
    /// The first argument, and whether the function is relatch's.
    pub(super) channel: String,
    pub(super) is_own: bool,
}

/// What concerns the server and the role.
pub(super) struct Server {
    /// The role, quoted.
    pub(super) role: String,
    pub(super) is_replica: bool,
    pub(super) is_read_only: bool,
    /// Whether a commit is on the disk before it is confirmed.
    pub(super) syncs_commits: bool,
    pub(super) can_notify: bool,
    /// How full the queue of notifications is, 0 to 1.
    pub(super) queue: f64,
    /// The schemas of the `search_path` in which another role may create objects, and that role, both
    /// quoted.
    pub(super) creators: Vec<(String, String)>,
}

/// Begins: remembers the `search_path`, and then uses none but PostgreSQL's own.
pub(super) struct Path {
    setting: String,
    schemas: Vec<String>,
}

impl Path {
    pub(super) async fn leave(connection: &mut PgConnection) -> sqlx::Result<Self> {
        let row = one(
            connection,
            "SELECT pg_catalog.current_setting('search_path'), \
                    CAST(pg_catalog.current_schemas(false) AS pg_catalog.text[])",
        )
        .await?;
        let path = Self { setting: row.try_get(0)?, schemas: row.try_get(1)? };
        run(connection, "SET LOCAL search_path = pg_catalog, pg_temp").await?;
        Ok(path)
    }

    pub(super) async fn enter(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        let set = sqlx::query("SELECT pg_catalog.set_config('search_path', $1, true)");
        set.bind(self.setting.clone()).persistent(false).execute(connection).await.map(drop)
    }
}

/// The table, if there is one of this name on the `search_path`.
pub(super) async fn resolve(
    connection: &mut PgConnection,
    table: &TableName,
) -> sqlx::Result<Option<Oid>> {
    let query = sqlx::query_scalar("SELECT CAST(pg_catalog.to_regclass($1) AS pg_catalog.oid)");
    query.bind(table.to_string()).persistent(false).fetch_one(connection).await
}

/// The schema and the role, quoted, if the role may not use the schema.
pub(super) async fn locked_schema(
    connection: &mut PgConnection,
    schema: &Name,
) -> sqlx::Result<Option<(String, String)>> {
    let query = sqlx::query_as(
        "SELECT pg_catalog.quote_ident(CAST(nspname AS pg_catalog.text)),
                pg_catalog.quote_ident(CAST(current_user AS pg_catalog.text))
           FROM pg_catalog.pg_namespace
          WHERE nspname OPERATOR(pg_catalog.=) CAST($1 AS pg_catalog.name)
            AND NOT pg_catalog.has_schema_privilege(oid, 'USAGE')",
    );
    let query = query.bind(schema.as_str().to_owned()).persistent(false);
    query.fetch_optional(connection).await
}

pub(super) async fn server(connection: &mut PgConnection, path: &Path) -> sqlx::Result<Server> {
    let row = one(
        connection,
        "SELECT quote_ident(current_user), pg_is_in_recovery(),
                current_setting('transaction_read_only') = 'on',
                has_function_privilege('pg_notify(text, text)', 'EXECUTE'),
                pg_notification_queue_usage(),
                current_setting('synchronous_commit') <> 'off'",
    )
    .await?;
    let creators = sqlx::query(
        "SELECT quote_ident(n.nspname),
                CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END
           FROM pg_namespace n, aclexplode(n.nspacl) a
          WHERE n.nspname = ANY($1) AND a.privilege_type = 'CREATE' AND a.grantee <> n.nspowner
            AND a.grantee <> (SELECT oid FROM pg_roles WHERE rolname = current_user)
          ORDER BY array_position($1, CAST(n.nspname AS text))",
    );
    let creators = creators.bind(path.schemas.clone()).persistent(false);
    let creators = creators.fetch_all(connection).await?;
    Ok(Server {
        role: row.try_get(0)?,
        is_replica: row.try_get(1)?,
        is_read_only: row.try_get(2)?,
        can_notify: row.try_get(3)?,
        queue: row.try_get(4)?,
        syncs_commits: row.try_get(5)?,
        creators: creators
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<sqlx::Result<_>>()?,
    })
}

impl Table {
    pub(super) async fn read(connection: &mut PgConnection, oid: Oid) -> sqlx::Result<Self> {
        // The bit of UPDATE in what `pg_relation_is_updatable` returns is 1 << 2.
        let row = sqlx::query(
            "SELECT format('%I.%I', n.nspname, c.relname), CAST(c.relkind AS text),
                    c.relkind = 'r' AND c.relhassubclass,
                    row_security_active(c.oid), pg_relation_is_updatable(c.oid, true) & 4 <> 0,
                    has_table_privilege(c.oid, 'DELETE'),
                    ARRAY(SELECT CAST(rulename AS text) FROM pg_rewrite
                           WHERE ev_class = c.oid AND ev_type <> '1' ORDER BY rulename)
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.oid = $1",
        );
        let row = row.bind(oid).persistent(false).fetch_one(&mut *connection).await?;
        Ok(Self {
            name: row.try_get(0)?,
            kind: row.try_get(1)?,
            has_children: row.try_get(2)?,
            filters_rows: row.try_get(3)?,
            is_updatable: row.try_get(4)?,
            can_delete: row.try_get(5)?,
            rules: row.try_get(6)?,
            columns: all(connection, COLUMNS, oid, Column::read).await?,
            indexes: all(connection, INDEXES, oid, Index::read).await?,
            triggers: all(connection, TRIGGERS, oid, Trigger::read).await?,
        })
    }

    pub(super) fn column(&self, name: &Name) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name.as_str())
    }

    /// A table of PostgreSQL's own, partitioned or not.
    pub(super) fn is_table(&self) -> bool {
        matches!(self.kind.as_str(), "r" | "p")
    }
}

/// The domains over a type are followed to it. 1043 is `varchar`, 1042 `bpchar`, whose modifier is the
/// length and 4.
const COLUMNS: &str = "
WITH RECURSIVE types AS (
    SELECT a.attnum, a.atttypid AS oid, a.atttypmod AS typmod, a.attnotnull AS is_not_null
      FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT types.attnum, t.typbasetype, t.typtypmod, types.is_not_null OR t.typnotnull
      FROM types JOIN pg_type t ON t.oid = types.oid WHERE t.typtype = 'd'
)
SELECT CAST(a.attname AS text), format_type(a.atttypid, a.atttypmod),
       CASE t.typnamespace WHEN CAST('pg_catalog' AS regnamespace) THEN '' ELSE 'other ' END
           || t.typname,
       CAST(t.typcategory AS text),
       CASE WHEN t.oid IN (1042, 1043) AND types.typmod > 4 THEN types.typmod - 4 END,
       types.is_not_null, a.attgenerated <> '', coalesce(c.collisdeterministic, true), a.attcollation,
       has_column_privilege(a.attrelid, a.attnum, 'SELECT'),
       has_column_privilege(a.attrelid, a.attnum, 'UPDATE'),
       has_column_privilege(a.attrelid, a.attnum, 'INSERT'), a.atthasdef
  FROM types
  JOIN pg_type t ON t.oid = types.oid AND t.typtype <> 'd'
  JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = types.attnum
  LEFT JOIN pg_collation c ON c.oid = a.attcollation";

impl Column {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get(0)?,
            kind: row.try_get(1)?,
            base: row.try_get(2)?,
            category: row.try_get(3)?,
            limit: row.try_get(4)?,
            is_not_null: row.try_get(5)?,
            is_generated: row.try_get(6)?,
            is_deterministic: row.try_get(7)?,
            collation: row.try_get(8)?,
            can_select: row.try_get(9)?,
            can_update: row.try_get(10)?,
            can_insert: row.try_get(11)?,
            has_default: row.try_get(12)?,
        })
    }
}

/// The columns of a key that is an expression are those that the index depends on.
const INDEXES: &str = "
SELECT i.indisunique AND i.indisvalid,
       ARRAY(SELECT DISTINCT CAST(a.attname AS text) FROM pg_attribute a
              WHERE a.attrelid = i.indrelid
                AND (a.attnum = i.indkey[0]
                     OR i.indkey[0] = 0 AND a.attnum IN (
                         SELECT d.refobjsubid FROM pg_depend d
                          WHERE d.classid = CAST('pg_class' AS regclass) AND d.objid = i.indexrelid
                            AND d.refclassid = CAST('pg_class' AS regclass)
                            AND d.refobjid = i.indrelid))),
       pg_get_expr(i.indpred, i.indrelid), i.indcollation[0]
  FROM pg_index i WHERE i.indrelid = $1 AND i.indnkeyatts = 1";

impl Index {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            is_unique: row.try_get(0)?,
            columns: row.try_get(1)?,
            predicate: row.try_get(2)?,
            collation: row.try_get(3)?,
        })
    }
}

/// The bits of `tgtype`: 1 for each row, 2 before, 16 update, 64 instead.
const TRIGGERS: &str = "
SELECT CAST(t.tgname AS text), t.tgenabled <> 'D',
       t.tgtype & 16 <> 0 AND (t.tgtype & 3 = 3 OR t.tgtype & 64 <> 0),
       split_part(encode(t.tgargs, 'escape'), '\\000', 1), p.proname = 'relatch_changed'
  FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.tgrelid = $1 AND NOT t.tgisinternal ORDER BY t.tgname";

impl Trigger {
    fn read(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get(0)?,
            is_enabled: row.try_get(1)?,
            may_stop_update: row.try_get(2)?,
            channel: row.try_get(3)?,
            is_own: row.try_get(4)?,
        })
    }
}

async fn one(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<PgRow> {
    sqlx::query(sql).persistent(false).fetch_one(connection).await
}

async fn all<T>(
    connection: &mut PgConnection,
    sql: &'static str,
    oid: Oid,
    read: fn(&PgRow) -> sqlx::Result<T>,
) -> sqlx::Result<Vec<T>> {
    let rows = sqlx::query(sql).bind(oid).persistent(false).fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

pub(super) async fn run(
    connection: &mut PgConnection,
    sql: impl Into<String>,
) -> sqlx::Result<Vec<PgRow>> {
    sqlx::raw_sql(AssertSqlSafe(sql.into())).fetch_all(connection).await
}
