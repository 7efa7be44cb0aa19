//! List of the user's devices.

use axum_core::response::Response;
use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};

use super::json::json;
use crate::axum::{device_list::Device, refusal::Refusal, web::Web};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_sessions(&self, parts: &Parts) -> Result<Response, Refusal> {
        let (sessions, own) = self.sessions(parts).await?;
        let devices = sessions.iter().map(|one| Device::new(one, own, (self.0.shown_data)(one)));
        let devices: Vec<_> = devices.collect();
        Ok(json(&serde_json::json!({ "sessions": devices })))
    }
}
