//! What a check finds before the first request, and that the SQL it gives mends it.

#[cfg(feature = "postgres")]
mod postgres;
mod service;
mod sqlite;

use relatch::store::{CheckReport, Finding, Severity, UserStore, UsersTable};

/// The columns of a table that has all that relatch needs.
const COLUMNS: [(&str, &str); 9] = [
    ("id", "TEXT PRIMARY KEY NOT NULL"),
    ("login", "TEXT NOT NULL UNIQUE"),
    ("password_hash", "TEXT"),
    ("token_version", "BIGINT DEFAULT 1"),
    ("carried", "TEXT"),
    ("sessions", "TEXT"),
    ("lanes", "TEXT"),
    ("secret", "TEXT"),
    ("is_active", "BOOLEAN NOT NULL DEFAULT TRUE"),
];

/// The SQL of such a table in which one column is another; an empty one is left out.
fn table(name: &str, column: &str, definition: &str) -> String {
    let columns = COLUMNS.map(|(name, kind)| match name == column {
        true if definition.is_empty() => None,
        true => Some(format!("{name} {definition}")),
        false => Some(format!("{name} {kind}")),
    });
    let columns: Vec<_> = columns.into_iter().flatten().collect();
    format!("CREATE TABLE {name} ({})", columns.join(", "))
}

fn described(name: &str) -> UsersTable {
    UsersTable::named(name).secret("secret").active("is_active")
}

async fn check(store: &impl UserStore) -> CheckReport {
    store.check().await.unwrap()
}

async fn is_clean(store: &impl UserStore) {
    let report = check(store).await;
    assert!(report.findings().is_empty(), "{report}");
}

/// The one finding of this severity with this subject and these words.
fn one<'a>(report: &'a CheckReport, severity: Severity, subject: &str, words: &str) -> &'a Finding {
    let is_it =
        |finding: &&Finding| finding.subject().ends_with(subject) && finding.text().contains(words);
    let mut found = report.findings().iter().filter(is_it);
    let finding = found.next().unwrap_or_else(|| panic!("no {subject:?}: {words:?} in:\n{report}"));
    assert!(found.next().is_none(), "{report}");
    assert_eq!(finding.severity(), severity, "{finding}");
    // A sentence, which says what happens, on one line.
    assert!(finding.text().len() > 40 && !finding.text().contains(['\n', '\r']), "{finding}");
    assert_eq!(report.is_ok(), severity == Severity::Warning, "{report}");
    finding
}

/// Users with placeholders in place of a hash, and without a hash; then users who have a hash or a secret.
const UNBOUND: &str = "INSERT INTO accounts (id, login, password_hash) VALUES
    ('1', '1', '!'), ('2', '2', 'oauth'), ('3', '3', ''), ('4', '4', NULL),
    ('5', '5', '!Vw2nXnUnusablePasswordOfDjango0123456789'), ('6', '6', '*LK*but-long-enough-for-a-hash'),
    ('7', '7', '$2b$04$.BBUjjfa6vbDixCbY1YiVO0NA5bSh4NccwniLmGelaAuki7uopbZm'),
    ('8', '8', '*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19');
    INSERT INTO accounts (id, login, secret) VALUES ('9', '9', 'the-secret-of-nine-with-43-characters-or-so');";

/// Runs the SQL that fills the secrets: each user has a credential then, and its own.
async fn are_bound(store: &impl UserStore<Fields = ()>, sql: &str, run: impl AsyncFn(String)) {
    for _ in 0..2 {
        run(sql.to_owned()).await;
    }
    is_clean(store).await;
    let mut secrets = std::collections::BTreeSet::new();
    for id in 1..=9 {
        let id = id.to_string();
        let row = store.read(relatch::store::UserKey::Id(&id)).await.unwrap().unwrap();
        match row.columns.secret.clone() {
            None => assert!(["7", "8"].contains(&&*id), "{id}"),
            Some(secret) => {
                assert!(secret.len() >= 43 && !secret.contains(['=', '+', '/', '\n']), "{secret}");
                assert!(secrets.insert(secret));
            }
        }
    }
    assert_eq!(secrets.len(), 7);
}

/// The columns of soft deletion, and conditions of an index over the logins of live rows.
const SOFT: [(&str, bool, &str); 4] = [
    ("gone TIMESTAMP", true, "gone IS NULL"),
    ("gone BOOLEAN", false, "gone IS NOT TRUE"),
    ("gone BOOLEAN NOT NULL DEFAULT FALSE", false, "NOT gone"),
    ("\"gone\" BOOLEAN NOT NULL DEFAULT FALSE", false, "\"gone\" IS NOT TRUE"),
];

fn soft(name: &str, is_time: bool) -> UsersTable {
    match is_time {
        true => described(name).deleted_at("gone"),
        false => described(name).is_deleted("gone"),
    }
}

const PROBLEM: Severity = Severity::Problem;
const WARNING: Severity = Severity::Warning;
