//! The extractors.

use axum::{Router, routing::get};
use http_body_util::BodyExt;
use relatch::{
    axum::{Authenticated, Cookies, Fresh, LiveAuthenticated, Recent, Web},
    service::CachePolicy,
};
use tower_service::Service as _;

use super::{ALICE, BOB, World, ask, get_, minutes, post_, send};
use crate::{
    common::{Role, builder, key},
    service::PASSWORD,
    web::logs::Log,
};

#[tokio::test]
async fn the_session_of_a_good_token_is_given_and_of_none_other() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    for path in ["/me", "/maybe", "/fresh", "/recent"] {
        let good = world.send(get_(path).bearer(tokens.access().expose())).await.is(200);
        assert_eq!(good.body, ALICE, "{path}");
        if path != "/maybe" {
            world.send(get_(path)).await.fails(401, "login_required");
            world.send(get_(path).bearer("rubbish")).await.fails(401, "invalid_token");
            // A refresh token is not an access token.
            let refresh = get_(path).bearer(tokens.refresh().expose());
            world.send(refresh).await.fails(401, "invalid_token");
        }
    }
    world.send(get_("/events")).await.fails(401, "login_required");
    world.send(get_("/events").bearer("rubbish")).await.fails(401, "invalid_token");
}

#[tokio::test]
async fn who_is_nobody_in_particular_is_none_and_any_other_refusal_stays() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let text = tokens.access().expose();
    assert_eq!(world.send(get_("/maybe")).await.is(200).body, "nobody");
    assert_eq!(world.send(get_("/maybe").bearer("rubbish")).await.is(200).body, "nobody");
    assert_eq!(world.send(get_("/maybe").access_cookie("rubbish")).await.is(200).body, "nobody");
    assert_eq!(world.send(get_("/maybe").bearer(text)).await.is(200).body, ALICE);

    let both = get_("/maybe").bearer(text).access_cookie(text);
    world.send(both).await.fails(400, "invalid_request");
    let cross_site = post_("/maybe").access_cookie(text).header("sec-fetch-site", "cross-site");
    world.send(cross_site).await.fails(403, "cross_site_request");
    world.store.set_reachable(false);
    world.send(get_("/maybe").bearer(text)).await.fails(503, "temporarily_unavailable");
    // A malformed token causes no lookup.
    assert_eq!(world.send(get_("/maybe").bearer("rubbish")).await.is(200).body, "nobody");
    world.store.set_reachable(true);
    world.web.service().log_out_everywhere(ALICE).await.unwrap();
    assert_eq!(world.send(get_("/maybe").bearer(text)).await.is(200).body, "nobody");
}

#[tokio::test(start_paused = true)]
async fn fresh_sees_at_once_what_the_cache_has_not_heard_of() {
    let policy = CachePolicy::new(minutes(1), 100).unwrap();
    let world = World::of(|service| service.cache(policy), |web| web);
    let tokens = world.start(ALICE).await;
    let asked = |path| get_(path).bearer(tokens.access().expose());
    world.send(asked("/me")).await.is(200);
    // A bump by another machine, without a notification.
    assert!(world.store.edit(ALICE, |row| row.columns.version = Some(9)));
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    world.send(asked("/me")).await.is(200);
    world.send(asked("/fresh")).await.fails(401, "invalid_token");
    // The record that was read for it replaces the cached one.
    world.send(asked("/me")).await.fails(401, "invalid_token");
}

#[tokio::test(start_paused = true)]
async fn authenticated_sees_it_within_the_bound() {
    let policy = CachePolicy::new(minutes(1), 100).unwrap();
    let world = World::of(|service| service.cache(policy), |web| web);
    let tokens = world.start(ALICE).await;
    let asked = || get_("/me").bearer(tokens.access().expose());
    world.send(asked()).await.is(200);
    assert!(world.store.edit(ALICE, |row| row.columns.version = Some(9)));
    tokio::time::advance(std::time::Duration::from_secs(61)).await;
    world.send(asked()).await.fails(401, "invalid_token");
}

