//! List of the user's devices.

use axum_core::response::Response;
use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};

use super::json::json;
use crate::axum::{refusal::Refusal, web::Web};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_sessions(&self, parts: &Parts) -> Result<Response, Refusal> {
        #[derive(Serialize)]
        struct Device<'a> {
            id: String,
            label: &'a str,
            started_at: i64,
            last_seen: i64,
            expires_at: i64,
            current: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<serde_json::Value>,
        }
        let (sessions, own) = self.sessions(parts).await?;
        let devices = sessions.iter().map(|session| Device {
            id: session.id().to_string(),
            label: session.label(),
            started_at: session.started_at().unix_timestamp(),
            last_seen: session.last_seen().unix_timestamp(),
            expires_at: session.expires_at().unix_timestamp(),
            current: own == Some(session.id()),
            data: (self.0.shown_data)(session),
        });
        let devices: Vec<_> = devices.collect();
        Ok(json(&serde_json::json!({ "sessions": devices })))
    }
}
