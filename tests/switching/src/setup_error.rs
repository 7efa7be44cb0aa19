//! An error of an application's setup is visible without a log: this package builds relatch without the
//! feature `tracing`.

use std::{env, process::Command};

use axum::{extract::FromRequestParts, http::Request};
use relatch::axum::Authenticated;

use crate::{Failure, failure};

/// The argument with which this program does [`provoke`].
pub const ARGUMENT: &str = "setup-error";

/// A handler's extractor in a router that lacks relatch's layer.
pub async fn provoke() -> Result<(), Failure> {
    let (mut parts, ()) = Request::new(()).into_parts();
    match Authenticated::<()>::from_request_parts(&mut parts, &()).await {
        Ok(_) => Err(failure("a request was authenticated without relatch's layer")),
        Err(_) => Ok(()),
    }
}

/// Runs it in another process, and reads what that prints.
pub fn is_printed() -> Result<(), Failure> {
    let output = Command::new(env::current_exe()?).arg(ARGUMENT).output()?;
    let printed = String::from_utf8_lossy(&output.stderr);
    match output.status.success() && printed.contains("relatch's layer is missing") {
        true => Ok(()),
        false => Err(failure(&format!("an error of the setup was not printed: {printed:?}"))),
    }
}
