//! A check of a table in SQLite.

use relatch::store::{GroupsTable, IdType, SqliteStore, StoreErrorKind, UserStore, UsersTable};
use sqlx::{
    SqlitePool,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    super::databases::{Directory, run_sqlite},
    COLUMNS, PROBLEM, SOFT, WARNING, check, described, is_clean, one, soft, table,
};

/// A database with these tables, and a store over `accounts` in it.
async fn store(sql: &str) -> (Directory, SqlitePool, SqliteStore) {
    store_of(sql, described("accounts")).await
}

async fn store_of(sql: &str, table: UsersTable) -> (Directory, SqlitePool, SqliteStore) {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, sql).await;
    let store = SqliteStore::new(pool.clone(), table).unwrap();
    (directory, pool, store)
}

#[tokio::test]
async fn a_table_that_fits_has_no_findings() {
    for end in ["", " STRICT", " WITHOUT ROWID"] {
        let sql = table("accounts", "is_active", "INTEGER NOT NULL DEFAULT 1") + end;
        let (_directory, pool, store) = store(&sql.replace("BIGINT", "INTEGER")).await;
        is_clean(&store).await;
        run_sqlite(&pool, "INSERT INTO accounts (id, login, secret) VALUES ('1', 'ada', 's')")
            .await;
        is_clean(&store).await;
    }
    let directory = Directory::new();
    let ready = SqliteStore::open(directory.file(), UsersTable::ready()).await.unwrap();
    let report = check(&ready).await;
    one(&report, PROBLEM, "relatch_users", "no such table");
    assert_eq!(report.into_result().unwrap_err().kind(), StoreErrorKind::Misconfigured);
    ready.migrate().await.unwrap();
    is_clean(&ready).await;
}

#[tokio::test]
async fn users_whom_no_token_can_be_bound_to() {
    let (_directory, pool, store) = store(&table("accounts", "", "")).await;
    run_sqlite(&pool, super::UNBOUND).await;
    let report = check(&store).await;
    let sql = one(&report, WARNING, "accounts.password_hash", "6 have no").sql().unwrap();
    assert_eq!(store.secrets_sql().unwrap(), format!("{sql};\n"));
    super::are_bound(&store, sql, async |sql| run_sqlite(&pool, sql).await).await;

    // A table without a column for secrets.
    let plain = UsersTable::named("accounts").active("is_active");
    let plain = SqliteStore::new(pool, plain).unwrap();
    assert!(plain.secrets_sql().is_none());
    one(&check(&plain).await, WARNING, "password_hash", "UsersTable::secret");
}

#[tokio::test]
async fn a_missing_column() {
    for (column, _) in COLUMNS {
        let (_directory, pool, store) = store(&table("accounts", column, "")).await;
        let report = check(&store).await;
        let finding = one(&report, PROBLEM, column, "no such column");
        let is_added = !matches!(column, "id" | "login" | "password_hash");
        assert_eq!(finding.sql().is_some(), is_added, "{finding}");
        if let Some(sql) = finding.sql() {
            run_sqlite(&pool, sql).await;
            // The column alone has no default.
            for warning in check(&store).await.findings() {
                assert_eq!((warning.severity(), column), (WARNING, "token_version"));
                run_sqlite(&pool, warning.sql().unwrap()).await;
            }
            is_clean(&store).await;
        }
    }
}

#[tokio::test]
async fn a_column_of_a_type_that_changes_what_is_written() {
    for (column, definition, end) in [
        ("token_version", "TEXT DEFAULT 1", ""),
        ("token_version", "DOUBLE DEFAULT 1", ""),
        ("sessions", "BLOB", " STRICT"),
        ("lanes", "INTEGER", " STRICT"),
    ] {
        let sql = table("accounts", column, definition) + end;
        let sql = match end {
            "" => sql,
            _ => sql.replace("BIGINT", "INTEGER").replace("BOOLEAN", "INTEGER"),
        };
        let (_directory, _, store) = store(&sql).await;
        let kind = definition.trim_end_matches(" DEFAULT 1");
        one(&check(&store).await, PROBLEM, column, kind);
        let error = store.migrate().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    }
}

#[tokio::test]
async fn a_column_that_relatch_cannot_write() {
    for (column, definition, words) in [
        ("sessions", "TEXT NOT NULL DEFAULT ''", "NOT NULL"),
        ("carried", "TEXT NOT NULL DEFAULT ''", "NOT NULL"),
        ("is_active", "INTEGER GENERATED ALWAYS AS (1) VIRTUAL", "generated"),
        ("token_version", "INTEGER GENERATED ALWAYS AS (1) STORED", "generated"),
    ] {
        let (_directory, _, store) = store(&table("accounts", column, definition)).await;
        one(&check(&store).await, PROBLEM, column, words);
    }
}

