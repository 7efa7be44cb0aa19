//! Secrets for users without a password, who have nothing else that a token could be bound to.

use crate::store::sql::{Name, users_table::Names};

/// A database's words for it.
pub(in crate::store::sql) struct Secrets {
    /// The condition that a text in this column is a placeholder in place of a hash.
    is_placeholder: fn(&Name) -> String,
    /// A new secret for each row.
    random: &'static str,
}

impl Secrets {
    #[cfg(feature = "sqlite")]
    pub(in crate::store::sql) const SQLITE: Self = Self {
        is_placeholder: |hash| {
            format!(
                "length({hash}) < 13 OR {hash} LIKE '!%' OR {hash} LIKE '*%' AND length({hash}) <> 41"
            )
        },
        // 256 bits of a generator (ChaCha20) that SQLite seeds from the system.
        random: "lower(hex(randomblob(32)))",
    };

    /// Functions and operators are named with their schema: another role may have created its own in a
    /// schema of the `search_path`.
    #[cfg(feature = "postgres")]
    pub(in crate::store::sql) const POSTGRES: Self = Self {
        is_placeholder: |hash| {
            format!(
                "pg_catalog.length({hash}) OPERATOR(pg_catalog.<) 13 \
                 OR pg_catalog.starts_with({hash}, '!') OR pg_catalog.starts_with({hash}, '*') \
                 AND pg_catalog.length({hash}) OPERATOR(pg_catalog.<>) 41"
            )
        },
        // 244 bits of the server's cryptographic randomness, in 43 characters.
        random: "pg_catalog.rtrim(pg_catalog.translate(pg_catalog.encode(\
                 pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) OPERATOR(pg_catalog.||) \
                 pg_catalog.uuid_send(pg_catalog.gen_random_uuid()), 'base64'), '+/', '-_'), '=')",
    };

    /// The condition that a user has neither a hash nor a secret. It finds the usual placeholders: those
    /// that are shorter than any hash, or locked by a first `!` or `*`. (MySQL's hashes have a first `*`
    /// and 41 characters.)
    pub(in crate::store::sql) fn condition(&self, names: &Names) -> String {
        let hash = &names.password_hash;
        let no_hash = format!("({hash} IS NULL OR {})", (self.is_placeholder)(hash));
        names
            .secret
            .iter()
            .fold(no_hash, |no_hash, secret| format!("{secret} IS NULL AND {no_hash}"))
    }

    /// The SQL that fills the secrets; `None` if the table has no column for them.
    pub(in crate::store::sql) fn sql(&self, names: &Names) -> Option<String> {
        let (table, condition, random) = (&names.table, self.condition(names), self.random);
        let secret = names.secret.as_ref()?;
        Some(format!("UPDATE {table} SET {secret} = {random} WHERE {condition}"))
    }
}
