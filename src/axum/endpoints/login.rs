//! Login by name and password.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::axum::{refusal::Refusal, web::Web};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_login(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        #[derive(Deserialize)]
        struct Login {
            username: String,
            password: Zeroizing<String>,
        }
        let Login { username, password } = self.body(parts, body).await?;
        Ok(self.login(parts, &username, &password).await?.into_response())
    }
}
