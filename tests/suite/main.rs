//! The library through its public API alone, as an application uses it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod adoption;
#[cfg(feature = "asymmetric")]
mod asymmetric;
mod bad_input;
mod common;
mod decisions;
mod differential;
mod forge;
mod history;
mod issue_and_verify;
mod key_cache;
#[cfg(feature = "live")]
mod live;
mod one_time;
#[cfg(feature = "password")]
mod password;
mod properties;
mod races;
mod redaction;
mod restart;
mod revocation;
mod rotation;
mod rotation_failures;
mod service;
mod sessions;
mod shortcut;
mod spawn;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod stores;
mod traps;
mod vectors;
#[cfg(all(feature = "axum", feature = "cache", feature = "tracing"))]
mod web;
