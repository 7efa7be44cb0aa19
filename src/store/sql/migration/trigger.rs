//! The triggers that a table needs.

use sha2::{Digest, Sha256};

use crate::store::sql::{
    Name, TableName,
    users_table::{Names, UserGroup},
};

/// A trigger to create.
pub(in crate::store::sql) struct Trigger<'a> {
    pub(in crate::store::sql) name: String,
    pub(in crate::store::sql) table: &'a TableName,
    pub(super) event: &'static str,
    pub(super) is_for_each_row: bool,
    /// After the channel.
    pub(super) arguments: Vec<&'a str>,
}

/// The triggers of the users' table and of the groups' tables.
pub(in crate::store::sql) fn wanted(names: &Names) -> Vec<Trigger<'_>> {
    let Names { table, id, version, password_hash, sessions, secret, active, .. } = names;
    let groups = names.groups.iter().map(|group| &group.column);
    let watched = [id, version, password_hash].into_iter().chain(secret).chain(active);
    let watched = watched.chain(&names.deleted_at).chain(&names.is_deleted);
    let watched = watched.chain(groups).chain(names.fields.iter().flatten());
    let user = vec![id.as_str(), sessions.as_str()];
    let updated = user.iter().copied().chain(watched.map(Name::as_str)).collect();
    let trigger = |name: &str, event, is_for_each_row, arguments| Trigger {
        name: name.to_owned(),
        table,
        event,
        is_for_each_row,
        arguments,
    };
    let mut triggers = vec![
        trigger("relatch_updated", "UPDATE", true, updated),
        trigger("relatch_deleted", "DELETE", true, user),
        trigger("relatch_truncated", "TRUNCATE", false, Vec::new()),
    ];
    for UserGroup { counter, table, .. } in &names.groups {
        // A hash gives each counter a trigger name of its own within PostgreSQL's 63 bytes.
        let name = Sha256::digest(counter.as_str());
        let name = format!("relatch_{:02x}{:02x}{:02x}{:02x}", name[0], name[1], name[2], name[3]);
        triggers.push(Trigger {
            table,
            // Without an id: a notification of everybody.
            ..trigger(&format!("{name}_bumped"), "UPDATE", true, vec!["", "", counter.as_str()])
        });
        let there = "INSERT OR DELETE OR TRUNCATE";
        triggers
            .push(Trigger { table, ..trigger(&format!("{name}_there"), there, false, Vec::new()) });
    }
    triggers
}
