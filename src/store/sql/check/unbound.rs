//! Users whom no token can be bound to.

use super::{live, plain};
use crate::store::{
    Finding,
    sql::{Dialect, migration::Secrets, users_table::Names},
};

/// The number of rows to look at.
const ROWS: u32 = 100_000;

/// The SQL that counts the users without a hash and without a secret.
pub(super) fn count_sql(names: &Names, dialect: &Dialect, secrets: &Secrets) -> String {
    let (table, hash, live) = (&names.table, &names.password_hash, live(names, dialect));
    let secret = names.secret.iter().map(|secret| format!(", {secret}")).collect::<String>();
    let condition = secrets.condition(names);
    format!(
        "SELECT count(*) FROM (SELECT {hash}{secret} FROM {table} WHERE {live} LIMIT {ROWS}) AS sample \
         WHERE {condition}"
    )
}

pub(super) fn finding(names: &Names, secrets: &Secrets, count: i64) -> Option<Finding> {
    let subject = format!("{}.{}", plain(&names.table), names.password_hash.as_str());
    let text = format!(
        "among the first {ROWS} users, {count} have no password hash, or a placeholder in its place, and no \
         secret, so no session and no link can be issued for them"
    );
    let finding = |how| Finding::warning(subject, format!("{text}: {how}"));
    (count > 0).then(|| match secrets.sql(names) {
        Some(sql) => finding("fill the secret").with_sql(sql),
        None => finding("name a column for it with `UsersTable::secret`, and fill it"),
    })
}
