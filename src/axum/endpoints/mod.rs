//! Handlers ready to mount, each or none: they work on the [`Web`](super::Web) of the layer, whatever
//! its types, so there is nothing to write but the route. See each for what it takes and answers.
//!
//! Those with a body take JSON or a form (`application/x-www-form-urlencoded`) of at most
//! 16 KiB. What they refuse is answered as [`Refusal`] says, and another method than theirs with 405,
//! however they are mounted.
//!
//! With cookies, mount those that read the refresh token ([`refresh`], [`resume`](resume()),
//! [`log_out`]) under [`Cookies::refresh_path`](super::Cookies::refresh_path).

mod body;
mod check;
mod dispatch;
mod introspect;
mod json;
mod log_out;
mod login;
mod password;
mod refresh;
mod resume;
mod revoke;
mod sessions;

use axum_core::{
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header::ALLOW};

use crate::axum::{
    layer::installed::{Endpoint, Installed},
    metrics,
    misconfigured::Misconfigured,
    refusal::Refusal,
};

pub use self::check::USER_ID_HEADER;

/// Logs in: `POST` of `username` and `password`. 200 with a [`Grant`](super::Grant).
pub async fn login(request: Request) -> Response {
    call(Endpoint::Login, request).await
}

/// Exchanges the refresh token: `POST`. With cookies it takes that of the request, without cookies
/// `refresh_token`. 200 with a [`Grant`](super::Grant).
///
/// Where the token is rejected, 401 and the cookies are deleted; any other error leaves them, and the
/// client tries again. One at a time with what gives fresh cookies besides ([`reauthenticate`],
/// [`change_password`], [`logout_others`]): the answer to an old one that comes late deletes them.
pub async fn refresh(request: Request) -> Response {
    call(Endpoint::Refresh, request).await
}

/// Leads a page without scripts over a refresh: `GET` with `to`, a path of this site
/// ([`local_path`](super::local_path()), percent-encoded), where 303 leads on to with fresh cookies; to the
/// [login page](super::WebBuilder::login_page) where the session is over. Mount it under
/// [`Cookies::refresh_path`](super::Cookies::refresh_path).
///
/// Who comes by a link from another site brings no refresh token, whose cookie is `Strict`, and is
/// answered with a page that asks once more by itself.
///
/// # Example
///
/// A layer that leads whoever comes without a living access token over it:
///
/// ```
/// use axum::{
///     Router,
///     extract::Request,
///     http::Method,
///     middleware::{Next, from_fn},
///     response::{IntoResponse, Redirect, Response},
///     routing::get,
/// };
/// use relatch::axum::{Authenticated, Refusal, Web, endpoints};
///
/// async fn lead_over(request: Request, next: Next) -> Response {
///     let is_get = request.method() == Method::GET;
///     let resume = format!("/auth/resume?to={}", request.uri().path());
///     let response = next.run(request).await;
///     match Refusal::of(&response) {
///         Some(refusal) if is_get && refusal.is_logged_out() => {
///             Redirect::to(&resume).into_response()
///         }
///         _ => response,
///     }
/// }
///
/// async fn devices(_: Authenticated) {}
///
/// # fn app(web: Web) -> Router {
/// Router::new()
///     .route("/devices", get(devices))
///     .layer(from_fn(lead_over))
///     .route("/auth/resume", get(endpoints::resume))
///     .layer(web.layer())
/// # }
/// ```
pub async fn resume(request: Request) -> Response {
    call(Endpoint::Resume, request).await
}

/// Logs this device out: `POST` without a body. 204.
pub async fn log_out(request: Request) -> Response {
    call(Endpoint::LogOut, request).await
}

/// Logs one of the user's devices out: `POST` of `session`, an id out of [`sessions`]. 204, whether
/// or not it still was one.
pub async fn log_out_device(request: Request) -> Response {
    call(Endpoint::LogOutDevice, request).await
}

/// Logs all of the user's devices out but this one: `POST` of `password`. 200 with a
/// [`Grant`](super::Grant).
pub async fn log_out_others(request: Request) -> Response {
    call(Endpoint::LogOutOthers, request).await
}

/// Logs the user out everywhere, here too: `POST` without a body. 204.
pub async fn log_out_everywhere(request: Request) -> Response {
    call(Endpoint::LogOutEverywhere, request).await
}

/// Changes the password: `POST` of `password` and `new_password`. 200 with a
/// [`Grant`](super::Grant).
pub async fn change_password(request: Request) -> Response {
    call(Endpoint::ChangePassword, request).await
}

