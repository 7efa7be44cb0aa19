//! What rows and requests may hold.

#[cfg(feature = "postgres")]
use std::error::Error as _;

#[cfg(feature = "postgres")]
use relatch::store::PostgresStore;
use relatch::store::{
    Conformance, IdType, NewUser, SqliteStore, StoreErrorKind, UserKey, UserStore, UsersTable,
};

#[cfg(feature = "postgres")]
use super::databases::{latin1, postgres, run_postgres, unique};
use super::{
    HASH,
    databases::{Directory, run_sqlite},
};

const UUID: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

/// As `sqlx` writes a `Uuid`.
macro_rules! uuids_as_bytes {
    ($store:expr, $insert:expr) => {{
        let store = $store;
        store.migrate().await.unwrap();
        let own = "INSERT INTO TABLE (id, login, password_hash) VALUES (BYTES, 'own', 'h')";
        $insert(own).await;
        let row = store.read(UserKey::Login("own")).await.unwrap().unwrap();
        assert_eq!(row.id, "00112233-4455-6677-8899-aabbccddeeff");
        assert!(store.bump_version(&row.id, 7).await.unwrap().is_some());
        let row = store.read(UserKey::Id(&row.id)).await.unwrap().unwrap();
        assert!(row.columns.version >= Some(7));

        assert!(store.insert(NewUser::with_password_hash(UUID, "ada", HASH)).await.unwrap());
        Conformance::new(UUID).login("ada").without_secret().check(&store).await.unwrap();
        for nobody in [&UUID.to_uppercase(), &UUID.replace('-', ""), ""] {
            assert!(store.read(UserKey::Id(nobody)).await.unwrap().is_none());
            assert!(!store.delete(nobody).await.unwrap());
        }
        assert!(store.delete(UUID).await.unwrap());
        // A user whose id has another length can be no token's.
        $insert("INSERT INTO TABLE (id, login) VALUES (SHORT, 'short')").await;
        let error = store.read(UserKey::Login("short")).await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
    }};
}

#[tokio::test]
async fn ids_of_16_bytes() {
    let directory = Directory::new();
    let table = |name: &str| UsersTable::named(name).id_type(IdType::UuidBytes);
    let pool = directory.pool().await;
    let sql = "CREATE TABLE u (id BLOB PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT)";
    run_sqlite(&pool, sql).await;
    let insert = async |sql: &str| {
        let sql = sql.replace("TABLE", "u").replace("SHORT", "x'00'");
        run_sqlite(&pool, sql.replace("BYTES", "x'00112233445566778899aabbccddeeff'")).await;
    };
    uuids_as_bytes!(SqliteStore::new(pool.clone(), table("u")).unwrap(), insert);

    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        let name = unique("bytes");
        let sql = "(id BYTEA PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT)";
        run_postgres(&pool, format!("CREATE TABLE {name} {sql}")).await;
        let insert = async |sql: &str| {
            let sql = sql.replace("TABLE", &name).replace("SHORT", "'\\x00'");
            let sql = sql.replace("BYTES", "'\\x00112233445566778899aabbccddeeff'");
            run_postgres(&pool, sql).await;
        };
        uuids_as_bytes!(PostgresStore::new(pool.clone(), table(&name)).unwrap(), insert);
    }
}

/// An address that signed up again: two rows, one of a deleted user.
macro_rules! soft_deletion {
    ($store:expr, $run:expr) => {{
        let store = $store;
        for (id, login) in [("1", "ada"), ("2", "bob")] {
            let user = NewUser::with_password_hash(id, login, HASH);
            assert!(store.insert(user).await.unwrap(), "{id}");
        }
        $run("UPDATE TABLE SET SET_DELETED WHERE id = '1'").await;
        assert!(store.insert(NewUser::with_password_hash("3", "ada", HASH)).await.unwrap());
        let live = store.read(UserKey::Login("ada")).await.unwrap().unwrap();
        assert_eq!(live.id, "3");
        assert!(store.read(UserKey::Id("1")).await.unwrap().is_none());
        assert!(store.bump_version("1", 9).await.unwrap().is_none());
        assert!(!store.delete("1").await.unwrap());
        Conformance::new("3").login("ada").without_secret().check(&store).await.unwrap();
        assert!(store.read(UserKey::Login("bob")).await.unwrap().is_some());
    }};
}

