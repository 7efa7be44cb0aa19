//! Token introspection (RFC 7662).

use axum_core::{body::Body, response::Response};
use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{json::json, revoke::TokenForm};
use crate::{
    authority::verified::Verified,
    axum::{refusal::Refusal, web::Web},
    service::ServiceError,
    store::StoredUser,
    token::{Token, purpose::Access},
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_introspect(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        self.recorded(self.0.callers.check(&parts.headers), None)?;
        let TokenForm { token } = self.body(parts, body).await?;
        match self.service().authenticate(&Token::<Access<C>>::new(&**token)).await {
            Ok(verified) => Ok(json(&Value::Object(active(&verified)))),
            Err(ServiceError::Rejected(_)) => Ok(json(&serde_json::json!({ "active": false }))),
            Err(error) => self.recorded(Err(error.into()), None),
        }
    }
}

/// The response for an active token (RFC 7662 §2.2). The private claims are set first, so that they
/// cannot override the members that the specification defines.
fn active<F, C: Serialize>(verified: &Verified<StoredUser<F>, C>) -> Map<String, Value>
where
    F: Clone + Send + Sync + 'static,
{
    let mut claims = match serde_json::to_value(verified.claims()) {
        Ok(Value::Object(claims)) => claims,
        _ => Map::new(),
    };
    let registered = verified.registered();
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
    if let Some(id) = registered.jti() {
        set("jti", id.into());
    }
    if let Some(id) = registered.session_id() {
        set("sid", id.to_string().into());
    }
    claims
}
