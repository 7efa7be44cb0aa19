//! Responses: every rejection has the same one, which does not say why.

use relatch::{User, axum::Refusal, store::UserKey};
use serde_json::json;

use super::{
    ACCESS_SECONDS, ALICE, Answer, Ask, BOB, IDLE_SECONDS, World, alices_login, get_, logs::forged,
    post_,
};
use crate::{
    common::{TestClock, builder, key},
    service::PASSWORD,
};

/// A rejected token for each reason.
async fn rejected(world: &World) -> Vec<(&'static str, String)> {
    let service = world.web.service();
    let user = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
    let good = world.start(ALICE).await;
    let text = good.access().expose();
    let mut all = vec![
        ("malformed", "rubbish".to_owned()),
        ("malformed", String::new()),
        ("malformed", format!("{text}x")),
        ("too_long", "x".repeat(5000)),
        ("forged", forged(text)),
        ("wrong_type", good.refresh().expose().to_owned()),
    ];
    let foreign = |kid, byte| {
        let authority = relatch::Authority::builder(
            key(kid, byte),
            crate::common::ISSUER,
            crate::common::AUDIENCE,
        );
        let authority = authority.clock(world.clock.clone()).build().unwrap();
        authority.issue_for_user(&user).unwrap().expose().to_owned()
    };
    all.push(("forged", foreign("k1", 2)));
    all.push(("unknown_key", foreign("k9", 1)));
    let ahead = TestClock::new();
    ahead.set(3600);
    let issued_ahead = builder(&ahead).build().unwrap().issue_for_user(&user).unwrap();
    all.push(("not_yet_valid", issued_ahead.expose().to_owned()));

    let ended = world.start(ALICE).await;
    let verified = service.authenticate(ended.access()).await.unwrap();
    service.log_out(&verified).await.unwrap();
    all.push(("session_ended", ended.access().expose().to_owned()));

    let bob = world.start(BOB).await.access().expose().to_owned();
    service.log_out_everywhere(BOB).await.unwrap();
    all.push(("revoked_by_version", bob));

    let other = |id: &str| relatch::store::NewUser::without_password(id, id).unwrap();
    for id in ["gone", "disabled"] {
        assert!(world.store.insert(other(id), ()));
    }
    let gone = world.start("gone").await.access().expose().to_owned();
    service.delete("gone").await.unwrap();
    all.push(("unknown_user", gone));
    let disabled = world.start("disabled").await.access().expose().to_owned();
    world.store.edit("disabled", |row| row.is_active = false);
    all.push(("inactive_user", disabled));
    all
}

