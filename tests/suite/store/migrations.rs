//! Adding relatch's columns to tables in use.

use relatch::store::{
    Finding, GroupsTable, MigrationPhase, NewUser, Severity, SqliteStore, StoreErrorKind, UserKey,
    UserStore, UsersTable,
};
use sqlx::AssertSqlSafe;

#[cfg(feature = "postgres")]
use super::databases::{
    PostgresStore, postgres, postgres_url, run_postgres, unique, without_notifications,
};
use super::{
    HASH,
    databases::{Directory, run_sqlite},
};

fn live(name: &str) -> String {
    format!(
        "CREATE TABLE {name} (id BIGINT PRIMARY KEY, login TEXT NOT NULL UNIQUE, \
                              password_hash TEXT NOT NULL, tenant TEXT);
         CREATE TABLE {name}_t (id TEXT PRIMARY KEY);
         INSERT INTO {name}_t VALUES ('x'), ('y');
         INSERT INTO {name} VALUES (1, 'ada', '{HASH}', 'x'), (2, 'bob', '{HASH}', NULL);"
    )
}

fn described(name: &str) -> UsersTable {
    let groups = GroupsTable::named(&format!("{name}_t"));
    let table = UsersTable::named(name).id_type(relatch::store::IdType::Integer);
    table.secret("secret").active("is_active").user_epoch("tenant", "tenant", groups)
}

/// Existing rows stay as they are; a new row begins with a version.
macro_rules! is_migrated {
    ($store:expr, $pool:expr, $name:expr) => {{
        let (store, name) = ($store, $name);
        let ada = store.read(UserKey::Login("ada")).await.unwrap().unwrap();
        assert!(ada.is_active && ada.columns.version.is_none());
        assert_eq!(ada.columns.password_hash.as_deref(), Some(HASH));
        let sql = format!(
            "INSERT INTO {name} (id, login, password_hash) VALUES (3, 'eve', 'h');
             UPDATE {name} SET tenant = 'y' WHERE id = 2;"
        );
        sqlx::raw_sql(AssertSqlSafe(sql)).execute($pool).await.unwrap();
        let version =
            async |id| store.read(UserKey::Id(id)).await.unwrap().unwrap().columns.version;
        let now = time::OffsetDateTime::now_utc().unix_timestamp() * 1000;
        let eve = version("3").await.unwrap();
        assert!((eve - now).abs() < 60_000, "{eve}");
        assert_eq!(version("2").await, None, "an update is no insertion");
    }};
}

#[tokio::test]
async fn a_live_table_in_sqlite() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, live("accounts")).await;
    // Two processes at once, and once more later.
    let stores = [
        SqliteStore::open(directory.file(), described("accounts")).await.unwrap(),
        SqliteStore::open(directory.file(), described("accounts")).await.unwrap(),
    ];
    let (a, b) = tokio::join!(stores[0].migrate(), stores[1].migrate());
    a.unwrap();
    b.unwrap();
    stores[0].migrate().await.unwrap();
    is_migrated!(&stores[0], &pool, "accounts");

    // By the text of the migration too.
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, live("accounts")).await;
    let store = SqliteStore::new(pool.clone(), described("accounts")).unwrap();
    run_sqlite(&pool, store.migration_sql()).await;
    is_migrated!(&store, &pool, "accounts");
    store.migrate().await.unwrap();

    let ready = SqliteStore::new(pool.clone(), UsersTable::ready()).unwrap();
    run_sqlite(&pool, ready.migration_sql()).await;
    run_sqlite(&pool, ready.migration_sql()).await;
    assert!(ready.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap());
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_live_table_in_postgres() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(&pool, live(&name)).await;
    let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
    let node = |name: String| {
        let pool = pool.clone();
        async move {
            let query = format!("SELECT relfilenode::text FROM pg_class WHERE relname = '{name}'");
            sqlx::query_scalar::<_, String>(AssertSqlSafe(query)).fetch_one(&pool).await.unwrap()
        }
    };
    let before = node(name.clone()).await;
    let (a, b, c, d) =
        tokio::join!(store.migrate(), store.migrate(), store.migrate_triggers(), store.migrate());
    // The triggers may have been created before the columns.
    assert!(c.is_ok() || c.is_err_and(|e| e.kind() == StoreErrorKind::Misconfigured));
    [a, b, d].into_iter().for_each(|done| done.unwrap());
    let (a, b) = tokio::join!(store.migrate_triggers(), store.migrate_triggers());
    a.unwrap();
    b.unwrap();
    assert_eq!(node(name.clone()).await, before, "no row is rewritten");
    is_migrated!(&store, &pool, &name);

    let name = unique("accounts");
    run_postgres(&pool, live(&name)).await;
    let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
    for _ in 0..2 {
        run_postgres(&pool, format!("BEGIN; {} COMMIT;", store.migration_sql())).await;
        run_postgres(&pool, format!("BEGIN; {} COMMIT;", store.triggers_sql())).await;
    }
    is_migrated!(&store, &pool, &name);
}

