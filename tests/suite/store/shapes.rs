//! Tables of every shape that `UsersTable` can describe.

use std::error::Error;

use relatch::ConfigError;
#[cfg(feature = "postgres")]
use relatch::store::PostgresOptions;
use relatch::store::{
    Conformance, GroupsTable, IdType, NewUser, SqliteStore, StoreErrorKind, UserEpoch, UserKey,
    UserStore, UsersTable,
};
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

#[cfg(feature = "postgres")]
use super::databases::{PostgresStore, postgres, postgres_url, run_postgres, unique};
use super::{
    HASH,
    databases::{Directory, run_sqlite},
};

/// The same steps on both databases, in an empty table of the library's own shape.
macro_rules! inserts_and_reads {
    ($store:expr) => {{
        let store = $store;
        assert!(store.insert(NewUser::with_password_hash("Ada-1", "ada", HASH)).await.unwrap());
        assert!(!store.insert(NewUser::with_password_hash("Ada-1", "bob", HASH)).await.unwrap());
        assert!(!store.insert(NewUser::with_password_hash("bob-1", "ada", HASH)).await.unwrap());
        let random = NewUser::without_password("bob-1", "bob").unwrap();
        assert!(store.insert(random).await.unwrap());
        let bob = store.read(UserKey::Login("bob")).await.unwrap().unwrap();
        assert!(bob.columns.secret.is_some() && bob.columns.password_hash.is_none());
        assert!(bob.is_active && bob.columns.version > Some(1_700_000_000_000));
        for key in
            [UserKey::Id(""), UserKey::Id("ada\0"), UserKey::Login("ada\0"), UserKey::Login("ADA")]
        {
            assert!(store.read(key).await.unwrap().is_none(), "{key:?}");
        }
        Conformance::new("Ada-1").login("ada").check(&store).await.unwrap();
        let again = store.read(UserKey::Id("bob-1")).await.unwrap().unwrap();
        assert_eq!(again.columns, bob.columns, "nobody else is touched");

        assert!(store.disable("bob-1", 0).await.unwrap().is_some());
        let disabled = store.read(UserKey::Id("bob-1")).await.unwrap().unwrap();
        assert!(!disabled.is_active && disabled.columns.version > bob.columns.version);
        assert!(store.delete("bob-1").await.unwrap());
        assert!(!store.delete("bob-1").await.unwrap());
        assert!(store.read(UserKey::Login("bob")).await.unwrap().is_none());
        // At the end of the range there is no next version.
        assert!(store.bump_version("Ada-1", i64::MAX).await.unwrap().is_some());
        assert!(store.bump_version("Ada-1", 0).await.unwrap().is_none());
    }};
}