#[tokio::test]
async fn recent_is_to_the_second_and_after_that_a_step_up() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let asked = || get_("/recent").bearer(tokens.access().expose());
    world.clock.set(300);
    world.send(asked()).await.is(200);
    world.clock.set(301);
    let refused = world.send(asked()).await.fails(403, "insufficient_user_authentication");
    assert_eq!(
        refused.header("www-authenticate"),
        "Bearer error=\"insufficient_user_authentication\", max_age=\"300\""
    );
    // The token is still valid everywhere else.
    world.send(get_("/fresh").bearer(tokens.access().expose())).await.is(200);
    assert_eq!(world.refused("step_up"), 1);
}

#[tokio::test]
async fn a_refresh_makes_nothing_recent_and_the_password_does() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let other = world.start(ALICE).await;
    world.clock.set(400);
    let refresh = post_("/auth/refresh")
        .json(&serde_json::json!({ "refresh_token": tokens.refresh().expose() }));
    let refreshed = world.send(refresh).await.is(200).json();
    let access = refreshed["access_token"].as_str().unwrap();
    world.send(get_("/recent").bearer(access)).await.is(403);

    let wrong = post_("/auth/reauthenticate").bearer(access);
    let wrong = wrong.json(&serde_json::json!({ "password": "another" }));
    world.send(wrong).await.fails(403, "wrong_password");
    world.send(get_("/me").bearer(access)).await.is(200);

    let again = post_("/auth/reauthenticate").bearer(access);
    let again = again.json(&serde_json::json!({ "password": PASSWORD }));
    let renewed = world.send(again).await.is(200).json();
    let renewed = renewed["access_token"].as_str().unwrap();
    world.send(get_("/recent").bearer(renewed)).await.is(200);
    // The session restarted: copies of its earlier tokens are revoked, other sessions are not.
    for dead in [access, tokens.access().expose()] {
        world.send(get_("/me").bearer(dead)).await.fails(401, "invalid_token");
    }
    assert!(world.lives(&other).await);
}

#[tokio::test]
async fn a_token_of_no_session_is_never_recent() {
    let world = World::bearer();
    let user = world.web.service().find(relatch::store::UserKey::Id(BOB)).await.unwrap().unwrap();
    let token = world.web.service().authority().issue_for_user(&user).unwrap();
    world.send(get_("/me").bearer(token.expose())).await.is(200);
    let refused = world.send(get_("/recent").bearer(token.expose())).await;
    refused.fails(403, "insufficient_user_authentication");
}

#[tokio::test(start_paused = true)]
async fn an_event_stream_ends_with_its_session() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let asked = get_("/events").bearer(tokens.access().expose());
    let mut body = world.app.clone().call(asked.0).await.unwrap().into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(&first[..], b"data: 1\n\n");
    let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), body.frame()).await;
    assert!(waiting.is_err(), "open while the session lasts");
    let own = tokens.session().id();
    let session = world.web.service().authenticate(tokens.access()).await.unwrap();
    world.web.service().log_out_device(&session, own).await.unwrap();
    assert!(body.frame().await.is_none(), "the stream ends with the session");
}

#[tokio::test(start_paused = true)]
async fn a_change_behind_the_service_ends_it_within_the_bound() {
    let world = World::with(|web| web.live_bound(time::Duration::seconds(5)));
    let tokens = world.start(ALICE).await;
    let asked = get_("/events").bearer(tokens.access().expose());
    let mut body = world.app.clone().call(asked.0).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert!(world.store.edit(ALICE, |row| row.columns.version = Some(9)));
    let ended = tokio::time::timeout(std::time::Duration::from_secs(6), body.frame()).await;
    assert!(ended.expect("within the bound").is_none());
}

#[tokio::test]
async fn the_web_is_given_to_handlers_of_an_applications_own() {
    let world = World::bearer();
    let app = Router::new()
        .route(
            "/web",
            get(async |web: Web, parts: http::request::Parts| -> String {
                format!("{:?}", web.authenticate(&parts).await.is_ok())
            }),
        )
        .layer(world.web.layer());
    assert_eq!(send(&app, get_("/web")).await.is(200).body, "false");
    let tokens = world.start(ALICE).await;
    let asked = get_("/web").bearer(tokens.access().expose());
    assert_eq!(send(&app, asked).await.is(200).body, "true");
}