/// The triggers of all tables in a schema have one function, and PostgreSQL lets nobody replace it twice
/// at once.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn migrations_take_turns_even_if_a_tool_runs_them() {
    let Some(pool) = postgres().await else { return };
    let mut tools = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (name, pool) = (unique("accounts"), pool.clone());
        run_postgres(&pool, live(&name)).await;
        let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
        store.migrate().await.unwrap();
        tools.spawn(async move {
            for _ in 0..10 {
                run_postgres(&pool, format!("BEGIN; {} COMMIT;", store.triggers_sql())).await;
                run_postgres(&pool, format!("BEGIN; {} COMMIT;", store.drop_triggers_sql())).await;
                store.migrate_triggers().await.unwrap();
            }
        });
    }
    while let Some(tool) = tools.join_next().await {
        tool.unwrap();
    }
}

/// A migration that has nothing to do takes no lock: a long transaction does not delay it.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_migrated_table_in_postgres_is_not_locked_again() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(&pool, live(&name)).await;
    let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
    let mut reader = pool.begin().await.unwrap();
    let read = format!("SELECT 1 FROM {name}");
    sqlx::query(AssertSqlSafe(read.clone())).execute(&mut *reader).await.unwrap();
    let error = store.migrate().await.unwrap_err();
    assert!(error.is_unreachable(), "{error:?}");
    reader.commit().await.unwrap();
    store.migrate().await.unwrap();
    let mut reader = pool.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(read)).execute(&mut *reader).await.unwrap();
    store.migrate().await.unwrap();
    reader.commit().await.unwrap();
}

/// The application may change its own columns after the triggers are there.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_table_with_triggers_can_be_altered() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(&pool, live(&name)).await;
    run_postgres(&pool, format!("ALTER TABLE {name} ADD COLUMN note TEXT, ADD COLUMN old INTEGER"))
        .await;
    let table = described(&name).fields::<serde_json::Value>(["note", "old"]);
    let store = PostgresStore::new(pool.clone(), table).unwrap();
    store.migrate().await.unwrap();
    store.migrate_triggers().await.unwrap();
    for change in [
        "ALTER COLUMN password_hash TYPE VARCHAR(255)",
        "DROP COLUMN old",
        "RENAME COLUMN note TO remark",
        "ALTER COLUMN token_version SET DEFAULT 0",
    ] {
        run_postgres(&pool, format!("ALTER TABLE {name} {change}")).await;
        run_postgres(&pool, format!("UPDATE {name} SET password_hash = 'another' WHERE id = 1"))
            .await;
    }
    store.drop_triggers().await.unwrap();
    run_postgres(&pool, format!("UPDATE {name} SET password_hash = 'last'")).await;
    let left = "SELECT count(*) FROM pg_trigger WHERE tgrelid = ANY (ARRAY[$1, $2]::regclass[]) \
                AND NOT tgisinternal";
    let left = sqlx::query_scalar::<_, i64>(left).bind(&name).bind(format!("{name}_t"));
    assert_eq!(left.fetch_one(&pool).await.unwrap(), 0, "triggers are left");
}

/// A trigger that cannot notify lets the change pass.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn triggers_never_make_a_change_fail() {
    let Some((url, admin)) = without_notifications().await else { return };
    let owner = sqlx::PgPool::connect(&url).await.unwrap();
    run_postgres(&owner, live("accounts")).await;
    let store = PostgresStore::new(owner.clone(), described("accounts")).unwrap();
    store.migrate().await.unwrap();
    store.migrate_triggers().await.unwrap();
    let report = store.check().await.unwrap();
    let finding =
        report.findings().iter().find(|finding| finding.subject() == "pg_notify").unwrap();
    run_postgres(&owner, "UPDATE accounts SET token_version = 7").await;
    run_postgres(&owner, "UPDATE accounts_t SET epoch = 7").await;
    run_postgres(&owner, "DELETE FROM accounts WHERE id = 2; TRUNCATE accounts").await;
    run_postgres(&admin, finding.sql().unwrap()).await;
    let report = store.check().await.unwrap();
    assert!(report.findings().is_empty(), "{report}");
}

#[tokio::test]
async fn a_table_that_is_not_there_is_not_made() {
    let directory = Directory::new();
    let table = || UsersTable::named("nowhere");
    let store = SqliteStore::open(directory.file(), table()).await.unwrap();
    assert_eq!(store.migrate().await.unwrap_err().kind(), StoreErrorKind::Misconfigured);
    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        let store = PostgresStore::new(pool, table()).unwrap();
        assert_eq!(store.migrate().await.unwrap_err().kind(), StoreErrorKind::Misconfigured);
    }
}

