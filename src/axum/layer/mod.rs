//! The layers.

pub(in crate::axum) mod installed;
pub(in crate::axum) mod require_login;
pub(in crate::axum) mod web_service;
