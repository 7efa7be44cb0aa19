//! Recipes for the columns of the id and the login.

use relatch::store::{IdType, UsersTable};

use super::*;

/// A recipe that differs by its SQL alone. The table gets one user, who has these logins, and the check
/// has these warnings.
macro_rules! recipe {
    ($test:ident, $heading:expr, $sqlite:expr, $postgres:expr, $table:expr, $insert:expr, $logins:expr, $warnings:expr) => {
        mod $test {
            use super::*;

            #[tokio::test]
            async fn in_sqlite() {
                let db = Sqlite::with(sql($heading, $sqlite)).await;
                let service = db.service(on_page!($heading, $table)).await;
                db.run($insert).await;
                assert_only(&service, &$warnings).await;
                serves(&service, &$logins).await;
            }

            #[cfg(feature = "postgres")]
            #[tokio::test]
            async fn in_postgres() {
                let Some(db) = Postgres::with(sql($heading, $postgres)).await else { return };
                let service = db.service(on_page!($heading, $table)).await;
                db.run($insert).await;
                assert_only(&service, &$warnings).await;
                serves(&service, &$logins).await;
                db.end().await;
            }
        }
    };
}

recipe!(
    logins_in_any_case,
    "Logins in any case",
    "SQLite (ASCII letters only)",
    "PostgreSQL",
    UsersTable::named("accounts").login("email"),
    "INSERT INTO accounts (id, email, password_hash) VALUES ('a-1', 'Ada@example.com', :hash)",
    ["ada@example.com", "ADA@EXAMPLE.COM", "Ada@example.com"],
    []
);

recipe!(
    logins_in_a_lower_case_column,
    "Logins in a lower-case column",
    BOTH,
    BOTH,
    UsersTable::named("accounts").login("email_lower"),
    "INSERT INTO accounts (id, email, password_hash) VALUES ('a-1', 'Ada@example.com', :hash)",
    ["ada@example.com"],
    ["the store's `insert` fails"]
);

recipe!(
    integer_ids,
    "Integer ids",
    "SQLite",
    "PostgreSQL",
    UsersTable::named("accounts").id_type(IdType::Integer).login("email"),
    "INSERT INTO accounts (email, password_hash) VALUES ('ada', :hash)",
    ["ada"],
    []
);

recipe!(
    uuids,
    "UUIDs",
    "SQLite",
    "PostgreSQL",
    UsersTable::named("accounts").id_type(IdType::Uuid).login("email"),
    "INSERT INTO accounts (id, email, password_hash) \
     VALUES ('67e55044-10b1-426f-9247-bb680e5fe0c8', 'ada', :hash)",
    ["ada"],
    []
);

recipe!(
    uuids_as_char,
    "UUIDs as CHAR(36)",
    BOTH,
    BOTH,
    UsersTable::named("accounts").id_type(IdType::Text).login("email"),
    "INSERT INTO accounts (id, email, password_hash) \
     VALUES ('67e55044-10b1-426f-9247-bb680e5fe0c8', 'ada', :hash)",
    ["ada"],
    []
);

recipe!(
    uuids_as_bytes,
    "UUIDs as 16 bytes",
    "SQLite",
    "PostgreSQL",
    UsersTable::named("accounts").id_type(IdType::UuidBytes).login("email"),
    "INSERT INTO accounts (id, email, password_hash) VALUES (:bytes, 'ada', :hash)",
    ["ada"],
    []
);
