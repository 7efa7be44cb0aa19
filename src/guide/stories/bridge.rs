// What the stories of two pages share: requests to the application, and users as after the step "columns".

use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
};
use relatch::store::{MemoryStore, NewUser};
use tower_service::Service as _;

async fn me(app: &Router, token: &str) -> StatusCode {
    send(app, "GET", "/me", token, "").await.0
}

async fn send(
    app: &Router,
    method: &str,
    path: &str,
    token: &str,
    body: &str,
) -> (StatusCode, serde_json::Value) {
    let mut request = axum::http::Request::builder().method(method).uri(path);
    if !token.is_empty() {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let request = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = app.clone().call(request).await.unwrap();
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// Exchanges a refresh token. On success, the access and the refresh token.
async fn exchanged(app: &Router, refresh: &str) -> (StatusCode, String, String) {
    let body = format!("refresh_token={refresh}");
    let (status, body) = send(app, "POST", "/auth/refresh", "", &body).await;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, text("access_token"), text("refresh_token"))
}

/// Sends two requests at once with one refresh token. One starts a session, whose tokens are returned.
async fn exchanged_at_once(app: &Router, refresh: &str) -> (String, String) {
    let (one, two) = tokio::join!(exchanged(app, refresh), exchanged(app, refresh));
    let mut statuses = [one.0, two.0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]);
    let (_, access, next) = if one.0 == StatusCode::OK { one } else { two };
    (access, next)
}

/// Two users without a version.
fn users() -> MemoryStore {
    let users = MemoryStore::new();
    for (id, name) in [("1", "alice"), ("2", "bob")] {
        users.insert(NewUser::without_password(id, name).unwrap(), ());
        users.edit(id, |row| row.columns.version = None);
    }
    users
}

fn web(service: &Service) -> Web {
    let address = relatch::axum::ClientAddress::forwarded_for(1);
    Web::builder(service.clone()).client_address(address).build().unwrap()
}

/// A database in memory.
async fn database(table: &str) -> sqlx::SqlitePool {
    let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
    let pool = pool.connect("sqlite::memory:").await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(table.to_owned())).execute(&pool).await.unwrap();
    pool
}

/// Makes the session of user 1 a minute older.
fn a_minute_later(users: &MemoryStore) {
    users.edit("1", |row| {
        let sessions = row.columns.sessions.take().unwrap_or_default();
        let (before, after) = sessions.split_once("\"started_at\":").unwrap();
        let (started, after) = after.split_once(',').unwrap();
        let started = started.parse::<i64>().unwrap() - 60;
        row.columns.sessions = Some(format!("{before}\"started_at\":{started},{after}"));
    });
}
