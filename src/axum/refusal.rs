//! Refusals: why a request is not served, and the response to it.

use std::{error, fmt, sync::Arc};

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use time::Duration;

use super::{device_list::Device, misconfigured::Misconfigured};
use crate::{password::PasswordError, rejection::Reason, service::ServiceError, store::StoreError};

/// The `Retry-After` of a 503, in seconds. [`WebBuilder::build`](super::WebBuilder::build) checks that a
/// client which obeys it comes within the grace.
pub(super) const RETRY_AFTER_SECONDS: u32 = 2;

/// The reason why a request is not served. As a response it has the status below and a line of JSON
/// with `error` alone; for a new password that the policy refuses, also with `error_description`, which
/// says what to do; without a free slot, also with `sessions`, the list to choose from
/// ([`endpoints::login`](super::endpoints::login())). The response never contains the reason:
///
/// | refusal | status | `error` |
/// | --- | --- | --- |
/// | [`NoToken`](Self::NoToken) | 401 | `login_required` |
/// | a rejected token | 401 | `invalid_token` |
/// | a refused login | 401 | `invalid_credentials` |
/// | [`StepUp`](Self::StepUp) | 403 | `insufficient_user_authentication` |
/// | a wrong current password | 403 | `wrong_password` |
/// | a wrong code of a second factor | 403 | `wrong_code` |
/// | [`CrossSite`](Self::CrossSite) | 403 | `cross_site_request` |
/// | no such user or session | 404 | `not_found` |
/// | no free slot for another session | 409 | `sessions_full` |
/// | a new password that the policy refuses | 422 | `invalid_password` |
/// | [`Ambiguous`](Self::Ambiguous), [`BadRequest`](Self::BadRequest) | 400 | `invalid_request` |
/// | [`UnsupportedToken`](Self::UnsupportedToken) | 400 | `unsupported_token_type` |
/// | [`BodyTimeout`](Self::BodyTimeout), [`BodyTooLarge`](Self::BodyTooLarge), [`UnsupportedMediaType`](Self::UnsupportedMediaType), [`HeaderTooLarge`](Self::HeaderTooLarge) | 408, 413, 415, 431 | `invalid_request` |
/// | [`TooManyAttempts`](Self::TooManyAttempts) | 429 with `Retry-After` | `too_many_attempts` |
/// | the store does not answer | 503 with `Retry-After` | `temporarily_unavailable` |
/// | all others | 500 | `server_error` |
///
/// 401, the 403 of a step-up and the 400 of two tokens have a challenge (`WWW-Authenticate:
/// Bearer`, RFC 6750 §3, RFC 9470 §3), and all responses have `Cache-Control: no-store`. A layer
/// that shows a page instead gets the refusal from the response with [`of`](Self::of).
///
/// # Security
///
/// The text of [`Display`](fmt::Display) and the reasons are for the log, not for clients.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refusal {
    /// The request has no token.
    NoToken,
    /// The request has more than one token, or the same header or cookie twice.
    Ambiguous,
    /// A request with cookies that may change something, without proof that a page of this origin
    /// made it.
    CrossSite,
    /// The session's user authenticated too long ago.
    StepUp {
        /// The longest accepted time since the user authenticated.
        max_age: Duration,
    },
    /// Too many passwords or codes were tried, for this account, from this address or within this session.
    TooManyAttempts {
        /// The time until the next attempt is accepted.
        retry_after: Duration,
    },
    /// The request's body cannot be parsed. The text says why, for the log.
    BadRequest(String),
    /// The body took too long to arrive.
    BodyTimeout,
    /// The body is neither JSON nor a form.
    UnsupportedMediaType,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The header with the token or the cookies is longer than the limit.
    HeaderTooLarge,
    /// The token is valid, but it belongs to no session and cannot be revoked by itself.
    UnsupportedToken,
    /// The caller of an introspection is not an authorised one.
    UnknownCaller,
    /// The service refused or failed.
    Service(ServiceError),
    /// The application's setup has an error.
    Misconfigured(Misconfigured),
}