#[tokio::test]
async fn what_was_forgotten_is_an_error_of_the_server_and_its_log_says_what() {
    let log = Log::new();
    let routes = Router::new()
        .route("/authenticated", get(async |_: Authenticated| ()))
        .route("/option", get(async |_: Option<Authenticated>| ()))
        .route("/fresh", get(async |_: Fresh| ()))
        .route("/recent", get(async |_: Recent<5>| ()))
        .route("/live", get(async |_: LiveAuthenticated| ()))
        .route("/web", get(async |_: Web| ()))
        .route("/endpoint", get(relatch::axum::endpoints::sessions));
    let extractors = ["/authenticated", "/option", "/fresh", "/recent", "/live", "/web"];
    for path in extractors.into_iter().chain(["/endpoint"]) {
        send(&routes, get_(path)).await.fails(500, "server_error");
        assert!(log.take().contains("layer(web.layer())"), "{path}");
    }

    // Handlers that extract private claims, under a web without.
    let world = World::bearer();
    let routes = Router::new()
        .route("/authenticated", get(async |_: Authenticated<(), Role>| ()))
        .route("/option", get(async |_: Option<Authenticated<(), Role>>| ()))
        .route("/fresh", get(async |_: Fresh<(), Role>| ()))
        .route("/recent", get(async |_: Recent<5, (), Role>| ()))
        .route("/live", get(async |_: LiveAuthenticated<(), Role>| ()))
        .route("/web", get(async |_: Web<(), Role>| ()))
        .route("/endpoint", get(relatch::axum::endpoints::sessions))
        .layer(world.web.layer());
    for path in extractors {
        send(&routes, get_(path)).await.fails(500, "server_error");
        let text = log.take();
        assert!(text.contains("Role)") && text.contains("NoClaims)"), "{path}: {text}");
    }
    // The endpoints work with any types.
    send(&routes, get_("/endpoint")).await.fails(401, "login_required");
}

#[tokio::test]
async fn extractors_ask_for_a_proof_of_origin_each() {
    let world = World::with(|web| web.cookies(Cookies::new()));
    let tokens = world.start(ALICE).await;
    for path in ["/me", "/maybe", "/fresh", "/recent", "/events", "/auth/check"] {
        let asked = || ask("DELETE", path).access_cookie(tokens.access().expose());
        world.send(asked()).await.fails(403, "cross_site_request");
        if path != "/events" {
            world.send(asked().same_origin().header("x-original-method", "PUT")).await;
        }
    }
}

/// The current authority decides about new connections as it does about requests.
#[tokio::test]
async fn a_replaced_authority_decides_about_connections_too() {
    let world = World::bearer();
    let service = world.web.service();
    let both = async |token: &str| {
        let me = world.send(get_("/me").bearer(token)).await.status;
        let head = ask("GET", "/events").bearer(token).0.into_parts().0;
        (me.as_u16() == 200, world.web.watch(&head).await.is_ok())
    };
    let old = world.start(ALICE).await;
    let old = old.access().expose();
    assert_eq!(both(old).await, (true, true));

    let ring = service.authority().keys().clone();
    let ring = ring.rotate(key("k2", 2), world.clock.at(3600)).unwrap();
    service.replace_authority(service.authority().with_keys(ring.clone()).unwrap());
    let new = world.start(ALICE).await;
    let new = new.access().expose();
    assert_eq!(both(old).await, (true, true), "under the retiring key");
    assert_eq!(both(new).await, (true, true), "under the new key");

    let ring = ring.remove("k1").unwrap();
    service.replace_authority(service.authority().with_keys(ring.clone()).unwrap());
    assert_eq!(both(old).await, (false, false), "under the removed key");
    assert_eq!(both(new).await, (true, true), "under the current key");

    let bumped = builder(&world.clock).epoch("all", 1);
    service.replace_authority(bumped.build().unwrap().with_keys(ring).unwrap());
    assert_eq!(both(new).await, (false, false), "of an older epoch");
}
