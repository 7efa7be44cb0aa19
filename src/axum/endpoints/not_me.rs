//! The use of a "this was not me" link.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::WWW_AUTHENTICATE, request::Parts};
use serde::{Serialize, de::DeserializeOwned};

use super::revoke::TokenForm;
use crate::{
    axum::{refusal::Refusal, web::Web},
    service::ServiceError,
    token::Token,
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_not_me(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        let TokenForm { token } = self.body(parts, body).await?;
        match self.service().not_me(Token::new(&**token)).await {
            Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
            Err(error @ ServiceError::Rejected(_)) => {
                // The client need not log in.
                let mut gone = self.refusal(error).into_response();
                *gone.status_mut() = StatusCode::GONE;
                gone.headers_mut().remove(WWW_AUTHENTICATE);
                Ok(gone)
            }
            Err(error) => Err(self.refusal(error)),
        }
    }
}
