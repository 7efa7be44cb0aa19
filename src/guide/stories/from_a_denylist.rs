// The test of the page: old tokens, made by plain jsonwebtoken, and the bridge.

use std::error::Error;

use jsonwebtoken11::{EncodingKey, Header, encode};

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/stories/bridge.rs"));

const SECRET: &[u8] = b"the secret of the old setup, 32 bytes";

/// A token as the old login issued it.
fn old_token(typ: &str, jti: &str) -> String {
    old_token_of("1", typ, jti)
}

fn old_token_of(user_id: &str, typ: &str, jti: &str) -> String {
    let exp = (OffsetDateTime::now_utc() + Duration::days(1)).unix_timestamp();
    let claims = serde_json::json!({ "sub": user_id, "exp": exp, "jti": jti, "token_type": typ });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

async fn story() -> Result<(), Box<dyn Error>> {
    let table = "CREATE TABLE denied_tokens (jti TEXT PRIMARY KEY, expires_at BIGINT NOT NULL)";
    let denied = database(table).await;
    let until = OffsetDateTime::now_utc() + Duration::days(1);
    let key = || MasterKey::from_bytes("test", &[7; 32]);
    let users = users();
    let service = Service::new(authority(key()?, SECRET, "access", until)?, users.clone());
    let web = web(&service);
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
    let (access, next) = exchanged_at_once(&app, &refresh_token).await;
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    // A response that was lost: after a while the client repeats the call, and the session is replaced.
    a_minute_later(&users);
    let (status, access_2, next_2) = exchanged(&app, &refresh_token).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    assert_eq!(me(&app, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, &next).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_2).await, StatusCode::OK);

    // The first refresh denies the old token.
    let (status, access_3, next_3) = exchanged(&app, &next_2).await;
    assert_eq!(status, StatusCode::OK);
    assert!(old.is_denied("r1").await?);
    assert_eq!(exchanged(&app, &refresh_token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_3).await, StatusCode::OK);
    // An access token of relatch gives no session.
    assert_eq!(exchanged(&app, &access_3).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    // An old token that is not of the refresh type, and one that is denied, are exchanged for nothing.
    assert_eq!(exchanged(&app, &phone).await.0, StatusCode::UNAUTHORIZED);
    old.deny("r2").await?;
    assert_eq!(exchanged(&app, &old_token("refresh", "r2")).await.0, StatusCode::UNAUTHORIZED);

    // An old token ends with the session that it has moved to.
    let lost = old_token("refresh", "r4");
    assert_eq!(exchanged(&app, &lost).await.0, StatusCode::OK);
    assert_eq!(
        service
            .log_out_where_of("1", |s| s.data().is_some_and(|data| data.as_str().contains("r4")))
            .await?,
        1
    );
    assert_eq!(exchanged(&app, &lost).await.0, StatusCode::UNAUTHORIZED);

    // "Log out everywhere" ends old tokens too.
    assert_eq!(
        send(&app, "POST", "/auth/logout-everywhere", &phone, "").await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(me(&app, &phone).await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_3).await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, &next_3).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, &old_token("refresh", "r3")).await.0, StatusCode::UNAUTHORIZED);
    assert!(service.sessions_of("1").await?.is_empty());

    // A denylist that does not answer denies nobody and admits nobody.
    old.denied.close().await;
    let bobs = old_token_of("2", "access", "b1");
    assert_eq!(me(&app, &bobs).await, StatusCode::SERVICE_UNAVAILABLE);
    Ok(())
}
