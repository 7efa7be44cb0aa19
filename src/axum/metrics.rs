//! Counters and log of refusals.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use super::{misconfigured::Misconfigured, refusal::Refusal};

/// The number of refusals by reason. The reasons are a fixed set of names.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<BTreeMap<&'static str, u64>>);

impl Metrics {
    /// Counts and logs a refusal, with the user's id if it is known to be genuine.
    pub(super) fn record(&self, refusal: &Refusal, user: Option<&str>) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(refusal.as_str()).or_default() += 1;
        drop(counts);
        log(refusal, user);
    }

    pub(super) fn counts(&self) -> Vec<(&'static str, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(name, count)| (*name, *count)).collect()
    }
}

/// Logs a refusal: an error if the server is at fault, otherwise info; debug for a missing token.
#[cfg(feature = "tracing")]
fn log(refusal: &Refusal, user: Option<&str>) {
    use std::error::Error;

    let (reason, cause) = (refusal.as_str(), refusal.source());
    match refusal {
        Refusal::NoToken => tracing::debug!(target: "relatch", reason, "refused: {refusal}"),
        _ if refusal.status().is_server_error() => {
            tracing::error!(target: "relatch", reason, user, cause, "failed: {refusal}");
        }
        _ => tracing::info!(target: "relatch", reason, user, "refused: {refusal}"),
    }
}

/// Without a log: writes an error of the server, which an operator must correct, to standard error.
#[cfg(not(feature = "tracing"))]
fn log(refusal: &Refusal, _: Option<&str>) {
    if refusal.status() == http::StatusCode::INTERNAL_SERVER_ERROR {
        write(&with_causes(refusal));
    }
}

/// The text of an error and of all that caused it.
#[cfg(not(feature = "tracing"))]
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Logs an error of the setup; without the feature `tracing`, to standard error.
pub(super) fn misconfigured(what: Misconfigured) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "relatch", "{what}");
    #[cfg(not(feature = "tracing"))]
    write(&what.to_string());
}

/// Logs a warning at the start.
pub(super) fn warn(text: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "relatch", "{text}");
    #[cfg(not(feature = "tracing"))]
    write(text);
}

#[cfg(not(feature = "tracing"))]
#[expect(
    clippy::print_stderr,
    reason = "there is no log, and the application does not work without this"
)]
fn write(text: &str) {
    eprintln!("relatch: {text}");
}
