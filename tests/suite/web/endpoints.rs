//! The endpoints.

use std::collections::BTreeMap;

use axum::{
    Router,
    body::{Body, Bytes},
    routing::post,
};
use relatch::{
    SessionPolicy, SessionTokens, Token,
    axum::{Cookies, Refusal, Web, endpoints},
    service::{CachePolicy, Client, Service, ServiceError},
    sessions::{ClientPolicy, SessionData, SessionInfo},
};
use serde_json::{Value, json};

use super::{ACCESS_SECONDS, ALICE, Ask, BOB, World, alices_login, get_, here, post_, send, users};
use crate::{
    common::{TestClock, builder},
    service::{
        PASSWORD,
        faulty::{Faulty, Mode},
    },
};

fn refreshing(token: &str) -> Ask {
    post_("/auth/refresh").json(&json!({ "refresh_token": token }))
}

/// The access and the refresh token in a response's body.
fn granted(body: &Value) -> (String, String) {
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    (text("access_token"), text("refresh_token"))
}

#[tokio::test]
async fn a_login_takes_json_or_a_form() {
    let world = World::bearer();
    let form = post_("/auth/login").form("username=alice&password=correct+horse+battery");
    let odd = post_("/auth/login")
        .header("content-type", "Application/JSON ; charset=utf-8")
        .body(r#"{"password":"correct horse battery","more":[1],"username":"alice"}"#);
    for asked in [alices_login(), form, odd] {
        let answer = world.send(asked).await.is(200);
        assert_eq!(answer.header("cache-control"), "no-store");
        assert_eq!(answer.all("set-cookie"), [""; 0]);
        let body = answer.json();
        let (access, refresh) = granted(&body);
        assert_eq!(
            body,
            json!({
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": ACCESS_SECONDS,
                "refresh_token": refresh,
                "device_token": body["device_token"].as_str().unwrap(),
            })
        );
        world.send(get_("/me").bearer(&access)).await.is(200);
        world.send(refreshing(&refresh)).await.is(200);
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_is_taken_is_refused_without_a_word() {
    let world = World::bearer();
    let typed = |content_type: &str, body: &str| {
        post_("/auth/login").header("content-type", content_type).body(body.to_owned())
    };
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    let bad = [
        (json, ""),
        (json, "null"),
        (json, "{}"),
        (json, r#"{"username":"alice"}"#),
        (json, r#"{"username":"alice","password":7}"#),
        (json, r#"{"username":"alice","password":null}"#),
        (json, r#"{"username":"alice","username":"bob","password":"correct horse battery"}"#),
        (json, r#"{"username":"alice","password":"correct horse battery"} x"#),
        (json, "username=alice&password=correct+horse+battery"),
        (form, ""),
        (form, "username=alice"),
        (form, "username=alice&username=bob&password=correct+horse+battery"),
        (form, "username=alice&password=correct+horse+battery&password=x"),
        (form, r#"{"username":"alice","password":"correct horse battery"}"#),
    ];
    for (content_type, body) in bad {
        let answer = world.send(typed(content_type, body)).await;
        assert_eq!(answer.status, 400, "{body}");
        answer.fails(400, "invalid_request");
    }
    let deep = "[".repeat(10_000);
    world.send(typed(json, &deep)).await.fails(400, "invalid_request");
    let good = r#"{"username":"alice","password":"correct horse battery"}"#;
    for other in ["text/plain", "", "multipart/form-data; boundary=x", "application/jsonx", "*/*"] {
        world.send(typed(other, good)).await.fails(415, "invalid_request");
    }
    world.send(post_("/auth/login").body(good)).await.fails(415, "invalid_request");
}

#[tokio::test]
async fn a_body_is_read_to_16_kib() {
    let world = World::bearer();
    let of = |bytes: usize| {
        let start = "username=alice&password=correct+horse+battery&more=";
        post_("/auth/login").form(&format!("{start}{}", "x".repeat(bytes - start.len())))
    };
    world.send(of(16 * 1024)).await.is(200);
    world.send(of(16 * 1024 + 1)).await.fails(413, "invalid_request");
    // A body without a stated length.
    let chunks = futures_util::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Bytes::from(vec![b'x'; 1024]))
    });
    let endless = post_("/auth/login").form("").body(Body::from_stream(chunks));
    world.send(endless).await.fails(413, "invalid_request");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let world = World::bearer();
    let began = tokio::time::Instant::now();
    let never = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let slow = post_("/auth/login").form("").body(Body::from_stream(never));
    world.send(slow).await.fails(408, "invalid_request");
    assert_eq!(began.elapsed().as_secs(), 10);
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
    let broken = post_("/auth/login").form("").body(Body::from_stream(broken));
    world.send(broken).await.fails(400, "invalid_request");
}

#[tokio::test]
async fn a_refresh_takes_the_token_of_the_body_without_cookies() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let body = world.send(refreshing(tokens.refresh().expose())).await.is(200).json();
    let (access, refresh) = granted(&body);
    assert_eq!(body["expires_in"], ACCESS_SECONDS);
    world.send(get_("/me").bearer(&access)).await.is(200);
    world.send(post_("/auth/refresh")).await.fails(415, "invalid_request");
    world.send(refreshing("")).await.fails(401, "invalid_token");
    world.send(refreshing(&access)).await.fails(401, "invalid_token");
    // A cookie is ignored.
    let cookie = post_("/auth/refresh").refresh_cookie(&refresh);
    world.send(cookie).await.fails(415, "invalid_request");
    // A used token: the session ends.
    world.clock.set(60);
    world.send(refreshing(tokens.refresh().expose())).await.fails(401, "invalid_token");
    assert_eq!(world.refused("refresh_reused"), 1);
    world.send(refreshing(&refresh)).await.fails(401, "invalid_token");
}

#[tokio::test]
async fn a_refresh_takes_the_cookie_where_there_are_cookies() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let asked = |token: &str| post_("/auth/refresh").same_origin().refresh_cookie(token);
    let answer = world.send(asked(tokens.refresh().expose())).await.is(200);
    let refresh = answer.cookie("__Secure-refresh");
    assert_ne!(refresh, tokens.refresh().expose());
    // Tokens in the body or the header are ignored.
    let in_the_body = refreshing(&refresh).same_origin();
    let in_the_body = world.send(in_the_body).await.fails(401, "login_required");
    assert_eq!(in_the_body.all("set-cookie"), [""; 0], "the session may still be alive");
    world
        .send(post_("/auth/refresh").same_origin().bearer(&refresh))
        .await
        .fails(401, "login_required");
    world.send(asked(&refresh)).await.is(200);
    // Reuse.
    world.clock.set(60);
    let reused = world.send(asked(tokens.refresh().expose())).await.fails(401, "invalid_token");
    assert!(reused.all("set-cookie").iter().all(|cookie| cookie.contains("=; Max-Age=0;")));
    assert_eq!(reused.all("set-cookie").len(), 2);
    world.send(asked(&refresh)).await.is(401);
}

#[tokio::test]
async fn an_access_token_that_has_expired_does_not_stand_in_the_way_of_a_refresh() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    world.clock.set(ACCESS_SECONDS);
    world.send(get_("/me").both_cookies(&tokens)).await.is(401);
    world.send(post_("/auth/refresh").same_origin().both_cookies(&tokens)).await.is(200);
}

#[tokio::test]
async fn a_logout_is_of_this_device_and_goes_for_good() {
    let world = World::bearer();
    let (tokens, other) = (world.start(ALICE).await, world.start(ALICE).await);
    let asked = || post_("/auth/logout").bearer(tokens.access().expose());
    let left = world.send(asked()).await.is(204);
    assert_eq!(left.all("set-cookie"), [""; 0]);
    assert!(!world.lives(&tokens).await && world.lives(&other).await);
    world.send(refreshing(tokens.refresh().expose())).await.is(401);
    world.send(asked()).await.fails(401, "invalid_token");
    world.send(post_("/auth/logout")).await.fails(401, "login_required");
}

#[tokio::test]
async fn with_cookies_a_logout_works_by_either_and_twice() {
    let world = World::cookies();
    let refresh_is_dead = async |tokens: &SessionTokens| {
        let again = Token::new(tokens.refresh().expose());
        assert!(world.web.service().refresh(again).await.is_err());
    };
    let by_both = world.start(ALICE).await;
    for _ in 0..2 {
        world.send(post_("/auth/logout").same_origin().both_cookies(&by_both)).await.is(204);
        refresh_is_dead(&by_both).await;
    }
    let by_access = world.start(ALICE).await;
    let asked = post_("/auth/logout").same_origin().access_cookie(by_access.access().expose());
    world.send(asked).await.is(204);
    refresh_is_dead(&by_access).await;

    let by_refresh = world.start(ALICE).await;
    let asked = post_("/auth/logout").same_origin().refresh_cookie(by_refresh.refresh().expose());
    world.send(asked).await.is(204);
    refresh_is_dead(&by_refresh).await;

    let expired = world.start(ALICE).await;
    world.clock.set(ACCESS_SECONDS);
    world.send(post_("/auth/logout").same_origin().both_cookies(&expired)).await.is(204);
    refresh_is_dead(&expired).await;

    // Also without a token, or with one that is malformed or has no session.
    let user = world.web.service().find(relatch::store::UserKey::Id(ALICE)).await.unwrap().unwrap();
    let no_session = world.web.service().authority().issue_for_user(&user).unwrap();
    for asked in [
        post_("/auth/logout").refresh_cookie(no_session.expose()),
        post_("/auth/logout"),
        post_("/auth/logout").access_cookie("rubbish").refresh_cookie("rubbish"),
        post_("/auth/logout").refresh_cookie("rubbish"),
    ] {
        let left = world.send(asked.same_origin()).await.is(204);
        assert_eq!(left.all("set-cookie").len(), 2);
    }
}

#[tokio::test]
async fn a_device_is_logged_out_by_its_id_and_nobody_elses_is() {
    let world = World::bearer();
    let (own, other) = (world.start(ALICE).await, world.start(ALICE).await);
    // Ids belong to one user: Bob's session, started at another time, is not one of Alice's.
    world.clock.set(9);
    let bobs = world.start(BOB).await;
    let asked = |id: &str| {
        post_("/auth/logout_device").bearer(own.access().expose()).json(&json!({ "session": id }))
    };
    for id in [bobs.session().id().to_string(), "rubbish".into(), String::new(), "9.9".into()] {
        world.send(asked(&id)).await.is(204);
    }
    assert!(world.lives(&own).await && world.lives(&other).await && world.lives(&bobs).await);
    for _ in 0..2 {
        world.send(asked(&other.session().id().to_string())).await.is(204);
        assert!(!world.lives(&other).await && world.lives(&own).await);
    }
    for id in ["rubbish", &own.session().id().to_string()] {
        let nobody = post_("/auth/logout_device").json(&json!({ "session": id }));
        world.send(nobody).await.fails(401, "login_required");
    }
    assert!(world.lives(&own).await);
}

#[tokio::test]
async fn others_are_logged_out_by_the_password_alone() {
    let world = World::bearer();
    let (own, other) = (world.start(ALICE).await, world.start(ALICE).await);
    let asked = |password: &str| {
        let body = json!({ "password": password });
        post_("/auth/logout_others").bearer(own.access().expose()).json(&body)
    };
    for wrong in ["another", "", "correct horse battery "] {
        world.send(asked(wrong)).await.fails(403, "wrong_password");
    }
    assert!(world.lives(&own).await && world.lives(&other).await);
    let body = world.send(asked(PASSWORD)).await.is(200).json();
    assert!(!world.lives(&own).await && !world.lives(&other).await);
    let (access, refresh) = granted(&body);
    world.send(get_("/me").bearer(&access)).await.is(200);
    world.send(refreshing(&refresh)).await.is(200);
}

#[tokio::test]
async fn everywhere_is_here_too() {
    let world = World::bearer();
    let (own, other, bobs) =
        (world.start(ALICE).await, world.start(ALICE).await, world.start(BOB).await);
    world.send(post_("/auth/logout_everywhere")).await.fails(401, "login_required");
    assert!(world.lives(&own).await);
    world.send(post_("/auth/logout_everywhere").bearer(own.access().expose())).await.is(204);
    assert!(!world.lives(&own).await && !world.lives(&other).await && world.lives(&bobs).await);
}

/// A stale cached record must not let a device that was logged out log out the others.
#[tokio::test]
async fn a_device_that_was_logged_out_elsewhere_logs_out_nobody() {
    let policy = CachePolicy::new(time::Duration::seconds(30), 100).unwrap();
    let world = World::of(|service| service.cache(policy), |web| web);
    let elsewhere = Service::builder(world.web.service().authority(), world.store.clone()).build();
    let (thief, owner) = (world.start(ALICE).await, world.start(ALICE).await);
    let by_thief = |path: &str| post_(path).bearer(thief.access().expose());
    world.send(by_thief("/me")).await.is(200);
    let session = elsewhere.authenticate(owner.access()).await.unwrap();
    assert!(elsewhere.log_out_device(&session, thief.session().id()).await.unwrap());
    world.send(by_thief("/me")).await.is(200);
    world.send(by_thief("/auth/logout_everywhere")).await.fails(401, "invalid_token");
    assert!(world.lives(&owner).await);
}

#[tokio::test]
async fn a_new_password_takes_the_present_one() {
    let world = World::bearer();
    let (own, other) = (world.start(ALICE).await, world.start(ALICE).await);
    let asked = |present: &str| {
        let body = json!({ "password": present, "new_password": "another battery staple" });
        post_("/auth/change_password").bearer(own.access().expose()).json(&body)
    };
    world.send(asked("another")).await.fails(403, "wrong_password");
    assert!(world.lives(&own).await && world.lives(&other).await);
    world.send(alices_login()).await.is(200);

    let (access, _) = granted(&world.send(asked(PASSWORD)).await.is(200).json());
    world.send(get_("/me").bearer(&access)).await.is(200);
    assert!(!world.lives(&own).await && !world.lives(&other).await);
    world.send(alices_login()).await.fails(401, "invalid_credentials");
    let login = json!({ "username": "alice", "password": "another battery staple" });
    world.send(post_("/auth/login").json(&login)).await.is(200);
    // A user without a password cannot confirm with one.
    let bobs = world.start(BOB).await;
    let body = json!({ "password": "", "new_password": "another battery staple" });
    let asked = post_("/auth/change_password").bearer(bobs.access().expose()).json(&body);
    world.send(asked).await.fails(403, "wrong_password");
}

#[tokio::test]
async fn the_devices_are_listed_with_what_they_are_called() {
    let world = World::bearer();
    let label = "a \"phone\" <script>";
    drop(world.web.service().start_session(ALICE, Client::new(label)).await.unwrap());
    world.clock.set(100);
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    let login = alices_login().header("user-agent", firefox);
    let (access, _) = granted(&world.send(login).await.is(200).json());
    drop(world.start(BOB).await);
    let listed = world.send(get_("/auth/sessions").bearer(&access)).await.is(200);
    assert_eq!(listed.header("cache-control"), "no-store");
    assert_eq!(listed.header("content-type"), "application/json");
    let listed = listed.json();
    let [own, other] = listed["sessions"].as_array().unwrap().as_slice() else {
        panic!("{listed}")
    };
    let at = crate::common::START;
    assert_eq!(own["label"], "Firefox on Linux");
    assert_eq!(own["current"], true);
    assert_eq!(own["started_at"], at + 100);
    assert_eq!(own["last_seen"], at + 100);
    assert_eq!(own["expires_at"], at + 100 + super::IDLE_SECONDS);
    assert_eq!((&other["label"], &other["current"]), (&json!(label), &json!(false)));
    assert_eq!(other["started_at"], at);
    let members: Vec<_> = own.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["current", "expires_at", "id", "label", "last_seen", "started_at"]);
    // The listed id can be used to log it out.
    let out = post_("/auth/logout_device").bearer(&access);
    world.send(out.json(&json!({ "session": other["id"] }))).await.is(204);
    let listed = world.send(get_("/auth/sessions").bearer(&access)).await.is(200).json();
    assert_eq!(listed["sessions"].as_array().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_hangs_up_once_its_logout_is_decided_is_logged_out() {
    let store = Faulty::new(users());
    let service = Service::new(builder(&TestClock::new()).build().unwrap(), store.clone());
    let web = Web::builder(service.clone())
        .cookies(Cookies::new())
        .client_address(here())
        .build()
        .unwrap();
    let app = Router::new().route("/auth/logout", post(endpoints::log_out)).layer(web.layer());
    let tokens = service.start_session(ALICE, "phone").await.unwrap();
    let refresh = tokens.refresh().expose();
    for (held, is_logged_out) in [(Mode::HoldReads, false), (Mode::HoldWrites, true)] {
        store.set(held);
        let asked = post_("/auth/logout").same_origin().refresh_cookie(refresh);
        tokio::select! {
            biased;
            _ = send(&app, asked) => panic!("it is held"),
            () = store.held() => {}
        }
        store.set(Mode::Answer);
        if is_logged_out {
            store.let_through().await;
        }
        let lives = service.authenticate_fresh(tokens.access()).await.is_ok();
        assert_eq!(lives, !is_logged_out, "{held:?}");
    }
}

/// An app's sessions and those of the site have policies of their own.
#[tokio::test]
async fn a_web_logs_in_with_its_own_policy() {
    let clock = TestClock::new();
    let policy = SessionPolicy::new()
        .named("app", ClientPolicy::new().late_repeat(time::Duration::days(1)))
        .named("tv", ClientPolicy::new());
    let authority = builder(&clock).sessions(policy).build().unwrap();
    let service = Service::new(authority, users());
    let web = |name: Option<&str>| {
        let builder = Web::builder(service.clone()).client_address(here());
        match name {
            Some(name) => builder.session_policy(name).build(),
            None => builder.build(),
        }
    };
    assert_eq!(web(Some("phone")).unwrap_err().setting(), "session_policy");
    for name in [None, Some("app")] {
        let web = web(name).unwrap();
        let client = web.client(&post_("/login").0.into_parts().0);
        let tokens = service.start_session(ALICE, client.clone()).await.unwrap();
        assert_eq!(tokens.session().policy(), name);
        let data: SessionData = r#"{"a":1}"#.parse().unwrap();
        let client = client.policy("tv").data(data.clone()).ends_at(clock.at(60));
        let tokens = service.start_session(ALICE, client).await.unwrap();
        let info = tokens.session();
        assert_eq!((info.policy(), info.data()), (Some("tv"), Some(&data)));
        assert_eq!(info.ends_at(), Some(clock.at(60)));
        drop(web.grant(&post_("/login").0.into_parts().0, tokens).unwrap());
    }
}

/// The application's data of a session: what the application chooses is listed, and what a client
/// sends is stored nowhere.
#[tokio::test]
async fn a_session_s_data_is_set_by_a_handler_and_listed_as_the_application_says() {
    let shown = |session: &SessionInfo| session.data()?.read::<BTreeMap<String, Value>>().ok();
    let shown = move |session: &SessionInfo| Some(shown(session)?.get("tenant")?.clone());
    let silent = World::bearer();
    let world = World::with(|web| web.show_session_data(shown));
    for world in [&silent, &world] {
        let login = post_("/auth/login").json(&json!({
            "username": "alice", "password": PASSWORD, "data": { "tenant": "evil" },
            "session": { "data": { "tenant": "evil" } },
        }));
        let (access, refresh) = granted(&world.send(login).await.is(200).json());
        let refreshed = post_("/auth/refresh").json(&json!({
            "refresh_token": refresh, "data": { "tenant": "evil" },
        }));
        drop(world.send(refreshed).await.is(200));
        let listed = async || {
            let listed = world.send(get_("/auth/sessions").bearer(&access)).await.is(200).json();
            let sessions = listed["sessions"].as_array().unwrap();
            assert_eq!(sessions.len(), 1);
            sessions[0].get("data").cloned()
        };
        assert_eq!(listed().await, None);
        let request = get_("/switch").bearer(&access).0.into_parts().0;
        let data: SessionData = r#"{"tenant":"acme","staff":"eve"}"#.parse().unwrap();
        world.web.set_session_data(&request, Some(data)).await.unwrap();
        let expected = (!std::ptr::eq(world, &silent)).then(|| json!("acme"));
        assert_eq!(listed().await, expected);

        let long: SessionData = format!(r#"{{"a":"{}"}}"#, "x".repeat(300)).parse().unwrap();
        let refusal = world.web.set_session_data(&request, Some(long)).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Service(ServiceError::Issue(_))), "{refusal:?}");
        world.web.set_session_data(&request, None).await.unwrap();
        assert_eq!(listed().await, None);
        drop(world.send(post_("/auth/logout").bearer(&access)).await.is(204));
        let refusal = world.web.set_session_data(&request, None).await.unwrap_err();
        assert!(refusal.is_logged_out(), "{refusal:?}");
    }
    let plain = get_("/switch").0.into_parts().0;
    let refusal = world.web.set_session_data(&plain, None).await.unwrap_err();
    assert!(refusal.is_logged_out(), "{refusal:?}");
}
