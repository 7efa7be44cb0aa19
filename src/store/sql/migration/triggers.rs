//! Triggers of PostgreSQL that notify of what the application's own SQL changes.

use sha2::{Digest, Sha256};

use super::{
    postgres::{BEGIN, LOCK_TIMEOUT, run},
    script,
};
use crate::store::{
    PostgresStore, StoreError,
    sql::{Failure, Name, postgres::classify, users_table::Names},
};

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Adds triggers, so that changes by the application's own SQL also notify processes that
    /// [listen](Self::listen): a change of the id, the version, the hash, the secret, whether the user
    /// is active, the user's groups or the fields; sessions that become `NULL`; a deleted user; a
    /// group's counter; and a group that is inserted or deleted. Run [`migrate`](Self::migrate) before.
    ///
    /// Without triggers the application notifies of its own changes itself, by
    /// [`Changes`](crate::store::Changes) or `pg_notify`. Each run locks the table briefly against
    /// writers, and waits for them at most 2 seconds: run it on deployment rather than at each start.
    /// Several processes may run it at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known whether it was.
    pub async fn migrate_triggers(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| Failure::new(&error, classify);
        let mut transaction = self.engine().driver().pool.begin().await.map_err(failed)?;
        for statement in BEGIN {
            run(&mut transaction, statement.to_owned()).await.map_err(failed)?;
        }
        for statement in triggers(self.engine().names(), &self.engine().driver().channel) {
            run(&mut transaction, statement).await.map_err(failed)?;
        }
        Ok(transaction.commit().await.map_err(failed)?)
    }

    /// The SQL that [`migrate_triggers`](Self::migrate_triggers) runs.
    #[must_use]
    pub fn triggers_sql(&self) -> String {
        let mut statements = vec![LOCK_TIMEOUT.to_owned()];
        statements.extend(triggers(self.engine().names(), &self.engine().driver().channel));
        script(&statements)
    }
}

/// A call with one argument instead of two notifies of all users.
fn triggers(names: &Names, channel: &Name) -> Vec<String> {
    let Names { table, id, version, password_hash, sessions, secret, active, .. } = names;
    let function = table.beside("relatch_changed");
    let channel = channel.as_str();
    let call = |arguments: &str| format!("EXECUTE FUNCTION {function}({arguments})");
    let everybody = call(&format!("'{channel}'"));
    let user = call(&format!("'{channel}', '{}'", id.as_str()));

    let groups = names.groups.iter().map(|group| &group.column);
    let watched =
        [id, version, password_hash].into_iter().chain(secret).chain(active).chain(groups);
    let mut conditions: Vec<_> =
        watched.map(|column| format!("OLD.{column} IS DISTINCT FROM NEW.{column}")).collect();
    // As text, since not every type can be compared.
    conditions.extend(names.fields.iter().flatten().map(|column| {
        format!("CAST(OLD.{column} AS TEXT) IS DISTINCT FROM CAST(NEW.{column} AS TEXT)")
    }));
    conditions.push(format!("(OLD.{sessions} IS NOT NULL AND NEW.{sessions} IS NULL)"));
    let conditions = conditions.join("\n    OR ");

    let mut statements = vec![
        format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger\n\
             LANGUAGE plpgsql SET search_path = pg_catalog AS $relatch$\n\
             BEGIN\n    \
             IF TG_NARGS = 2 THEN\n        \
             EXECUTE format('SELECT pg_notify($1, CAST(($2).%I AS TEXT))', TG_ARGV[1])\n            \
             USING TG_ARGV[0], OLD;\n    \
             ELSE\n        \
             PERFORM pg_notify(TG_ARGV[0], '');\n    \
             END IF;\n    \
             RETURN NULL;\n\
             END $relatch$"
        ),
        format!(
            "CREATE OR REPLACE TRIGGER relatch_updated AFTER UPDATE ON {table}\n\
             FOR EACH ROW WHEN ({conditions})\n{user}"
        ),
        format!(
            "CREATE OR REPLACE TRIGGER relatch_deleted AFTER DELETE ON {table}\n\
             FOR EACH ROW {user}"
        ),
        format!(
            "CREATE OR REPLACE TRIGGER relatch_truncated AFTER TRUNCATE ON {table}\n\
             FOR EACH STATEMENT {everybody}"
        ),
    ];
    for group in &names.groups {
        let (counter, table) = (&group.counter, &group.table);
        // A hash gives each counter a trigger name of its own within PostgreSQL's 63 bytes.
        let name = Sha256::digest(counter.as_str());
        let name = format!("relatch_{:02x}{:02x}{:02x}{:02x}", name[0], name[1], name[2], name[3]);
        statements.push(format!(
            "CREATE OR REPLACE TRIGGER {name}_bumped AFTER UPDATE ON {table}\n\
             FOR EACH ROW WHEN (OLD.{counter} IS DISTINCT FROM NEW.{counter})\n{everybody}"
        ));
        statements.push(format!(
            "CREATE OR REPLACE TRIGGER {name}_there AFTER INSERT OR DELETE OR TRUNCATE ON {table}\n\
             FOR EACH STATEMENT {everybody}"
        ));
    }
    statements
}
