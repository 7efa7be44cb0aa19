//! A check of a table in PostgreSQL.

use relatch::store::{
    GroupsTable, IdType, NewUser, PostgresOptions, PostgresStore, StoreErrorKind, UserKey,
    UserStore,
};
use sqlx::{AssertSqlSafe, PgPool};

use super::{
    super::{
        HASH,
        databases::{postgres, postgres_url, run_postgres, unique, url_of},
    },
    COLUMNS, PROBLEM, SOFT, WARNING, check, described, is_clean, one, soft, table,
};

/// A table of this SQL, with relatch's triggers, the server's superuser and a store over it. In the SQL
/// the table is called `accounts`.
struct Checked {
    name: String,
    pool: PgPool,
    store: PostgresStore,
}

impl Checked {
    async fn new(sql: &str) -> Option<Self> {
        Self::of(sql, described).await
    }

    async fn of(
        sql: &str,
        described: impl FnOnce(&str) -> relatch::store::UsersTable,
    ) -> Option<Self> {
        let pool = postgres().await?;
        let name = unique("checked");
        run_postgres(&pool, sql.replace("accounts", &name)).await;
        let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
        store.migrate_triggers().await.unwrap();
        Some(Self { name, pool, store })
    }

    async fn run(&self, sql: &str) {
        run_postgres(&self.pool, sql.replace("accounts", &self.name)).await;
    }

    /// The one finding, which its SQL mends if it has any.
    async fn is_mended(&self, severity: relatch::store::Severity, subject: &str, words: &str) {
        let report = check(&self.store).await;
        let subject = subject.replace("accounts", &self.name);
        let finding = one(&report, severity, &subject, words);
        if let Some(sql) = finding.sql() {
            run_postgres(&self.pool, sql).await;
            // A column that is added alone has no default.
            for warning in check(&self.store).await.findings() {
                assert!(warning.severity() == WARNING && subject.ends_with("token_version"));
                run_postgres(&self.pool, warning.sql().unwrap()).await;
            }
            is_clean(&self.store).await;
        }
    }

    /// A store of another role with the right to use the schema alone, and the role.
    async fn of_role(&self) -> (PostgresStore, String) {
        let role = unique("role");
        self.run(&format!("CREATE ROLE {role} LOGIN")).await;
        let url = url_of(&role, "postgres").unwrap();
        (PostgresStore::connect(&url, described(&self.name)).await.unwrap(), role)
    }

    async fn drop_role(&self, role: &str) {
        self.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    }
}

#[tokio::test]
async fn a_table_that_fits_has_no_findings() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    is_clean(&checked.store).await;
    assert!(checked.store.insert(NewUser::with_password_hash("1", "a", HASH)).await.unwrap());
    is_clean(&checked.store).await;
    checked.store.migrate().await.unwrap();
    is_clean(&checked.store).await;
    let nowhere = PostgresStore::new(checked.pool.clone(), described("nowhere")).unwrap();
    one(&check(&nowhere).await, PROBLEM, "nowhere", "no such table");
    checked.run("DROP TABLE accounts").await;
    one(&check(&checked.store).await, PROBLEM, &checked.name, "no such table");
}

#[tokio::test]
async fn a_missing_column() {
    for (column, _) in COLUMNS {
        let Some(checked) = Checked::new(&table("accounts", column, "")).await else { return };
        let is_added = !matches!(column, "id" | "login" | "password_hash");
        let report = check(&checked.store).await;
        let finding = one(&report, PROBLEM, column, "no such");
        assert_eq!(finding.sql().is_some(), is_added, "{report}");
        if column == "token_version" {
            run_postgres(&checked.pool, finding.sql().unwrap()).await;
            checked.is_mended(WARNING, column, "its first version").await;
            continue;
        }
        checked.is_mended(PROBLEM, column, "no such column").await;
    }
}

