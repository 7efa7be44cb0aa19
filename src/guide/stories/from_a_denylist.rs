// The test of the page: old tokens, made by plain jsonwebtoken, and the bridge.

use std::error::Error;

use axum::{
    body::{Body, to_bytes},
    http::StatusCode,
};
use jsonwebtoken11::{EncodingKey, Header, encode};
use relatch::store::{MemoryStore, NewUser};
use tower_service::Service as _;

const SECRET: &[u8] = b"the secret of the old setup, 32 bytes";

/// A token as the old login issued it.
fn old_token(typ: &str, jti: &str) -> String {
    let exp = (OffsetDateTime::now_utc() + Duration::days(1)).unix_timestamp();
    let claims = serde_json::json!({ "sub": "1", "exp": exp, "jti": jti, "token_type": typ });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

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
async fn exchange(app: &Router, refresh: &str) -> (StatusCode, String, String) {
    let (status, body) =
        send(app, "POST", "/auth/refresh", "", &format!("refresh_token={refresh}")).await;
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    (status, text("access_token"), text("refresh_token"))
}

async fn story() -> Result<(), Box<dyn Error>> {
    let denied = sqlx::sqlite::SqlitePoolOptions::new()
        .max_connections(1)
        .connect("sqlite::memory:")
        .await?;
    let table = "CREATE TABLE denied_tokens (jti TEXT PRIMARY KEY, expires_at BIGINT NOT NULL)";
    sqlx::query(table).execute(&denied).await?;

    let until = OffsetDateTime::now_utc() + Duration::days(1);
    let key = || MasterKey::from_bytes("test", &[7; 32]);
    let users = MemoryStore::new();
    for (id, name) in [("1", "alice"), ("2", "bob")] {
        users.insert(NewUser::without_password(id, name)?, ());
        users.edit(id, |row| row.columns.version = None); // as after the step "columns"
    }
    let service = Service::new(authority(key()?, SECRET, "access", until)?, users.clone());
    let web = Web::builder(service.clone())
        .client_address(relatch::axum::ClientAddress::forwarded_for(1))
        .build()?;
    let old = Old { refresh: authority(key()?, SECRET, "refresh", until)?, denied, until };
    let app = app(&web, old.clone());

    // Old access tokens are accepted until they are denied; old refresh tokens are none.
    let (laptop, phone) = (old_token("access", "a1"), old_token("access", "a2"));
    assert_eq!(me(&app, &laptop).await, StatusCode::OK);
    assert_eq!(me(&app, &old_token("refresh", "r0")).await, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&app, "POST", "/auth/logout", &laptop, "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(me(&app, &laptop).await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &phone).await, StatusCode::OK, "only one device was logged out");

    // Requests at the same time with one old refresh token start one session.
    let refresh_token = old_token("refresh", "r1");
    let both = tokio::join!(exchange(&app, &refresh_token), exchange(&app, &refresh_token));
    let mut statuses = [both.0.0, both.1.0];
    statuses.sort();
    assert_eq!(statuses, [StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]);
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    // A response that was lost: after a while the client repeats the call, and the session is replaced.
    let (status, access, next) = if both.0.0 == StatusCode::OK { both.0 } else { both.1 };
    assert_eq!(status, StatusCode::OK);
    users.edit("1", |row| {
        let sessions = row.columns.sessions.take().unwrap_or_default();
        let (before, after) = sessions.split_once("\"started_at\":").unwrap();
        let (started, after) = after.split_once(',').unwrap();
        let started = started.parse::<i64>().unwrap() - 60;
        row.columns.sessions = Some(format!("{before}\"started_at\":{started},{after}"));
    });
    let (status, access_2, next_2) = exchange(&app, &refresh_token).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    assert_eq!(me(&app, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchange(&app, &next).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_2).await, StatusCode::OK);

    // The first refresh denies the old token.
    let (status, access_3, next_3) = exchange(&app, &next_2).await;
    assert_eq!(status, StatusCode::OK);
    assert!(old.is_denied("r1").await?);
    assert_eq!(exchange(&app, &refresh_token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_3).await, StatusCode::OK);
    // An access token of relatch gives no session.
    assert_eq!(exchange(&app, &access_3).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    // An old token that is not of the refresh type, and one that is denied, are exchanged for nothing.
    assert_eq!(exchange(&app, &phone).await.0, StatusCode::UNAUTHORIZED);
    old.deny("r2").await?;
    assert_eq!(exchange(&app, &old_token("refresh", "r2")).await.0, StatusCode::UNAUTHORIZED);

    // An old token ends with the session that it has moved to.
    let lost = old_token("refresh", "r4");
    assert_eq!(exchange(&app, &lost).await.0, StatusCode::OK);
    assert_eq!(
        service
            .log_out_where_of("1", |s| s.data().is_some_and(|data| data.as_str().contains("r4")))
            .await?,
        1
    );
    assert_eq!(exchange(&app, &lost).await.0, StatusCode::UNAUTHORIZED);

    // "Log out everywhere" ends old tokens too.
    assert_eq!(
        send(&app, "POST", "/auth/logout-everywhere", &phone, "").await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(me(&app, &phone).await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_3).await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchange(&app, &next_3).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(exchange(&app, &old_token("refresh", "r3")).await.0, StatusCode::UNAUTHORIZED);
    assert!(service.sessions_of("1").await?.is_empty());

    // A denylist that does not answer denies nobody and admits nobody.
    old.denied.close().await;
    let exp = (OffsetDateTime::now_utc() + Duration::days(1)).unix_timestamp();
    let claims = serde_json::json!({ "sub": "2", "exp": exp, "jti": "b1", "token_type": "access" });
    let bobs = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET))?;
    assert_eq!(me(&app, &bobs).await, StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}
