//! The bodies of requests, which are the same in both applications.

use axum::http::{HeaderMap, header::AUTHORIZATION};
use serde::Deserialize;

#[derive(Deserialize)]
pub struct Login {
    pub email: String,
    pub password: String,
}

#[derive(Deserialize)]
pub struct Refresh {
    pub refresh_token: String,
}

#[derive(Deserialize)]
pub struct NewPassword {
    pub password: String,
    pub new_password: String,
}

pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}
