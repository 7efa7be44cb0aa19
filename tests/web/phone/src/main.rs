//! A server for an app on phones. The test moves its clock, and reads its security events.

use std::{
    collections::BTreeMap,
    error::Error,
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI64, Ordering},
    },
};

use axum::{
    Form, Json, Router,
    routing::{get, post},
};
use relatch::{
    Authority, MasterKey, SessionPolicy, User,
    axum::{Authenticated, Web, endpoints},
    service::Service,
    sessions::ClientPolicy,
    store::{MemoryStore, NewUser},
    throttle::Throttle,
};
use serde::Deserialize;
use time::{Duration, OffsetDateTime};
use tokio::net::TcpListener;

const URL: &str = "https://api.example";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let now = Arc::new(AtomicI64::new(OffsetDateTime::now_utc().unix_timestamp()));
    let events = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let service = service(Arc::clone(&now), Arc::clone(&events)).await?;
    let web = Web::builder(service).session_policy("phone").build()?;

    let app = Router::new()
        .route("/auth/login", post(endpoints::login))
        .route("/auth/refresh", post(endpoints::refresh))
        .route("/api/me", get(me))
        .layer(web.layer())
        .route("/test/forward", post(async move |Form(by): Form<Forward>| forward(&now, by)))
        .route("/test/events", get(async move || Json(events.lock().map(|all| all.clone()).ok())));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    println!("listening on {}", listener.local_addr()?.port());
    Ok(axum::serve(listener, app).await?)
}

/// One user, and a clock that only the test moves.
async fn service(
    now: Arc<AtomicI64>,
    events: Arc<Mutex<BTreeMap<String, u64>>>,
) -> Result<Service, Box<dyn Error>> {
    let clock = move || {
        let second = now.load(Ordering::Relaxed);
        OffsetDateTime::from_unix_timestamp(second).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    };
    let phone = ClientPolicy::new()
        .late_repeat(Duration::days(7))
        .idle_lifetime(Duration::days(60))
        .absolute_lifetime(Duration::days(366));
    let authority = Authority::builder(MasterKey::generate("test")?, URL, URL)
        .sessions(SessionPolicy::new().named("phone", phone))
        .clock(clock)
        .build()?;
    let users = MemoryStore::new();
    let service = Service::builder(authority, users.clone())
        // The limits have a clock of their own, and many apps log in within a minute.
        .throttle(Throttle::danger_unlimited())
        .on_event(move |event| {
            if let Ok(mut events) = events.lock() {
                *events.entry(event.kind().to_string()).or_default() += 1;
            }
        })
        .build();
    let hash = service.hash_password("a horse that staples").await?;
    users.insert(NewUser::with_password_hash("1", "ada", hash), ());
    Ok(service)
}

async fn me(Authenticated(verified): Authenticated) -> String {
    verified.user().id().to_owned()
}

#[derive(Deserialize)]
struct Forward {
    seconds: u32,
}

fn forward(now: &AtomicI64, Forward { seconds }: Forward) {
    now.fetch_add(seconds.into(), Ordering::Relaxed);
}
