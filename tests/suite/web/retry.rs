//! After a 503, a client that waits for the time in `Retry-After` sends its token again within the grace.

use std::{
    future::pending,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration as StdDuration,
};

use axum::{Router, routing::post};
use relatch::{
    ConfigError, SessionPolicy,
    axum::{Web, endpoints},
    service::Service,
    sessions::{ClientPolicy, EventKind},
    store::{MemoryStore, Row, StoreError, Update, UserKey, UserStore},
};
use serde_json::json;
use time::{Duration, OffsetDateTime};
use tokio::time::{Instant, sleep};

use super::{ALICE, Answer, here, post_, send, users};
use crate::common::{START, TestClock, builder};

/// Writes, and once does not answer, like a database that fails over after the commit.
#[derive(Clone)]
struct Lost {
    store: MemoryStore,
    loses: Arc<AtomicBool>,
}

impl UserStore for Lost {
    type Fields = ();

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
        self.store.read(key).await
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        let written = self.store.compare_and_set(update).await;
        if self.loses.swap(false, Ordering::Relaxed) {
            pending::<()>().await;
        }
        written
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.store.delete(id).await
    }
}

async fn refresh(app: &Router, token: &str) -> Answer {
    send(app, post_("/auth/refresh").json(&json!({ "refresh_token": token }))).await
}

#[tokio::test(start_paused = true)]
async fn a_client_that_tries_again_as_told_stays_logged_in() {
    let began = Instant::now();
    let start = OffsetDateTime::from_unix_timestamp(START).unwrap();
    let authority = builder(&TestClock::new()).clock(move || start + began.elapsed());
    let store = Lost { store: users(), loses: Arc::default() };
    let events = Arc::new(Mutex::new(Vec::new()));
    let reported = Arc::clone(&events);
    let service = Service::builder(authority.build().unwrap(), store.clone())
        .on_event(move |event| reported.lock().unwrap().push(event.kind()))
        .build();
    let web = Web::builder(service.clone()).client_address(here()).build().unwrap();
    let app = Router::new().route("/auth/refresh", post(endpoints::refresh)).layer(web.layer());
    let tokens = service.start_session(ALICE, "phone").await.unwrap();
    let token = tokens.refresh().expose();
    sleep(StdDuration::from_secs(900)).await;

    store.loses.store(true, Ordering::Relaxed);
    let lost = refresh(&app, token).await.is(503);
    let wait = lost.header("retry-after").parse().unwrap();
    sleep(StdDuration::from_secs(wait) + StdDuration::from_millis(990)).await;
    drop(refresh(&app, token).await.is(200));
    assert_eq!(*events.lock().unwrap(), [EventKind::GraceHit]);
}

#[tokio::test]
async fn a_grace_that_is_too_short_for_that_is_found_at_the_start() {
    let build = |policy: SessionPolicy, store_timeout: Duration| {
        let authority = builder(&TestClock::new()).sessions(policy).build().unwrap();
        let service = Service::builder(authority, users()).store_timeout(store_timeout).build();
        Web::builder(service).client_address(here()).build().map(drop)
    };
    let fails = |outcome: Result<(), ConfigError>, text: &str| {
        let error = outcome.unwrap_err();
        assert_eq!(error.setting(), "grace");
        assert!(error.to_string().contains(text), "{error}");
    };
    let (seconds, new) = (Duration::seconds, SessionPolicy::new);
    let client = ClientPolicy::new;
    for (policy, timeout) in [
        (new(), seconds(6)),
        (new().grace(Duration::ZERO), seconds(60)),
        (new().grace(seconds(1)).late_repeat(seconds(60)), seconds(60)),
        (new().grace(seconds(20)), seconds(16)),
        (new().named("tv", client().grace(Duration::ZERO)), seconds(6)),
        (new().named("tv", client().grace(seconds(1)).late_repeat(seconds(60))), seconds(6)),
        (new().named("tv", client().grace(seconds(5))), seconds(1)),
    ] {
        build(policy, timeout).unwrap();
    }
    fails(build(new(), seconds(7)), "the grace of 10 s must be longer than 10 s");
    fails(build(new().grace(seconds(9)), seconds(6)), "the grace of 9 s");
    let named = new().named("web", client()).named("tv", client().grace(seconds(5)));
    fails(build(named, seconds(6)), "of the policy \"tv\" of 5 s must be longer than 9 s");
    let late = client().late_repeat(Duration::DAY);
    let named = new().grace(seconds(4)).named("phone", late);
    fails(build(named, seconds(6)), "the grace of 4 s");
}