/// A store that connects by itself has a statement timeout shorter than a migration may have to
/// wait.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_migration_waits_for_its_turn() {
    let (Some(pool), Some(url)) = (postgres().await, postgres_url()) else { return };
    let name = unique("accounts");
    run_postgres(&pool, live(&name)).await;
    let store = PostgresStore::connect(&url, described(&name)).await.unwrap();
    let mut other = pool.begin().await.unwrap();
    let turn = "SELECT pg_advisory_xact_lock(8241996470512873)";
    sqlx::raw_sql(turn).execute(&mut *other).await.unwrap();
    let migrating = tokio::spawn(async move { store.migrate().await });
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    other.rollback().await.unwrap();
    migrating.await.unwrap().unwrap();
}

/// First the columns, beside code that knows nothing of them; then what gives new users their first version.
macro_rules! is_migrated_in_phases {
    ($store:expr, $pool:expr, $name:expr, $columns:expr, $complete:expr) => {{
        let (store, name) = ($store, $name);
        let phase = async || store.check().await.unwrap().phase();
        let version =
            async |id| store.read(UserKey::Id(id)).await.unwrap().unwrap().columns.version;
        let sign_up = async |id: i32| {
            let sql = format!(
                "INSERT INTO {name} (id, login, password_hash) VALUES ({id}, 'user {id}', 'h')"
            );
            sqlx::raw_sql(AssertSqlSafe(sql)).execute($pool).await.unwrap();
        };
        assert_eq!(phase().await, Some(MigrationPhase::Begun));
        $columns.await;
        assert_eq!(phase().await, Some(MigrationPhase::Columns));
        let report = store.check().await.unwrap();
        let of_version = |finding: &&Finding| finding.subject().ends_with(".token_version");
        let warning = report.findings().iter().find(of_version).unwrap();
        assert_eq!(warning.severity(), Severity::Warning);
        assert!(warning.text().starts_with("the migration is not complete"), "{warning}");
        sign_up(3).await;
        assert_eq!(version("3").await, None, "a user of before");
        let new = NewUser::with_password_hash("4", "user 4", HASH).initial_version();
        assert!(store.insert(new).await.unwrap());
        assert_eq!(version("4").await, None);
        store.migrate_columns().await.unwrap();
        sign_up(5).await;
        assert_eq!(version("5").await, None);

        $complete.await;
        assert_eq!(phase().await, Some(MigrationPhase::Complete));
        sign_up(6).await;
        assert!(version("6").await.is_some_and(|version| version > 0));
        for earlier in ["1", "3", "4", "5"] {
            assert_eq!(version(earlier).await, None, "{earlier} is not logged out");
        }
        // An instance that still runs the first phase at its start takes nothing back.
        store.migrate_columns().await.unwrap();
        assert_eq!(phase().await, Some(MigrationPhase::Complete));
        sign_up(7).await;
        assert!(version("7").await.is_some());
    }};
}

#[tokio::test]
async fn a_live_table_in_sqlite_in_phases() {
    for by_text in [false, true] {
        let directory = Directory::new();
        let pool = directory.pool().await;
        run_sqlite(&pool, live("accounts")).await;
        let store = SqliteStore::new(pool.clone(), described("accounts")).unwrap();
        let columns = async || match by_text {
            true => run_sqlite(&pool, store.columns_sql()).await,
            false => store.migrate_columns().await.unwrap(),
        };
        let complete = async || match by_text {
            true => run_sqlite(&pool, store.first_version_sql()).await,
            false => store.migrate().await.unwrap(),
        };
        is_migrated_in_phases!(&store, &pool, "accounts", columns(), complete());
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_live_table_in_postgres_in_phases() {
    let Some(pool) = postgres().await else { return };
    for by_text in [false, true] {
        let name = unique("accounts");
        run_postgres(&pool, live(&name)).await;
        let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
        let run = async |sql: String| run_postgres(&pool, format!("BEGIN; {sql} COMMIT;")).await;
        let columns = async || match by_text {
            true => run(store.columns_sql()).await,
            false => store.migrate_columns().await.unwrap(),
        };
        let complete = async || match by_text {
            true => run(store.first_version_sql()).await,
            false => store.migrate().await.unwrap(),
        };
        is_migrated_in_phases!(&store, &pool, &name, columns(), complete());
    }
}

/// Whoever wants no `NULL` fills the column, which is the same version, and forbids it.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_version_that_may_not_be_null_in_postgres() {
    let Some(pool) = postgres().await else { return };
    let name = unique("accounts");
    run_postgres(&pool, live(&name)).await;
    let store = PostgresStore::new(pool.clone(), described(&name)).unwrap();
    store.migrate().await.unwrap();
    let sql = format!(
        "UPDATE {name} SET token_version = 0 WHERE token_version IS NULL;
         ALTER TABLE {name} ALTER COLUMN token_version SET NOT NULL;"
    );
    run_postgres(&pool, sql).await;
    store.migrate().await.unwrap();
    assert!(store.bump_version("1", 5).await.unwrap().is_some());
    let new = NewUser::with_password_hash("4", "user 4", HASH);
    assert!(store.insert(new).await.unwrap());
    let report = store.check().await.unwrap();
    assert!(report.is_ok() && report.phase() == Some(MigrationPhase::Complete), "{report}");
}
