//! What a database's catalogue says about the tables, as far as the statements depend on it.

#[cfg(feature = "postgres")]
mod postgres;

#[cfg(feature = "postgres")]
pub(super) use self::postgres::{catalogue_sql, parse};

/// The tables of PostgreSQL, resolved once. Each name in it is quoted and has its schema, so that a
/// statement does not depend on the `search_path` nor on what others create in its schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// The users' table.
    pub(super) users: String,
    pub(super) id: Key,
    pub(super) login: Key,
    pub(super) active: Option<Flag>,
    pub(super) is_deleted: Option<Flag>,
    /// In the order of the description.
    pub(super) groups: Vec<Group>,
}

/// A table of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) table: String,
    pub(super) key: Key,
}

/// A column by which rows are looked up. It is compared in its own type, so that its index serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The column's type, or that beneath its domain, without a length: a value is not cut.
    pub(super) type_name: String,
    /// The operator that its indexes use.
    pub(super) equals: String,
}

/// A column that says yes or no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    Boolean {
        is_not_null: bool,
    },
    /// Another type, which holds 0 or 1.
    Other {
        type_name: String,
    },
}

impl Key {
    /// A text parameter in the column's own type.
    pub(super) fn value(&self, param: &str) -> String {
        format!("CAST({param} AS {})", self.type_name)
    }

    /// The condition that the column equals this value.
    pub(super) fn is(&self, column: &str, value: &str) -> String {
        format!("{column} {} {}", self.equals, self.value(value))
    }
}