/// It is refused before anything is changed.
#[tokio::test]
async fn a_migration_refuses_columns_that_do_not_fit() {
    let sql = "CREATE TABLE accounts (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                                      sessions TEXT NOT NULL DEFAULT '')";
    let (_directory, pool, store) = store(sql).await;
    let error = store.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("sessions") && source.contains("NOT NULL"), "{source}");
    let count = "SELECT count(*) FROM pragma_table_info('accounts')";
    let count: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(count, 4, "nothing was added");
}

#[tokio::test]
async fn a_login_or_an_id_that_is_not_unique() {
    for (column, definition) in [("login", "TEXT NOT NULL"), ("id", "TEXT NOT NULL")] {
        for index in [
            "",
            "CREATE INDEX i ON accounts (login); CREATE INDEX j ON accounts (id)",
            "CREATE UNIQUE INDEX i ON accounts (id, login)",
            "CREATE UNIQUE INDEX i ON accounts (login) WHERE secret IS NULL;
             CREATE UNIQUE INDEX j ON accounts (id) WHERE secret IS NULL",
        ] {
            let sql = table("accounts", column, definition) + ";" + index;
            let (_directory, pool, store) = store(&sql).await;
            let report = check(&store).await;
            let finding = one(&report, PROBLEM, column, "no unique index");
            let error = store.migrate().await.unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
            run_sqlite(&pool, finding.sql().unwrap()).await;
            is_clean(&store).await;
        }
    }
}

#[tokio::test]
async fn ids_in_another_form() {
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let upper = format!("'{}'", uuid.to_uppercase());
    let bare = format!("'{}'", uuid.replace('-', ""));
    let blob = "x'67e5504410b1426f9247bb680e5fe0c8'";
    for (id_type, id, words) in [
        (IdType::Text, blob, "UuidBytes"),
        (IdType::Uuid, blob, "UuidBytes"),
        (IdType::UuidBytes, "'x'", "not 16 bytes"),
        (IdType::Uuid, &upper, "upper case"),
        (IdType::Uuid, &bare, "36 characters"),
        (IdType::Integer, "'x'", "not integers"),
    ] {
        let (_directory, pool, store) =
            store_of(&table("accounts", "", ""), described("accounts").id_type(id_type)).await;
        run_sqlite(
            &pool,
            format!("INSERT INTO accounts (id, login, secret) VALUES ({id}, 'ada', 's')"),
        )
        .await;
        let report = check(&store).await;
        let finding = one(&report, PROBLEM, "accounts.id", words);
        if let Some(sql) = finding.sql() {
            run_sqlite(&pool, sql).await;
            is_clean(&store).await;
        }
    }
}

#[tokio::test]
async fn values_of_another_type() {
    for (column, value, words) in [
        ("token_version", "'v1'", "not integers"),
        ("sessions", "x'00'", "not text"),
        ("is_active", "7", "other than NULL"),
    ] {
        let (_directory, pool, store) = store(&table("accounts", "", "")).await;
        let insert = "INSERT INTO accounts (id, login, secret) VALUES ('1', 'ada', 's')";
        run_sqlite(&pool, format!("{insert}; UPDATE accounts SET {column} = {value}")).await;
        one(&check(&store).await, PROBLEM, column, words);
    }
}

#[tokio::test]
async fn settings_that_lose_a_revocation() {
    let directory = Directory::new();
    run_sqlite(&directory.pool().await, table("accounts", "", "")).await;
    let options = || SqliteConnectOptions::new().filename(directory.file());
    let with = async |options| {
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        check(&SqliteStore::new(pool, described("accounts")).unwrap()).await
    };
    let report = with(options().synchronous(SqliteSynchronous::Normal)).await;
    one(&report, PROBLEM, "synchronous", "loss of power");
    let report = with(options().journal_mode(SqliteJournalMode::Memory)).await;
    one(&report, PROBLEM, "journal_mode", "crash");
    let report = with(options().pragma("query_only", "on")).await;
    one(&report, PROBLEM, "query_only", "revocation");
    let report = with(options().read_only(true)).await;
    one(&report, PROBLEM, "accounts", "readonly");

    // A database in memory is gone anyway.
    let pool =
        SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    run_sqlite(&pool, table("accounts", "", "")).await;
    is_clean(&SqliteStore::new(pool, described("accounts")).unwrap()).await;
}

#[tokio::test]
async fn foreign_keys_that_are_not_enforced() {
    let orders = "CREATE TABLE orders (account TEXT REFERENCES Accounts (id) ON DELETE CASCADE)";
    let sql = format!("{}; {orders}", table("accounts", "", ""));
    let (directory, _, store) = store(&sql).await;
    is_clean(&store).await;
    let options = SqliteConnectOptions::new().filename(directory.file()).foreign_keys(false);
    let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
    let store = SqliteStore::new(pool, described("accounts")).unwrap();
    one(&check(&store).await, WARNING, "accounts", "rows stay in orders");
}

