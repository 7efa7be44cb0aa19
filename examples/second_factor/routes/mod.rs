//! The routes of the site.

mod account;
mod check;
mod confirm;
pub(crate) mod enrol;
mod login;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware,
    response::Response,
    routing::{MethodRouter, get, post},
};
use relatch::axum::endpoints;

use crate::{Site, Web, error_pages};

/// `endpoints::login` is not mounted: it would log in by the password alone.
pub(crate) fn routes(site: Site, web: &Web) -> Router {
    Router::new()
        .route("/", get(account::welcome))
        .route("/account", get(account::page))
        .route("/signup", get(account::sign_up_page).post(account::sign_up))
        .route("/login", get(login::page).post(login::password))
        .route("/login/code", post(login::second_factor))
        .route("/login/passkey", post(login::second_factor))
        .route("/confirm", get(confirm::page).post(confirm::password))
        .route("/confirm/passkey", post(confirm::passkey))
        .route("/totp/new", post(enrol::new_totp))
        .route("/totp/confirm", post(enrol::confirm_totp))
        .route("/totp/remove", post(enrol::remove_totp))
        .route("/passkey/new", post(enrol::new_passkey))
        .route("/passkey/confirm", post(enrol::confirm_passkey))
        .route("/passkey/remove", post(enrol::remove_passkey))
        .route("/recovery-codes", post(enrol::new_recovery_codes))
        // The browser sends the refresh token only to paths under `/auth`.
        .route("/auth/logout", post(account::log_out))
        .route("/auth/resume", get(endpoints::resume).post(endpoints::resume))
        .route("/style.css", file("text/css; charset=utf-8", include_str!("../../site/style.css")))
        .route("/icon.svg", file("image/svg+xml", include_str!("../../site/icon.svg")))
        .route(
            "/passkeys.js",
            file("text/javascript; charset=utf-8", include_str!("../passkeys.js")),
        )
        .fallback(async || StatusCode::NOT_FOUND)
        .with_state(site)
        .layer(middleware::from_fn(error_pages::layer))
        .layer(DefaultBodyLimit::max(32 * 1024))
        .layer(middleware::map_response(with_headers))
        .layer(web.layer())
}

fn file(kind: &'static str, text: &'static str) -> MethodRouter<Site> {
    get(async move || ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "max-age=300")], text))
}

async fn with_headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(REFERRER_POLICY, "same-origin");
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// `data:` for the QR code, which no cache and no log should hold.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