#[tokio::test]
async fn all_rejections_are_one_to_the_byte() {
    let world = World::cookies();
    let all = rejected(&world).await;
    let mut answers = Vec::new();
    for (reason, token) in &all {
        let before = world.refused(reason);
        answers.push((reason, world.send(get_("/me").bearer(token)).await));
        assert_eq!(world.refused(reason), before + 1, "{:?}", world.web.refused());
        if !token.is_empty() {
            answers.push((reason, world.send(get_("/me").access_cookie(token)).await));
            answers.push((reason, world.send(get_("/recent").bearer(token)).await));
            answers.push((reason, world.send(get_("/events").bearer(token)).await));
            answers.push((reason, world.send(get_("/auth/sessions").bearer(token)).await));
            answers.push((reason, world.send(get_("/auth/check").bearer(token)).await));
        }
    }
    let expired = world.start(ALICE).await;
    world.clock.set(ACCESS_SECONDS);
    answers.push((&"expired", world.send(get_("/me").bearer(expired.access().expose())).await));
    assert_eq!(world.refused("expired"), 1);

    let (_, first) = &answers[0];
    let first = first.clone().fails(401, "invalid_token");
    assert_eq!(first.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    assert_eq!(first.headers.len(), 4, "{:?}", first.headers);
    for (reason, answer) in &answers {
        assert_eq!(*answer, first, "{reason}");
    }
}

#[tokio::test]
async fn all_refused_logins_are_one_to_the_byte() {
    let world = World::cookies();
    world.store.edit(BOB, |row| row.columns.password_hash = None);
    let of = |username: &str, password: &str| {
        post_("/auth/login")
            .same_origin()
            .json(&json!({ "username": username, "password": password }))
    };
    let inactive =
        relatch::store::NewUser::with_password_hash("3", "carol", crate::service::hash());
    assert!(world.store.insert(inactive, ()));
    world.store.edit("3", |row| row.is_active = false);
    let odd = relatch::store::NewUser::with_password_hash("4", "dave", "$2b$12$bcrypt");
    assert!(world.store.insert(odd, ()));
    let refused = [
        ("wrong_password", of("alice", "another")),
        ("invalid_password", of("alice", "")),
        ("unknown_login", of("nobody", PASSWORD)),
        ("unknown_login", of("", PASSWORD)),
        ("unknown_login", of("ALICE", PASSWORD)),
        ("no_password", of("bob", PASSWORD)),
        ("inactive_user", of("carol", PASSWORD)),
        ("unsupported_hash", of("dave", PASSWORD)),
    ];
    let mut answers = Vec::new();
    for (reason, asked) in refused {
        let before = world.refused(reason);
        answers.push(world.send(asked).await.fails(401, "invalid_credentials"));
        assert_eq!(world.refused(reason), before + 1, "{reason}");
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    assert_eq!(answers[0].header("www-authenticate"), "Bearer");
    assert_eq!(answers[0].all("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn all_refused_refresh_tokens_are_one_to_the_byte() {
    let world = World::cookies();
    let of = |token: &str| post_("/auth/refresh").same_origin().refresh_cookie(token);
    let tokens = world.start(ALICE).await;
    let bob = world.start(BOB).await;
    world.store.edit(BOB, |row| row.is_active = false);
    // A client that keeps its cookies sees no more than that.
    let kept = [
        "rubbish",
        tokens.access().expose(),
        &forged(tokens.refresh().expose()),
        bob.refresh().expose(),
    ];
    let mut refused = Vec::new();
    for token in kept {
        refused.push(world.send(of(token)).await);
    }
    let first = refused[0].clone().fails(401, "invalid_token");
    assert!(refused.iter().all(|answer| *answer == first), "{refused:?}");

    let verified = world.web.service().authenticate(tokens.access()).await.unwrap();
    world.web.service().log_out(&verified).await.unwrap();
    let mut refused = vec![world.send(of(tokens.refresh().expose())).await];
    let tokens = world.start(ALICE).await;
    world.web.service().log_out_everywhere(ALICE).await.unwrap();
    refused.push(world.send(of(tokens.refresh().expose())).await);
    let tokens = world.start(ALICE).await;
    world.clock.set(IDLE_SECONDS);
    refused.push(world.send(of(tokens.refresh().expose())).await);
    let deleted = refused[0].clone().fails(401, "invalid_token");
    assert!(refused.iter().all(|answer| *answer == deleted), "{refused:?}");
    let visible = |answer: &Answer| {
        let mut headers = answer.headers.clone();
        headers.remove("set-cookie");
        (answer.status, headers, answer.body.clone())
    };
    assert_eq!(visible(&deleted), visible(&first));
}

/// A valid request to each endpoint, by this session.
fn all_endpoints(tokens: &relatch::SessionTokens) -> Vec<Ask> {
    let password = json!({ "password": PASSWORD, "new_password": "another horse battery" });
    let post = |path| post_(path).same_origin().both_cookies(tokens);
    let device = json!({ "session": tokens.session().id().to_string() });
    let introspect = format!("token={}", tokens.access().expose());
    let caller = "Basic Z2F0ZXdheTowMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZg==";
    vec![
        get_("/me").both_cookies(tokens),
        get_("/maybe").both_cookies(tokens),
        get_("/fresh").both_cookies(tokens),
        get_("/recent").both_cookies(tokens),
        get_("/events").both_cookies(tokens),
        alices_login().same_origin(),
        post("/auth/refresh"),
        post("/auth/logout"),
        // With the refresh token only.
        post_("/auth/logout").same_origin().refresh_cookie(tokens.refresh().expose()),
        post("/auth/logout_device").json(&device),
        post("/auth/logout_others").json(&password),
        post("/auth/logout_everywhere"),
        post("/auth/change_password").json(&password),
        post("/auth/reauthenticate").json(&password),
        get_("/auth/sessions").both_cookies(tokens),
        post_("/auth/revoke").form(&format!("token={}", tokens.access().expose())),
        post_("/auth/revoke").form(&format!("token={}", tokens.refresh().expose())),
        post_("/auth/introspect").header("authorization", caller).form(&introspect),
        post("/auth/check"),
    ]
}

#[tokio::test]
async fn an_outage_is_503_everywhere_and_takes_nothing_from_the_client() {
    let world = World::with(|web| {
        web.cookies(relatch::axum::Cookies::new())
            .introspection_caller("gateway", "0123456789abcdef0123456789abcdef")
    });
    let tokens = world.start(ALICE).await;
    world.store.set_reachable(false);
    let asks = all_endpoints(&tokens);
    let count = asks.len() as u64;
    for ask in asks {
        let what = format!("{ask:?}");
        let answer = world.send(ask).await;
        assert_eq!(answer.status, 503, "{what}");
        let answer = answer.fails(503, "temporarily_unavailable");
        assert_eq!(answer.header("retry-after"), "2", "{what}");
        assert_eq!(answer.header("www-authenticate"), "", "{what}");
        assert_eq!(answer.all("set-cookie"), [""; 0], "{what}");
    }
    assert!(world.refused("unavailable") >= count);
    // Afterwards everything works as before.
    world.store.set_reachable(true);
    assert!(world.lives(&tokens).await);
    let refreshed = post_("/auth/refresh").same_origin().both_cookies(&tokens);
    world.send(refreshed).await.is(200);
}

#[tokio::test]
async fn a_damaged_record_is_the_servers_fault() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    world.store.edit(ALICE, |row| row.columns.sessions = Some("damaged".into()));
    for ask in all_endpoints(&tokens) {
        let what = format!("{ask:?}");
        let answer = world.send(ask).await;
        // This web has no callers for introspection.
        if what.contains("introspect") {
            continue;
        }
        assert_eq!(answer.status, 500, "{what}");
        let answer = answer.fails(500, "server_error");
        assert_eq!(answer.all("set-cookie"), [""; 0], "{what}");
        assert_eq!(answer.header("retry-after"), "");
    }
}

#[tokio::test]
async fn each_refusal_is_what_the_table_says() {
    let world = World::bearer();
    let refused = async |ask: Ask| {
        let (parts, _) = ask.0.into_parts();
        world.web.authenticate(&parts).await.unwrap_err()
    };
    let no_token = refused(get_("/")).await;
    assert!(no_token.is_logged_out() && no_token.reason().is_none());
    assert_eq!((no_token.status().as_u16(), no_token.as_str()), (401, "no_token"));
    let rubbish = refused(get_("/").bearer("x")).await;
    assert!(rubbish.is_logged_out());
    assert_eq!(rubbish.reason(), Some(relatch::Reason::Malformed));
    assert_eq!((rubbish.status().as_u16(), rubbish.as_str()), (401, "malformed"));
    assert_eq!(rubbish.to_string(), "invalid token");
    let ambiguous = refused(get_("/").bearer("x").bearer("x")).await;
    assert!(!ambiguous.is_logged_out());
    assert_eq!((ambiguous.status().as_u16(), ambiguous.as_str()), (400, "ambiguous"));
    assert!(matches!(ambiguous, Refusal::Ambiguous));

    // A deleted user, and a token without a session.
    let parts = |ask: Ask| ask.0.into_parts().0;
    let nobody = world.web.start_session(&parts(post_("/")), "nobody").await.unwrap_err();
    assert_eq!(nobody.status(), 404);
    let user = world.web.service().find(UserKey::Id(BOB)).await.unwrap().unwrap();
    assert_eq!(user.id(), BOB);
    let no_session = world.web.service().authority().issue_for_user(&user).unwrap();
    for path in ["/auth/logout"] {
        world.send(post_(path).bearer(no_session.expose())).await.fails(404, "not_found");
    }
}

#[tokio::test]
async fn a_full_table_of_sessions_and_a_new_password_that_is_none() {
    let policy = relatch::SessionPolicy::new()
        .max_sessions(1)
        .when_full(relatch::sessions::WhenFull::Refuse);
    let store = super::users();
    let authority = builder(&TestClock::new()).sessions(policy).build().unwrap();
    let service = relatch::service::Service::new(authority, store);
    let web = relatch::axum::Web::builder(service).client_address(super::here()).build().unwrap();
    let app = super::routes().layer(web.layer());
    let granted = super::send(&app, alices_login()).await.is(200).json();
    let full = super::send(&app, alices_login()).await.is(409).json();
    let listed = &full["sessions"][0];
    let start = listed["started_at"].as_i64().unwrap();
    assert_eq!(
        full,
        json!({
            "error": "sessions_full",
            "sessions": [{
                "id": listed["id"].as_str().unwrap(),
                "label": "Unknown device",
                "started_at": start,
                "last_seen": start,
                "expires_at": start + super::IDLE_SECONDS,
                "current": false,
            }],
        })
    );
    // A wrong password shows no list.
    let wrong = post_("/auth/login").json(&super::login("another"));
    super::send(&app, wrong).await.fails(401, "invalid_credentials");
    let in_place_of = |id: &str| {
        let form = json!({ "username": "alice", "password": PASSWORD, "in_place_of": id });
        post_("/auth/login").json(&form)
    };
    for none in ["", "x", "0.1", "1.1"] {
        super::send(&app, in_place_of(none)).await.is(409);
    }
    let old = granted;
    let granted = super::send(&app, in_place_of(listed["id"].as_str().unwrap())).await;
    let granted = granted.is(200).json();
    super::send(&app, get_("/me").bearer(old["access_token"].as_str().unwrap())).await.is(401);
    let access = granted["access_token"].as_str().unwrap();
    let change = |present: &str, new: &str| {
        let passwords = json!({ "password": present, "new_password": new });
        post_("/auth/change_password").bearer(access).json(&passwords)
    };
    // Without the present password the answer says nothing about the new one.
    super::send(&app, change("another", "")).await.fails(403, "wrong_password");
    for (unfit, why) in [
        ("", "choose a password of at least 15 characters"),
        ("fourteen chars", "choose a password of at least 15 characters"),
        (&*"x".repeat(2000), "choose a password of at most 1024 bytes"),
    ] {
        let refused = super::send(&app, change(PASSWORD, unfit)).await;
        let refused = refused.is(422).json();
        assert_eq!(refused, json!({ "error": "invalid_password", "error_description": why }));
    }
    super::send(&app, get_("/me").bearer(access)).await.is(200);
}