/// Authenticates the user anew, for [`Recent`](super::Recent): `POST` of `password`. 200 with a
/// [`Grant`](super::Grant).
pub async fn reauthenticate(request: Request) -> Response {
    call(Endpoint::Reauthenticate, request).await
}

/// The user's devices: `GET`. 200 with `sessions`, the one that was used last first, each with `id`,
/// `label`, `started_at`, `last_seen`, `expires_at` (seconds since 1970) and whether it is the
/// `current` one.
///
/// # Security
///
/// A label is text of the client's: escape it where it is shown.
pub async fn sessions(request: Request) -> Response {
    call(Endpoint::Sessions, request).await
}

/// Token revocation (RFC 7009): `POST` of a form with `token`, an access token or a refresh token,
/// whose session ends. 200, also for a token that is no good; 400 with `unsupported_token_type` for
/// one of no session, which lives on; 503 where it could not be revoked. Who has the token may, so
/// clients are not authenticated. It comes in the context of this request.
pub async fn revoke(request: Request) -> Response {
    call(Endpoint::Revoke, request).await
}

/// Token introspection (RFC 7662), for resource servers and gateways that authenticate by HTTP Basic
/// ([`introspection_caller`](super::WebBuilder::introspection_caller)): `POST` of a form with
/// `token`, an access token. 200 with `active` and, if that is true, the token's claims and
/// `token_type`; of any other token just `"active": false`, refresh tokens among them, which no
/// resource server is shown.
///
/// # Security
///
/// The answer holds now. Who keeps it adds that to how late a revocation is seen. A token that is
/// bound to a [context](super::WebBuilder::context) is never active: the caller is not its client.
pub async fn introspect(request: Request) -> Response {
    call(Endpoint::Introspect, request).await
}

/// The check of a proxy in front, such as nginx's `auth_request`: any method
/// (`.route("/auth/check", any(endpoints::check))`), no body in either direction. 204 with the
/// user's id in [`USER_ID_HEADER`], or what [`Refusal`] says: 401, 403, 503; and 400 or 431 for a
/// request whose tokens cannot be read.
///
/// # Security
///
/// With cookies it has to know of the request that is being checked:
///
/// - its method, from the header `X-Original-Method` or `X-Forwarded-Method`: let the proxy set one.
///   Without it every request counts as one that may change something, and takes a proof of origin,
///   which a `GET` with cookies often has not;
/// - its `Host` with the port, which is held against `Origin`. Without it requests are refused that
///   come from the site's own pages, in browsers that send no `Sec-Fetch-Site`;
/// - its `Upgrade`, which proxies pass on only when told. Without it a page of another site may open
///   a WebSocket in the user's name.
///
/// Let the proxy set [`USER_ID_HEADER`] as well, always, or clients write their own; and so
/// `X-Forwarded-For`, where a client's address counts.
///
/// # Example
///
/// ```nginx
/// location / {
///     auth_request /auth/check;
///     auth_request_set $user_id $upstream_http_x_user_id;
///     proxy_set_header X-User-Id $user_id;
///     proxy_set_header X-Forwarded-For $remote_addr;
///     proxy_pass http://application;
///     error_page 500 = @unavailable;
/// }
/// location = /auth/check {
///     internal;
///     proxy_pass http://login;
///     proxy_pass_request_body off;
///     proxy_set_header Content-Length "";
///     proxy_set_header Host $http_host;
///     proxy_set_header Upgrade $http_upgrade;
///     proxy_set_header X-Forwarded-For $remote_addr;
///     proxy_set_header X-Original-Method $request_method;
/// }
/// location @unavailable {
///     add_header Retry-After 5 always;
///     return 503;
/// }
/// ```
///
/// 401 and 403 nginx hands on, the challenge too. Of everything else that is not 2xx, and of a login
/// server that does not answer, it makes a 500 of its own, which its clients take for a fault of the
/// application's: `error_page` makes it a 503 again. The application's own 500 is left alone.
pub async fn check(request: Request) -> Response {
    call(Endpoint::Check, request).await
}

async fn call(endpoint: Endpoint, request: Request) -> Response {
    if let Some(methods) = endpoint.methods()
        && methods.split(", ").all(|method| method != request.method().as_str())
    {
        let allow = [(ALLOW, HeaderValue::from_static(methods))];
        return (StatusCode::METHOD_NOT_ALLOWED, allow).into_response();
    }
    match request.extensions().get::<Installed>().cloned() {
        Some(installed) => installed.0.call(endpoint, request).await,
        None => {
            metrics::misconfigured(Misconfigured::NoLayer);
            Refusal::from(Misconfigured::NoLayer).into_response()
        }
    }
}
