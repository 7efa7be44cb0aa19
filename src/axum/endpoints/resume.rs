//! Refresh with a redirect, for pages without scripts.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, X_FRAME_OPTIONS},
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
        // Not from the cache: a page that reads the database would lead back here.
        let verify = async |token: &_| self.service().authenticate_fresh(token).await;
        match self.verify_with(parts, verify).await {
            Ok(_) => return Ok(see_other(to)),
            Err(unrecorded) if unrecorded.refusal.is_logged_out() => {}
            Err(unrecorded) => return Err(self.record(unrecorded)),
        }
        if parts.method == Method::GET && !origin::is_own_navigation(parts) {
            return Ok(page_with_a_button(to));
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

/// A page whose button repeats the request, as a `POST` of this site. No other site can press it, and no
/// other page can show it in a frame.
fn page_with_a_button(to: &str) -> Response {
    let to = utf8_percent_encode(to, &NOT_IN_A_PAGE);
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Continue</title>\
         <form method=\"post\" action=\"?to={to}\"><button autofocus>Continue</button></form>"
    );
    let mut response = Response::new(Body::from(page));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // The page that opened this window cannot lead it away while the button's response is under way.
    headers.insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

const PAGE_POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const NOT_IN_A_PAGE: AsciiSet =
    NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');
