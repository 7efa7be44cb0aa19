//! Refresh with a redirect, for pages without scripts.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION},
    request::Parts,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};

use crate::axum::{local_path::local_path, refusal::Refusal, request::origin, web::Web};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_resume(&self, parts: &Parts) -> Result<Response, Refusal> {
        let to = destination(parts.uri.query().unwrap_or_default());
        let to = local_path(&to).unwrap_or("/");
        if origin::is_cross_site(parts) {
            return Ok(repeat_page(to));
        }
        match self.refresh(parts, None).await {
            Ok(grant) => Ok((grant, see_other(to)).into_response()),
            Err(refusal) if refusal.is_final() => {
                Ok((self.forget(), see_other(&self.0.login_page)).into_response())
            }
            Err(refusal) if refusal.is_logged_out() => Ok(see_other(&self.0.login_page)),
            Err(refusal) => Err(refusal),
        }
    }
}

/// The value of `to` in the query, or an empty text.
fn destination(query: &str) -> String {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(query).unwrap_or_default();
    pairs.into_iter().find(|(name, _)| name == "to").map(|(_, to)| to).unwrap_or_default()
}

fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(path) = HeaderValue::from_str(path) {
        headers.insert(LOCATION, path);
    }
    response
}

/// A page that repeats the request from this site. After a link from another site the browser does
/// not send the refresh token, because its cookie is `Strict`.
fn repeat_page(to: &str) -> Response {
    let to = utf8_percent_encode(to, &NOT_IN_A_PAGE);
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>One moment</title>\
         <meta http-equiv=\"refresh\" content=\"0; url=?to={to}\"><p><a href=\"?to={to}\">Go on</a>"
    );
    let mut response = Response::new(Body::from(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

const NOT_IN_A_PAGE: AsciiSet =
    NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');
