//! Requests with plain tokens of the setup before relatch, accepted by an adoption.

use jsonwebtoken11::{EncodingKey, Header, encode};
use relatch::{
    authority::{Adoption, SystemEntropy},
    axum::{ClientAddress, Cookies, Web},
    service::Service,
};
use serde_json::json;

use super::{ALICE, Ask, World, get_, post_, routes, users};
use crate::{
    common::{START, TestClock, builder},
    service::PASSWORD,
};

const SECRET: &[u8] = b"the secret of the old setup";
const NEW: &str = "another battery staple";

/// A web that accepts plain tokens of users whose version is still NULL.
async fn adopting(cookies: Option<Cookies>) -> World {
    let (store, clock) = (users(), TestClock::new());
    // As a migration leaves the rows that it finds.
    assert!(store.edit(ALICE, |row| row.columns.version = None));
    let adoption = Adoption::hs256(SECRET, 0, clock.at(3600));
    let authority = builder(&clock).entropy(SystemEntropy).adopt(adoption).build().unwrap();
    let here = ClientAddress::from_fn(|_| Some([192, 0, 2, 1].into()));
    let web = Web::builder(Service::builder(authority, store.clone()).build());
    let web = cookies.into_iter().fold(web.client_address(here), |web, it| web.cookies(it));
    let web = web.build().unwrap();
    World { app: routes().layer(web.layer()), store, clock, web }
}

fn plain() -> String {
    let claims = json!({ "sub": ALICE, "exp": START + 600 });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn asked(path: &str, body: &serde_json::Value) -> Ask {
    post_(path).header("user-agent", FIREFOX).json(body).bearer(&plain())
}

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

#[tokio::test]
async fn a_proven_password_turns_a_plain_token_into_a_session() {
    for (path, body, is_revoked) in [
        ("/auth/reauthenticate", json!({ "password": PASSWORD }), false),
        ("/auth/logout_others", json!({ "password": PASSWORD }), true),
        ("/auth/change_password", json!({ "password": PASSWORD, "new_password": NEW }), true),
    ] {
        let world = adopting(None).await;
        world.send(get_("/me").bearer(&plain())).await.is(200);
        let body = world.send(asked(path, &body)).await.is(200).json();
        assert!(body["device_token"].is_string(), "{path}: a known device from now on");
        let access = body["access_token"].as_str().unwrap();
        let listed = world.send(get_("/auth/sessions").bearer(access)).await.is(200).json();
        assert_eq!(listed["sessions"][0]["label"], "Firefox on Linux", "{path}: {listed}");
        assert_eq!(listed["sessions"][0]["current"], true);
        let refresh =
            post_("/auth/refresh").json(&json!({ "refresh_token": body["refresh_token"] }));
        world.send(refresh).await.is(200);
        let status = if is_revoked { 401 } else { 200 };
        assert_eq!(world.send(get_("/me").bearer(&plain())).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_wrong_password_does_not_say_that_the_plain_token_is_bad() {
    let world = adopting(None).await;
    for (path, body) in [
        ("/auth/reauthenticate", json!({ "password": "wrong" })),
        ("/auth/logout_others", json!({ "password": "wrong" })),
        ("/auth/change_password", json!({ "password": "wrong", "new_password": NEW })),
    ] {
        world.send(asked(path, &body)).await.fails(403, "wrong_password");
        world.send(get_("/me").bearer(&plain())).await.is(200);
    }
}

#[tokio::test]
async fn a_logout_by_a_plain_token_ends_it() {
    for cookies in [None, Some(Cookies::new())] {
        let world = adopting(cookies).await;
        let laptop = world.start(ALICE).await;
        world.send(post_("/auth/logout").bearer(&plain())).await.is(204);
        world.send(get_("/me").bearer(&plain())).await.fails(401, "invalid_token");
        assert!(!world.lives(&laptop).await);
    }
}

#[tokio::test]
async fn a_step_up_by_a_plain_token_asks_for_the_password_and_then_passes() {
    let world = adopting(None).await;
    let refused = world.send(get_("/recent").bearer(&plain())).await;
    refused.fails(403, "insufficient_user_authentication");
    let password = json!({ "password": PASSWORD });
    let body = world.send(asked("/auth/reauthenticate", &password)).await.is(200).json();
    world.send(get_("/recent").bearer(body["access_token"].as_str().unwrap())).await.is(200);
}

#[tokio::test]
async fn a_plain_token_is_not_reported_as_revoked() {
    let world = adopting(None).await;
    let revoked = world.send(post_("/auth/revoke").form(&format!("token={}", plain()))).await;
    revoked.fails(400, "unsupported_token_type");
    world.send(get_("/me").bearer(&plain())).await.is(200);
    world.send(post_("/auth/logout_everywhere").bearer(&plain())).await.is(204);
    world.send(get_("/me").bearer(&plain())).await.fails(401, "invalid_token");
}
