//! Revocation (RFC 7009), introspection (RFC 7662) and the check for proxies.

use axum::{Router, routing::post};
use base64::{Engine, engine::general_purpose::STANDARD};
use relatch::{
    axum::{Cookies, Web, endpoints},
    service::Service,
    store::{NewUser, UserKey},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{ACCESS_SECONDS, ALICE, Answer, Ask, World, get_, here, post_, send, users};
use crate::common::{AUDIENCE, ISSUER, START, TestClock, builder};

const ID: &str = "gateway";
/// Another text if it is decoded as in a form.
const PLAIN: &str = "+plain+%41secret/0123456789abcdef=";
/// No text if it is decoded as in a form.
const UNDECODABLE: &str = "%C3secret/0123456789abcdef012345678";
const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

fn revoking(token: &str) -> Ask {
    post_("/auth/revoke").form(&format!("token={token}"))
}

#[tokio::test]
async fn whatever_is_revoked_is_dead_after_a_200() {
    let world = World::bearer();
    let by_access = world.start(ALICE).await;
    let by_refresh = world.start(ALICE).await;
    let other = world.start(ALICE).await;
    let revoked = world.send(revoking(by_access.access().expose())).await.is(200);
    assert_eq!(revoked.body, "");
    assert!(!world.lives(&by_access).await);
    world.send(revoking(by_refresh.refresh().expose())).await.is(200);
    assert!(!world.lives(&by_refresh).await);
    assert!(world.lives(&other).await);

    let forged = super::logs::forged(other.refresh().expose());
    for rubbish in
        ["", "rubbish", by_access.access().expose(), by_refresh.refresh().expose(), &forged]
    {
        let answer = world.send(revoking(rubbish)).await;
        assert_eq!(answer, revoked, "one answer for all");
    }
    assert!(world.lives(&other).await);
    // A wrong hint does not matter.
    let hinted = format!("token={}&token_type_hint=refresh_token", other.access().expose());
    world.send(post_("/auth/revoke").form(&hinted)).await.is(200);
    assert!(!world.lives(&other).await);
}

/// A token that stays valid is not reported as revoked.
#[tokio::test]
async fn a_token_of_no_session_cannot_be_revoked() {
    let world = World::bearer();
    let user = world.web.service().find(UserKey::Id(ALICE)).await.unwrap().unwrap();
    let token = world.web.service().authority().issue_for_user(&user).unwrap();
    world.send(revoking(token.expose())).await.fails(400, "unsupported_token_type");
    world.send(get_("/me").bearer(token.expose())).await.is(200);
}

#[tokio::test]
async fn what_is_no_request_revokes_nothing() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let text = tokens.access().expose();
    world.send(post_("/auth/revoke")).await.fails(415, "invalid_request");
    world.send(post_("/auth/revoke").form("")).await.fails(400, "invalid_request");
    let twice = format!("token={text}&token=x");
    world.send(post_("/auth/revoke").form(&twice)).await.fails(400, "invalid_request");
    world.send(post_("/auth/revoke").bearer(text).form("")).await.fails(400, "invalid_request");
    assert!(world.lives(&tokens).await);
}

/// Private claims with the names of an introspection's members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Odd {
    active: bool,
    token_type: String,
    username: String,
}

struct Introspected {
    service: Service<(), Odd>,
    clock: TestClock,
    app: Router,
}

impl Introspected {
    fn new() -> Self {
        let clock = TestClock::new();
        let authority = builder(&clock).build().unwrap();
        let odd = |_: &_, _: Option<&_>| Odd {
            active: false,
            token_type: "mac".into(),
            username: "root".into(),
        };
        let service = Service::builder(authority, users()).claims(odd).build();
        let web = Web::builder(service.clone())
            .client_address(here())
            .introspection_caller(ID, SECRET)
            .introspection_caller("plain+id", PLAIN)
            .introspection_caller("undecodable", UNDECODABLE)
            .introspection_caller("a:b c", "p\u{e4}ss:w+rd%41/0123456789 abcdef=&");
        let web = web.build().unwrap();
        let app = Router::new().route("/introspect", post(endpoints::introspect));
        Self { service, clock, app: app.layer(web.layer()) }
    }

