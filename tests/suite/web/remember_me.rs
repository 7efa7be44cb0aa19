//! Cookies that last, and cookies that end with the browser; the name as it is stored.

use relatch::{
    SessionPolicy,
    axum::{Cookies, Web},
    service::Service,
    sessions::ClientPolicy,
};
use serde_json::json;
use time::Duration;

use super::{ACCESS_SECONDS, ALICE, Answer, World, alices_login, here, post_, send, users};
use crate::{
    common::{TestClock, builder},
    service::PASSWORD,
};

const DAY: i64 = 24 * 60 * 60;

/// A login ends with the browser or after a day; a remembered one lasts for 60.
fn policy() -> SessionPolicy {
    let remembered = ClientPolicy::new().persistent_cookies().idle_lifetime(Duration::days(60));
    SessionPolicy::new()
        .session_cookies()
        .idle_lifetime(Duration::DAY)
        .named("remembered", remembered)
}

fn world(policy: SessionPolicy, remembered: Option<&str>) -> World {
    let (store, clock) = (users(), TestClock::new());
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let service = Service::new(authority, store.clone());
    let web = Web::builder(service).client_address(here()).cookies(Cookies::new());
    let web = match remembered {
        Some(name) => web.remember_me(name),
        None => web,
    };
    let web = web.normalize_login(|name| name.trim().to_lowercase()).build().unwrap();
    World { app: super::routes().layer(web.layer()), store, clock, web }
}

/// The lifetime of the refresh token's cookie, if it has one.
#[track_caller]
fn lifetime(answer: &Answer) -> Option<i64> {
    let set = answer.all("set-cookie");
    let of = |name: &str| {
        let cookie = set.iter().find(|cookie| cookie.starts_with(name)).unwrap();
        let seconds = cookie.split("; ").find_map(|part| part.strip_prefix("Max-Age="));
        seconds.map(|seconds| seconds.parse::<i64>().unwrap())
    };
    assert_eq!(of("__Host-device="), Some(31_536_000), "the device is no login");
    let (access, refresh) = (of("__Host-access="), of("__Secure-refresh="));
    assert_eq!(access, refresh.map(|_| ACCESS_SECONDS));
    refresh
}

#[tokio::test]
async fn a_login_is_remembered_if_its_user_wishes() {
    let world = world(policy(), Some("remembered"));
    let asked = |remember: serde_json::Value| {
        let body = json!({ "username": "alice", "password": PASSWORD, "remember_me": remember });
        post_("/auth/login").same_origin().json(&body)
    };
    let form = |rest: &str| {
        let body = format!("username=alice&password=correct+horse+battery{rest}");
        post_("/auth/login").same_origin().form(&body)
    };
    for asked in [
        alices_login().same_origin(),
        asked(json!(false)),
        asked(json!("")),
        form(""),
        form("&remember_me=false"),
    ] {
        assert_eq!(lifetime(&world.send(asked).await.is(200)), None);
    }
    for asked in
        [asked(json!(true)), asked(json!("on")), form("&remember_me=on"), form("&remember_me=true")]
    {
        assert_eq!(lifetime(&world.send(asked).await.is(200)), Some(60 * DAY));
    }
    for asked in [asked(json!(1)), asked(json!(null)), asked(json!("x")), form("&remember_me=x")] {
        drop(world.send(asked).await.fails(400, "invalid_request"));
    }
}

#[tokio::test]
async fn a_refresh_keeps_what_the_login_said() {
    let world = world(policy(), Some("remembered"));
    for (remember_me, days) in [(false, None), (true, Some(60))] {
        let body = json!({ "username": "alice", "password": PASSWORD, "remember_me": remember_me });
        let granted = world.send(post_("/auth/login").same_origin().json(&body)).await.is(200);
        let mut refresh = granted.cookie("__Secure-refresh");
        for _ in 0..2 {
            let asked = post_("/auth/refresh").same_origin().refresh_cookie(&refresh);
            let granted = world.send(asked).await.is(200);
            let set = granted.all("set-cookie")[1];
            let expected = days.map(|days| format!(" Max-Age={};", days * DAY)).unwrap_or_default();
            refresh = granted.cookie("__Secure-refresh");
            assert_eq!(
                set,
                format!(
                    "__Secure-refresh={refresh};{expected} Path=/auth; Secure; HttpOnly; SameSite=Strict"
                )
            );
        }
    }
    // The lifetime of the session does not depend on the cookie.
    let left = world.web.service().sessions_of(ALICE).await.unwrap();
    let persistent = left.iter().filter(|session| session.has_persistent_cookies()).count();
    assert_eq!((left.len(), persistent), (2, 1));
    world.clock.set(DAY + 1);
    assert_eq!(world.web.service().sessions_of(ALICE).await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_the_setting_nobody_is_asked() {
    let body = json!({ "username": "alice", "password": PASSWORD, "remember_me": true });
    let asked = || post_("/auth/login").same_origin().json(&body);
    let world_ = world(policy(), None);
    assert_eq!(lifetime(&world_.send(asked()).await.is(200)), None);
    let ordinary = world(SessionPolicy::new(), None);
    assert_eq!(lifetime(&ordinary.send(asked()).await.is(200)), Some(14 * DAY));
    // A named policy for a public terminal.
    let kiosk = SessionPolicy::new().named("kiosk", ClientPolicy::new().session_cookies());
    let kiosk = world(kiosk, Some("kiosk"));
    assert_eq!(lifetime(&kiosk.send(asked()).await.is(200)), None);
    assert_eq!(lifetime(&kiosk.send(alices_login().same_origin()).await.is(200)), Some(14 * DAY));
    let unknown = Web::builder(ordinary.web.service().clone()).client_address(here());
    assert_eq!(unknown.remember_me("x").build().unwrap_err().setting(), "remember_me");
}

/// A later release does not know the name of a stored session's policy.
#[tokio::test]
async fn a_policy_that_is_not_known_has_the_stricter_cookies() {
    let world = world(policy(), Some("remembered"));
    let body = json!({ "username": "alice", "password": PASSWORD, "remember_me": true });
    let granted = world.send(post_("/auth/login").same_origin().json(&body)).await.is(200);
    let kiosk = ClientPolicy::new().session_cookies();
    let authority = builder(&world.clock).sessions(SessionPolicy::new().named("kiosk", kiosk));
    world.web.service().replace_authority(authority.build().unwrap());
    let refresh = granted.cookie("__Secure-refresh");
    let asked = post_("/auth/refresh").same_origin().refresh_cookie(&refresh);
    let granted = world.send(asked).await.is(200);
    assert!(granted.all("set-cookie").iter().all(|cookie| !cookie.contains("Max-Age")));
}

#[tokio::test]
async fn the_ready_login_takes_the_name_as_it_is_stored() {
    let world = world(SessionPolicy::new(), None);
    let asked = |name: &str| {
        let body = json!({ "username": name, "password": PASSWORD });
        post_("/auth/login").same_origin().json(&body)
    };
    for name in ["alice", " Alice\t", "ALICE"] {
        drop(world.send(asked(name)).await.is(200));
    }
    drop(world.send(asked("a lice")).await.fails(401, "invalid_credentials"));
    let as_typed = World::cookies();
    drop(send(&as_typed.app, asked("ALICE")).await.fails(401, "invalid_credentials"));
}
