//! Verification of a request for a reverse proxy.

use axum_core::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, Method, StatusCode, header::CACHE_CONTROL, request::Parts};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    axum::{refusal::Refusal, web::Web},
    user::User,
};

/// The response header of [`check`](fn@super::check) with the user's id. Characters other than
/// visible ASCII, and `%`, are percent-encoded.
pub const USER_ID_HEADER: &str = "x-user-id";

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_check(&self, mut parts: Parts) -> Result<Response, Refusal> {
        parts.method = original_method(&parts);
        let verified = self.authenticate(&parts).await?;
        let id = utf8_percent_encode(verified.user().id(), &NOT_IN_A_HEADER).to_string();
        let mut response = StatusCode::NO_CONTENT.into_response();
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(HeaderName::from_static(USER_ID_HEADER), id);
        }
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

/// The method of the request that the proxy checks. If there is not exactly one header with it, it
/// is `POST`, which needs a proof of origin.
fn original_method(parts: &Parts) -> Method {
    let mut said = ["x-original-method", "x-forwarded-method"]
        .into_iter()
        .flat_map(|name| parts.headers.get_all(HeaderName::from_static(name)));
    let method = said.next().filter(|_| said.next().is_none());
    method.and_then(|method| Method::from_bytes(method.as_bytes()).ok()).unwrap_or(Method::POST)
}

const NOT_IN_A_HEADER: AsciiSet = CONTROLS.add(b' ').add(b'%');
