//! The types of the columns that a migration adds.

/// The types, as a database writes them.
pub(in crate::store::sql) struct Types {
    pub(in crate::store::sql) text: &'static str,
    pub(in crate::store::sql) integer: &'static str,
    pub(super) uuid: &'static str,
    pub(super) bytes: &'static str,
    /// Of the column that says whether a user is active, with its default.
    pub(in crate::store::sql) active: &'static str,
}

impl Types {
    /// Those that a `STRICT` table has too.
    #[cfg(feature = "sqlite")]
    pub(in crate::store::sql) const SQLITE: Self = Self {
        text: "TEXT",
        integer: "INTEGER",
        uuid: "TEXT",
        bytes: "BLOB",
        active: "INTEGER NOT NULL DEFAULT 1",
    };

    /// A type that is no keyword of SQL is named with its schema: another role may have created its own
    /// in a schema of the `search_path`.
    #[cfg(feature = "postgres")]
    pub(in crate::store::sql) const POSTGRES: Self = Self {
        text: "pg_catalog.text",
        integer: "BIGINT",
        uuid: "pg_catalog.uuid",
        bytes: "pg_catalog.bytea",
        active: "BOOLEAN NOT NULL DEFAULT TRUE",
    };
}