#[tokio::test]
async fn a_column_of_another_type() {
    for (column, definition, words) in [
        ("token_version", "INTEGER DEFAULT 1", "every other bump"),
        ("token_version", "SMALLINT DEFAULT 1", "every other bump"),
        ("token_version", "NUMERIC DEFAULT 1", "every other bump"),
        ("token_version", "TEXT DEFAULT '1'", "every other bump"),
        ("sessions", "JSONB", "every login fails"),
        ("sessions", "JSON", "every login fails"),
        ("sessions", "INTEGER", "every change fails"),
        ("lanes", "JSONB", "every login fails"),
        ("carried", "BYTEA", "every change fails"),
        ("password_hash", "CHAR(200)", "adds blanks"),
        ("is_active", "TIMESTAMPTZ", "no user can be read"),
        ("login", "INTEGER NOT NULL UNIQUE", "no user can log in"),
        ("id", "BYTEA PRIMARY KEY", "IdType::UuidBytes"),
    ] {
        let Some(checked) = Checked::new(&table("accounts", column, definition)).await else {
            return;
        };
        let error = checked.store.migrate().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        checked.is_mended(PROBLEM, column, words).await;
    }
}

/// Under a domain the type itself is meant.
#[tokio::test]
async fn a_domain_counts_as_its_base_type() {
    let (big, short) = (unique("big"), unique("short"));
    let domains = format!("CREATE DOMAIN {big} AS BIGINT; CREATE DOMAIN {short} AS VARCHAR(50)");
    let sql =
        format!("{domains}; {}", table("accounts", "token_version", &format!("{big} DEFAULT 1")));
    let Some(checked) = Checked::new(&sql).await else { return };
    is_clean(&checked.store).await;
    checked.run(&format!("ALTER TABLE accounts ALTER password_hash TYPE {short}")).await;
    checked.is_mended(PROBLEM, "password_hash", "holds 50 characters").await;
}

#[tokio::test]
async fn a_column_that_is_too_narrow() {
    for (severity, column, kind) in [
        (PROBLEM, "password_hash", "VARCHAR(60)"),
        (WARNING, "password_hash", "VARCHAR(100)"),
        (PROBLEM, "carried", "VARCHAR(64)"),
        (PROBLEM, "secret", "VARCHAR(32)"),
        (PROBLEM, "sessions", "VARCHAR(255)"),
        (WARNING, "sessions", "VARCHAR(4000)"),
        (WARNING, "lanes", "VARCHAR(255)"),
    ] {
        let Some(checked) = Checked::new(&table("accounts", column, kind)).await else { return };
        checked.is_mended(severity, column, "characters").await;
    }
    let Some(checked) = Checked::new(&table("accounts", "password_hash", "VARCHAR(255)")).await
    else {
        return;
    };
    is_clean(&checked.store).await;
}

#[tokio::test]
async fn a_column_that_relatch_cannot_write() {
    for (column, definition, words) in [
        ("sessions", "TEXT NOT NULL DEFAULT ''", "NOT NULL"),
        ("carried", "TEXT NOT NULL DEFAULT ''", "NOT NULL"),
        ("is_active", "BOOLEAN GENERATED ALWAYS AS (TRUE) STORED", "generated"),
    ] {
        let Some(checked) = Checked::new(&table("accounts", column, definition)).await else {
            return;
        };
        checked.is_mended(PROBLEM, column, words).await;
    }
}

/// It is refused before anything is changed.
#[tokio::test]
async fn a_migration_refuses_columns_that_do_not_fit() {
    let Some(pool) = postgres().await else { return };
    let name = unique("checked");
    let sql = format!(
        "CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                              token_version INTEGER)"
    );
    run_postgres(&pool, sql).await;
    let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("token_version") && source.contains("integer"), "{source}");
    let count =
        format!("SELECT count(*) FROM information_schema.columns WHERE table_name = '{name}'");
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&pool).await.unwrap();
    assert_eq!(count, 4, "nothing was added");
}

