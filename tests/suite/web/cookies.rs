//! The exact text of the cookies that are set.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use axum::{Router, response::Redirect, routing::post};
use http::request::Parts;
use relatch::{
    authority::SystemEntropy,
    axum::{Cookies, Grant, LoggedOut, Refusal, Web},
    service::Service,
};
use serde_json::json;

use super::{ACCESS_SECONDS, ALICE, IDLE_SECONDS, World, alices_login, get_, here, post_, send};
use crate::{common::builder, web::logs::Log};

const DELETED: [&str; 2] = [
    "__Host-access=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax",
    "__Secure-refresh=; Max-Age=0; Path=/auth; Secure; HttpOnly; SameSite=Strict",
];

#[tokio::test]
async fn a_login_sets_both_and_shows_neither() {
    let world = World::cookies();
    let granted = world.send(alices_login().same_origin()).await.is(200);
    let (access, refresh) = (granted.cookie("__Host-access"), granted.cookie("__Secure-refresh"));
    let device = granted.cookie("__Host-device");
    assert_eq!(
        granted.all("set-cookie"),
        [
            format!(
                "__Host-access={access}; Max-Age={ACCESS_SECONDS}; Path=/; Secure; HttpOnly; SameSite=Lax"
            ),
            format!(
                "__Secure-refresh={refresh}; Max-Age={IDLE_SECONDS}; Path=/auth; Secure; HttpOnly; SameSite=Strict"
            ),
            format!(
                "__Host-device={device}; Max-Age=31536000; Path=/; Secure; HttpOnly; SameSite=Strict"
            ),
        ]
    );
    assert_eq!(granted.json(), json!({ "expires_in": ACCESS_SECONDS }));
    assert_eq!(granted.header("cache-control"), "no-store");
    assert_eq!(granted.header("content-type"), "application/json");
    let kept = granted.headers.get_all("set-cookie").iter().all(http::HeaderValue::is_sensitive);
    assert!(kept, "printed");
    world.send(get_("/me").access_cookie(&access)).await.is(200);
}

#[tokio::test]
async fn they_last_as_long_as_what_is_in_them() {
    let world = World::cookies();
    let granted = world.send(alices_login().same_origin()).await.is(200);
    let mut refresh = granted.cookie("__Secure-refresh");
    // At most two weeks idle, and ninety days in total.
    const DAY: i64 = 24 * 60 * 60;
    for day in [13, 26, 39, 52, 65, 78, 89] {
        world.clock.set(day * DAY);
        let asked = post_("/auth/refresh").same_origin().refresh_cookie(&refresh);
        let granted = world.send(asked).await.is(200);
        let left = IDLE_SECONDS.min((90 - day) * DAY);
        let set = granted.all("set-cookie")[1];
        assert!(set.contains(&format!("; Max-Age={left}; Path=/auth;")), "{day}: {set}");
        refresh = granted.cookie("__Secure-refresh");
    }
}

#[tokio::test]
async fn a_logout_deletes_both() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    for path in ["/auth/logout", "/auth/logout_everywhere"] {
        let tokens = if path == "/auth/logout" { &tokens } else { &world.start(ALICE).await };
        let left = world.send(post_(path).same_origin().both_cookies(tokens)).await.is(204);
        assert_eq!(left.all("set-cookie"), DELETED);
        assert_eq!(left.header("cache-control"), "no-store");
        assert_eq!(left.body, "");
        assert!(!world.lives(tokens).await);
    }
    let dead = post_("/auth/refresh").same_origin().refresh_cookie(tokens.refresh().expose());
    assert_eq!(world.send(dead).await.is(401).all("set-cookie"), DELETED);
}

