//! Ready handlers. Each uses the [`Web`](super::Web) of the layer, whatever its types, so an
//! application only writes the route. Mount those you need; each says what it takes and returns.
//!
//! A request's body is JSON or a form (`application/x-www-form-urlencoded`) of at most 16 KiB. A
//! refused request gets the response of its [`Refusal`], and a request with another method gets
//! 405, however the handler is mounted.
//!
//! With cookies, mount the handlers that read the refresh token ([`refresh()`], [`resume()`],
//! [`log_out()`]) under [`Cookies::refresh_path`](super::Cookies::refresh_path).

mod body;
mod check;
mod client_script;
mod dispatch;
mod introspect;
mod json;
mod log_out;
mod login;
mod not_me;
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

/// Logs in: `POST` of `username` and `password`, and optionally of `remember_me` and `in_place_of`. 200 with a
/// [`Grant`](super::Grant).
///
/// If `remember_me` is `true`, or `on` as browsers send a ticked box, the session has the policy of
/// [`WebBuilder::remember_me`](super::WebBuilder::remember_me).
///
/// If all of the user's slots are taken and the [policy](crate::sessions::WhenFull) refuses a login, the
/// response to a right password is 409 with `sessions`, in the form of [`sessions()`] without `data`. Let the
/// user choose one, and repeat the request with its `id` as `in_place_of`: that session ends when the new
/// one starts.
///
/// # Security
///
/// It asks for no second factor. An application whose users have one must not mount it, and calls
/// [`Web::verify_login`](super::Web::verify_login) in a handler of its own.
///
/// # Names
///
/// The name is looked up as it was typed, or as
/// [`WebBuilder::normalize_login`](super::WebBuilder::normalize_login) says. To ignore case in
/// names, store them in lower case and let that function do the same, or give the column a collation that
/// ignores case, such as SQLite's `COLLATE NOCASE`, or PostgreSQL's type `citext`.
pub async fn login(request: Request) -> Response {
    call(Endpoint::Login, request).await
}

/// Exchanges the refresh token: `POST`. With cookies, the token is in the request's cookie;
/// without, it is `refresh_token` in the body. 200 with a [`Grant`](super::Grant).
///
/// If the token is rejected, the response is 401. It deletes the cookies if the reason is
/// [final](crate::Reason::is_final). Every other response keeps them: the token may be accepted in a
/// moment, for example if a server's clock is behind or a new key has not reached it. The client asks its
/// user to log in after a 401, and tries again later after any other error
/// ([clients](crate::guide::clients)). A client must not send this request at the same time as one that
/// sets new cookies ([`reauthenticate`], [`change_password`], [`log_out_others`]): a late
/// response that rejects the old token would delete them.
pub async fn refresh(request: Request) -> Response {
    call(Endpoint::Refresh, request).await
}

/// Redirects to a page with a valid access token, for sites without scripts: `GET` or `POST` with `to` in
/// the query, a path of this site ([`local_path`](super::local_path()), percent-encoded). Mount it for
/// both methods, under [`Cookies::refresh_path`](super::Cookies::refresh_path).
///
/// | request | response |
/// | --- | --- |
/// | its access token is valid | 303 to that path |
/// | `GET` by which the user navigates within this site, or by a typed address or a bookmark | 303 to that path with new cookies, or to the [login page](super::WebBuilder::login_page) if the session has ended |
/// | `POST` with a proof of origin | the same |
/// | every other `GET` | 200 with a page, whose button sends the `POST` |
///
/// The browser says how it navigates (`Sec-Fetch-Site`, `Sec-Fetch-Mode`, `Sec-Fetch-Dest`,
/// `Sec-Purpose`). So a link, an image, a frame or a window that a page of another site opens does not
/// use up the refresh token: that page could make the response with the new token get lost, and the
/// session would end. The page with the button also appears after a link from another site, for example
/// in mail, once the access token has expired, and in browsers that do not send these headers.
///
/// # Example
///
/// A layer that redirects requests without a valid access token to it:
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
/// async fn resume_first(request: Request, next: Next) -> Response {
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
///     .layer(from_fn(resume_first))
///     .route("/auth/resume", get(endpoints::resume).post(endpoints::resume))
///     .layer(web.layer())
/// # }
/// ```
pub async fn resume(request: Request) -> Response {
    call(Endpoint::Resume, request).await
}