    async fn of(&self, token: &str) -> Answer {
        let asked = post_("/introspect").header("authorization", basic(ID, SECRET));
        send(&self.app, asked.form(&format!("token={token}"))).await.is(200)
    }
}

#[tokio::test]
async fn a_good_access_token_is_active_with_its_claims() {
    let world = Introspected::new();
    let tokens = world.service.start_session(ALICE, "phone").await.unwrap();
    let verified = world.service.authenticate(tokens.access()).await.unwrap();
    let answer = world.of(tokens.access().expose()).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(
        answer.json(),
        json!({
            "active": true,
            "token_type": "Bearer",
            "username": "root",
            "sub": ALICE,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": START,
            "exp": START + ACCESS_SECONDS,
            "jti": verified.registered().jti(),
            "sid": verified.session_id().unwrap().to_string(),
        })
    );
}

#[tokio::test]
async fn of_any_other_token_nothing_is_told() {
    let world = Introspected::new();
    let start = async || world.service.start_session(ALICE, "phone").await.unwrap();
    let good = start().await;
    let mut answers = Vec::new();
    for token in
        ["", "rubbish", good.refresh().expose(), &super::logs::forged(good.access().expose())]
    {
        answers.push(world.of(token).await);
    }
    let ended = start().await;
    world.service.revoke(ended.access().expose(), relatch::Context::new()).await.unwrap();
    answers.push(world.of(ended.access().expose()).await);
    world.clock.set(ACCESS_SECONDS);
    answers.push(world.of(good.access().expose()).await);
    assert_eq!(answers[0].body, "{\"active\":false}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn only_its_callers_may_ask() {
    let world = Introspected::new();
    let tokens = world.service.start_session(ALICE, "phone").await.unwrap();
    let form = format!("token={}", tokens.access().expose());
    let asked = || post_("/introspect").form(&form);
    let good = basic(ID, SECRET);
    let mut refused = vec![
        asked(),
        asked().bearer(tokens.access().expose()),
        asked().header("authorization", &good).header("authorization", &good),
        asked().header("authorization", b"Basic \xff"),
    ];
    let wrong = [
        basic(ID, ""),
        basic(ID, &SECRET[1..]),
        basic(ID, &format!("{SECRET}x")),
        basic("", SECRET),
        basic("other", SECRET),
        basic(SECRET, ID),
        basic(&format!("{ID}0"), &SECRET[1..]),
        format!("Basic {}", STANDARD.encode(format!("{ID}{SECRET}"))),
        // One reading of each part is no reading.
        basic("plain id", PLAIN),
        basic("plain+id", &PLAIN.replace('+', " ")),
        basic("plain+id", &PLAIN.replace("%41", "A")),
        "Basic".to_owned(),
        "Basic !".to_owned(),
        format!("Basic {}", STANDARD.encode(b"\xff\xfe:\xff")),
        good.replace("Basic", "Bearer"),
        good.trim_end_matches('=').to_owned() + "x",
    ];
    refused.extend(wrong.iter().map(|value| asked().header("authorization", value)));
    for ask in refused {
        let answer = send(&world.app, ask).await.fails(401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), "Basic realm=\"introspection\"");
    }
    // Callers are authenticated before the body is read.
    send(&world.app, post_("/introspect")).await.fails(401, "invalid_client");
    let mut taken = vec![good.clone(), good.replace("Basic", "bAsIc")];
    // RFC 6749 §2.3.1: name and secret are form-encoded before they are joined.
    taken.push(basic("a%3Ab+c", "p%C3%A4ss%3Aw%2Brd%2541%2F0123456789+abcdef%3D%26"));
    taken.push(basic("a%3Ab%20c", "p%C3%A4ss:w%2Brd%2541/0123456789%20abcdef=&"));
    // Without that encoding, as `curl -u` sends them.
    taken.push(basic("plain+id", PLAIN));
    taken.push(basic("undecodable", UNDECODABLE));
    taken.push(basic("plain%2Bid", "%2Bplain%2B%2541secret%2F0123456789abcdef%3D"));
    for value in taken {
        let answer = send(&world.app, asked().header("authorization", &value)).await.is(200);
        assert_eq!(answer.json()["active"], true, "{value}");
    }
    let empty = post_("/introspect").header("authorization", &good).form("");
    send(&world.app, empty).await.fails(400, "invalid_request");
    // Without callers nobody may introspect.
    let none = World::bearer();
    let asked = post_("/auth/introspect").header("authorization", &good).form(&form);
    none.send(asked).await.fails(401, "invalid_client");
}

