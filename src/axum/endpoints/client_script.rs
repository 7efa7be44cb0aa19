//! The JavaScript module for clients.

use std::sync::LazyLock;

use axum_core::{body::Body, extract::Request, response::Response};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, X_CONTENT_TYPE_OPTIONS},
};
use sha2::{Digest, Sha256};

use crate::bytes::base64url;

const SCRIPT: &str = include_str!("../client/relatch.js");

/// The strong validator (RFC 9110 §8.8.3) of the text.
static TAG: LazyLock<String> =
    LazyLock::new(|| format!("\"{}\"", base64url::encode(&Sha256::digest(SCRIPT)[..12])));

pub(super) fn response(request: &Request) -> Response {
    let mut response = Response::new(Body::empty());
    if request.method() != Method::GET && request.method() != Method::HEAD {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&TAG) {
        headers.insert(ETAG, tag);
    }
    if is_known(request.headers()) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    if request.method() == Method::GET {
        *response.body_mut() = Body::from(SCRIPT);
    }
    response
}

/// Whether the client has this text. The comparison is weak (RFC 9110 §13.1.2): a proxy that compresses
/// responses weakens their tags.
fn is_known(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == *TAG)
}
