//! The differences between the databases' SQL.

#[cfg(feature = "postgres")]
use super::{
    Name,
    shape::{Flag, Shape},
};

/// A database's SQL.
///
/// PostgreSQL looks up a function, an operator or a type without a schema by the `search_path`, in whose
/// schemas others may create their own (CVE-2018-1058). So each has its schema here. `CAST`, `CASE`,
/// `COALESCE`, `GREATEST` and `IS NULL` look up nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    #[cfg(feature = "sqlite")]
    Sqlite,
    /// With the channel of the notifications.
    #[cfg(feature = "postgres")]
    Postgres { channel: Name, shape: Box<Shape> },
}

#[cfg(feature = "postgres")]
const EQUALS: &str = "OPERATOR(pg_catalog.=)";

/// The column of a read that tells whether the server is a standby.
#[cfg(feature = "postgres")]
pub(super) const STANDBY: &str = "relatch_standby";

impl Dialect {
    /// The expression as a text column of a result. No cast in SQLite: it would convert any value to
    /// text and hide the damage.
    pub(super) fn text(&self, value: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => value.to_owned(),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => self.as_text(value),
        }
    }

    /// The expression of any type as text.
    pub(super) fn as_text(&self, value: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => format!("CAST({value} AS TEXT)"),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => format!("CAST({value} AS pg_catalog.text)"),
        }
    }

    /// The expression as an integer column of a result.
    pub(super) fn integer(&self, value: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => value.to_owned(),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => format!("CAST({value} AS pg_catalog.int8)"),
        }
    }

    /// 16 bytes as 32 hexadecimal digits, in lower case.
    pub(super) fn hex(&self, value: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => {
                format!("CASE typeof({value}) WHEN 'blob' THEN lower(hex({value})) END")
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => format!("pg_catalog.encode({value}, 'hex')"),
        }
    }

    /// Equal byte for byte, for a column of any type and collation.
    pub(super) fn is_text(&self, value: &str, param: &str) -> String {
        let value = self.as_text(value);
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => format!("{value} = {param} COLLATE BINARY"),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                format!("{value} {EQUALS} {param} COLLATE pg_catalog.\"C\"")
            }
        }
    }

    /// Equal byte for byte, where `NULL` equals `NULL`.
    pub(super) fn is_text_or_null(&self, column: &str, param: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => format!("{column} IS {param} COLLATE BINARY"),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                let is = self.is_text(column, param);
                format!("({is} OR ({column} IS NULL AND {param} IS NULL))")
            }
        }
    }

    /// An integer column equals the parameter, where `NULL` equals `NULL`.
    pub(super) fn is_integer_or_null(&self, column: &str, param: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => format!("{column} IS {param}"),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                format!("({column} {EQUALS} {param} OR ({column} IS NULL AND {param} IS NULL))")
            }
        }
    }

    /// `max(coalesce(counter, 0) + 1, $2)`, and the condition that there is such a value.
    pub(super) fn next(&self, counter: &str) -> (String, String) {
        let counter = self.integer(&format!("coalesce({counter}, 0)"));
        let max = i64::MAX;
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => (format!("max({counter} + 1, $2)"), format!("{counter} < {max}")),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => (
                format!("greatest({counter} OPERATOR(pg_catalog.+) 1, $2)"),
                format!("{counter} OPERATOR(pg_catalog.<) {max}"),
            ),
        }
    }

    /// The condition that a flag is not set. A value that is no flag's is not set here: it is found when
    /// the row is read.
    pub(super) fn is_not_set(&self, column: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => {
                format!("({column} IS NOT 1 AND CAST({column} AS TEXT) IS NOT 'true')")
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { shape, .. } => match &shape.is_deleted {
                // As an index on the live rows would say it.
                Some(Flag::Boolean { is_not_null: true }) => format!("NOT {column}"),
                Some(Flag::Boolean { .. }) => format!("{column} IS NOT TRUE"),
                _ => {
                    let text = self.as_text(column);
                    let is_not = "OPERATOR(pg_catalog.<>)";
                    format!(
                        "({column} IS NULL OR ({text} {is_not} '1' AND {text} {is_not} 'true'))"
                    )
                }
            },
        }
    }

    /// A Boolean parameter as a value for the column that says whether a user is active.
    pub(super) fn active_value(&self, param: &str) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => param.to_owned(),
            #[cfg(feature = "postgres")]
            Self::Postgres { shape, .. } => match &shape.active {
                Some(Flag::Other { type_name }) => {
                    format!("CAST(CAST({param} AS pg_catalog.int4) AS {type_name})")
                }
                _ => param.to_owned(),
            },
        }
    }

    /// The columns as the members of a JSON object. What JSON cannot say becomes text: bytes as
    /// PostgreSQL writes them, and an infinite number.
    pub(super) fn json_object<'a>(
        &self,
        columns: impl Iterator<Item = (&'a str, String)>,
    ) -> String {
        let members = columns.map(|(name, value)| match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => format!(
                "'{name}', CASE typeof({value}) WHEN 'blob' THEN '\\x' || lower(hex({value})) \
                 WHEN 'real' THEN CASE {value} WHEN 9e999 THEN 'Infinity' \
                 WHEN -9e999 THEN '-Infinity' ELSE {value} END ELSE {value} END"
            ),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => format!("'{name}', {value}"),
        });
        let members = members.collect::<Vec<_>>().join(", ");
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => format!("json_object({members})"),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                self.as_text(&format!("pg_catalog.json_build_object({members})"))
            }
        }
    }

    /// A read of these columns. If the server is a standby, which may lack what was written to its
    /// primary, the read returns one more row, with [`STANDBY`]: even where it finds nothing.
    pub(super) fn select(&self, columns: &[String], from: &str) -> String {
        let selected = columns.join(", ");
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => format!("SELECT {selected} {from}"),
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                let nulls = vec!["NULL"; columns.len()].join(", ");
                format!(
                    "(SELECT {selected}, FALSE AS {STANDBY} {from}) UNION ALL \
                     SELECT {nulls}, TRUE WHERE pg_catalog.pg_is_in_recovery()"
                )
            }
        }
    }

    /// The same read, which locks its rows; a standby refuses it. `None` where the database locks no
    /// rows.
    pub(super) fn locking(&self, columns: &[String], from: &str) -> Option<String> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => {
                let _ = (columns, from);
                None
            }
            // The lock of an update that changes no key: rows that refer to the user can still be
            // written.
            #[cfg(feature = "postgres")]
            Self::Postgres { .. } => {
                Some(format!("SELECT {} {from} FOR NO KEY UPDATE OF u", columns.join(", ")))
            }
        }
    }

    /// The statement, and a notification in its transaction for each row that it changes; if none is
    /// changed, nothing is sent. `returned` is an expression over the statement's rows, and so is
    /// `counter`, which is the result's first column. `None` where the database does not notify.
    pub(super) fn notifying(
        &self,
        statement: &str,
        returned: &str,
        counter: Option<&str>,
    ) -> Option<String> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite => {
                let _ = (statement, returned, counter);
                None
            }
            #[cfg(feature = "postgres")]
            Self::Postgres { channel, .. } => {
                let (more, first) = match counter {
                    Some(counter) => (format!(", {counter} AS counter"), "changed.counter, "),
                    None => (String::new(), ""),
                };
                Some(format!(
                    "WITH changed AS ({statement} RETURNING {returned} AS id{more}) \
                     SELECT {first}pg_catalog.pg_notify('{}', changed.id) FROM changed",
                    channel.as_str()
                ))
            }
        }
    }
}
