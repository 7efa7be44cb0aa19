//! The options of the stores, and their constructors.

#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::time::Duration;

#[cfg(feature = "postgres")]
pub use self::postgres::PostgresOptions;
#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteOptions;

/// The default timeout of a call.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How long a statement may wait for a lock: less than half of the call's timeout, so that the database
/// gives up before the store does.
fn lock_timeout(timeout: Duration) -> Duration {
    timeout * 2 / 5
}

/// How long a statement may take in the server: a little less than half of the call's timeout, after
/// which a connection counts as broken.
#[cfg(feature = "postgres")]
fn statement_timeout(timeout: Duration) -> Duration {
    timeout / 20 * 9
}