#[tokio::test]
async fn a_login_or_an_id_that_is_not_unique() {
    for (column, definition) in [("login", "TEXT NOT NULL"), ("id", "TEXT NOT NULL")] {
        for index in [
            "",
            "CREATE INDEX ON accounts (login); CREATE INDEX ON accounts (id)",
            "CREATE UNIQUE INDEX ON accounts (id, login)",
            "CREATE UNIQUE INDEX ON accounts (login) WHERE secret IS NULL;
             CREATE UNIQUE INDEX ON accounts (id) WHERE secret IS NULL",
        ] {
            let sql = table("accounts", column, definition) + ";" + index;
            let Some(checked) = Checked::new(&sql).await else { return };
            checked.is_mended(PROBLEM, column, "no unique index").await;
        }
    }
}

/// Two logins of one letter case are not equal either, but this index does not serve the look-up.
#[tokio::test]
async fn a_unique_index_on_the_login_in_lower_case() {
    let index = "CREATE UNIQUE INDEX ON accounts (lower(login))";
    let sql = format!("{}; {index}", table("accounts", "login", "TEXT NOT NULL"));
    let Some(checked) = Checked::new(&sql).await else { return };
    checked.is_mended(WARNING, "accounts.login", "reads the whole table").await;
}

/// With such a collation two texts are one login that are not equal byte for byte.
#[tokio::test]
async fn a_unique_index_of_another_collation() {
    let collation = unique("folding");
    let sql = format!(
        "CREATE COLLATION {collation} (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
         {}; CREATE UNIQUE INDEX ON accounts (login COLLATE \"C\")",
        table("accounts", "login", &format!("TEXT COLLATE {collation} NOT NULL"))
    );
    let Some(checked) = Checked::new(&sql).await else { return };
    checked.is_mended(PROBLEM, "accounts.login", "no unique index").await;
}

/// The catalogue shows nothing of it: only the prepared statement does.
#[tokio::test]
async fn a_statement_that_the_server_refuses_to_prepare() {
    let columns =
        "id, login, password_hash, token_version, carried, sessions, lanes, secret, is_active";
    let computed = columns.replace(" carried", " COALESCE(carried) AS carried");
    let of_people = table("people", "", "").replace("people", "accounts_people");
    let view =
        format!("{of_people}; CREATE VIEW accounts AS SELECT {computed} FROM accounts_people");
    let Some(pool) = postgres().await else { return };
    let name = unique("checked");
    run_postgres(&pool, view.replace("accounts", &name)).await;
    let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
    let report = check(&store).await;
    let words = "the database refuses the statement that changes a user";
    let refused = report.findings().iter().filter(|finding| finding.text().starts_with(words));
    let refused: Vec<_> = refused.collect();
    assert!(!refused.is_empty() && refused.iter().all(|f| f.severity() == PROBLEM), "{report}");

    // The application inserts its users itself, so this is no problem.
    let id = "TEXT GENERATED ALWAYS AS (login) STORED PRIMARY KEY";
    let Some(checked) = Checked::new(&table("accounts", "id", id)).await else { return };
    checked.is_mended(WARNING, "accounts", "the store's `insert` fails").await;
}

#[tokio::test]
async fn users_whom_no_token_can_be_bound_to() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    checked.run(super::UNBOUND).await;
    let report = check(&checked.store).await;
    let sql = one(&report, WARNING, ".password_hash", "6 have no").sql().unwrap();
    assert_eq!(checked.store.secrets_sql().unwrap(), format!("{sql};\n"));
    super::are_bound(&checked.store, sql, async |sql| run_postgres(&checked.pool, sql).await).await;

    // A table without a column for secrets.
    let plain = relatch::store::UsersTable::named(&checked.name).active("is_active");
    let plain = PostgresStore::new(checked.pool.clone(), plain).unwrap();
    assert!(plain.secrets_sql().is_none());
    one(&check(&plain).await, WARNING, "password_hash", "UsersTable::secret");
}