#[tokio::test]
async fn the_ready_table_in_sqlite() {
    let directory = Directory::new();
    let store = SqliteStore::open(directory.file(), UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    inserts_and_reads!(store);
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn the_ready_table_in_postgres() {
    let Some(url) = postgres_url() else { return };
    // The table's name is fixed, so each run has its own schema.
    let (pool, schema) = (postgres().await.unwrap(), unique("schema"));
    run_postgres(&pool, format!("CREATE SCHEMA {schema}")).await;
    let url = format!("{url}&options=-c%20search_path%3D{schema}");
    let store = PostgresStore::connect(&url, UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    inserts_and_reads!(store);
}

const UUID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

/// A table as an application may have it, without relatch's columns.
fn own_table(name: &str, id: &str) -> String {
    format!(
        "CREATE TABLE {name} (uid {id} PRIMARY KEY, email VARCHAR(200) NOT NULL UNIQUE, \
         pw VARCHAR(255) NOT NULL, enabled BOOLEAN, note TEXT)"
    )
}

fn described(name: &str, id_type: IdType) -> UsersTable {
    let table = UsersTable::named(name).id("uid").id_type(id_type).login("email");
    table.password_hash("pw").version("generation").carried("c").sessions("s").lanes("l")
}

#[tokio::test]
async fn an_own_table_in_sqlite() {
    for (id_type, column, id) in [
        (IdType::Text, "TEXT", "Ada-1"),
        (IdType::Text, "TEXT COLLATE NOCASE", "Ada-1"),
        (IdType::Text, "INTEGER", "17"),
        (IdType::Integer, "INTEGER", "17"),
        (IdType::Integer, "BIGINT", "-9223372036854775808"),
        (IdType::Uuid, "TEXT", UUID),
    ] {
        let directory = Directory::new();
        let pool = directory.pool().await;
        run_sqlite(&pool, own_table("accounts", column)).await;
        let table = described("main.accounts", id_type);
        let store = SqliteStore::new(pool, table.clone()).unwrap();
        store.migrate().await.unwrap();
        assert!(store.insert(NewUser::with_password_hash(id, "ada", HASH)).await.unwrap());
        Conformance::new(id).login("ada").without_secret().check(&store).await.unwrap();

        let secret = NewUser::without_password(id, "bob").unwrap();
        let error = store.insert(secret).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        let error = store.disable(id, 0).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported);

        let whole = table.secret("k").active("enabled");
        let store = SqliteStore::open(directory.file(), whole).await.unwrap();
        store.migrate().await.unwrap();
        assert!(
            !store.read(UserKey::Id(id)).await.unwrap().unwrap().is_active,
            "NULL is not active"
        );
        Conformance::new(id).login("ada").check(&store).await.unwrap();
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn an_own_table_in_postgres() {
    let Some(pool) = postgres().await else { return };
    run_postgres(&pool, "CREATE SCHEMA IF NOT EXISTS \"App\"").await;
    for (id_type, column, id) in [
        (IdType::Text, "TEXT", "Ada-1"),
        (IdType::Text, "VARCHAR(40)", "Ada-1"),
        (IdType::Integer, "BIGINT", "17"),
        (IdType::Integer, "INTEGER", "17"),
        (IdType::Uuid, "UUID", UUID),
    ] {
        let name = unique("accounts");
        run_postgres(&pool, own_table(&format!("\"App\".{name}"), column)).await;
        let table = described(&format!("App.{name}"), id_type);
        let store = PostgresStore::new(pool.clone(), table.clone()).unwrap();
        store.migrate().await.unwrap();
        assert!(store.insert(NewUser::with_password_hash(id, "ada", HASH)).await.unwrap());
        Conformance::new(id).login("ada").without_secret().check(&store).await.unwrap();

        let whole = table.secret("k").active("enabled");
        let store = PostgresStore::new(pool.clone(), whole).unwrap();
        store.migrate().await.unwrap();
        store.migrate_triggers().await.unwrap();
        assert!(
            !store.read(UserKey::Id(id)).await.unwrap().unwrap().is_active,
            "NULL is not active"
        );
        Conformance::new(id).login("ada").check(&store).await.unwrap();

        let explain = format!(
            "SET enable_seqscan = off; EXPLAIN SELECT 1 FROM \"App\".{name} AS u WHERE u.uid = "
        );
        let value = match id_type {
            IdType::Uuid => format!("CAST('{id}' AS UUID)"),
            IdType::Integer => format!("CAST({id} AS BIGINT)"),
            _ => format!("CAST('{id}' AS TEXT)"),
        };
        let plan: Vec<_> = sqlx::raw_sql(sqlx::AssertSqlSafe(explain + &value))
            .fetch_all(&pool)
            .await
            .unwrap()
            .iter()
            .map(|row| sqlx::Row::get::<String, _>(row, 0))
            .collect();
        assert!(plan.join("\n").contains("_pkey"), "{id_type:?}: {plan:?}");
    }
}

/// Such a table takes no value of another type than its column's.
#[tokio::test]
async fn a_strict_table_in_sqlite() {
    for (id_type, column, id) in [
        (IdType::Text, "TEXT", "Ada-1"),
        (IdType::Integer, "INTEGER", "17"),
        (IdType::Uuid, "TEXT", UUID),
        (IdType::UuidBytes, "BLOB", UUID),
    ] {
        let directory = Directory::new();
        let pool = directory.pool().await;
        let sql = format!(
            "CREATE TABLE accounts (id {column} NOT NULL PRIMARY KEY, login TEXT NOT NULL UNIQUE,
                password_hash TEXT, secret TEXT, token_version INTEGER, carried TEXT, sessions TEXT,
                lanes TEXT, is_active INTEGER NOT NULL DEFAULT 1, tenant INTEGER DEFAULT 7) STRICT;
             CREATE TABLE tenants (id INTEGER PRIMARY KEY, epoch INTEGER) STRICT;
             INSERT INTO tenants VALUES (7, 1)"
        );
        run_sqlite(&pool, sql).await;
        let table = UsersTable::named("accounts").id_type(id_type).secret("secret");
        let table = table.active("is_active");
        let table = table.user_epoch("tenant", "tenant", GroupsTable::named("tenants"));
        let store = SqliteStore::new(pool, table).unwrap();
        assert!(store.insert(NewUser::with_password_hash(id, "ada", HASH)).await.unwrap());
        Conformance::new(id).login("ada").check(&store).await.unwrap();
        assert!(store.disable(id, 0).await.unwrap().is_some());
        assert!(!store.read(UserKey::Id(id)).await.unwrap().unwrap().is_active);
        assert!(store.bump_epoch("tenant", "7", 9).await.unwrap().is_some());
    }
}

#[tokio::test]
async fn a_login_that_is_the_id_in_sqlite() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, "CREATE TABLE accounts (name TEXT PRIMARY KEY NOT NULL, password_hash TEXT)")
        .await;
    let table = UsersTable::named("accounts").id("name").login("name").secret("secret");
    let store = SqliteStore::new(pool, table).unwrap();
    store.migrate().await.unwrap();
    assert!(store.check().await.unwrap().findings().is_empty());
    assert!(store.insert(NewUser::with_password_hash("ada", "ada", HASH)).await.unwrap());
    assert!(!store.insert(NewUser::without_password("ada", "ada").unwrap()).await.unwrap());
    Conformance::new("ada").login("ada").check(&store).await.unwrap();
    let error = store.insert(NewUser::with_password_hash("bob", "eve", HASH)).await.unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
}

/// At this isolation level the second of two transactions over one row fails instead of waiting.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_with_serializable_transactions() {
    let Some(url) = postgres_url() else { return };
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.options([("default_transaction_isolation", "serializable")]);
    let pool = PgPoolOptions::new().connect_with(options).await.unwrap();
    let name = unique("accounts");
    run_postgres(&pool, own_table(&name, "TEXT")).await;
    let store = PostgresStore::new(pool, described(&name, IdType::Text)).unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap());
    Conformance::new("1").without_secret().check(&store).await.unwrap();
    // Each of these conflicts with all that are committed before it.
    let mut bumps = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let store = store.clone();
        bumps.spawn(async move { store.bump_version("1", 0).await });
    }
    for bumped in bumps.join_all().await {
        assert!(bumped.unwrap().is_some());
    }
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Profile {
    email: String,
    note: Option<String>,
    points: i64,
}