const COLUMNS: &str = "login TEXT, password_hash TEXT, token_version BIGINT, carried TEXT, \
                       sessions TEXT, lanes TEXT";

#[tokio::test]
async fn a_soft_deleted_row_is_not_a_user() {
    for (column, set, index) in [
        ("gone TIMESTAMP", "gone = '2026-01-01'", "WHERE gone IS NULL"),
        ("gone BOOLEAN", "gone = TRUE", "WHERE gone IS NOT TRUE"),
        ("gone BOOLEAN NOT NULL DEFAULT FALSE", "gone = TRUE", "WHERE NOT gone"),
        ("gone INTEGER", "gone = 1", "WHERE gone IS NULL"),
    ] {
        let described = |name: &str| match column.contains("TIMESTAMP") {
            true => UsersTable::named(name).deleted_at("gone"),
            false => UsersTable::named(name).is_deleted("gone"),
        };
        let create = |name: &str| {
            format!(
                "CREATE TABLE {name} (id TEXT PRIMARY KEY, {COLUMNS}, {column});
                 CREATE UNIQUE INDEX {name}_login ON {name} (login) {index}"
            )
        };
        let directory = Directory::new();
        let pool = directory.pool().await;
        run_sqlite(&pool, create("u")).await;
        let run = async |sql: &str| {
            let sql = sql.replace("TABLE", "u").replace("SET_DELETED", set);
            run_sqlite(&pool, sql).await;
        };
        soft_deletion!(SqliteStore::new(pool.clone(), described("u")).unwrap(), run);

        #[cfg(feature = "postgres")]
        if let Some(pool) = postgres().await {
            let name = unique("soft");
            run_postgres(&pool, create(&name)).await;
            let run = async |sql: &str| {
                let sql = sql.replace("TABLE", &name).replace("SET_DELETED", set);
                run_postgres(&pool, sql).await;
            };
            soft_deletion!(PostgresStore::new(pool.clone(), described(&name)).unwrap(), run);
        }
    }
}

/// Any other value may mean either.
macro_rules! flags {
    ($store:expr, $run:expr, $damaged:expr) => {{
        let store = $store;
        assert!(store.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap());
        for (value, is_active) in [("NULL", false), ("0", false), ("1", true)] {
            $run(format!("UPDATE TABLE SET a = {value}")).await;
            let row = store.read(UserKey::Id("1")).await.unwrap().unwrap();
            assert_eq!(row.is_active, is_active, "{value}");
        }
        assert!(store.disable("1", 0).await.unwrap().is_some());
        let row = store.read(UserKey::Id("1")).await.unwrap().unwrap();
        assert!(!row.is_active);
        assert!(store.enable("1", row.columns.version, 0).await.unwrap().is_some());
        assert!(store.read(UserKey::Id("1")).await.unwrap().unwrap().is_active);
        for value in $damaged {
            for (column, name) in [("a", "active"), ("d", "is_deleted")] {
                $run(format!("UPDATE TABLE SET a = 1, d = 0")).await;
                $run(format!("UPDATE TABLE SET {column} = {value}")).await;
                let error = store.read(UserKey::Id("1")).await.unwrap_err();
                assert_eq!(error.kind(), StoreErrorKind::Damaged);
                assert!(error.to_string().contains(name), "{error}");
            }
        }
    }};
}

