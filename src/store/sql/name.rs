//! Names of tables and columns: checked, and always quoted.

use std::fmt;

use crate::error::ConfigError;

/// PostgreSQL truncates longer names, so that two names might become one.
const MAX_NAME_BYTES: usize = 63;

/// The name of a column: `[A-Za-z_][A-Za-z0-9_]{0,62}`. It prints quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn parse(what: &'static str, name: &str) -> Result<Self, ConfigError> {
        let is_start = |c: u8| c.is_ascii_alphabetic() || c == b'_';
        let is_name = name.as_bytes().first().is_some_and(|c| is_start(*c))
            && name.bytes().all(|c| is_start(c) || c.is_ascii_digit())
            && name.len() <= MAX_NAME_BYTES;
        match is_name {
            true => Ok(Self(name.to_owned())),
            false => Err(bad_name(what, name)),
        }
    }

    /// A name that is written in the source.
    pub(super) fn fixed(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

/// The name of a table, `table` or `schema.table`. It prints quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TableName {
    schema: Option<Name>,
    table: Name,
}

impl TableName {
    pub(super) fn parse(what: &'static str, name: &str) -> Result<Self, ConfigError> {
        let (schema, table) = match name.split_once('.') {
            Some((schema, table)) => (Some(schema), table),
            None => (None, name),
        };
        let parse = |part| Name::parse(what, part).map_err(|_| bad_name(what, name));
        Ok(Self { schema: schema.map(parse).transpose()?, table: parse(table)? })
    }

    pub(super) fn fixed(name: &'static str) -> Self {
        Self { schema: None, table: Name::fixed(name) }
    }

    /// The table without its schema.
    #[cfg(feature = "sqlite")]
    pub(super) const fn table(&self) -> &Name {
        &self.table
    }

    pub(super) const fn schema(&self) -> Option<&Name> {
        self.schema.as_ref()
    }

    /// Another name in the same schema.
    pub(super) fn beside(&self, name: &str) -> String {
        match &self.schema {
            Some(schema) => format!("{schema}.\"{name}\""),
            None => format!("\"{name}\""),
        }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.beside(self.table.as_str()))
    }
}

/// The greatest number of columns for fields: a database's JSON function takes no more pairs.
pub(super) const MAX_FIELDS: usize = 50;

/// The greatest number of groups: more than any application has, and far below a statement's limits.
pub(super) const MAX_EPOCHS: usize = 16;

fn bad_name(what: &'static str, name: &str) -> ConfigError {
    let name: String = name.chars().take(80).collect();
    users_table(format!(
        "{name:?} cannot be the name of {what}: 1 to {MAX_NAME_BYTES} letters A-Z and a-z, digits \
         and underscores are allowed, not beginning with a digit, and before a table's name its \
         schema and a dot"
    ))
}

pub(super) fn twice(name: &Name) -> ConfigError {
    users_table(format!("the column {:?} is used for two purposes", name.as_str()))
}

pub(super) fn epoch_twice(kind: &str) -> ConfigError {
    users_table(format!("there are two epochs of the kind {kind:?}"))
}

pub(super) fn too_many_fields() -> ConfigError {
    users_table(format!("there are more than {MAX_FIELDS} columns of fields"))
}

pub(super) fn too_many_epochs() -> ConfigError {
    users_table(format!("there are more than {MAX_EPOCHS} epochs"))
}

fn users_table(text: String) -> ConfigError {
    ConfigError::new("users_table", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let name = |name| Name::parse("a column", name).unwrap().to_string();
        assert_eq!(name("email"), "\"email\"");
        assert_eq!(name("_X9"), "\"_X9\"");
        let table = |name| TableName::parse("a table", name).unwrap().to_string();
        assert_eq!(table("users"), "\"users\"");
        assert_eq!(table("auth.users"), "\"auth\".\"users\"");
        assert!(Name::parse("a column", &"a".repeat(63)).is_ok());
    }

    #[test]
    fn nothing_else_is_a_name() {
        for bad in [
            "",
            "1a",
            "a b",
            "a-b",
            "a\"b",
            "a'b",
            "a;b",
            "é",
            "a\0",
            "a.b",
            "\"a\"",
            "a)--",
            &"a".repeat(64),
        ] {
            let error = Name::parse("the login column", bad).unwrap_err();
            assert!(error.to_string().contains("the login column"), "{error}");
        }
        for bad in ["", ".", "a.", ".a", "a.b.c", "a.b c", "a..b", "a.\"b"] {
            assert!(TableName::parse("a table", bad).is_err(), "{bad}");
        }
    }
}
