//! Login in two steps, on the web.

use axum::{
    Form, Router,
    response::{IntoResponse, Redirect, Response},
    routing::post,
};
use http::request::Parts;
use relatch::{
    Token, User,
    axum::{Authenticated, Cookies, Recent, Refusal, Web},
    service::ServiceError,
};
use serde::Deserialize;

use super::{ALICE, Answer, Ask, BOB, World, get_, minutes, post_, send};
use crate::service::PASSWORD;

const SECRET: &str = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP";

#[derive(Deserialize)]
struct Login {
    name: String,
    password: String,
}

/// The body of the second step. A client without cookies sends the token.
#[derive(Deserialize)]
struct Code {
    code: String,
    token: Option<String>,
}

/// All users have a second factor, and the right code is the secret.
async fn login(web: Web, request: Parts, Form(form): Form<Login>) -> Result<Response, Refusal> {
    let login = web.verify_login(&request, &form.name, &form.password).await?;
    Ok(web.pending(&login)?.into_response())
}

async fn login_page(
    web: Web,
    request: Parts,
    Form(form): Form<Login>,
) -> Result<Response, Refusal> {
    let login = web.verify_login(&request, &form.name, &form.password).await?;
    Ok((web.pending(&login)?, Redirect::to("/code")).into_response())
}

async fn code(web: Web, request: Parts, Form(form): Form<Code>) -> Result<Response, Refusal> {
    let login = web.second_step(&request, form.token.map(Token::new)).await?;
    if login.expose_secret() != Some(&form.code) {
        return Err(web.refusal(ServiceError::WrongCode));
    }
    let tokens = login.start_session().await.map_err(|error| web.refusal(error))?;
    Ok(web.grant(&request, tokens)?.into_response())
}

async fn new_secret(web: Web, request: Parts, _: Recent<5>) -> Result<Response, Refusal> {
    Ok(web.change_secret(&request, Some("another second factor")).await?.into_response())
}

async fn world(world: World) -> (World, Router) {
    world.web.service().set_secret(ALICE, Some(SECRET)).await.unwrap();
    let app = Router::new()
        .route("/login", post(login))
        .route("/login_page", post(login_page))
        .route("/code", post(code))
        .route("/secret", post(new_secret))
        .route(
            "/me",
            axum::routing::get(async |Authenticated(user): Authenticated| {
                user.user().id().to_owned()
            }),
        )
        .layer(world.web.layer());
    (world, app)
}

fn login_form(path: &str, password: &str) -> Ask {
    let password = password.replace(' ', "+");
    post_(path).same_origin().form(&format!("name=alice&password={password}"))
}

fn code_form(code: &str) -> Ask {
    post_("/code").same_origin().form(&format!("code={code}"))
}

/// The header that sends the cookie of the pending login back.
fn pending_cookie(answer: &Answer) -> String {
    format!("__Host-second-step={}", answer.cookie("__Host-second-step"))
}

