// The test of the page: rows of old tokens, and the bridge.

use std::error::Error;

use relatch::MasterKey;

include!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/guide/stories/bridge.rs"));

const ISSUER: &str = "https://login.example.com";

/// The old login.
async fn insert(old: &Old, token: &str, user_id: &str, expires_in: i64) {
    let digest: String = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
    sqlx::query("INSERT INTO auth_tokens VALUES ($1, $2, 'Firefox on Linux', $3, FALSE)")
        .bind(digest)
        .bind(user_id.to_owned())
        .bind(now().unix_timestamp() + expires_in)
        .execute(&old.0)
        .await
        .unwrap();
}

async fn story() -> Result<(), Box<dyn Error>> {
    let table = "CREATE TABLE auth_tokens (digest TEXT PRIMARY KEY, user_id TEXT NOT NULL, \
                 label TEXT NOT NULL, expires_at BIGINT NOT NULL, \
                 moved BOOLEAN NOT NULL DEFAULT FALSE)";
    let old = Old(database(table).await);
    let users = users();
    let authority = Authority::new(MasterKey::from_bytes("test", &[7; 32])?, ISSUER, ISSUER)?;
    let service = Service::new(authority, users.clone());
    let web = web(&service);
    let app = app(&web, old.clone());
    for (token, expires_in) in [("laptop", 60), ("phone", 60), ("tablet", 60), ("expired", -1)] {
        insert(&old, token, "1", expires_in).await;
    }

    // Old tokens serve requests, and start no session by that.
    assert_eq!(me(&app, "laptop").await, StatusCode::OK);
    assert_eq!(me(&app, "expired").await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, "unknown").await, StatusCode::UNAUTHORIZED);
    assert!(service.sessions_of("1").await?.is_empty());

    // Requests at the same time with one old token start one session.
    let (access, next) = exchanged_at_once(&app, "laptop").await;
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    assert_eq!(service.sessions_of("1").await?[0].label(), "Firefox on Linux");
    assert_eq!(me(&app, "laptop").await, StatusCode::OK, "the response may have been lost");

    // It was lost: after a while the client repeats the call, and the session is replaced.
    a_minute_later(&users);
    let (status, access_2, next_2) = exchanged(&app, "laptop").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(service.sessions_of("1").await?.len(), 1);
    assert_eq!(me(&app, &access).await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, &next).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_2).await, StatusCode::OK);

    // The first refresh deletes the row.
    let (status, access_3, next_3) = exchanged(&app, &next_2).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(me(&app, "laptop").await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, "laptop").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_3).await, StatusCode::OK);

    // Logging out one device.
    assert_eq!(send(&app, "POST", "/auth/logout", "tablet", "").await.0, StatusCode::NO_CONTENT);
    assert_eq!(me(&app, "tablet").await, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, "phone").await, StatusCode::OK);

    // An old token ends with the session that it has moved to.
    insert(&old, "lost", "1", 60).await;
    assert_eq!(exchanged(&app, "lost").await.0, StatusCode::OK);
    let digest = old.find("lost").await?.unwrap().digest;
    let is_its =
        |session: &SessionInfo| session.data().is_some_and(|data| data.as_str().contains(&digest));
    assert_eq!(service.log_out_where_of("1", is_its).await?, 1);
    assert_eq!(me(&app, "lost").await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, "lost").await.0, StatusCode::UNAUTHORIZED);

    // "Log out everywhere" ends old tokens too, though their rows are still there.
    let (status, _) = send(&app, "POST", "/auth/logout-everywhere", "phone", "").await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(old.find("phone").await?.is_some());
    assert_eq!(me(&app, "phone").await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, "phone").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(me(&app, &access_3).await, StatusCode::UNAUTHORIZED);
    assert_eq!(exchanged(&app, &next_3).await.0, StatusCode::UNAUTHORIZED);

    // So do disabling and deleting.
    insert(&old, "bobs", "2", 60).await;
    assert_eq!(me(&app, "bobs").await, StatusCode::OK);
    service.disable("2").await?;
    service.enable("2").await?;
    assert_eq!(me(&app, "bobs").await, StatusCode::UNAUTHORIZED);
    service.delete("2").await?;
    assert_eq!(me(&app, "bobs").await, StatusCode::UNAUTHORIZED);

    // An outage costs nobody a session.
    users.set_reachable(false);
    insert(&old, "later", "1", 60).await;
    assert_eq!(me(&app, "later").await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(exchanged(&app, "later").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert!(old.find("later").await?.is_some());
    Ok(())
}
