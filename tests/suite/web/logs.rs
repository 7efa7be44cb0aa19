//! What is logged, and what never is.

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex},
};

use relatch::{User, axum::ClientAddress};
use serde_json::json;
use tracing::{Event, Metadata, Subscriber, field::Field, span, subscriber::DefaultGuard};

use super::{ALICE, World, alices_login, get_, login, post_};
use crate::service::PASSWORD;

/// Captures everything that this thread logs, at any level, until it is dropped.
pub(crate) struct Log {
    text: Arc<Mutex<String>>,
    _guard: DefaultGuard,
}

impl Log {
    pub(crate) fn new() -> Self {
        let text = Arc::new(Mutex::new(String::new()));
        let guard = tracing::subscriber::set_default(Collector(Arc::clone(&text)));
        Self { text, _guard: guard }
    }

    pub(crate) fn take(&self) -> String {
        std::mem::take(&mut *self.text.lock().unwrap())
    }
}

struct Collector(Arc<Mutex<String>>);

impl Subscriber for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = self.0.lock().unwrap();
        write!(text, "{}", event.metadata().level()).unwrap();
        let mut message = String::new();
        event.record(&mut |field: &Field, value: &dyn Debug| match field.name() {
            "message" => write!(message, "{value:?}").unwrap(),
            name => write!(text, " {name}={value:?}").unwrap(),
        });
        writeln!(text, " {message}").unwrap();
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn a_genuine_tokens_refusal_names_the_user_and_the_reason() {
    let world = World::bearer();
    let log = Log::new();
    let tokens = world.start(ALICE).await;
    let verified = world.web.service().authenticate(tokens.access()).await.unwrap();
    world.web.service().log_out(&verified).await.unwrap();
    world.send(get_("/me").bearer(tokens.access().expose())).await.is(401);
    let text = log.take();
    assert!(text.contains("INFO reason=\"session_ended\" user=\"1\""), "{text}");
    assert_eq!(world.refused("session_ended"), 1);

    world.clock.set(super::ACCESS_SECONDS);
    world.send(get_("/me").bearer(tokens.access().expose())).await.is(401);
    let text = log.take();
    assert!(text.contains("reason=\"expired\" user=\"1\""), "{text}");
    assert_eq!(world.refused("expired"), 1);

    let refresh = json!({ "refresh_token": tokens.refresh().expose() });
    world.send(post_("/auth/refresh").json(&refresh)).await.is(401);
    let text = log.take();
    assert!(text.contains("user=\"1\""), "{text}");
}

/// Two tabs that refresh at the same time are no alarm; a copied token is.
#[tokio::test]
async fn a_repeat_is_no_warning_and_reuse_is_one() {
    let world = World::bearer();
    let log = Log::new();
    let tokens = world.start(ALICE).await;
    let refresh = json!({ "refresh_token": tokens.refresh().expose() });
    for _ in 0..5 {
        world.send(post_("/auth/refresh").json(&refresh)).await.is(200);
    }
    let text = log.take();
    assert_eq!(text.matches("INFO kind=\"grace_hit\"").count(), 1, "{text}");
    assert!(!text.contains("WARN"), "{text}");
    world.clock.set(60);
    world.send(post_("/auth/refresh").json(&refresh)).await.is(401);
    let text = log.take();
    assert!(text.contains("WARN kind=\"reuse\" user=\"1\""), "{text}");
}

#[tokio::test]
async fn a_forged_token_names_nobody() {
    let world = World::bearer();
    let log = Log::new();
    let tokens = world.start(ALICE).await;
    for token in [tokens.access().expose(), tokens.refresh().expose()] {
        world.send(get_("/me").bearer(&forged(token))).await.is(401);
        assert!(!log.take().contains("user"));
    }
    for token in [forged(tokens.refresh().expose()), tokens.access().expose().to_owned()] {
        let refresh = json!({ "refresh_token": token });
        world.send(post_("/auth/refresh").json(&refresh)).await.is(401);
        let text = log.take();
        assert!(text.starts_with("INFO reason=") && !text.contains("user"), "{text}");
    }
    assert_eq!(world.refused("forged"), 2);
    assert_eq!(world.refused("wrong_type"), 2);
}

/// Alice's token, with Bob's id in it.
pub(crate) fn forged(token: &str) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    let parts: Vec<_> = token.split('.').collect();
    let payload = String::from_utf8(B64.decode(parts[1]).unwrap()).unwrap();
    let other = payload.replace(r#""sub":"1""#, r#""sub":"2""#);
    assert_ne!(payload, other);
    format!("{}.{}.{}", parts[0], B64.encode(other), parts[2])
}