fn with_fields(name: &str) -> UsersTable<Profile> {
    UsersTable::named(name).login("email").fields(["email", "note", "points"])
}

const FIELDS: &str =
    "(id TEXT PRIMARY KEY, email TEXT UNIQUE, password_hash TEXT, note TEXT, points BIGINT)";
const FIELDS_ROWS: &str = "VALUES ('1', 'Zoë \"x\" ''y''', NULL, 9007199254740993), \
                           ('2', 'SECRET', 'SECRET', NULL)";

/// Quotation marks, various text, `NULL`, and integers beyond the precision of a float.
macro_rules! fields {
    ($store:expr) => {{
        let store = $store;
        store.migrate().await.unwrap();
        let row = store.read(UserKey::Id("1")).await.unwrap().unwrap();
        let email = "Zoë \"x\" 'y'".to_owned();
        assert_eq!(row.fields, Profile { email, note: None, points: 9_007_199_254_740_993 });
        let error = store.read(UserKey::Id("2")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
        assert!(error.to_string().contains("`fields`"), "{error}");
        let printed = format!("{error:?} {}", error.source().unwrap());
        assert!(!printed.contains("SECRET"), "{printed}");
    }};
}

#[tokio::test]
async fn fields_of_the_application() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    let insert = |name: &str| format!("INSERT INTO {name} (id, email, note, points) {FIELDS_ROWS}");
    run_sqlite(&pool, format!("CREATE TABLE a {FIELDS}; {}", insert("a"))).await;
    fields!(SqliteStore::new(pool, with_fields("a")).unwrap());

    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        let name = unique("fields");
        run_postgres(&pool, format!("CREATE TABLE {name} {FIELDS}; {}", insert(&name))).await;
        fields!(PostgresStore::new(pool, with_fields(&name)).unwrap());
    }
}

fn in_groups(users: &str, tenants: &str, realms: &str) -> UsersTable {
    UsersTable::named(users)
        .user_epoch("realm", "realm", GroupsTable::named(realms).key("name").counter("gen"))
        .user_epoch("tenant", "tenant_id", GroupsTable::named(tenants))
}

