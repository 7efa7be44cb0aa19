//! Another role of the same database that may create objects in a schema of the `search_path`.

use relatch::store::{
    GroupsTable, IdType, NewUser, PostgresOptions, PostgresStore, UserKey, UserStore, UsersTable,
};
use sqlx::{Connection as _, PgConnection};

use super::{
    HASH,
    databases::{postgres_url, unique, url_of},
};

async fn run(url: &str, sql: impl Into<String>) {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql.into())).execute(&mut connection).await.unwrap();
}

/// A database of one test, whose owner is the application, and a role `mallory` that may create objects
/// in `public`: the URLs of the two, and of the superuser.
async fn database() -> Option<[String; 3]> {
    let url = postgres_url()?;
    let name = unique("hostile");
    let (app, mallory) = (format!("{name}_app"), format!("{name}_mallory"));
    run(&url, format!("CREATE ROLE {app} LOGIN; CREATE ROLE {mallory} LOGIN")).await;
    run(&url, format!("CREATE DATABASE {name} OWNER {app}")).await;
    let admin = url_of("postgres", &name)?;
    // The default up to PostgreSQL 14, and of each cluster that was upgraded from there.
    run(&admin, "GRANT CREATE ON SCHEMA public TO PUBLIC").await;
    Some([url_of(&app, &name)?, url_of(&mallory, &name)?, admin])
}

/// The types of two values that are compared.
const COMPARED: [&str; 17] = [
    "varchar, varchar",
    "varchar, text",
    "text, varchar",
    "text, text",
    "bpchar, text",
    "bpchar, bpchar",
    "uuid, uuid",
    "uuid, text",
    "int8, int8",
    "int4, int8",
    "int8, int4",
    "int4, int4",
    "numeric, int4",
    "bytea, bytea",
    "bool, bool",
    "name, text",
    "name, name",
];

/// The types of two numbers that are added or multiplied.
const NUMBERS: [&str; 4] = ["int8, int8", "int8, int4", "int4, int4", "int4, int8"];

/// Functions and operators that match better than those of `pg_catalog`, and raise. A trigger's function
/// catches errors: so each also draws a number, which no rollback gives back.
fn traps() -> String {
    let mut sql =
        "CREATE SEQUENCE public.trapped; GRANT ALL ON SEQUENCE public.trapped TO PUBLIC;\n"
            .to_owned();
    let mut function = |name: &str, arguments: &str, returns: &str| {
        sql += &format!(
            "CREATE FUNCTION public.{name}({arguments}) RETURNS {returns} LANGUAGE plpgsql AS
             $$ BEGIN
                 PERFORM pg_catalog.nextval('public.trapped');
                 RAISE EXCEPTION 'the application ran public.{name}';
             END $$;\n"
        );
    };
    for types in COMPARED {
        function("trap", types, "boolean");
    }
    for types in NUMBERS {
        function("trap_of_numbers", types, "int8");
    }
    function("trap_of_numbers", "numeric, int4", "numeric");
    function("json_build_object", "text, varchar, text, text", "json");
    function("json_build_object", "text, text, text, text", "json");
    function("pg_notify", "text, text", "void");
    function("pg_notify", "varchar, varchar", "void");
    function("encode", "bytea, varchar", "text");
    function("encode", "bytea, text", "text");
    function("pg_is_in_recovery", "", "boolean");
    function("pg_notification_queue_usage", "", "float8");
    function("pg_notify", "varchar, text", "void");
    function("pg_notify", "text, varchar", "void");
    function("to_jsonb", "record", "jsonb");
    function("unnest", "text[]", "text");
    function("format", "varchar, text", "text");
    function("clock_timestamp", "", "timestamptz");
    function("to_regclass", "varchar", "regclass");
    function("format_type", "oid, int4", "text");
    for base in ["text", "int4", "int8", "uuid"] {
        sql += &format!("CREATE DOMAIN public.{base} AS pg_catalog.{base} CHECK (false);\n");
    }
    for operator in ["=", "<>", "<", ">"] {
        for types in COMPARED {
            sql += &operator_sql(operator, types, "trap");
        }
    }
    for operator in ["+", "*"] {
        for types in NUMBERS.into_iter().chain(["numeric, int4"]) {
            sql += &operator_sql(operator, types, "trap_of_numbers");
        }
    }
    sql
}

fn operator_sql(operator: &str, types: &str, function: &str) -> String {
    let (left, right) = types.split_once(", ").unwrap();
    format!(
        "CREATE OPERATOR public.{operator} (LEFTARG = {left}, RIGHTARG = {right}, \
         FUNCTION = public.{function});\n"
    )
}

#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
struct Profile {
    email: String,
    role: String,
}