#[tokio::test]
async fn nothing_that_a_client_sent_is_in_the_log() {
    const SECRET: &str = "SECRET-of-the-client";
    let world = World::cookies();
    let log = Log::new();
    let tokens = world.start(ALICE).await;
    let access = tokens.access().expose().to_owned();
    let refresh = tokens.refresh().expose().to_owned();
    let secret = json!({ "username": SECRET, "password": SECRET });
    let own = json!({ "password": SECRET, "new_password": SECRET });
    let asks = || {
        [
            get_("/me").bearer(SECRET),
            get_("/me").header("authorization", SECRET),
            get_("/me").access_cookie(SECRET),
            get_("/me").bearer(&access).access_cookie(&access),
            get_("/me").bearer(&forged(&access)),
            get_("/me").header("user-agent", SECRET).header("cookie", SECRET),
            post_("/me").access_cookie(&access).header("origin", SECRET),
            post_("/auth/login").same_origin().json(&secret),
            post_("/auth/login").same_origin().json(&login(SECRET)),
            post_("/auth/login")
                .same_origin()
                .form(&format!("username={SECRET}&password={SECRET}&password=x")),
            post_("/auth/login")
                .same_origin()
                .header("content-type", "application/json")
                .body(SECRET),
            post_("/auth/login").same_origin().json(&json!({ "username": SECRET, "password": 7 })),
            post_("/auth/change_password").same_origin().access_cookie(&access).json(&own),
            post_("/auth/reauthenticate").same_origin().access_cookie(&access).json(&own),
            post_("/auth/logout_others").bearer(&access).json(&own),
            post_("/auth/refresh").same_origin().refresh_cookie(SECRET),
            post_("/auth/refresh").same_origin().refresh_cookie(&forged(&refresh)),
            post_("/auth/revoke").form(&format!("token={SECRET}")),
            post_("/auth/introspect").header("authorization", format!("Basic {SECRET}")),
            get_("/me").bearer(&access),
        ]
    };
    for is_reachable in [true, false] {
        world.store.set_reachable(is_reachable);
        for ask in asks() {
            let what = format!("{ask:?}");
            world.send(ask).await;
            let text = log.take();
            for secret in [SECRET, PASSWORD, "alice", &access, &refresh] {
                assert!(!text.contains(secret), "{what}: {text}");
            }
            for part in access.split('.').chain(refresh.split('.')).filter(|part| part.len() > 30) {
                assert!(!text.contains(part), "{what}: {text}");
            }
        }
    }
    assert_eq!(world.refused("unknown_login"), 1);
    assert_eq!(world.refused("wrong_password"), 4);
    assert!(world.refused("unavailable") > 3);
}

#[tokio::test]
async fn whose_fault_it_is_is_the_level() {
    let world = World::with(|web| web.client_address(ClientAddress::from_fn(|_| None)));
    let log = Log::new();
    world.send(get_("/me")).await.is(401);
    assert!(log.take().starts_with("DEBUG reason=\"no_token\""));
    world.send(alices_login()).await.fails(500, "server_error");
    let text = log.take();
    assert!(text.starts_with("ERROR reason=\"misconfigured\""), "{text}");
    assert!(text.contains("client_address"), "{text}");
    let tokens = world.start(ALICE).await;
    world.store.set_reachable(false);
    world.send(get_("/me").bearer(tokens.access().expose())).await.is(503);
    let text = log.take();
    assert!(text.starts_with("ERROR reason=\"unavailable\" user=\"1\" cause="), "{text}");
    let names: Vec<_> = world.web.refused().iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["misconfigured", "no_token", "unavailable"]);
}

#[tokio::test]
async fn what_is_served_is_not_logged() {
    let world = World::cookies();
    let log = Log::new();
    let granted = world.send(alices_login().same_origin()).await.is(200);
    let access = granted.cookie("__Host-access");
    let me = world.send(get_("/me").access_cookie(&access)).await.is(200);
    assert_eq!(me.body, ALICE);
    let session = world.web.service().find(relatch::store::UserKey::Id(ALICE)).await.unwrap();
    assert_eq!(session.unwrap().id(), ALICE);
    assert_eq!(log.take(), "");
    assert_eq!(world.web.refused(), []);
}