impl Refusal {
    /// Returns the refusal from which this response was made, unless a layer has replaced the
    /// response.
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{
    ///     extract::Request,
    ///     middleware::Next,
    ///     response::{Html, IntoResponse, Redirect, Response},
    /// };
    /// use relatch::axum::Refusal;
    ///
    /// /// For `.layer(axum::middleware::from_fn(page))` on the routes of pages.
    /// async fn page(request: Request, next: Next) -> Response {
    ///     let to = request.uri().path().to_owned();
    ///     let response = next.run(request).await;
    ///     match Refusal::of(&response) {
    ///         Some(refusal) if refusal.is_logged_out() => {
    ///             Redirect::to(&format!("/login?to={to}")).into_response()
    ///         }
    ///         Some(refusal) => (refusal.status(), Html("<h1>Refused</h1>")).into_response(),
    ///         None => response,
    ///     }
    /// }
    ///
    /// assert!(matches!(Refusal::of(&Refusal::NoToken.into_response()), Some(Refusal::NoToken)));
    /// ```
    #[must_use]
    pub fn of<B>(response: &http::Response<B>) -> Option<&Self> {
        response.extensions().get::<Original>().map(|original| &*original.0)
    }

    /// The reason for which a token was rejected; `None` for every other refusal.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Service(error) => error.reason(),
            _ => None,
        }
    }

    /// Whether a token was rejected for a [final](Reason::is_final) reason: no server will accept it
    /// again. Respond with [`Web::forget`](super::Web::forget) too. For every other refusal, keep the
    /// client's cookies.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self.reason() {
            Some(reason) => reason.is_final(),
            None => false,
        }
    }

    /// Whether the client should log in: the request has no token, or the token was rejected.
    #[must_use]
    pub const fn is_logged_out(&self) -> bool {
        matches!(self, Self::NoToken | Self::Service(ServiceError::Rejected(_)))
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::NoToken | Self::UnknownCaller => StatusCode::UNAUTHORIZED,
            Self::Ambiguous | Self::BadRequest(_) | Self::UnsupportedToken => {
                StatusCode::BAD_REQUEST
            }
            Self::CrossSite | Self::StepUp { .. } => StatusCode::FORBIDDEN,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::HeaderTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Misconfigured(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Service(error) => {
                StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// A short name in snake case, for a metric's label. For a rejected token it is the name of the
    /// reason.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::Ambiguous => "ambiguous",
            Self::CrossSite => "cross_site",
            Self::StepUp { .. } => "step_up",
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::BadRequest(_) => "bad_request",
            Self::BodyTimeout => "body_timeout",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::BodyTooLarge => "body_too_large",
            Self::HeaderTooLarge => "header_too_large",
            Self::UnsupportedToken => "unsupported_token",
            Self::UnknownCaller => "unknown_caller",
            Self::Misconfigured(_) => "misconfigured",
            Self::Service(ServiceError::Rejected(rejection)) => rejection.reason().as_str(),
            Self::Service(
                ServiceError::LoginRefused(refusal) | ServiceError::WrongPassword(refusal),
            ) => refusal.as_str(),
            Self::Service(ServiceError::WrongCode) => "wrong_code",
            Self::Service(error) if error.is_unavailable() => "unavailable",
            Self::Service(_) => "service",
        }
    }

    /// The value of `error` in the body of the response.
    const fn code(&self) -> &'static str {
        match self {
            Self::NoToken => "login_required",
            Self::UnknownCaller => "invalid_client",
            // RFC 7009 §2.2.1.
            Self::UnsupportedToken => "unsupported_token_type",
            Self::CrossSite => "cross_site_request",
            Self::StepUp { .. } => STEP_UP,
            Self::TooManyAttempts { .. } => "too_many_attempts",
            Self::Ambiguous
            | Self::BadRequest(_)
            | Self::BodyTimeout
            | Self::UnsupportedMediaType
            | Self::BodyTooLarge
            | Self::HeaderTooLarge => "invalid_request",
            Self::Misconfigured(_) => "server_error",
            Self::Service(error) => service_code(error),
        }
    }

    /// The challenge of a 401, a step-up or two tokens. All rejections share one text.
    fn challenge(&self) -> Option<HeaderValue> {
        let text = match self {
            Self::StepUp { max_age } => {
                let seconds = max_age.whole_seconds();
                return HeaderValue::try_from(format!(
                    "Bearer error=\"{STEP_UP}\", max_age=\"{seconds}\""
                ))
                .ok();
            }
            Self::Ambiguous => "Bearer error=\"invalid_request\"",
            Self::UnknownCaller => "Basic realm=\"introspection\"",
            Self::Service(ServiceError::Rejected(_)) => "Bearer error=\"invalid_token\"",
            Self::NoToken | Self::Service(ServiceError::LoginRefused(_)) => "Bearer",
            _ => return None,
        };
        Some(HeaderValue::from_static(text))
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyAttempts { retry_after } => {
                // Whole seconds (RFC 9110 §10.2.3), rounded up.
                Some(
                    retry_after
                        .saturating_add(Duration::milliseconds(999))
                        .whole_seconds()
                        .max(1)
                        .unsigned_abs(),
                )
            }
            Self::Service(error) if error.is_unavailable() => Some(RETRY_AFTER_SECONDS.into()),
            _ => None,
        }
    }
}

