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