#[test]
fn a_callers_secret_is_long_and_its_id_is_there() {
    let build = |id: &str, secret: &str| {
        let world = World::bearer();
        let web = Web::builder(world.web.service().clone())
            .client_address(here())
            .introspection_caller(id, secret);
        web.build().err().map(|error| error.setting())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    assert_eq!(build(ID, SECRET), None);
    assert_eq!(build(ID, &SECRET[1..]), Some("introspection_caller"));
    assert_eq!(build("", SECRET), Some("introspection_caller"));
}

#[tokio::test]
async fn a_check_is_204_with_the_users_id() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let good = world.send(get_("/auth/check").bearer(tokens.access().expose())).await.is(204);
    assert_eq!(good.header("x-user-id"), ALICE);
    assert_eq!(good.header("cache-control"), "no-store");
    assert_eq!(good.body, "");
    let refused = world.send(get_("/auth/check").header("x-user-id", ALICE)).await;
    assert_eq!(refused.fails(401, "login_required").header("x-user-id"), "");
}

#[tokio::test]
async fn an_id_is_encoded_where_a_header_does_not_take_it() {
    let world = World::bearer();
    let ids = [
        ("a@b.example", "a@b.example"),
        ("\u{e4} b%\r\nx-admin: 1", "%C3%A4%20b%25%0D%0Ax-admin:%201"),
        ("a\u{7f}\t", "a%7F%09"),
        ("%41", "%2541"),
    ];
    for (id, encoded) in ids {
        assert!(world.store.insert(NewUser::without_password(id, id).unwrap(), ()));
        let tokens = world.start(id).await;
        let good = world.send(get_("/auth/check").bearer(tokens.access().expose())).await.is(204);
        assert_eq!(good.header("x-user-id"), encoded);
    }
}

#[tokio::test]
async fn with_cookies_a_check_goes_by_the_original_method() {
    let world = World::with(|web| web.cookies(Cookies::new()));
    let tokens = world.start(ALICE).await;
    let asked = || get_("/auth/check").access_cookie(tokens.access().expose());
    for name in ["x-original-method", "x-forwarded-method"] {
        for (method, status) in [
            ("GET", 204),
            ("HEAD", 204),
            ("POST", 403),
            ("DELETE", 403),
            ("get", 403),
            ("", 403),
            ("GE T", 403),
            ("GET, GET", 403),
            (" GET", 403),
        ] {
            let answer = world.send(asked().header(name, method)).await;
            assert_eq!(answer.status, status, "{name}: {method:?}");
            let answer = world.send(asked().header(name, method).same_origin()).await;
            assert_eq!(answer.status, 204, "{name}: {method:?}");
            let answer = world.send(asked().header(name, method).header("origin", "null")).await;
            assert_eq!(answer.status, status, "{name}: {method:?}");
        }
        world.send(asked().header(name, "GET").header(name, "GET")).await.is(403);
    }
    world.send(asked()).await.fails(403, "cross_site_request");
    let both = asked().header("x-original-method", "GET").header("x-forwarded-method", "GET");
    world.send(both).await.is(403);
    world.send(get_("/auth/check").bearer(tokens.access().expose())).await.is(204);
    let upgrade = asked().header("x-original-method", "GET").header("upgrade", "websocket");
    world.send(upgrade).await.is(403);
}