/// Logs this device out: `POST` without a body. 204.
///
/// If the client disconnects before the token was judged, nothing happens; afterwards the logout
/// completes. A page that logs out while it is left sends the request by `fetch` with `keepalive`.
///
/// An adopted plain token ([`Adoption`](crate::authority::Adoption)) has no session that could end: the
/// user is logged out everywhere.
pub async fn log_out(request: Request) -> Response {
    call(Endpoint::LogOut, request).await
}

/// The endpoint of [`Web::log_out_device`](super::Web::log_out_device): `POST` of `session`, an id
/// from [`sessions()`]. 204, also if there is no such session any more, and for a text that is no
/// id.
pub async fn log_out_device(request: Request) -> Response {
    call(Endpoint::LogOutDevice, request).await
}

/// The endpoint of [`Web::log_out_others`](super::Web::log_out_others): `POST` of `password`. 200
/// with a [`Grant`](super::Grant).
pub async fn log_out_others(request: Request) -> Response {
    call(Endpoint::LogOutOthers, request).await
}

/// The endpoint of [`Web::log_out_everywhere`](super::Web::log_out_everywhere): `POST` without a
/// body. 204. It needs a valid access token: if that has expired, call [`refresh()`] first.
pub async fn log_out_everywhere(request: Request) -> Response {
    call(Endpoint::LogOutEverywhere, request).await
}

/// The endpoint of [`Web::change_password`](super::Web::change_password): `POST` of `password` and
/// `new_password`. 200 with a [`Grant`](super::Grant). 422 with a text for the user if
/// the [policy](crate::service::ServiceBuilder::password_policy) refuses the new password.
pub async fn change_password(request: Request) -> Response {
    call(Endpoint::ChangePassword, request).await
}

/// The endpoint of [`Web::reauthenticate`](super::Web::reauthenticate): `POST` of `password`. 200
/// with a [`Grant`](super::Grant). A client with an adopted plain token, which has no refresh token,
/// gets a session in this way without a new login form.
pub async fn reauthenticate(request: Request) -> Response {
    call(Endpoint::Reauthenticate, request).await
}

/// Lists the user's devices: `GET`. 200 with `sessions`, the most recently used first. Each has
/// `id`, `label`, `started_at`, `last_seen`, `expires_at` (seconds since 1970) and `current`, which
/// is true for the caller's own; and `data`, if the application
/// [shows](super::WebBuilder::show_session_data) some of its data in the session. No endpoint lets a
/// client set that data: [`Web::set_session_data`](super::Web::set_session_data) is for handlers.
///
/// # Security
///
/// The client chooses the text of its label. Escape it before you show it.
pub async fn sessions(request: Request) -> Response {
    call(Endpoint::Sessions, request).await
}

/// Token revocation (RFC 7009): `POST` of a form with `token`, an access token or a refresh token.
/// It ends the token's session. 200, also for an invalid token; 400 with `unsupported_token_type`
/// for a token of no session, such as an adopted plain token, which stays valid; 503 if the token
/// could not be revoked. Clients are not authenticated: the token is the permission to revoke it. The
/// token is verified in the context of this request.
pub async fn revoke(request: Request) -> Response {
    call(Endpoint::Revoke, request).await
}

/// Uses up a "this was not me" link ([`Service::not_me`](crate::service::Service::not_me)): `POST` of
/// `token`. 204. 410 for a link that was used, has expired or was revoked. It needs no login and no proof of
/// origin: the token is the permission.
///
/// The page behind the link only [peeks](crate::service::Service::peek), because mail scanners open links
/// too, and its form or script sends this request. A handler of your own can show a page afterwards, which
/// offers a password reset.
pub async fn not_me(request: Request) -> Response {
    call(Endpoint::NotMe, request).await
}

