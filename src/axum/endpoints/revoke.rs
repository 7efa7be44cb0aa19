//! Token revocation (RFC 7009).

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    axum::{refusal::Refusal, web::Web},
    service::ServiceError,
};

/// A body with a token (RFC 7009 §2.1, RFC 7662 §2.1).
#[derive(Deserialize)]
pub(super) struct TokenForm {
    pub(super) token: Zeroizing<String>,
}

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_revoke(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let TokenForm { token } = self.body(parts, body).await?;
        match self.service().revoke(&token, (self.0.context)(parts)).await {
            Ok(_) | Err(ServiceError::Rejected(_)) => Ok(StatusCode::OK.into_response()),
            Err(ServiceError::NoSession) => self.recorded(Err(Refusal::UnsupportedToken), None),
            Err(error) => self.recorded(Err(error.into()), None),
        }
    }
}