#[tokio::test]
async fn rights_that_the_role_lacks() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    let (store, role) = checked.of_role().await;
    let grants = [
        (PROBLEM, "may not read", "SELECT"),
        (PROBLEM, "may not update", "UPDATE"),
        (WARNING, "may not delete", "DELETE"),
        (WARNING, "may not insert", "INSERT"),
    ];
    for (severity, words, _) in grants {
        let report = check(&store).await;
        let finding = report.findings().iter().find(|finding| finding.text().contains(words));
        let finding = finding.unwrap_or_else(|| panic!("{words}: {report}"));
        assert_eq!(finding.severity(), severity);
        assert!(finding.text().contains(&role), "{finding}");
        run_postgres(&checked.pool, finding.sql().unwrap()).await;
    }
    is_clean(&store).await;

    // A single column.
    checked.run(&format!("REVOKE ALL ON accounts FROM {role}")).await;
    checked.run(&format!("GRANT SELECT, DELETE, INSERT ON accounts TO {role}")).await;
    let granted = "token_version, password_hash, carried, lanes, secret, is_active";
    checked.run(&format!("GRANT UPDATE ({granted}) ON accounts TO {role}")).await;
    let report = check(&store).await;
    let finding = one(&report, PROBLEM, &checked.name, "may not update \"sessions\"");
    run_postgres(&checked.pool, finding.sql().unwrap()).await;
    is_clean(&store).await;
    checked.drop_role(&role).await;
}

/// Rows that can be read and not changed.
#[tokio::test]
async fn row_level_security_that_lets_nothing_be_changed() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    let (store, role) = checked.of_role().await;
    checked
        .run(&format!(
            "GRANT ALL ON accounts TO {role}; ALTER TABLE accounts ENABLE ROW LEVEL SECURITY;
             CREATE POLICY read ON accounts FOR SELECT USING (true)"
        ))
        .await;
    one(&check(&store).await, WARNING, &checked.name, "row-level security");
    checked
        .run("INSERT INTO accounts (id, login, secret, token_version) VALUES ('1', 'ada', 's', 7)")
        .await;
    let report = check(&store).await;
    let finding = one(&report, PROBLEM, &checked.name, "row-level security");
    run_postgres(&checked.pool, finding.sql().unwrap()).await;
    is_clean(&store).await;
    let row = store.read(UserKey::Id("1")).await.unwrap().unwrap();
    assert_eq!(row.columns.version, Some(7), "a check writes nothing that stays");
    checked.drop_role(&role).await;
}

#[tokio::test]
async fn a_trigger_that_stops_each_change() {
    let function = unique("stops");
    let sql = format!(
        "{}; CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER stops BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION {function}()",
        table("accounts", "", "")
    );
    let Some(checked) = Checked::new(&sql).await else { return };
    one(&check(&checked.store).await, WARNING, &checked.name, "\"stops\"");
    checked.run("INSERT INTO accounts (id, login, secret) VALUES ('1', 'ada', 's')").await;
    let report = check(&checked.store).await;
    one(&report, PROBLEM, &checked.name, "changes nothing");
    checked.run("ALTER TABLE accounts DISABLE TRIGGER stops").await;
    is_clean(&checked.store).await;
}

#[tokio::test]
async fn a_rule() {
    let rule = "CREATE RULE keep AS ON UPDATE TO accounts DO INSTEAD NOTHING";
    let sql = format!("{}; {rule}", table("accounts", "", ""));
    let Some(checked) = Checked::new(&sql).await else { return };
    let report = check(&checked.store).await;
    assert!(report.to_string().contains("the rule \"keep\""), "{report}");
}

#[tokio::test]
async fn a_view_a_partitioned_table_and_one_that_is_inherited() {
    let Some(pool) = postgres().await else { return };
    let (rows, view) = (unique("rows"), unique("view"));
    run_postgres(&pool, table(&rows, "", "")).await;
    run_postgres(&pool, format!("CREATE VIEW {view} AS SELECT * FROM {rows}")).await;
    let of = |name: &str| PostgresStore::new(pool.clone(), described(name)).unwrap();
    one(&check(&of(&view)).await, WARNING, &view, "it is a view");
    let view = unique("view");
    run_postgres(&pool, format!("CREATE VIEW {view} AS SELECT DISTINCT * FROM {rows}")).await;
    one(&check(&of(&view)).await, PROBLEM, &view, "cannot be updated");

    let child = format!("CREATE TABLE {rows}_child () INHERITS ({rows})");
    run_postgres(&pool, child).await;
    of(&rows).migrate_triggers().await.unwrap();
    one(&check(&of(&rows)).await, WARNING, &rows, "inherit");

    let parts = unique("parts");
    let login = table(&parts, "login", "TEXT NOT NULL") + " PARTITION BY HASH (id)";
    run_postgres(&pool, login).await;
    let part = "CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0)";
    run_postgres(&pool, part.replace("parts", &parts)).await;
    of(&parts).migrate_triggers().await.unwrap();
    // A unique index on a partitioned table has the key of its partitions.
    one(&check(&of(&parts)).await, PROBLEM, &format!("{parts}.login"), "no unique index");
}

