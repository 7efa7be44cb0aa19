//! Triggers of PostgreSQL that notify of what the application's own SQL changes.

use super::{
    postgres::{IN_TURN, begin, run},
    script,
    trigger::{Trigger, wanted},
};
use crate::store::{
    PostgresStore, StoreError,
    sql::{Name, postgres::failure, users_table::Names},
};

impl<F: Clone + Send + Sync + 'static> PostgresStore<F> {
    /// Adds triggers, so that changes by the application's own SQL also notify processes that
    /// [listen](Self::listen): a change of the id, the version, the hash, the secret, whether the user
    /// is active, the user's groups or the fields; sessions that become `NULL`; a deletion, also a soft
    /// one ([`deleted_at`](crate::store::UsersTable::deleted_at)); a group's counter; and a group that is
    /// inserted or deleted. Run [`migrate`](Self::migrate) before.
    ///
    /// A trigger never makes a change fail: if it cannot notify, the server logs a `WARNING`, and the bound
    /// of the cache holds. The triggers send nothing while PostgreSQL's queue of notifications is more
    /// than nine tenths full. Their definitions name no columns, so the application can still alter and
    /// drop its columns. [`drop_triggers`](Self::drop_triggers) removes the triggers.
    ///
    /// Without triggers, the application must notify of its own changes, with
    /// [`Changes`](crate::store::Changes) or `pg_notify`. Each run locks the table briefly against
    /// writers, and waits at most 2 seconds for the lock: run it on deployment, not at each start.
    /// Several processes may run it at once.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known whether it was.
    pub async fn migrate_triggers(&self) -> Result<(), StoreError> {
        self.run_in_turn(triggers(self.engine().names(), &self.engine().driver().channel)).await
    }

    /// The SQL that [`migrate_triggers`](Self::migrate_triggers) runs, for the application's own
    /// migration tool. Run it in one transaction.
    #[must_use]
    pub fn triggers_sql(&self) -> String {
        let driver = self.engine().driver();
        in_script(triggers(self.engine().names(), &driver.channel))
    }

    /// Drops the triggers of [`migrate_triggers`](Self::migrate_triggers), and their function if no
    /// other table's triggers use it. It locks the table as `migrate_triggers` does.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: nothing was changed, or it is not known whether it was.
    pub async fn drop_triggers(&self) -> Result<(), StoreError> {
        self.run_in_turn(drops(self.engine().names())).await
    }

    /// The SQL that [`drop_triggers`](Self::drop_triggers) runs. Run it in one transaction.
    #[must_use]
    pub fn drop_triggers_sql(&self) -> String {
        in_script(drops(self.engine().names()))
    }

    /// Runs the statements in one transaction, after other migrations.
    async fn run_in_turn(&self, statements: Vec<String>) -> Result<(), StoreError> {
        let mut transaction = self.engine().driver().pool.begin().await.map_err(failure)?;
        begin(&mut transaction).await.map_err(failure)?;
        for statement in statements {
            run(&mut transaction, statement).await.map_err(failure)?;
        }
        Ok(transaction.commit().await.map_err(failure)?)
    }
}

impl Trigger<'_> {
    fn sql(&self, function: &str, channel: &Name) -> String {
        let Self { name, table, event, is_for_each_row, arguments } = self;
        let each = if *is_for_each_row { "ROW" } else { "STATEMENT" };
        let arguments: Vec<_> = std::iter::once(&channel.as_str())
            .chain(arguments)
            .map(|argument| format!("'{argument}'"))
            .collect();
        let arguments = arguments.join(", ");
        format!(
            "CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {table}\n\
             FOR EACH {each} EXECUTE FUNCTION {function}({arguments})"
        )
    }
}

/// The function of the triggers. Its arguments are the channel; for a row, the columns of the id (empty
/// for everybody) and of the sessions; and for an update, the columns to compare.
///
/// It compares values as text, because not every type has an equality. It reads them by name from JSON,
/// so that the triggers depend on no column. If a comparison fails, it counts as a change. If the id
/// cannot be read, the notification is for all users.
const FUNCTION: &str = "() RETURNS pg_catalog.trigger
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $relatch$
DECLARE
    before jsonb;
    after jsonb;
    kind regtype;
    id text := '';
BEGIN
    -- A full queue would fail the change when it is committed.
    IF pg_notification_queue_usage() >= 0.9 THEN
        RAISE WARNING 'relatch: the queue of notifications is nearly full, nothing is sent';
        RETURN NULL;
    END IF;
    IF TG_OP = 'UPDATE' THEN
        BEGIN
            before := to_jsonb(OLD);
            after := to_jsonb(NEW);
            IF NOT EXISTS (
                SELECT FROM unnest(TG_ARGV[3:]) AS name
                 WHERE before ->> name IS DISTINCT FROM after ->> name
            ) AND (before ->> TG_ARGV[2] IS NULL OR after ->> TG_ARGV[2] IS NOT NULL) THEN
                RETURN NULL;
            END IF;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'relatch: the rows cannot be compared: %', SQLERRM;
        END;
    END IF;
    IF TG_LEVEL = 'ROW' AND TG_ARGV[1] <> '' THEN
        BEGIN
            EXECUTE format('SELECT pg_typeof(($1).%I)', TG_ARGV[1]) INTO kind USING OLD;
            -- A UUID of 16 bytes, in its usual form.
            EXECUTE format(
                CASE kind WHEN CAST('bytea' AS regtype)
                    THEN 'SELECT CAST(CAST(encode(($1).%I, ''hex'') AS uuid) AS text)'
                    ELSE 'SELECT CAST(($1).%I AS text)' END,
                TG_ARGV[1]
            ) INTO id USING OLD;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING 'relatch: the id cannot be read: %', SQLERRM;
        END;
    END IF;
    PERFORM pg_notify(TG_ARGV[0], id);
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    RAISE WARNING 'relatch: nobody is notified: %', SQLERRM;
    RETURN NULL;
END $relatch$";

/// The name of the function.
fn function(names: &Names) -> String {
    names.table.beside("relatch_changed")
}

fn triggers(names: &Names, channel: &Name) -> Vec<String> {
    let function = function(names);
    let mut statements = vec![format!("CREATE OR REPLACE FUNCTION {function}{FUNCTION}")];
    statements.extend(wanted(names).iter().map(|trigger| trigger.sql(&function, channel)));
    statements
}

fn drops(names: &Names) -> Vec<String> {
    let function = function(names);
    let drop = |Trigger { name, table, .. }| format!("DROP TRIGGER IF EXISTS {name} ON {table}");
    let mut statements: Vec<_> = wanted(names).into_iter().map(drop).collect();
    statements.push(format!(
        "DO $relatch$ BEGIN\n    \
         DROP FUNCTION IF EXISTS {function}();\n\
         EXCEPTION WHEN dependent_objects_still_exist THEN\n    \
         NULL; -- Another table's triggers use it.\n\
         END $relatch$"
    ));
    statements
}

fn in_script(statements: Vec<String>) -> String {
    let all: Vec<_> = IN_TURN.map(str::to_owned).into_iter().chain(statements).collect();
    script(&all)
}