#[tokio::test]
async fn a_flag_holds_yes_or_no() {
    let described = |name: &str| UsersTable::named(name).active("a").is_deleted("d");
    let directory = Directory::new();
    let pool = directory.pool().await;
    run_sqlite(&pool, format!("CREATE TABLE u (id TEXT PRIMARY KEY, {COLUMNS}, a, d)")).await;
    let run = async |sql: String| run_sqlite(&pool, sql.replace("TABLE", "u")).await;
    let damaged = ["2", "-1", "'yes'", "''", "1.5"];
    flags!(SqliteStore::new(pool.clone(), described("u")).unwrap(), run, damaged);

    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        for (of_type, damaged) in
            [("SMALLINT", ["2", "-1"]), ("NUMERIC", ["2", "0.5"]), ("VARCHAR(9)", ["'yes'", "''"])]
        {
            let name = unique("flags");
            let columns = format!("{COLUMNS}, a {of_type}, d {of_type}");
            run_postgres(&pool, format!("CREATE TABLE {name} (id TEXT PRIMARY KEY, {columns})"))
                .await;
            let run = async |sql: String| run_postgres(&pool, sql.replace("TABLE", &name)).await;
            flags!(PostgresStore::new(pool.clone(), described(&name)).unwrap(), run, damaged);
        }
    }
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Profile {
    note: Option<String>,
}

/// Bytes and infinite numbers have no form in JSON.
#[tokio::test]
async fn a_field_that_json_cannot_represent_is_text() {
    let directory = Directory::new();
    let pool = directory.pool().await;
    let table = |name: &str| UsersTable::named(name).fields::<Profile>(["note"]);
    let sql = format!("CREATE TABLE u (id TEXT PRIMARY KEY, {COLUMNS}, note BLOB)");
    run_sqlite(&pool, sql + "; INSERT INTO u (id, login) VALUES ('1', 'ada')").await;
    let store = SqliteStore::new(pool.clone(), table("u")).unwrap();
    for (value, note) in [
        ("x'00ff'", Some("\\x00ff")),
        ("9e999", Some("Infinity")),
        ("-9e999", Some("-Infinity")),
        ("'text'", Some("text")),
        ("NULL", None),
    ] {
        run_sqlite(&pool, format!("UPDATE u SET note = {value}")).await;
        let row = store.read(UserKey::Id("1")).await.unwrap().unwrap();
        assert_eq!(row.fields.note.as_deref(), note, "{value}");
    }
    // No text at all.
    run_sqlite(&pool, "UPDATE u SET note = CAST(x'ff' AS TEXT)").await;
    let error = store.read(UserKey::Id("1")).await.unwrap_err();
    assert!(error.to_string().contains("`fields`"), "{error}");
    assert!(store.bump_version("1", 0).await.unwrap().is_some());

    #[cfg(feature = "postgres")]
    if let Some(pool) = postgres().await {
        for (of_type, value, note) in [
            ("BYTEA", "'\\x00ff'", "\\x00ff"),
            ("FLOAT8", "'Infinity'", "Infinity"),
            ("NUMERIC", "'NaN'", "NaN"),
            ("TIMESTAMPTZ", "'-infinity'", "-infinity"),
        ] {
            let name = unique("json");
            let columns = format!("(id TEXT PRIMARY KEY, {COLUMNS}, note {of_type})");
            run_postgres(&pool, format!("CREATE TABLE {name} {columns}")).await;
            let insert =
                format!("INSERT INTO {name} (id, login, note) VALUES ('1', 'ada', {value})");
            run_postgres(&pool, insert).await;
            let store = PostgresStore::new(pool.clone(), table(&name)).unwrap();
            let row = store.read(UserKey::Id("1")).await.unwrap().unwrap();
            assert_eq!(row.fields.note.as_deref(), Some(note), "{of_type}");
        }
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_name_that_the_database_cannot_store_finds_no_user() {
    let Some(url) = latin1().await else { return };
    let store = PostgresStore::connect(&url, UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(NewUser::with_password_hash("1", "zoë", HASH)).await.unwrap());
    assert!(store.read(UserKey::Login("zoë")).await.unwrap().is_some());
    for nobody in ["Ω", "😀", "a\0"] {
        assert!(store.read(UserKey::Login(nobody)).await.unwrap().is_none());
        assert!(store.read(UserKey::Id(nobody)).await.unwrap().is_none());
        assert!(store.bump_version(nobody, 0).await.unwrap().is_none());
        assert!(store.disable(nobody, 0).await.unwrap().is_none());
        assert!(!store.delete(nobody).await.unwrap());
        let user = NewUser::with_password_hash("2", nobody, HASH);
        let error = store.insert(user).await.unwrap_err();
        assert!(!error.is_unreachable(), "{error:?} {:?}", error.source());
    }
}