#[tokio::test]
async fn a_server_that_cannot_be_written() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    let (_, role) = checked.of_role().await;
    checked.run(&format!("GRANT ALL ON accounts TO {role}")).await;
    checked.run(&format!("ALTER ROLE {role} SET default_transaction_read_only = on")).await;
    let url = url_of(&role, "postgres").unwrap();
    let connect = async || PostgresStore::connect(&url, described(&checked.name)).await.unwrap();
    let report = check(&connect().await).await;
    let finding = one(&report, PROBLEM, "server", "read-only");
    run_postgres(&checked.pool, finding.sql().unwrap()).await;
    is_clean(&connect().await).await;
    checked.drop_role(&role).await;
}

/// Others may create a table of this name in a schema that is searched first.
#[tokio::test]
async fn a_schema_in_which_others_may_create() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    let (schema, role) = (unique("schema"), unique("role"));
    checked.run(&format!("CREATE ROLE {role}; CREATE SCHEMA {schema}")).await;
    checked.run(&format!("GRANT ALL ON SCHEMA {schema} TO {role}, PUBLIC")).await;
    let url = format!("{}&options=-c%20search_path%3D{schema},public", postgres_url().unwrap());
    let store = PostgresStore::connect(&url, described(&checked.name)).await.unwrap();
    for who in ["PUBLIC", &role] {
        let report = check(&store).await;
        let finding = one(&report, WARNING, "search_path", &format!("{who} may create"));
        run_postgres(&checked.pool, finding.sql().unwrap()).await;
    }
    is_clean(&store).await;
    checked.run(&format!("GRANT ALL ON SCHEMA {schema} TO PUBLIC")).await;
    let named = described(&format!("public.{}", checked.name));
    is_clean(&PostgresStore::connect(&url, named).await.unwrap()).await;
    checked.run(&format!("DROP SCHEMA {schema}; DROP OWNED BY {role}; DROP ROLE {role}")).await;
}

#[tokio::test]
async fn missing_triggers() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    checked.store.drop_triggers().await.unwrap();
    checked.store.drop_triggers().await.unwrap();
    one(&check(&checked.store).await, WARNING, &checked.name, "migrate_triggers");
    run_postgres(&checked.pool, checked.store.triggers_sql()).await;
    is_clean(&checked.store).await;
    run_postgres(&checked.pool, checked.store.drop_triggers_sql()).await;
    one(&check(&checked.store).await, WARNING, &checked.name, "migrate_triggers");
    checked.store.migrate_triggers().await.unwrap();
    checked.run("ALTER TABLE accounts DISABLE TRIGGER relatch_updated").await;
    one(&check(&checked.store).await, WARNING, &checked.name, "migrate_triggers");
    checked.store.migrate_triggers().await.unwrap();
    let other = PostgresOptions::new().channel("other");
    let other = other.over(checked.pool.clone(), described(&checked.name)).unwrap();
    one(&check(&other).await, WARNING, &checked.name, "\"other\"");
}

#[tokio::test]
async fn a_pooler_without_a_url_to_listen_by() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    let pooled = || PostgresOptions::new().behind_pooler();
    let over = |options: PostgresOptions| {
        options.over(checked.pool.clone(), described(&checked.name)).unwrap()
    };
    one(&check(&over(pooled())).await, WARNING, "listen_url", "cache's bound");
    is_clean(&over(pooled().listen_url(postgres_url().unwrap()))).await;
}

