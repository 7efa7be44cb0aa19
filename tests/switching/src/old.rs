//! The old application: plain tokens, and no relatch.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};

use crate::{
    Failure,
    instance::Config,
    plain::{Plain, hash},
    requests::{Login, NewPassword, Refresh, bearer},
};

type App = State<Arc<Plain>>;

pub async fn router(config: &Config) -> Result<Router, Failure> {
    let app = Arc::new(Plain::open(config).await?);
    Ok(Router::new()
        .route("/signup", post(sign_up))
        .route("/login", post(log_in))
        .route("/refresh", post(refresh))
        .route("/me", get(me))
        .route("/password", post(change_password))
        .route("/logout", post(log_out))
        .with_state(app))
}

async fn sign_up(State(app): App, Json(new): Json<Login>) -> Result<Response, Failure> {
    match app.insert(&new.email, &hash(&new.password).await?).await? {
        Some(id) => Ok(Json(app.issue(&id).await?).into_response()),
        None => Ok(StatusCode::CONFLICT.into_response()),
    }
}

async fn log_in(State(app): App, Json(login): Json<Login>) -> Result<Response, Failure> {
    match app.log_in(&login.email, &login.password).await? {
        Some(id) => Ok(Json(app.issue(&id).await?).into_response()),
        None => Ok(StatusCode::UNAUTHORIZED.into_response()),
    }
}

async fn refresh(State(app): App, Json(refresh): Json<Refresh>) -> Result<Response, Failure> {
    match app.rotate(&refresh.refresh_token).await? {
        Some(tokens) => Ok(Json(tokens).into_response()),
        None => Ok(StatusCode::UNAUTHORIZED.into_response()),
    }
}

async fn me(State(app): App, headers: HeaderMap) -> Response {
    match bearer(&headers).and_then(|token| app.verify(token)) {
        Some(id) => id.into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn change_password(
    State(app): App,
    headers: HeaderMap,
    Json(change): Json<NewPassword>,
) -> Result<Response, Failure> {
    let Some(id) = bearer(&headers).and_then(|token| app.verify(token)) else {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    };
    match app.change_password(&id, &change.password, &change.new_password).await? {
        Some(tokens) => Ok(Json(tokens).into_response()),
        None => Ok(StatusCode::FORBIDDEN.into_response()),
    }
}

/// The access token stays valid until it expires, as is usual without revocation.
async fn log_out(
    State(app): App,
    headers: HeaderMap,
    Json(refresh): Json<Refresh>,
) -> Result<Response, Failure> {
    if bearer(&headers).and_then(|token| app.verify(token)).is_none() {
        return Ok(StatusCode::UNAUTHORIZED.into_response());
    }
    app.delete(&refresh.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
