//! Request bodies: JSON or a form, with a limit of size and time.

use std::time::Duration;

use axum_core::body::Body;
use http::{HeaderMap, header::CONTENT_TYPE, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::axum::{refusal::Refusal, web::Web};

/// The maximum length of a body, in bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// The maximum time for a body to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Reads and parses the body of a request. Counts and logs a refusal.
    pub(super) async fn body<T: DeserializeOwned>(
        &self,
        parts: &Parts,
        body: Body,
    ) -> Result<T, Refusal> {
        self.recorded(read(&parts.headers, body).await, None)
    }
}

async fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, Refusal> {
    let format = Format::of(headers)?;
    let collected = timeout(TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
    let bytes = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(Refusal::BodyTooLarge),
        Ok(Err(_)) => return Err(Refusal::BadRequest("it ended early".into())),
        Err(_) => return Err(Refusal::BodyTimeout),
    };
    match format {
        Format::Json => serde_json::from_slice(&bytes).map_err(|error| {
            // The position alone: the text may be a password.
            Refusal::BadRequest(format!(
                "JSON error at line {} column {}",
                error.line(),
                error.column()
            ))
        }),
        Format::Form => serde_urlencoded::from_bytes(&bytes)
            .map_err(|_| Refusal::BadRequest("a field is missing or repeated".into())),
    }
}

enum Format {
    Json,
    Form,
}

impl Format {
    fn of(headers: &HeaderMap) -> Result<Self, Refusal> {
        let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match () {
            () if essence.eq_ignore_ascii_case("application/json") => Ok(Self::Json),
            () if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") => {
                Ok(Self::Form)
            }
            () => Err(Refusal::UnsupportedMediaType),
        }
    }
}
