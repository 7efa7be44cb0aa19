//! Parts of a request.

pub(in crate::axum) mod address;
pub(in crate::axum) mod callers;
pub(in crate::axum) mod cookies;
pub(in crate::axum) mod csrf;
pub(in crate::axum) mod device_label;
pub(in crate::axum) mod origin;
pub(in crate::axum) mod token;