#[tokio::test]
async fn a_table_of_groups() {
    for (columns, subject, words) in [
        ("id TEXT, epoch BIGINT", "_t.id", "no unique index"),
        ("id TEXT PRIMARY KEY", "_t.epoch", "no such column"),
        ("id TEXT PRIMARY KEY, epoch INTEGER", "_t.epoch", "every other bump"),
        (
            "id TEXT PRIMARY KEY, epoch BIGINT GENERATED ALWAYS AS (1) STORED",
            "_t.epoch",
            "generated",
        ),
    ] {
        let accounts = table("accounts", "secret", "TEXT, tenant TEXT");
        let sql = format!("CREATE TABLE accounts_t ({columns}); {accounts}");
        let described = |name: &str| {
            let groups = GroupsTable::named(&format!("{name}_t"));
            described(name).user_epoch("tenant", "tenant", groups)
        };
        let Some(checked) = Checked::of(&sql, described).await else { return };
        checked.is_mended(PROBLEM, subject, words).await;
    }
}

/// The look-up by id reads the whole table only if no index can serve.
#[tokio::test]
async fn look_ups_have_an_index() {
    for (id_type, id) in [
        (IdType::Text, "CHAR(36) PRIMARY KEY"),
        (IdType::Text, "VARCHAR(40) PRIMARY KEY"),
        (IdType::Uuid, "UUID PRIMARY KEY"),
        (IdType::Integer, "INTEGER PRIMARY KEY"),
    ] {
        let sql = table("accounts", "id", id);
        let described = |name: &str| described(name).id_type(id_type);
        let Some(checked) = Checked::of(&sql, described).await else { return };
        is_clean(&checked.store).await;
    }
    let sql = table("accounts", "login", "TEXT NOT NULL");
    let hash = "CREATE UNIQUE INDEX ON accounts (lower(login)); CREATE INDEX ON accounts USING hash (login)";
    let Some(checked) = Checked::new(&format!("{sql}; {hash}")).await else { return };
    is_clean(&checked.store).await;
}

#[tokio::test]
async fn a_login_is_unique_among_live_rows() {
    for (column, is_time, condition) in SOFT {
        let accounts = table("accounts", "login", &format!("TEXT NOT NULL, {column}"));
        let index = format!("CREATE UNIQUE INDEX ON accounts (login) WHERE {condition}");
        let sql = format!("{accounts}; {index}");
        let Some(checked) = Checked::of(&sql, |name| soft(name, is_time)).await else { return };
        let report = check(&checked.store).await;
        assert!(report.is_ok(), "{condition}: {report}");
        // It has the store's own condition.
        if !condition.contains('"') {
            assert!(report.findings().is_empty(), "{condition}: {report}");
        }
        // For rows that are all users it is not enough.
        let plain = PostgresStore::new(checked.pool.clone(), described(&checked.name)).unwrap();
        let report = check(&plain).await;
        assert!(!report.is_ok() && report.to_string().contains("no unique index"), "{report}");
    }
}

/// Values that the column's type allows and that no user's row may hold.
#[tokio::test]
async fn values_in_another_form() {
    let uuid = "67E55044-10B1-426F-9247-BB680E5FE0C8";
    for (column, definition, id_type, row, words) in [
        ("id", "TEXT PRIMARY KEY", IdType::Uuid, format!("('{uuid}', 'a')"), "UUID in lower case"),
        ("id", "BYTEA PRIMARY KEY", IdType::UuidBytes, "('\\x00', 'a')".to_owned(), "not 16 bytes"),
        (
            "is_active",
            "SMALLINT DEFAULT 2",
            IdType::Text,
            "('1', 'a')".to_owned(),
            "other than NULL",
        ),
        (
            "is_active",
            "TEXT DEFAULT 'yes'",
            IdType::Text,
            "('1', 'a')".to_owned(),
            "other than NULL",
        ),
    ] {
        let sql = format!(
            "{}; INSERT INTO accounts (id, login) VALUES {row}; UPDATE accounts SET secret = 's'",
            table("accounts", column, definition)
        );
        let described = |name: &str| described(name).id_type(id_type);
        let Some(checked) = Checked::of(&sql, described).await else { return };
        checked.is_mended(PROBLEM, column, words).await;
    }
}

