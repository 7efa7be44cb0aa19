//! What resource servers, gateways and proxies ask.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, Method, StatusCode, header::CACHE_CONTROL, request::Parts};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{USER_ID_HEADER, answers::json};
use crate::{
    authority::session::Session,
    axum::{Refusal, Web},
    service::ServiceError,
    store::StoredUser,
    token::{Token, purpose::Access},
    user::User,
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_revoke(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let TokenForm { token } = self.body(parts, body).await?;
        match self.service().revoke(&token, (self.0.context)(parts)).await {
            Ok(_) | Err(ServiceError::Rejected(_)) => Ok(StatusCode::OK.into_response()),
            Err(ServiceError::NoSession) => self.told(Err(Refusal::UnsupportedToken), None),
            Err(error) => self.told(Err(error.into()), None),
        }
    }

    pub(super) async fn on_introspect(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        self.told(self.0.callers.admit(&parts.headers), None)?;
        let TokenForm { token } = self.body(parts, body).await?;
        match self.service().authenticate(&Token::<Access<C>>::new(token)).await {
            Ok(session) => Ok(json(&Value::Object(active(&session)))),
            Err(ServiceError::Rejected(_)) => Ok(json(&serde_json::json!({ "active": false }))),
            Err(error) => self.told(Err(error.into()), None),
        }
    }

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

#[derive(Deserialize)]
struct TokenForm {
    token: String,
}

/// The claims (RFC 7662 §2.2), the application's own first: what the specification names is not
/// theirs to say.
fn active<F, C: Serialize>(session: &Session<StoredUser<F>, C>) -> Map<String, Value>
where
    F: Clone + Send + Sync + 'static,
{
    let mut claims = match serde_json::to_value(session.claims()) {
        Ok(Value::Object(claims)) => claims,
        _ => Map::new(),
    };
    let registered = session.registered();
    let audience: Vec<_> = registered.audience().collect();
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("active", true.into());
    set("token_type", "Bearer".into());
    set("sub", registered.subject().into());
    set(
        "aud",
        match audience.as_slice() {
            [one] => (*one).into(),
            several => several.into(),
        },
    );
    set("exp", registered.expires_at().unix_timestamp().into());
    if let Some(issuer) = registered.issuer() {
        set("iss", issuer.into());
    }
    if let Some(issued_at) = registered.issued_at() {
        set("iat", issued_at.unix_timestamp().into());
    }
    if let Some(id) = registered.token_id() {
        set("jti", id.into());
    }
    if let Some(id) = registered.session_id() {
        set("sid", id.to_string().into());
    }
    claims
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
