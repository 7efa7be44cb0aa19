// The test of the page: a session of the real axum-login, and the bridge.

use std::{
    convert::Infallible,
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{body::Body, http::StatusCode};
use axum_login::{AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend};
use relatch::{
    MasterKey,
    axum::Cookies,
    store::{MemoryStore, NewUser},
};
use tower_service::Service as _;
use tower_sessions::MemoryStore as OldSessions;

const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$x8rdhNdTnMeMQHNjDBcUkdC2d9hEKpJtHxBVLfmvbVU";

#[derive(Clone, Debug)]
struct Account;

impl AuthUser for Account {
    type Id = i64;
    fn id(&self) -> i64 {
        1
    }
    fn session_auth_hash(&self) -> &[u8] {
        HASH.as_bytes()
    }
}

#[derive(Clone)]
struct Backend;

impl AuthnBackend for Backend {
    type User = Account;
    type Credentials = ();
    type Error = Infallible;
    async fn authenticate(&self, (): ()) -> Result<Option<Account>, Infallible> {
        Ok(Some(Account))
    }
    async fn get_user(&self, _: &i64) -> Result<Option<Account>, Infallible> {
        Ok(Some(Account))
    }
}

/// The login of step 2.
async fn old_login(mut auth: AuthSession<Backend>) -> StatusCode {
    let Ok(Some(user)) = auth.authenticate(()).await else { return StatusCode::UNAUTHORIZED };
    auth.login(&user).await.unwrap();
    StatusCode::OK
}

/// A browser: its cookies, by name.
#[derive(Clone, Default)]
struct Browser(std::collections::BTreeMap<String, String>);

impl Browser {
    /// The status, and the number of cookies with tokens of relatch. The device's cookie is no part of a
    /// session, and is left out.
    async fn send(&mut self, app: &Router, method: &str, path: &str) -> (StatusCode, usize) {
        let cookies: Vec<_> =
            self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = axum::http::Request::builder()
            .method(method)
            .uri(path)
            .header("sec-fetch-site", "same-origin")
            .header("cookie", cookies.join("; "))
            .body(Body::empty())
            .unwrap();
        let response = app.clone().call(request).await.unwrap();
        let set = response.headers().get_all("set-cookie");
        let is_of_session =
            |cookie: &&axum::http::HeaderValue| !cookie.as_bytes().starts_with(b"__Host-device=");
        let set: Vec<_> = set.iter().filter(is_of_session).collect();
        for cookie in set.iter().map(|value| value.to_str().unwrap()) {
            let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
            let (name, value) = pair.split_once('=').unwrap();
            match attributes.contains("Max-Age=0") {
                true => self.0.remove(name),
                false => self.0.insert(name.to_owned(), value.to_owned()),
            };
        }
        let is_token = |cookie: &&&axum::http::HeaderValue| cookie.as_bytes().starts_with(b"__");
        (response.status(), set.iter().filter(is_token).count())
    }

    fn keep(&mut self, name: &str) {
        self.0.retain(|kept, _| kept == name);
    }
}

async fn story() -> Result<(), Box<dyn Error>> {
    // The authority's clock, in seconds from now.
    let ahead = Arc::new(AtomicI64::new(-120));
    let clock = Arc::clone(&ahead);
    let key = MasterKey::from_bytes("test", &[7; 32])?;
    let authority = Authority::builder(key, "https://a.example", "https://a.example")
        .clock(move || OffsetDateTime::now_utc() + Duration::seconds(clock.load(Ordering::Relaxed)))
        .build()?;
    let users = MemoryStore::new();
    users.insert(NewUser::with_password_hash("1", "alice", HASH), ());
    users.edit("1", |row| row.columns.version = None); // as after the step "columns"
    let service = Service::new(authority, users.clone());
    let web = Web::builder(service.clone())
        .client_address(relatch::axum::ClientAddress::forwarded_for(1))
        .cookies(Cookies::new())
        .build()?;
    let layer = SessionManagerLayer::new(OldSessions::default());
    let auth = AuthManagerLayerBuilder::new(Backend, layer.clone()).build();
    let old = Router::new().route("/login", post(old_login)).layer(auth);
    let (reading, moving) = (app(&web, layer.clone(), false), app(&web, layer, true));

    // Step 2: served, not moved.
    let mut browser = Browser::default();
    assert_eq!(browser.send(&old, "POST", "/login").await, (StatusCode::OK, 0));
    assert_eq!(browser.send(&reading, "GET", "/me").await, (StatusCode::OK, 0));
    let sessions = async || service.sessions_of("1").await.map(|sessions| sessions.len());
    assert_eq!(sessions().await?, 0);

    // Step 3. The first response is lost, two minutes ago.
    assert_eq!(browser.clone().send(&moving, "GET", "/me").await, (StatusCode::OK, 2));
    ahead.store(0, Ordering::Relaxed);
    let mut other_tab = browser.clone();
    assert_eq!(browser.send(&moving, "GET", "/me").await, (StatusCode::OK, 2));
    assert_eq!(other_tab.send(&moving, "GET", "/me").await, (StatusCode::OK, 0));
    assert_eq!(sessions().await?, 1, "one session of relatch per old session");
    // The release before serves the new tokens too.
    assert_eq!(browser.send(&reading, "GET", "/me").await, (StatusCode::OK, 0));
    // With both cookies the old session ends, and its cookie is deleted.
    assert_eq!(browser.send(&moving, "GET", "/me").await, (StatusCode::OK, 0));
    assert!(!browser.0.contains_key("id"));
    assert_eq!(browser.send(&moving, "GET", "/me").await, (StatusCode::OK, 0));
    assert_eq!(browser.send(&moving, "POST", "/auth/refresh").await, (StatusCode::OK, 2));
    assert_eq!(other_tab.send(&moving, "GET", "/me").await.0, StatusCode::UNAUTHORIZED);

    // A page of another site gets nothing done with an old session.
    let mut victim = Browser::default();
    victim.send(&old, "POST", "/login").await;
    let cross_site = axum::http::Request::post("/auth/logout-everywhere")
        .header("origin", "https://evil.example")
        .header("cookie", format!("id={}", victim.0["id"]))
        .body(Body::empty())?;
    assert_eq!(reading.clone().call(cross_site).await?.status(), StatusCode::FORBIDDEN);

    // Another hash of the same password, by a login on another device, ends no old session.
    let rehashed = service.hash_password("correct horse battery").await?;
    let (before, after) = (
        relatch::user::Credential::from_password_hash(HASH)?,
        relatch::user::Credential::from_password_hash(&rehashed)?,
    );
    let carried = relatch::user::Carried::rehash(None, &before, &after);
    users.edit("1", |row| {
        row.columns.password_hash = Some(rehashed);
        row.columns.carried = Some(carried.expose_text().to_string());
    });
    assert_eq!(victim.clone().send(&reading, "GET", "/me").await.0, StatusCode::OK);

    // Logging out ends the old session as well.
    let mut late = Browser::default();
    late.send(&old, "POST", "/login").await;
    assert_eq!(late.send(&moving, "GET", "/me").await, (StatusCode::OK, 2));
    let mut stolen = late.clone();
    stolen.keep("id");
    assert_eq!(late.send(&moving, "POST", "/auth/logout").await.0, StatusCode::NO_CONTENT);
    assert!(late.0.is_empty());
    assert_eq!(stolen.send(&moving, "GET", "/me").await.0, StatusCode::UNAUTHORIZED);

    // So does logging out the device from another one, also before the old session is deleted.
    let mut lost = Browser::default();
    lost.send(&old, "POST", "/login").await;
    stolen = lost.clone();
    assert_eq!(lost.send(&moving, "GET", "/me").await, (StatusCode::OK, 2));
    assert_eq!(service.log_out_where_of("1", |_| true).await?, 2);
    assert_eq!(stolen.send(&moving, "GET", "/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(sessions().await?, 0);

    // An outage of relatch's store costs nobody a session.
    let mut patient = Browser::default();
    patient.send(&old, "POST", "/login").await;
    users.set_reachable(false);
    assert_eq!(patient.send(&moving, "GET", "/me").await, (StatusCode::SERVICE_UNAVAILABLE, 0));
    users.set_reachable(true);
    assert_eq!(patient.send(&moving, "GET", "/me").await, (StatusCode::OK, 2));
    // "Log out everywhere" ends old sessions too, also those of other devices.
    let mut phone = victim.clone();
    let mut tablet = Browser::default();
    tablet.send(&old, "POST", "/login").await; // it never moves
    assert_eq!(
        victim.send(&moving, "POST", "/auth/logout-everywhere").await.0,
        StatusCode::NO_CONTENT
    );
    for app in [&reading, &moving] {
        assert_eq!(phone.clone().send(app, "GET", "/me").await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(sessions().await?, 0);
    assert_eq!(tablet.clone().send(&reading, "GET", "/me").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(tablet.send(&moving, "GET", "/me").await, (StatusCode::UNAUTHORIZED, 0));
    assert_eq!(sessions().await?, 0);
    phone.send(&moving, "GET", "/me").await;
    assert!(!phone.0.contains_key("id"), "the revoked session is deleted");

    Ok(())
}