/// A policy that hides every row proves nothing, and neither does a check that cannot lock the row.
#[tokio::test]
async fn a_check_does_not_wait_for_locks() {
    let trigger = "CREATE TRIGGER same BEFORE UPDATE ON accounts
                   FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()";
    let sql = format!("{}; {trigger}", table("accounts", "", ""));
    let Some(checked) = Checked::new(&sql).await else { return };
    checked.run("INSERT INTO accounts (id, login, secret) VALUES ('1', 'ada', 's')").await;
    let mut other = checked.pool.begin().await.unwrap();
    let lock = format!("SELECT 1 FROM {} FOR UPDATE", checked.name);
    sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut *other).await.unwrap();
    one(&check(&checked.store).await, WARNING, &checked.name, "\"same\"");
    other.rollback().await.unwrap();
    one(&check(&checked.store).await, WARNING, &checked.name, "\"same\"");
}

#[tokio::test]
async fn a_trigger_that_puts_the_old_version_back() {
    let function = unique("keeps");
    let sql = format!(
        "{}; CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN NEW.token_version := OLD.token_version; RETURN NEW; END $$;
         CREATE TRIGGER keeps BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION {function}()",
        table("accounts", "", "")
    );
    let Some(checked) = Checked::new(&sql).await else { return };
    checked
        .run("INSERT INTO accounts (id, login, secret, token_version) VALUES ('1', 'ada', 's', 7)")
        .await;
    let report = check(&checked.store).await;
    one(&report, PROBLEM, &checked.name, "changes nothing");
    checked.run("ALTER TABLE accounts DISABLE TRIGGER keeps").await;
    is_clean(&checked.store).await;
}

#[tokio::test]
async fn a_server_that_forgets_its_last_commits_in_a_crash() {
    let Some(checked) = Checked::new(&table("accounts", "", "")).await else { return };
    let (_, role) = checked.of_role().await;
    checked.run(&format!("GRANT ALL ON accounts TO {role}")).await;
    checked.run(&format!("ALTER ROLE {role} SET synchronous_commit = off")).await;
    let url = postgres_url().unwrap().replace("postgres@", &format!("{role}@"));
    let connect = async || PostgresStore::connect(&url, described(&checked.name)).await.unwrap();
    let report = check(&connect().await).await;
    let finding = one(&report, PROBLEM, "synchronous_commit", "may undo a revocation");
    run_postgres(&checked.pool, finding.sql().unwrap()).await;
    is_clean(&connect().await).await;
    checked.drop_role(&role).await;
}

/// A check whose caller hangs up, such as a probe of health with a timeout of its own, leaves nothing
/// behind on its connection.
#[tokio::test]
async fn a_check_that_is_given_up() {
    let function = unique("changes");
    let sql = format!(
        "{}; CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN RETURN NEW; END $$;
         CREATE TRIGGER changes BEFORE UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION {function}();
         INSERT INTO accounts (id, login, secret) VALUES ('1', 'ada', 's')",
        table("accounts", "", "")
    );
    let Some(checked) = Checked::new(&sql).await else { return };
    let options = PostgresOptions::new().max_connections(1);
    let store = options.connect(&postgres_url().unwrap(), described(&checked.name)).await.unwrap();
    assert!(check(&store).await.is_ok());
    let mut other = checked.pool.begin().await.unwrap();
    let lock = format!("SELECT FROM {} FOR UPDATE", checked.name);
    sqlx::query(AssertSqlSafe(lock)).execute(&mut *other).await.unwrap();
    let hasty = tokio::time::timeout(std::time::Duration::from_millis(500), store.check()).await;
    assert!(hasty.is_err(), "the check waits for the row");
    other.rollback().await.unwrap();
    let report = check(&store).await;
    assert!(report.is_ok(), "{report}");
}
