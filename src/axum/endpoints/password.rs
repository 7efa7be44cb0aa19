//! Password change, and authentication again by password.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::request::Parts;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::axum::{refusal::Refusal, web::Web};

/// A body with the user's current password.
#[derive(Deserialize)]
pub(super) struct Password {
    pub(super) password: Zeroizing<String>,
}

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_reauthenticate(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        let Password { password } = self.body(parts, body).await?;
        Ok(self.reauthenticate(parts, &password).await?.into_response())
    }

    pub(super) async fn on_change_password(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        #[derive(Deserialize)]
        struct Passwords {
            password: Zeroizing<String>,
            new_password: Zeroizing<String>,
        }
        let Passwords { password, new_password } = self.body(parts, body).await?;
        Ok(self.change_password(parts, &password, &new_password).await?.into_response())
    }
}
