//! The classification of PostgreSQL's error codes.

use crate::store::sql::{Failure, Fault};

/// The failure of a statement.
pub(in crate::store::sql) fn failure(error: sqlx::Error) -> Failure {
    Failure::new(&error, classify)
}

/// Classifies an SQLSTATE (PostgreSQL's manual, appendix A).
fn classify(code: &str) -> Fault {
    match code {
        // A serialization failure, and a deadlock.
        "40001" | "40P01" => Fault::Conflict,
        // A read-only session, as after a failover. Another session may be able to write.
        "25006" => Fault::Unfit,
        // A lock that is not available in time, and a statement that took too long.
        "55P03" | "57014" => Fault::Canceled,
        // The end of the session: an idle transaction, an administrator, a crash, a start, a dropped
        // database, an idle session. The server may have committed just before.
        "25P03" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Fault::Lost,
        // A character that the database's encoding lacks, and text that is no value of a type.
        "22021" | "22P05" | "22P02" => Fault::Value,
        _ => match code.get(..2) {
            // The connection.
            Some("08") => Fault::Lost,
            // Feature, cardinality, data, constraint, state of the object, authorization, database,
            // schema, name or permission, limit: the table or its configuration is at fault.
            Some("0A" | "21" | "22" | "23" | "28" | "3D" | "3F" | "42" | "54" | "55") => {
                Fault::Misconfigured
            }
            _ => Fault::Unavailable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_tell_whom_to_call() {
        for (fault, codes) in [
            (Fault::Conflict, ["40001", "40P01"].as_slice()),
            (Fault::Unfit, &["25006"]),
            (Fault::Lost, &["08006", "57P01", "57P02", "57P03", "57P05", "25P03"]),
            (Fault::Canceled, &["57014", "55P03"]),
            (Fault::Value, &["22021", "22P05", "22P02"]),
            (Fault::Unavailable, &["53300", "XX000", "58030", ""]),
            (
                Fault::Misconfigured,
                &["42P01", "42703", "42501", "28P01", "3D000", "22003", "23502", "0A000"],
            ),
        ] {
            for code in codes {
                assert_eq!(classify(code), fault, "{code}");
            }
        }
    }
}
