//! A session that goes on: its access token expired, and its refresh token comes in a cookie that is
//! sent to the paths under `/auth` alone. Here people are sent for a fresh one, and back.

use axum::{
    extract::Query,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use relatch::axum::Refusal;
use serde::Deserialize;

use crate::{Web, pages};

#[derive(Deserialize)]
pub(crate) struct Target {
    to: Option<String>,
}

pub(crate) async fn resume(
    web: Web,
    Query(Target { to }): Query<Target>,
    request: Parts,
) -> Result<Response, Refusal> {
    let to = local(to.as_deref().unwrap_or_default());
    // Who followed a link on another site comes without the cookie, which is `Strict`.
    if request.headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site") {
        return Ok(pages::once_more(&format!("/auth/resume?to={to}")).into_response());
    }
    match web.refresh(&request, None).await {
        Ok(grant) => Ok((grant, Redirect::to(to)).into_response()),
        Err(Refusal::NoToken) => Ok(Redirect::to("/login").into_response()),
        Err(refusal) if refusal.reason().is_some() => {
            Ok((web.forget(), Redirect::to("/login")).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

/// A path of this site, whatever came: browsers take `//` and `/\` for another host's, and leave out
/// tabs and line breaks before they look.
pub(crate) fn local(path: &str) -> &str {
    let is_plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    match path.starts_with('/') && !path.starts_with("//") && is_plain {
        true => path,
        false => "/devices",
    }
}