fn groups(users: &str, tenants: &str, realms: &str) -> String {
    format!(
        "CREATE TABLE {realms} (name TEXT PRIMARY KEY);
         CREATE TABLE {tenants} (id INTEGER PRIMARY KEY, epoch BIGINT);
         CREATE TABLE {users} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                               realm TEXT, tenant_id INTEGER);
         INSERT INTO {realms} VALUES ('Staff'), ('leaving');
         INSERT INTO {tenants} VALUES (7, 41), (8, NULL);
         INSERT INTO {users} VALUES ('a', 'a', 'h', 'Staff', 7), ('b', 'b', 'h', 'leaving', 8),
                                    ('c', 'c', 'h', NULL, NULL);"
    )
}

macro_rules! epochs {
    ($store:expr, $realms:expr) => {{
        let store = $store;
        store.migrate().await.unwrap();
        let epoch = |kind: &str, group: Option<&str>, counter: i64| {
            UserEpoch::new(kind, group.map(str::to_owned), counter)
        };
        let read = async |id: &str| store.read(UserKey::Id(id)).await.unwrap().unwrap().epochs;
        let staff = epoch("realm", Some("Staff"), 0);
        assert_eq!(read("a").await, [staff.clone(), epoch("tenant", Some("7"), 41)]);
        assert_eq!(
            read("b").await,
            [epoch("realm", Some("leaving"), 0), epoch("tenant", Some("8"), 0)]
        );
        assert_eq!(read("c").await, [epoch("realm", None, 0), epoch("tenant", None, 0)]);

        assert!(store.bump_epoch("tenant", "7", 1_800_000_000_000).await.unwrap().is_some());
        for (kind, nobody) in [("tenant", "07"), ("tenant", "9"), ("realm", "staff"), ("realm", "")]
        {
            assert!(
                store.bump_epoch(kind, nobody, 1_800_000_000_000).await.unwrap().is_none(),
                "{kind} {nobody}"
            );
        }
        let bumped = read("a").await;
        assert_eq!(bumped[0], staff);
        assert!(bumped[1].counter.get() > 1_700_000_000_000);
        assert_eq!(read("b").await[1], epoch("tenant", Some("8"), 0));
        assert!(store.bump_epoch("tenant", "7", 1_800_000_000_000).await.unwrap().is_some());
        assert!(read("a").await[1].counter > bumped[1].counter);
        let error = store.bump_epoch("team", "7", 1_800_000_000_000).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Unsupported);

        // Without the counter, tokens that it revoked would be valid again.
        let gone = "DELETE FROM REALMS WHERE name = 'leaving'".replace("REALMS", $realms);
        sqlx::raw_sql(sqlx::AssertSqlSafe(gone)).execute(store.pool()).await.unwrap();
        let error = store.read(UserKey::Id("b")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
    }};
}

#[tokio::test]
async fn epochs_of_groups() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, groups("u", "t", "r")).await;
    run_sqlite(&pool, "ALTER TABLE r ADD COLUMN gen BIGINT").await;
    epochs!(SqliteStore::new(pool, in_groups("u", "t", "r")).unwrap(), "r");

    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        let [users, tenants, realms] = ["u", "t", "r"].map(unique);
        run_postgres(&pool, groups(&users, &tenants, &realms)).await;
        epochs!(PostgresStore::new(pool, in_groups(&users, &tenants, &realms)).unwrap(), &realms);
    }
}

#[tokio::test]
async fn a_name_that_is_not_one_never_reaches_a_database() {
    let directory = Directory::new();
    let bad = "users\"; DROP TABLE users; --";
    for table in [UsersTable::named(bad), UsersTable::ready().login(bad)] {
        let error = SqliteStore::open(directory.file(), table.clone()).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Misconfigured);
        assert!(error.source().unwrap().to_string().contains("DROP TABLE users"));
        let error: ConfigError =
            SqliteStore::new(directory.pool().await, table).map(drop).unwrap_err();
        assert!(error.to_string().contains("letters"), "{error}");
    }
    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        let options = PostgresOptions::new().channel("relatch'; --");
        let error = options.over(pool, UsersTable::ready()).map(drop).unwrap_err();
        assert!(error.to_string().contains("the channel"), "{error}");
    }
}