/// Token introspection (RFC 7662), for resource servers and gateways. They authenticate by HTTP
/// Basic ([`introspection_caller`](super::WebBuilder::introspection_caller)). `POST` of a form with
/// `token`, an access token. 200 with `active` and, if that is true, the token's claims and
/// `token_type`. For every other token it is only `"active": false`, also for refresh tokens, which
/// clients never send to resource servers.
///
/// # Security
///
/// The response is true at the time of the call. A caller that caches it sees a revocation later by
/// that time. A token that is bound to a [context](super::WebBuilder::context) is never active: the
/// caller is not the token's client.
pub async fn introspect(request: Request) -> Response {
    call(Endpoint::Introspect, request).await
}

/// Verifies a request for a reverse proxy, such as nginx with `auth_request`. It accepts any method
/// (`.route("/auth/check", any(endpoints::check))`), and neither the request nor the response has a
/// body. 204 with the user's id in [`USER_ID_HEADER`], or the response of a [`Refusal`]: 401, 403,
/// 503; and 400 or 431 for a request whose tokens cannot be read.
///
/// # Security
///
/// With cookies it needs three headers about the request that the proxy checks:
///
/// - its method, in `X-Original-Method` or `X-Forwarded-Method`. Let the proxy set one of them.
///   Without it, every request counts as one that may change something and needs a proof of origin,
///   which a `GET` with cookies often lacks;
/// - its `Host` with the port, which is compared with `Origin`. Without it, requests from the
///   site's own pages are refused in browsers that do not send `Sec-Fetch-Site`;
/// - its `Upgrade`, which proxies pass on only if configured to. Without it, a page of another site
///   can open a WebSocket in the user's name.
///
/// A browser sends no credentials with the preflight of a request to another origin (an `OPTIONS`
/// request, Fetch §4.9), so the check would refuse it with 401, and the request itself would never be
/// sent. Let the proxy pass `OPTIONS` requests on without the check and without credentials, as below; the
/// application answers them by its CORS layer, and must do nothing else at `OPTIONS`.
///
/// The proxy must also set [`USER_ID_HEADER`] in every request to the application, or clients can
/// forge it; and `X-Forwarded-For`, if the application uses the client's address.
///
/// # Example
///
/// ```nginx
/// location / {
///     if ($request_method = OPTIONS) {
///         return 418; # runs before the check: to @preflight
///     }
///     error_page 418 = @preflight;
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
/// location @preflight {
///     proxy_set_header Authorization "";
///     proxy_set_header Cookie "";
///     proxy_set_header X-User-Id "";
///     proxy_set_header X-Forwarded-For $remote_addr;
///     proxy_pass http://application;
/// }
/// location @unavailable {
///     add_header Retry-After 2 always;
///     return 503;
/// }
/// ```
///
/// nginx passes on 401 and 403, with the challenge. For every other status that is not 2xx, and for
/// a login server that does not answer, it sends a 500 of its own. Clients take that for an error
/// of the application, so `error_page` turns it into a 503. A 500 of the application itself does
/// not change.
pub async fn check(request: Request) -> Response {
    call(Endpoint::Check, request).await
}

/// The JavaScript module for clients: `GET`. Pages import it from this path, and it keeps their session
/// alive: see [the page on clients](crate::guide::clients). It needs no [`Web`](super::Web) and no
/// login. The response has an `ETag`, and the browser asks each time whether the text is still the
/// same, so that a new release reaches all pages.
///
/// To serve it from elsewhere, copy the file `src/axum/client/relatch.js` of this crate.
///
/// # Example
///
/// ```
/// use axum::{Router, routing::get};
/// use relatch::axum::endpoints;
///
/// # fn app() -> Router {
/// Router::new().route("/relatch.js", get(endpoints::client_script))
/// # }
/// ```
#[allow(clippy::unused_async, reason = "a handler of axum is async")]
pub async fn client_script(request: Request) -> Response {
    client_script::response(&request)
}

/// Checks the method and runs the endpoint on the web of the layer.
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