#[tokio::test]
async fn a_401_of_a_page_deletes_nothing() {
    let world = World::cookies();
    let refused = world.send(get_("/me").access_cookie("rubbish")).await.is(401);
    assert_eq!(refused.all("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn names_paths_and_strictness_are_settings() {
    let set = Cookies::new().named("Shop2").refresh_path("/api/session").strict();
    let world = World::with(|web| web.cookies(set));
    let granted = world.send(alices_login().same_origin()).await.is(200);
    let access = granted.cookie("__Host-Shop2-access");
    let refresh = granted.cookie("__Secure-Shop2-refresh");
    let device = granted.cookie("__Host-Shop2-device");
    assert_eq!(
        granted.all("set-cookie"),
        [
            format!(
                "__Host-Shop2-access={access}; Max-Age={ACCESS_SECONDS}; Path=/; Secure; HttpOnly; SameSite=Strict"
            ),
            format!(
                "__Secure-Shop2-refresh={refresh}; Max-Age={IDLE_SECONDS}; Path=/api/session; Secure; HttpOnly; SameSite=Strict"
            ),
            format!(
                "__Host-Shop2-device={device}; Max-Age=31536000; Path=/; Secure; HttpOnly; SameSite=Strict"
            ),
        ]
    );
    let named =
        |access: &str| get_("/me").header("cookie", format!("__Host-Shop2-access={access}"));
    world.send(named(&access)).await.is(200);
    // A cookie of another application on the same host.
    world.send(get_("/me").access_cookie(&access)).await.fails(401, "login_required");
    world.send(named(&access).access_cookie("theirs")).await.is(200);
    let left = post_("/auth/logout").same_origin();
    let left = left.header("cookie", format!("__Host-Shop2-access={access}"));
    assert_eq!(
        world.send(left).await.is(204).all("set-cookie"),
        [
            "__Host-Shop2-access=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict",
            "__Secure-Shop2-refresh=; Max-Age=0; Path=/api/session; Secure; HttpOnly; SameSite=Strict",
        ]
    );
}

#[tokio::test]
async fn for_development_they_are_of_other_names_and_without_secure() {
    let world = World::with(|web| web.cookies(Cookies::new().danger_plain_localhost()));
    let asked = alices_login().same_origin().header("host", "localhost:3000");
    let granted = world.send(asked).await.is(200);
    let (access, refresh) = (granted.cookie("insecure-access"), granted.cookie("insecure-refresh"));
    let device = granted.cookie("insecure-device");
    assert_eq!(
        granted.all("set-cookie"),
        [
            format!(
                "insecure-access={access}; Max-Age={ACCESS_SECONDS}; Path=/; HttpOnly; SameSite=Lax"
            ),
            format!(
                "insecure-refresh={refresh}; Max-Age={IDLE_SECONDS}; Path=/auth; HttpOnly; SameSite=Strict"
            ),
            format!(
                "insecure-device={device}; Max-Age=31536000; Path=/; HttpOnly; SameSite=Strict"
            ),
        ]
    );
}

#[tokio::test]
async fn what_cannot_stand_in_a_cookie_is_no_setting() {
    let build = |cookies: Cookies| {
        let world = World::bearer();
        Web::builder(world.web.service().clone())
            .client_address(here())
            .cookies(cookies)
            .build()
            .err()
            .map(|error| error.setting())
    };
    for path in ["/auth", "/", "/api/v1/session", "/~a/b.c"] {
        assert_eq!(build(Cookies::new().refresh_path(path)), None, "{path}");
    }
    let paths = [
        "",
        "auth",
        "/auth/",
        "//",
        "/a b",
        "/a;b",
        "/a,b",
        "/a\nb",
        "/a\tb",
        "/\u{e4}",
        "/a\u{7f}",
        "/auth; Domain=evil.com",
    ];
    for path in paths {
        let error = build(Cookies::new().refresh_path(path));
        assert_eq!(error, Some("cookies"), "{path:?}");
    }
    for path in ["", "/auth/", "/a;b", "/auth"] {
        let error = build(Cookies::new().former_refresh_path(path));
        assert_eq!(error, Some("cookies"), "{path:?}");
    }
    for (paths, error) in [(8, None), (9, Some("cookies"))] {
        let former = (0..paths).map(|n| format!("/{n}"));
        assert_eq!(build(former.fold(Cookies::new(), Cookies::former_refresh_path)), error);
    }
    for name in ["a b", "a-b", "a=b", "a;b", "\u{e4}", "a\n", "__Host"] {
        assert_eq!(build(Cookies::new().named(name)), Some("cookies"), "{name:?}");
    }
}

#[test]
fn a_trusted_origin_is_written_as_browsers_do() {
    let service = World::bearer().web.service().clone();
    let build = |origin: &str| {
        Web::builder(service.clone())
            .client_address(here())
            .trust_origin(origin)
            .build()
            .err()
            .map(|error| error.setting())
    };
    for good in [
        "https://app.example.com",
        "https://app.example.com:443",
        "capacitor://localhost",
        "ionic://localhost",
        "http://localhost",
    ] {
        assert_eq!(build(good), None, "{good}");
    }
    for bad in [
        "null",
        "*",
        "https://app.example.com/",
        "https://App.example.com",
        "app.example.com",
        "file://",
        "file://localhost",
        "data://x",
        "capacitor://",
    ] {
        assert_eq!(build(bad), Some("trust_origin"), "{bad}");
    }
}

#[derive(Clone, serde::Serialize, serde::Deserialize)]
struct Long {
    text: String,
}

/// Browsers silently drop a cookie that is too long, which would log the user out at once.
#[tokio::test]
async fn a_token_too_long_for_a_cookie_is_an_error() {
    let world = World::bearer();
    for (len, status) in [(2500, 200), (3500, 500)] {
        let claims = move |_: &_, _: Option<&_>| Long { text: "x".repeat(len) };
        let authority = builder(&world.clock).entropy(SystemEntropy).max_token_bytes(8192);
        let authority = authority.build().unwrap();
        let service = Service::builder(authority, world.store.clone()).claims(claims).build();
        let start =
            async |web: Web<(), Long>, request: Parts| web.start_session(&request, ALICE).await;
        let web =
            Web::builder(service).client_address(here()).cookies(Cookies::new()).build().unwrap();
        let app = Router::new().route("/start", post(start)).layer(web.layer());
        let log = Log::new();
        let answer = send(&app, post_("/start").same_origin()).await.is(status);
        assert_eq!(answer.all("set-cookie").is_empty(), status == 500);
        assert_eq!(log.take().contains("4096 bytes"), status == 500);
    }
}

/// The claims of a user have become too many: nothing is stored, so that the session goes on later.
#[tokio::test]
async fn a_refresh_whose_token_is_too_long_for_a_cookie_uses_nothing_up() {
    let world = World::bearer();
    let len = Arc::new(AtomicUsize::new(9));
    let now = Arc::clone(&len);
    let claims = move |_: &_, _: Option<&_>| Long { text: "x".repeat(now.load(SeqCst)) };
    let authority = builder(&world.clock).max_token_bytes(8192).build().unwrap();
    let service = Service::builder(authority, world.store.clone()).claims(claims).build();
    let tokens = service.start_session(ALICE, "phone").await.unwrap();
    let web = Web::builder(service).client_address(here()).cookies(Cookies::new()).build().unwrap();
    let refresh = post(relatch::axum::endpoints::refresh);
    let app = Router::new().route("/auth/refresh", refresh).layer(web.layer());
    let asked = || {
        let asked = post_("/auth/refresh").same_origin();
        asked.refresh_cookie(tokens.refresh().expose())
    };
    len.store(3500, SeqCst);
    let log = Log::new();
    let failed = send(&app, asked()).await.fails(500, "server_error");
    assert_eq!(failed.all("set-cookie"), [""; 0]);
    assert!(log.take().contains("4096 bytes"));
    // Long after the grace.
    world.clock.set(3600);
    len.store(9, SeqCst);
    drop(send(&app, asked()).await.is(200));
}

async fn to_the_front(web: Web, request: Parts) -> Result<(Grant, Redirect), Refusal> {
    Ok((web.start_session(&request, ALICE).await?, Redirect::to("/")))
}

async fn out(web: Web) -> (LoggedOut, Redirect) {
    (web.forget(), Redirect::to("/bye"))
}

#[tokio::test]
async fn a_grant_is_a_part_of_an_answer() {
    let world = World::cookies();
    let app = Router::new()
        .route("/in", post(to_the_front))
        .route("/out", post(out))
        .layer(world.web.layer());
    let granted = send(&app, post_("/in").same_origin()).await.is(303);
    assert_eq!(granted.header("location"), "/");
    assert_eq!(granted.header("cache-control"), "no-store");
    assert_eq!(granted.body, "");
    let access = granted.cookie("__Host-access");
    world.send(get_("/me").access_cookie(&access)).await.is(200);
    let left = send(&app, post_("/out")).await.is(303);
    assert_eq!((left.header("location"), left.all("set-cookie")), ("/bye", DELETED.to_vec()));
}

#[tokio::test]
async fn without_cookies_it_cannot_be_a_part_and_the_log_says_so() {
    let world = World::bearer();
    let log = Log::new();
    let app = Router::new().route("/in", post(to_the_front)).layer(world.web.layer());
    let failed = send(&app, post_("/in")).await.is(500);
    assert_eq!(failed.all("set-cookie"), [""; 0]);
    let text = log.take();
    assert!(text.contains("WebBuilder::cookies"), "{text:?}");
}
