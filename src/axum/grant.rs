//! Responses that give tokens to a client, or delete its cookies.

use std::{fmt, sync::Arc};

use axum_core::{
    body::Body,
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, SET_COOKIE},
};
use serde::Serialize;
use time::Duration;

use super::{
    metrics,
    misconfigured::Misconfigured,
    refusal::Refusal,
    request::cookies::{CookieKind, Cookies},
};
use crate::{authority::SessionTokens, throttle::DeviceToken, token::purpose::NoClaims};

/// The tokens of a session as a response: in cookies, or in the body (RFC 6749 §5.1) of a
/// [`Web`](super::Web) without cookies. It has `Cache-Control: no-store`: no intermediary may store
/// it.
///
/// As a response it is JSON with `expires_in` (the access token's lifetime in seconds), and without
/// cookies also `access_token`, `token_type` and `refresh_token`, and after a login `device_token`, which
/// the client sends with its next login in the header [`DEVICE_HEADER`](super::DEVICE_HEADER). As a *part*
/// of a response (`(grant, Redirect::to("/"))`) it sets the cookies; without cookies that is an error.
#[must_use = "the client gets no tokens unless this is part of the response"]
pub struct Grant<C = NoClaims> {
    pub(super) tokens: SessionTokens<C>,
    pub(super) cookies: Option<Arc<Cookies>>,
    /// The remaining lifetimes of the access token and of the session.
    pub(super) lifetimes: (Duration, Duration),
    /// After a login.
    pub(super) device: Option<DeviceToken>,
    /// Whether the client has a cookie of a pending login, which is now over.
    pub(super) ends_pending: bool,
}

impl<C> Grant<C> {
    /// The tokens.
    pub const fn tokens(&self) -> &SessionTokens<C> {
        &self.tokens
    }

    fn add_to(&self, cookies: &Cookies, headers: &mut HeaderMap) {
        let is_persistent = self.tokens.session().has_persistent_cookies();
        let lasting = |lifetime| is_persistent.then_some(lifetime);
        let (access, refresh) = (self.tokens.access().expose(), self.tokens.refresh().expose());
        let access = cookies.set(CookieKind::Access, access, lasting(self.lifetimes.0));
        let refresh = cookies.set(CookieKind::Refresh, refresh, lasting(self.lifetimes.1));
        let device = self.device.as_ref().and_then(|token| {
            cookies.set(CookieKind::Device, token.expose(), Some(DeviceToken::LIFETIME))
        });
        let pending = self.ends_pending.then(|| cookies.delete(CookieKind::SecondStep)).flatten();
        let set = [access, refresh, device, pending].into_iter().flatten();
        add(set.chain(cookies.delete_former()), headers);
    }
}

/// Adds the cookies, and forbids caches to store the response.
pub(super) fn add(cookies: impl IntoIterator<Item = HeaderValue>, headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
}

/// The body of RFC 6749 §5.1, with a member of our own.
#[derive(Serialize)]
struct TokenResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
    expires_in: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_token: Option<&'a str>,
}

impl<C> IntoResponse for Grant<C> {
    fn into_response(self) -> Response {
        let in_body = self.cookies.is_none();
        let body = TokenResponse {
            access_token: in_body.then(|| self.tokens.access().expose()),
            token_type: in_body.then_some("Bearer"),
            expires_in: self.lifetimes.0.whole_seconds(),
            refresh_token: in_body.then(|| self.tokens.refresh().expose()),
            device_token: self.device.as_ref().filter(|_| in_body).map(DeviceToken::expose),
        };
        // A struct of numbers and strings always serialises.
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match &self.cookies {
            Some(cookies) => self.add_to(cookies, headers),
            None => add([], headers),
        }
        response
    }
}

impl<C> IntoResponseParts for Grant<C> {
    type Error = Refusal;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Refusal> {
        let Some(cookies) = &self.cookies else {
            metrics::misconfigured(Misconfigured::NoCookies);
            return Err(Misconfigured::NoCookies.into());
        };
        self.add_to(cookies, parts.headers_mut());
        Ok(parts)
    }
}

/// A response that deletes the client's cookies. As a response it is 204; as a part of one it only
/// deletes the cookies.
#[derive(Clone, Debug)]
#[must_use = "the client keeps its cookies unless this is part of the response"]
pub struct LoggedOut {
    pub(super) cookies: Option<Arc<Cookies>>,
}

impl LoggedOut {
    fn add_to(&self, headers: &mut HeaderMap) {
        match self.cookies.as_deref() {
            Some(cookies) => {
                let delete = |kind| cookies.delete(kind);
                let present = [CookieKind::Access, CookieKind::Refresh].into_iter();
                add(present.filter_map(delete).chain(cookies.delete_former()), headers);
            }
            None => add([], headers),
        }
    }
}

impl IntoResponse for LoggedOut {
    fn into_response(self) -> Response {
        let mut response = StatusCode::NO_CONTENT.into_response();
        self.add_to(response.headers_mut());
        response
    }
}

impl IntoResponseParts for LoggedOut {
    type Error = std::convert::Infallible;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Self::Error> {
        self.add_to(parts.headers_mut());
        Ok(parts)
    }
}

impl<C> fmt::Debug for Grant<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant").field("tokens", &self.tokens).finish_non_exhaustive()
    }
}
