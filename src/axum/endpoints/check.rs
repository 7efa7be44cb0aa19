//! The check of a request that a proxy holds.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header::CACHE_CONTROL, request::Parts};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    axum::{refusal::Refusal, web::Web},
    user::User,
};

/// The header in which [`check`](fn@super::check) tells the user's id, percent-encoded where it is not
/// visible ASCII.
pub const USER_ID_HEADER: &str = "x-user-id";

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_check(&self, mut parts: Parts) -> Result<Response, Refusal> {
        parts.method = original_method(&parts);
        let session = self.authenticate(&parts).await?;
        let id = utf8_percent_encode(session.user().id(), &NOT_IN_A_HEADER).to_string();
        let mut response = StatusCode::NO_CONTENT.into_response();
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(HeaderName::from_static(USER_ID_HEADER), id);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// Of the request that a proxy checks: if it does not say, one that may change something, and so for
/// anything but one method.
fn original_method(parts: &Parts) -> Method {
    let mut said = ["x-original-method", "x-forwarded-method"]
        .into_iter()
        .flat_map(|name| parts.headers.get_all(HeaderName::from_static(name)));
    let method = said.next().filter(|_| said.next().is_none());
    method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()).unwrap_or(Method::POST)
}

const NOT_IN_A_HEADER: AsciiSet = CONTROLS.add(b' ').add(b'%');
