//! Logout of one device, or of all others.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, request::Parts};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::password::Password;
use crate::axum::{refusal::Refusal, web::Web};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_log_out_device(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        #[derive(Deserialize)]
        struct Device {
            session: String,
        }
        let Device { session } = self.body(parts, body).await?;
        // A text that is no id belongs to no session.
        match session.parse() {
            Ok(device) => drop(self.log_out_device(parts, device).await?),
            Err(_) => drop(self.authenticate(parts).await?),
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    pub(super) async fn on_log_out_others(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        let Password { password } = self.body(parts, body).await?;
        Ok(self.log_out_others(parts, &password).await?.into_response())
    }
}
