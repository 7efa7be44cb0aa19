//! What the handlers answer.

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
    request::Parts,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::body;
use crate::{
    axum::{refusal::Refusal, web::Web},
    token::RefreshToken,
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    pub(super) async fn on_login(&self, parts: &Parts, body: Body) -> Result<Response, Refusal> {
        #[derive(Deserialize)]
        struct Login {
            username: String,
            password: String,
        }
        let Login { username, password } = self.body(parts, body).await?;
        Ok(self.login(parts, &username, &password).await?.into_response())
    }

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
            // Where none came, the session may well live.
            Err(refusal) if refusal.reason().is_some() => {
                Ok((self.forget(), refusal).into_response())
            }
            Err(refusal) => Err(refusal),
        }
    }

    pub(super) async fn on_logout_device(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        #[derive(Deserialize)]
        struct Device {
            session: String,
        }
        let Device { session } = self.body(parts, body).await?;
        // What is no id is of no session.
        match session.parse() {
            Ok(device) => drop(self.log_out_device(parts, device).await?),
            Err(_) => drop(self.authenticate(parts).await?),
        }
        Ok(StatusCode::NO_CONTENT.into_response())
    }

    pub(super) async fn on_logout_others(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<Response, Refusal> {
        let Password { password } = self.body(parts, body).await?;
        Ok(self.log_out_others(parts, &password).await?.into_response())
    }

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
            password: String,
            new_password: String,
        }
        let Passwords { password, new_password } = self.body(parts, body).await?;
        Ok(self.change_password(parts, &password, &new_password).await?.into_response())
    }

    pub(super) async fn on_sessions(&self, parts: &Parts) -> Result<Response, Refusal> {
        #[derive(Serialize)]
        struct Device<'a> {
            id: String,
            label: &'a str,
            started_at: i64,
            last_seen: i64,
            expires_at: i64,
            current: bool,
        }
        let (sessions, own) = self.sessions(parts).await?;
        let devices = sessions.iter().map(|session| Device {
            id: session.id().to_string(),
            label: session.label(),
            started_at: session.started_at().unix_timestamp(),
            last_seen: session.last_seen().unix_timestamp(),
            expires_at: session.expires_at().unix_timestamp(),
            current: own == Some(session.id()),
        });
        let devices: Vec<_> = devices.collect();
        Ok(json(&serde_json::json!({ "sessions": devices })))
    }

    pub(super) async fn body<T: DeserializeOwned>(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<T, Refusal> {
        self.told(body::read(&parts.headers, body).await, None)
    }
}

#[derive(Deserialize)]
struct Password {
    password: String,
}

pub(super) fn json(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
