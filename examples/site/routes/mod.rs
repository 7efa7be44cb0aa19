//! The routes of the site: HTML pages, and JSON for programs.

mod account;
mod devices;
mod forgotten;
mod live;
mod not_me;

use axum::{
    Json, Router,
    extract::DefaultBodyLimit,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    middleware,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use relatch::{
    User,
    axum::{Authenticated, endpoints},
};
use serde_json::{Value, json};

use crate::{Profile, Site, Web, error_pages, pages};

pub(crate) fn routes(site: Site, web: &Web) -> Router {
    Router::new()
        .merge(html_routes())
        .merge(api_routes())
        .with_state(site)
        .layer(DefaultBodyLimit::max(16 * 1024))
        .layer(middleware::map_response(with_headers))
        .layer(web.layer())
}

/// Pages for browsers. Refusals are HTML pages.
fn html_routes() -> Router<Site> {
    Router::new()
        .route("/", get(welcome))
        .route("/signup", get(account::sign_up_page).post(account::sign_up))
        .route("/login", get(account::log_in_page).post(account::log_in))
        // The browser sends the refresh token only to paths under `/auth`, so log out there.
        .route("/logout", post(async || Redirect::temporary("/auth/leave")))
        .route("/auth/leave", post(account::log_out))
        .route("/auth/resume", get(endpoints::resume).post(endpoints::resume))
        .route("/devices", get(devices::page))
        .route("/devices/logout", post(devices::log_out))
        .route("/devices/logout-others", post(devices::log_out_others))
        .route("/devices/logout-everywhere", post(devices::log_out_everywhere))
        .route("/password", get(account::password_page).post(account::change_password))
        .route("/account/delete", get(account::delete_page).post(account::delete))
        .route("/confirm", post(account::confirm))
        .route("/forgotten", get(forgotten::page).post(forgotten::send_link))
        .route("/reset", get(forgotten::reset_page).post(forgotten::reset))
        .route("/not-me", get(not_me::page).post(not_me::report))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(middleware::from_fn(error_pages::layer))
}

/// Endpoints for programs. Refusals are the library's JSON.
fn api_routes() -> Router<Site> {
    Router::new()
        .route("/events", get(live::events))
        .route("/ws", get(live::socket))
        .route("/api/me", get(me))
        .route("/auth/login", post(endpoints::login))
        .route("/auth/refresh", post(endpoints::refresh))
        .route("/auth/logout", post(endpoints::log_out))
        .route("/auth/revoke", post(endpoints::revoke))
        .route("/auth/introspect", post(endpoints::introspect))
        .route("/auth/check", get(endpoints::check))
        .route("/auth/sessions", get(endpoints::sessions))
        .route("/style.css", file("text/css; charset=utf-8", include_str!("../style.css")))
        .route("/relatch.js", get(endpoints::client_script))
        .route("/live.js", file("text/javascript; charset=utf-8", include_str!("../live.js")))
        .route("/icon.svg", file("image/svg+xml", include_str!("../icon.svg")))
}

async fn welcome(verified: Option<Authenticated<Profile>>) -> Response {
    match verified {
        Some(_) => Redirect::to("/devices").into_response(),
        None => pages::welcome().into_response(),
    }
}

async fn me(Authenticated(verified): Authenticated<Profile>) -> Json<Value> {
    let user = verified.user();
    Json(json!({ "user": user.id(), "name": user.fields().login }))
}

fn file(kind: &'static str, text: &'static str) -> axum::routing::MethodRouter<Site> {
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

const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
                      img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