#[tokio::test]
async fn with_cookies_the_pending_login_is_in_a_cookie_that_the_session_replaces() {
    let (world, app) = world(World::cookies()).await;
    let first = send(&app, login_form("/login", PASSWORD)).await.is(200);
    let [cookie] = first.all("set-cookie")[..] else { panic!("{first:?}") };
    let (_, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(attributes, "Max-Age=300; Path=/; Secure; HttpOnly; SameSite=Strict");
    assert_eq!(first.json(), serde_json::json!({ "second_step": true, "expires_in": 300 }));
    assert_eq!(first.header("cache-control"), "no-store");
    assert!(world.web.service().sessions_of(ALICE).await.unwrap().is_empty());

    // A wrong code keeps the cookie.
    let cookie = pending_cookie(&first);
    let wrong = send(&app, code_form("wrong").header("cookie", &cookie)).await;
    let wrong = wrong.fails(403, "wrong_code");
    assert_eq!((wrong.all("set-cookie").len(), wrong.header("www-authenticate")), (0, ""));
    assert_eq!(world.refused("wrong_code"), 1);

    let done = send(&app, code_form(SECRET).header("cookie", &cookie)).await.is(200);
    assert_eq!(done.cookie("__Host-second-step"), "");
    assert!(done.all("set-cookie").iter().any(|cookie| {
        *cookie == "__Host-second-step=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict"
    }));
    let me = get_("/me").access_cookie(&done.cookie("__Host-access"));
    assert_eq!(send(&app, me).await.is(200).body, ALICE);
    // The device is known from now on, and was not before.
    assert!(!done.cookie("__Host-device").is_empty());

    // It is used up.
    let again = send(&app, code_form(SECRET).header("cookie", &cookie)).await;
    assert_eq!(again.status, 401);
    // A page gets it as a part of a redirect.
    let page = send(&app, login_form("/login_page", PASSWORD)).await.is(303);
    assert_eq!(page.header("location"), "/code");
    send(&app, code_form(SECRET).header("cookie", pending_cookie(&page))).await.is(200);
}

#[tokio::test]
async fn without_cookies_the_pending_login_is_in_the_body() {
    let (world, app) = world(World::bearer()).await;
    let first = send(&app, login_form("/login", PASSWORD)).await.is(200);
    assert!(first.all("set-cookie").is_empty());
    let body = first.json();
    let token = body["second_step_token"].as_str().unwrap();
    assert_eq!((&body["second_step"], &body["expires_in"]), (&true.into(), &300.into()));
    let code = |code: &str, token: &str| post_("/code").form(&format!("code={code}&token={token}"));
    send(&app, code("wrong", token)).await.fails(403, "wrong_code");
    let done = send(&app, code(SECRET, token)).await.is(200).json();
    assert!(done["device_token"].is_string());
    let me = get_("/me").bearer(done["access_token"].as_str().unwrap());
    assert_eq!(send(&app, me).await.is(200).body, ALICE);
    // As a part of a response it would be lost.
    send(&app, login_form("/login_page", PASSWORD)).await.fails(500, "server_error");
    assert_eq!(world.web.service().sessions_of(ALICE).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_second_step_needs_one_token_and_the_origin() {
    let (world, app) = world(World::cookies()).await;
    let first = send(&app, login_form("/login", PASSWORD)).await.is(200);
    let (cookie, token) = (pending_cookie(&first), first.cookie("__Host-second-step"));
    send(&app, code_form(SECRET)).await.fails(401, "login_required");
    send(&app, code_form(SECRET).header("cookie", "__Host-second-step=x"))
        .await
        .fails(401, "invalid_token");
    let twice = format!("{cookie}; {cookie}");
    send(&app, code_form(SECRET).header("cookie", &twice)).await.fails(400, "invalid_request");
    let both = code_form(&format!("{SECRET}&token={token}")).header("cookie", &cookie);
    send(&app, both).await.fails(400, "invalid_request");
    for path in ["/code", "/login"] {
        let evil = post_(path).header("sec-fetch-site", "cross-site").header("cookie", &cookie);
        let form = format!("code={SECRET}&name=alice&password={PASSWORD}");
        send(&app, evil.form(&form)).await.fails(403, "cross_site_request");
    }
    // It is neither an access token nor a refresh token.
    send(&app, get_("/me").access_cookie(&token)).await.fails(401, "invalid_token");
    send(&app, get_("/me").bearer(&token)).await.fails(401, "invalid_token");
    let refresh = post_("/auth/refresh").same_origin().refresh_cookie(&token);
    world.send(refresh).await.fails(401, "invalid_token");
    send(&app, code_form(SECRET).header("cookie", &cookie)).await.is(200);
}

#[tokio::test]
async fn a_named_web_has_a_cookie_of_its_name() {
    let (_world, app) = world(World::with(|web| web.cookies(Cookies::new().named("shop")))).await;
    let first = send(&app, login_form("/login", PASSWORD)).await.is(200);
    assert!(!first.cookie("__Host-shop-second-step").is_empty());
}

#[tokio::test]
async fn a_refused_first_step_has_the_answer_of_a_login() {
    let (world, app) = world(World::cookies()).await;
    let refused = send(&app, login_form("/login", "a wrong passphrase")).await;
    assert!(refused.fails(401, "invalid_credentials").all("set-cookie").is_empty());
    assert_eq!(world.refused("wrong_password"), 1);
}

#[tokio::test]
async fn a_changed_secret_gives_this_device_new_tokens() {
    let (world, app) = world(World::bearer()).await;
    let (own, other) = (world.start(ALICE).await, world.start(ALICE).await);
    let changed = send(&app, post_("/secret").bearer(own.access().expose())).await.is(200).json();
    assert!(!world.lives(&own).await && !world.lives(&other).await);
    let me = || get_("/me").bearer(changed["access_token"].as_str().unwrap());
    assert_eq!(send(&app, me()).await.is(200).body, ALICE);
    assert!(changed["device_token"].is_string(), "the former ones are no longer good: {changed}");
    // A secret that is there already is an error of the application.
    let same = post_("/secret").bearer(changed["access_token"].as_str().unwrap());
    send(&app, same).await.fails(500, "server_error");
    let bobs = world.start(BOB).await;
    send(&app, post_("/secret").bearer(bobs.access().expose())).await.is(200);
    world.clock.set(minutes(6).whole_seconds());
    let old = world.start(ALICE).await;
    world.clock.set(minutes(12).whole_seconds());
    let late = post_("/secret").bearer(old.access().expose());
    assert_eq!(send(&app, late).await.status, 403);
}
