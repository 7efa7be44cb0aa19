//! The `tower` layers.

pub(crate) mod installed;
pub(crate) mod require_login;
pub(crate) mod web_service;