#[tokio::test]
async fn a_trigger_that_stops_each_change() {
    let trigger = "CREATE TRIGGER no BEFORE UPDATE ON accounts BEGIN SELECT RAISE(IGNORE); END";
    let sql = format!("{}; {trigger}", table("accounts", "", ""));
    let (_directory, pool, store) = store(&sql).await;
    one(&check(&store).await, WARNING, "accounts", "\"no\"");
    run_sqlite(
        &pool,
        "INSERT INTO accounts (id, login, secret, token_version) VALUES ('1', 'a', 's', 7)",
    )
    .await;
    one(&check(&store).await, PROBLEM, "accounts", "changes nothing");
    run_sqlite(&pool, "DROP TRIGGER no").await;
    is_clean(&store).await;
    let row = store.read(relatch::store::UserKey::Id("1")).await.unwrap().unwrap();
    assert_eq!(row.columns.version, Some(7), "a check writes nothing that stays");
}

#[tokio::test]
async fn a_view() {
    let sql = table("rows", "", "") + "; CREATE VIEW accounts AS SELECT * FROM rows";
    let (_directory, _, store) = store(&sql).await;
    let report = check(&store).await;
    assert!(!report.is_ok(), "{report}");
    assert!(report.to_string().contains("it is a view"), "{report}");
}

/// The look-up compares by the column's collation, and an index of another one does not serve.
#[tokio::test]
async fn an_index_that_does_not_serve() {
    let sql = table("accounts", "login", "TEXT COLLATE NOCASE NOT NULL");
    let index = "CREATE UNIQUE INDEX i ON accounts (login COLLATE BINARY)";
    let (_directory, pool, store) = store(&format!("{sql}; {index}")).await;
    let report = check(&store).await;
    let finding = one(&report, WARNING, "accounts.login", "reads the whole table");
    run_sqlite(&pool, finding.sql().unwrap()).await;
    is_clean(&store).await;
}

#[tokio::test]
async fn a_table_of_groups() {
    let accounts =
        table("accounts", "secret", "TEXT").replace("secret TEXT", "secret TEXT, tenant TEXT");
    let described = |groups| described("accounts").user_epoch("tenant", "tenant", groups);
    let groups = || GroupsTable::named("tenants");
    let missing = store_of(&accounts, described(groups())).await;
    one(&check(&missing.2).await, PROBLEM, "tenants", "no such table");
    for (columns, subject, words) in [
        ("id TEXT, epoch INTEGER", "tenants.id", "no unique index"),
        ("id TEXT PRIMARY KEY", "tenants.epoch", "no such column"),
    ] {
        let sql = format!("{accounts}; CREATE TABLE tenants ({columns})");
        let (_directory, pool, store) = store_of(&sql, described(groups())).await;
        let report = check(&store).await;
        run_sqlite(&pool, one(&report, PROBLEM, subject, words).sql().unwrap()).await;
        is_clean(&store).await;
    }
}

#[tokio::test]
async fn a_login_is_unique_among_live_rows() {
    for (column, is_time, condition) in SOFT {
        let accounts = table("accounts", "login", &format!("TEXT NOT NULL, {column}"));
        let index =
            |condition| format!("CREATE UNIQUE INDEX i ON accounts (login) WHERE {condition}");
        let sql = format!("{accounts}; {}", index(condition));
        let (_directory, pool, store) = store_of(&sql, soft("accounts", is_time)).await;
        let report = check(&store).await;
        // SQLite does not see that the store's condition on a flag implies the index's.
        assert!(report.is_ok() && (!is_time || report.findings().is_empty()), "{report}");
        run_sqlite(&pool, "DROP INDEX i;".to_owned() + &index("secret IS NULL")).await;
        let report = check(&store).await;
        run_sqlite(&pool, one(&report, PROBLEM, "login", "no unique index").sql().unwrap()).await;
        is_clean(&store).await;
    }
}

#[tokio::test]
async fn a_trigger_that_puts_the_old_version_back() {
    let trigger = "CREATE TRIGGER keeps AFTER UPDATE ON accounts BEGIN
                       UPDATE accounts SET token_version = OLD.token_version WHERE id = NEW.id; END";
    let sql = format!("{}; {trigger}", table("accounts", "", ""));
    let (_directory, pool, store) = store(&sql).await;
    run_sqlite(
        &pool,
        "INSERT INTO accounts (id, login, secret, token_version) VALUES ('1', 'a', 's', 7)",
    )
    .await;
    one(&check(&store).await, PROBLEM, "accounts", "changes nothing");
    run_sqlite(&pool, "DROP TRIGGER keeps").await;
    is_clean(&store).await;
}
