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
            in_place_of: Option<String>,
        }
        let Login { username, password, in_place_of } = self.body(parts, body).await?;
        let client = self.client(parts);
        // A text that is no id belongs to no session.
        let client = match in_place_of.and_then(|id| id.parse().ok()) {
            Some(id) => client.in_place_of(id),
            None => client,
        };
        Ok(self.login_of(parts, &username, &password, client).await?.into_response())
    }
}
