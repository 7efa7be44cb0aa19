//! Exchange of a refresh token.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    axum::{refusal::Refusal, web::Web},
    token::RefreshToken,
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_refresh(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        #[derive(Deserialize)]
        struct Refresh {
            refresh_token: String,
        }
        let given = match self.0.cookies {
            Some(_) => None,
            None => {
                let Refresh { refresh_token } = self.body(parts, body).await?;
                Some(RefreshToken::new(refresh_token))
            }
        };
        match self.refresh(parts, given).await {
            Ok(grant) => Ok(grant.into_response()),
            Err(refusal) if refusal.is_final() => Ok((self.forget(), refusal).into_response()),
            // The session may still be alive: keep the cookies.
            Err(refusal) => Err(refusal),
        }
    }
}