/// Runs every statement.
async fn all(store: &PostgresStore<Profile>, id: &str, other: &str) {
    for user in [id, other] {
        let user = NewUser::with_password_hash(user, format!("{user}@example.com"), HASH);
        assert!(store.insert(user).await.unwrap());
    }
    let login = format!("{id}@example.com");
    let row = store.read(UserKey::Login(&login)).await.unwrap().unwrap();
    assert_eq!(row.fields, Profile { email: login.clone(), role: "user".to_owned() });
    assert_eq!(row.id, id);
    let conformance = relatch::store::Conformance::new(id).login(&login);
    conformance.check(store).await.unwrap();
    assert!(store.bump_version(id, 0).await.unwrap().is_some());
    assert!(store.disable(id, 0).await.unwrap().is_some());
    let version = store.read(UserKey::Id(id)).await.unwrap().unwrap().columns.version;
    assert!(store.enable(id, version, 0).await.unwrap().is_some());
    assert!(store.bump_epoch("tenant", "acme", 7).await.unwrap().is_some());
    assert!(store.bump_epoch("tenant", "nobody", 7).await.unwrap().is_none());
    assert!(store.delete(other).await.unwrap());
    assert!(store.read(UserKey::Id(other)).await.unwrap().is_none());
}

/// What the migration left in the table runs whenever the application's own SQL writes it.
async fn defaults_and_triggers(app: &str, name: &str, id: &str) {
    let mut connection = PgConnection::connect(app).await.unwrap();
    let mut run = async |sql: String| {
        let query = sqlx::raw_sql(sqlx::AssertSqlSafe(sql));
        query.execute(&mut connection).await.unwrap();
    };
    run(format!("UPDATE {name} SET token_version = 1, email = email || '.com'")).await;
    let other = match id.len() {
        36 if name == "of_bytes" => "'\\x97e5504410b1426f9247bb680e5fe0c8'",
        36 => "'97e55044-10b1-426f-9247-bb680e5fe0c8'",
        _ => "'9'",
    };
    run(format!("INSERT INTO {name} (id, email) VALUES ({other}, 'new')")).await;
    run("UPDATE tenants SET epoch = epoch".to_owned()).await;
    let version = format!("SELECT min(token_version) FROM {name} WHERE email LIKE 'new'");
    let version: i64 =
        sqlx::query_scalar(sqlx::AssertSqlSafe(version)).fetch_one(&mut connection).await.unwrap();
    assert!(version > 1_700_000_000_000, "{version}");
}

/// Whether a trap has drawn a number.
async fn is_trapped(admin: &str) -> bool {
    let mut connection = PgConnection::connect(admin).await.unwrap();
    let query = sqlx::query_scalar("SELECT is_called FROM public.trapped");
    query.fetch_one(&mut connection).await.unwrap()
}

#[tokio::test]
async fn no_statement_runs_functions_of_another_role() {
    let Some([app, mallory, admin]) = database().await else { return };
    let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
    let uuids = [uuid, "77e55044-10b1-426f-9247-bb680e5fe0c8"];
    let kinds = [
        ("of_text", "varchar(40)", IdType::Text, ["1", "2"]),
        ("of_char", "char(36)", IdType::Uuid, uuids),
        ("of_uuid", "uuid", IdType::Uuid, uuids),
        ("of_bytes", "bytea", IdType::UuidBytes, uuids),
        ("of_int", "int4", IdType::Integer, ["1", "2"]),
    ];
    let tables = kinds.map(|(name, id, ..)| {
        format!(
            "CREATE TABLE {name} (id {id} PRIMARY KEY, email varchar(255) UNIQUE NOT NULL,
                role text NOT NULL DEFAULT 'user', password_hash varchar(255), secret varchar(99),
                token_version int8, carried varchar(999), sessions text, lanes varchar(999),
                is_active boolean DEFAULT true, deleted_at timestamptz, is_deleted int4 DEFAULT 0,
                tenant varchar(20) DEFAULT 'acme');"
        )
    });
    let groups = "CREATE TABLE tenants (id varchar(20) PRIMARY KEY, epoch int8);
                  INSERT INTO tenants VALUES ('acme', 1);";
    run(&app, tables.concat() + groups).await;
    run(&mallory, traps()).await;
    // In front of `pg_catalog`, and behind it.
    for (path, behind_pooler) in [("public,pg_catalog", false), ("public", true)] {
        let app = format!("{app}&options=-c%20search_path%3D{path}");
        for (name, _, id_type, [id, other]) in kinds {
            let groups = GroupsTable::named("tenants");
            let table = UsersTable::named(name).id_type(id_type).login("email").secret("secret");
            let table = table.active("is_active").deleted_at("deleted_at").is_deleted("is_deleted");
            let table = table.user_epoch("tenant", "tenant", groups).fields(["email", "role"]);
            let options = PostgresOptions::new();
            let options = if behind_pooler { options.behind_pooler() } else { options };
            let store = options.connect(&app, table).await.unwrap();
            store.migrate().await.unwrap();
            store.migrate_triggers().await.unwrap();
            all(&store, id, other).await;
            assert_eq!(store.unsent_notifications(), 0);
            defaults_and_triggers(&app, name, id).await;
            assert!(store.check().await.unwrap().is_ok());
            assert!(!is_trapped(&admin).await, "a trigger ran a function of another role");
            store.drop_triggers().await.unwrap();
            run(&admin, format!("TRUNCATE {name}")).await;
        }
    }
}
