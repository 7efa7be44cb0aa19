//! `RequireLogin`, in front of axum's services and others.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::{Router, routing::get};
use http::{Request, Response};
use relatch::{
    User, Verified,
    axum::{Authenticated, Cookies, Web, endpoints},
    store::{MemoryStore, StoredUser},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{ALICE, BOB, World, ask, get_, post_, send};

/// A service with its own body type, which reports the user.
#[derive(Clone, Default)]
struct Plain(Arc<AtomicUsize>);

#[derive(Debug, PartialEq)]
struct Frames(Vec<u8>);

#[derive(Debug, Default, PartialEq)]
struct Said(String);

impl Service<Request<Frames>> for Plain {
    type Response = Response<Said>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Said>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Frames>) -> Self::Future {
        self.0.fetch_add(1, Ordering::SeqCst);
        assert_eq!(*request.body(), Frames(vec![1, 2, 3]), "the body goes through");
        let session = request.extensions().get::<Verified<StoredUser>>().unwrap();
        ready(Ok(Response::new(Said(session.user().id().to_owned()))))
    }
}

type Headers<'h> = &'h [(&'h str, &'h str)];

fn asked(headers: Headers<'_>) -> Request<Frames> {
    let request = Request::post("/any.Method");
    let request =
        headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Frames(vec![1, 2, 3])).unwrap()
}

#[tokio::test]
async fn only_verified_requests_reach_what_is_behind_it() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let (bearer, cookie) = (
        format!("Bearer {}", tokens.access().expose()),
        format!("__Host-access={}", tokens.access().expose()),
    );
    let plain = Plain::default();
    let mut guarded = world.web.require_login().layer(plain.clone());
    let same = ("sec-fetch-site", "same-origin");
    for headers in [&[("authorization", &*bearer)][..], &[("cookie", &*cookie), same]] {
        let answer = guarded.call(asked(headers)).await.unwrap();
        assert_eq!((answer.status().as_u16(), &*answer.body().0), (200, ALICE));
    }
    let refused: [(Headers<'_>, u16, &str); 5] = [
        (&[], 401, "Bearer"),
        (&[("authorization", "Bearer x")], 401, "Bearer error=\"invalid_token\""),
        (&[("cookie", &cookie)], 403, ""),
        (
            &[("cookie", &cookie), ("authorization", &bearer)],
            400,
            "Bearer error=\"invalid_request\"",
        ),
        (&[("cookie", &cookie), ("sec-fetch-site", "cross-site")], 403, ""),
    ];
    for (headers, status, challenge) in refused {
        let answer = guarded.call(asked(headers)).await.unwrap();
        assert_eq!(answer.status(), status, "{headers:?}");
        assert_eq!(*answer.body(), Said::default(), "there is no body");
        let header = |name: &str| answer.headers().get(name).map_or("", |v| v.to_str().unwrap());
        assert_eq!(header("www-authenticate"), challenge);
        assert_eq!(header("cache-control"), "no-store");
        assert_eq!((header("content-type"), header("content-length")), ("", ""));
    }
    world.store.set_reachable(false);
    let answer = guarded.call(asked(&[("authorization", &bearer)])).await.unwrap();
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "2");
    assert_eq!(plain.0.load(Ordering::SeqCst), 2);
}

/// A service that must be polled for readiness before each call.
struct Once {
    is_ready: bool,
}

impl Clone for Once {
    fn clone(&self) -> Self {
        Self { is_ready: false }
    }
}

impl Service<Request<Frames>> for Once {
    type Response = Response<Said>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Said>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Frames>) -> Self::Future {
        assert!(std::mem::take(&mut self.is_ready), "not polled for readiness");
        ready(Ok(Response::new(Said::default())))
    }
}

#[tokio::test]
async fn the_one_that_is_ready_is_the_one_that_is_called() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let bearer = format!("Bearer {}", tokens.access().expose());
    let mut guarded = world.web.require_login().layer(Once { is_ready: false });
    for _ in 0..3 {
        std::future::poll_fn(|cx| guarded.poll_ready(cx)).await.unwrap();
        let answer = guarded.call(asked(&[("authorization", &bearer)])).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
}

fn me() -> Router {
    let me =
        async |Authenticated(session): Authenticated| -> String { session.user().id().to_owned() };
    Router::new().route("/me", get(me).post(me)).route("/sessions", get(endpoints::sessions))
}

#[tokio::test]
async fn behind_it_the_session_is_there_without_another_look() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let store = world.store.clone();
    // The store becomes unreachable between the layer and the handler.
    let gone = axum::middleware::from_fn(
        move |request: axum::extract::Request, next: axum::middleware::Next| {
            let store: MemoryStore = store.clone();
            async move {
                store.set_reachable(false);
                let answer = next.run(request).await;
                store.set_reachable(true);
                answer
            }
        },
    );
    let app = me().layer(gone).layer(world.web.require_login());
    let bearer = || get_("/me").bearer(tokens.access().expose());
    assert_eq!(send(&app, bearer()).await.is(200).body, ALICE);
    // The same holds for the endpoints, which verify the token themselves.
    let app = me().layer(world.web.require_login());
    send(&app, get_("/sessions").bearer(tokens.access().expose())).await.is(200);
    assert_eq!(send(&app, get_("/sessions")).await.is(401).body, "");
    assert_eq!(send(&app, ask("OPTIONS", "/me")).await.is(401).body, "");
}

#[tokio::test]
async fn another_webs_session_is_not_taken_for_its_own() {
    let (outer, inner) = (World::bearer(), World::with(|web| web.cookies(Cookies::new())));
    let (alice, bob) = (outer.start(ALICE).await, inner.start(BOB).await);
    // The two webs share the key and the users' ids, but no stored data.
    let app = me().layer(inner.web.layer()).layer(outer.web.require_login());
    let by_header = |ask: super::Ask| ask.bearer(alice.access().expose());
    // The inner web sees both tokens, and refuses them.
    let both = by_header(get_("/me")).access_cookie(bob.access().expose());
    send(&app, both).await.fails(400, "invalid_request");
    let disabled = inner.store.edit(ALICE, |row| row.is_active = false);
    assert!(disabled);
    send(&app, by_header(get_("/me"))).await.fails(401, "invalid_token");
    // In the other order, the layer nearest to the handler decides.
    let app = me().layer(outer.web.require_login()).layer(inner.web.layer());
    assert_eq!(send(&app, by_header(get_("/me"))).await.is(200).body, ALICE);
    // Two required logins: both must accept, and the handler receives the inner one's user.
    let app = me().layer(inner.web.require_login()).layer(outer.web.require_login());
    assert_eq!(send(&app, by_header(get_("/me"))).await.is(401).body, "");
    inner.store.edit(ALICE, |row| row.is_active = true);
    let web: &Web = &inner.web;
    assert_eq!(web.refused().len(), 2, "{:?}", web.refused());
}

#[tokio::test]
async fn a_guard_asks_for_the_proof_as_well() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let app = me().layer(world.web.require_login());
    let asked = || post_("/me").access_cookie(tokens.access().expose());
    assert_eq!(send(&app, asked()).await.is(403).body, "");
    assert_eq!(send(&app, asked().same_origin()).await.is(200).body, ALICE);
}