/// The value of `error` for an error of the service.
const fn service_code(error: &ServiceError) -> &'static str {
    match error {
        ServiceError::Rejected(_) => INVALID_TOKEN,
        ServiceError::LoginRefused(_) => "invalid_credentials",
        ServiceError::WrongPassword(_) => "wrong_password",
        ServiceError::WrongCode => "wrong_code",
        ServiceError::NoSuchUser | ServiceError::NoSuchGroup | ServiceError::NoSession => {
            "not_found"
        }
        ServiceError::SessionsFull(_) => "sessions_full",
        ServiceError::Password(PasswordError::Length) | ServiceError::PasswordRefused(_) => {
            "invalid_password"
        }
        error if error.is_unavailable() => "temporarily_unavailable",
        _ => "server_error",
    }
}

/// RFC 6750 §3.1.
const INVALID_TOKEN: &str = "invalid_token";

/// RFC 9470 §3. The status is 403, that of RFC 6750's `insufficient_scope`, and not 401: the token
/// is valid, and a refresh would not help.
const STEP_UP: &str = "insufficient_user_authentication";

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = self.code();
        let body = match &self {
            // The user can choose another password.
            Self::Service(ServiceError::PasswordRefused(refusal)) => {
                let text = refusal.to_string();
                serde_json::json!({ "error": error, "error_description": text }).to_string()
            }
            // The user can choose the session to end.
            Self::Service(ServiceError::SessionsFull(sessions)) => {
                let sessions: Vec<_> =
                    sessions.iter().map(|one| Device::new(one, None, None)).collect();
                serde_json::json!({ "error": error, "sessions": sessions }).to_string()
            }
            _ => format!("{{\"error\":\"{error}\"}}"),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Original(Arc::new(self)));
        response
    }
}

/// The refusal from which a response was made, in the response's extensions.
#[derive(Clone)]
struct Original(Arc<Refusal>);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoToken => f.write_str("the request has no token"),
            Self::Ambiguous => f.write_str("the request has more than one token"),
            Self::CrossSite => f.write_str(
                "a request with cookies, without proof that a page of this origin made it",
            ),
            Self::StepUp { max_age } => {
                write!(
                    f,
                    "the user authenticated more than {} seconds ago",
                    max_age.whole_seconds()
                )
            }
            Self::TooManyAttempts { .. } => f.write_str("too many attempts"),
            Self::BadRequest(why) => write!(f, "the body cannot be parsed: {why}"),
            Self::BodyTimeout => f.write_str("the body took too long to arrive"),
            Self::UnsupportedMediaType => f.write_str("the body is neither JSON nor a form"),
            Self::BodyTooLarge => f.write_str("the body is too long"),
            Self::HeaderTooLarge => f.write_str("the header with the token is too long"),
            Self::UnsupportedToken => f.write_str("the token belongs to no session"),
            Self::UnknownCaller => f.write_str("the caller may not introspect tokens"),
            Self::Service(error) => error.fmt(f),
            Self::Misconfigured(what) => what.fmt(f),
        }
    }
}

impl error::Error for Refusal {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Service(error) => error.source(),
            _ => None,
        }
    }
}

impl From<ServiceError> for Refusal {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::TooManyAttempts { retry_after } => Self::TooManyAttempts { retry_after },
            error => Self::Service(error),
        }
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl From<Misconfigured> for Refusal {
    fn from(what: Misconfigured) -> Self {
        Self::Misconfigured(what)
    }
}
