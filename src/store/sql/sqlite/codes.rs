//! The classification of SQLite's result codes.

use crate::store::sql::{Failure, Fault};

/// The failure of a statement that ran through sqlx.
pub(in crate::store::sql) fn failure(error: sqlx::Error) -> Failure {
    Failure::new(&error, classify)
}

/// The failure of a statement that ran through rusqlite.
pub(super) fn read_failure(error: &rusqlite::Error) -> Failure {
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    Failure::of_code(&code.to_string(), &error.to_string(), classify)
}

/// <https://sqlite.org/rescode.html>
fn classify(code: &str) -> Fault {
    const BUSY: u32 = 5;
    const LOCKED: u32 = 6;
    const NOMEM: u32 = 7;
    const READONLY: u32 = 8;
    const INTERRUPT: u32 = 9;
    const IOERR: u32 = 10;
    const CORRUPT: u32 = 11;
    const FULL: u32 = 13;
    const CANTOPEN: u32 = 14;
    const PROTOCOL: u32 = 15;
    const TOOBIG: u32 = 18;
    const BUSY_SNAPSHOT: u32 = 517;
    let code = code.parse::<u32>().unwrap_or_default();
    // An extended code has the primary one in its lowest byte.
    match code & 0xff {
        _ if code == BUSY_SNAPSHOT => Fault::Conflict,
        BUSY | LOCKED | INTERRUPT => Fault::Canceled,
        NOMEM | READONLY | IOERR | CORRUPT | FULL | CANTOPEN | PROTOCOL => Fault::Unavailable,
        TOOBIG => Fault::Value,
        _ => Fault::Misconfigured,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_whom_to_call() {
        assert_eq!(classify("517"), Fault::Conflict);
        assert_eq!(classify("18"), Fault::Value);
        for code in ["5", "6", "9", "261"] {
            assert_eq!(classify(code), Fault::Canceled, "{code}");
        }
        // Read-only, an error of the disk at a sync, full.
        for code in ["8", "1034", "13", "14"] {
            assert_eq!(classify(code), Fault::Unavailable, "{code}");
        }
        // No such table, a constraint, a mismatch, not a database.
        for code in ["1", "1299", "20", "26", ""] {
            assert_eq!(classify(code), Fault::Misconfigured, "{code}");
        }
    }
}
