//! The library through its public API alone, as an application uses it.
//!
//! `heart` tests the authority, tokens, keys and sessions without a store. `service`, `store` and
//! `web` test the modules of those names (`web` tests `relatch::axum`). `support` has shared
//! helpers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod heart;
mod service;
#[cfg(feature = "sqlite")]
mod store;
mod support;
#[cfg(all(feature = "axum", feature = "cache", feature = "tracing"))]
mod web;

// Every test imports from `crate::common`.
use support::{common, forge};
