//! Known faults of other implementations on the web, one test for each. The table of them, with
//! links, is in the guide: `src/guide/limits.md`.

use http_body_util::BodyExt;
use tower_service::Service as _;

use super::{ALICE, World, alices_login, get_, post_};

/// Applications that check the origin of forms only: a page elsewhere opened a WebSocket with the
/// visitor's cookies. The handshake is a GET that any page may send, and the same-origin policy
/// does not apply to the connection.
#[tokio::test]
async fn trap_a_websocket_of_another_site_is_not_opened() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let handshake = || {
        get_("/events")
            .access_cookie(tokens.access().expose())
            .header("host", "app.example.com")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    for evil in ["https://evil.com", "null", "https://app.example.com.evil.com"] {
        world.send(handshake().header("origin", evil)).await.fails(403, "cross_site_request");
    }
    // Browsers send `Origin` with each handshake: without it a further proof is required.
    world.send(handshake()).await.fails(403, "cross_site_request");
    let own = handshake().header("origin", "https://app.example.com");
    assert_eq!(world.app.clone().call(own.0).await.unwrap().status(), 200);
}

/// `auth_request` and its like: a proxy's check took a handshake or a POST for a plain GET, because
/// the proxy leaves the method and `Upgrade` out.
#[tokio::test]
async fn trap_a_websocket_of_another_site_is_not_let_through_by_a_check() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let checked = || {
        get_("/auth/check")
            .access_cookie(tokens.access().expose())
            .header("x-original-method", "GET")
            .header("host", "app.example.com")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let evil = checked().header("origin", "https://evil.com");
    world.send(evil).await.fails(403, "cross_site_request");
    world.send(checked().header("origin", "https://app.example.com")).await.is(204);
}

/// Request smuggling and confused deputies: one program verifies one credential, another program
/// acts on a second one.
#[tokio::test]
async fn trap_two_credentials_are_none() {
    let world = World::cookies();
    let (alice, bob) = (world.start(ALICE).await, world.start(super::BOB).await);
    let (alice, bob) = (alice.access().expose(), bob.access().expose());
    for asked in [
        get_("/me").bearer(alice).access_cookie(bob),
        get_("/me").bearer(alice).bearer(bob),
        get_("/me").header("cookie", format!("__Host-access={alice}; __Host-access={bob}")),
        get_("/me").access_cookie(alice).access_cookie(bob),
    ] {
        world.send(asked).await.fails(400, "invalid_request");
    }
}

/// Cross-site request forgery: `SameSite=Lax` permits pages of sibling domains, old browsers do not
/// know it, and Chrome does not apply its default to a cookie's first two minutes.
#[tokio::test]
async fn trap_a_cookie_on_a_post_of_another_site_does_nothing() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    for path in ["/auth/logout", "/auth/logout_everywhere", "/me", "/recent"] {
        for site in ["cross-site", "same-site"] {
            let forged = post_(path).both_cookies(&tokens).header("sec-fetch-site", site);
            world.send(forged).await.fails(403, "cross_site_request");
        }
    }
    assert!(world.lives(&tokens).await);
}

/// Login CSRF (OWASP): a page elsewhere logged its visitor into an account of its own, and its
/// owner then read what the visitor typed.
#[tokio::test]
async fn trap_a_page_of_another_site_does_not_log_its_visitor_in() {
    let world = World::cookies();
    let form = post_("/auth/login").form("username=alice&password=correct+horse+battery");
    let forged = form.header("sec-fetch-site", "cross-site").header("origin", "https://evil.com");
    let refused = world.send(forged).await.fails(403, "cross_site_request");
    assert_eq!(refused.all("set-cookie"), [""; 0]);
    assert_eq!(world.refused("cross_site"), 1);
}

/// Logout forms that need no proof of origin: a page elsewhere logged its visitor out. Its request
/// has no cookies, which are `SameSite=Strict`, but the response would delete them.
#[tokio::test]
async fn trap_a_page_of_another_site_does_not_log_its_visitor_out() {
    let world = World::cookies();
    for path in ["/auth/refresh", "/auth/logout", "/auth/logout_everywhere"] {
        let forged = post_(path).header("sec-fetch-site", "cross-site");
        let refused = world.send(forged).await;
        assert_eq!(refused.all("set-cookie"), [""; 0], "{path}");
    }
}

/// Login CSRF (OWASP) by the attacker's own refresh token, where a handler takes it from the body.
#[tokio::test]
async fn trap_a_refresh_token_out_of_a_body_sets_no_cookies_for_another_site() {
    let world = World::cookies();
    let attackers = world.start(super::BOB).await;
    let given = || Some(relatch::Token::new(attackers.refresh().expose()));
    let parts = |ask: super::Ask| ask.0.into_parts().0;
    let forged = parts(post_("/session").header("sec-fetch-site", "cross-site"));
    let refused = world.web.refresh(&forged, given()).await.unwrap_err();
    assert!(matches!(refused, relatch::axum::Refusal::CrossSite), "{refused:?}");
    let own = parts(post_("/session").same_origin());
    assert!(world.web.refresh(&own, given()).await.is_ok());
    // A web without cookies sets none, and needs no proof.
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let given = Some(relatch::Token::new(tokens.refresh().expose()));
    assert!(world.web.refresh(&forged, given).await.is_ok());
}

/// A database that is down was answered with 401: every client deleted its session, and all of them
/// logged in at once when the database was back.
#[tokio::test]
async fn trap_a_store_that_fails_is_not_a_401() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    world.store.set_reachable(false);
    for asked in [
        get_("/me").both_cookies(&tokens),
        post_("/auth/refresh").same_origin().both_cookies(&tokens),
        post_("/auth/logout").same_origin().both_cookies(&tokens),
        alices_login().same_origin(),
    ] {
        let answer = world.send(asked).await.fails(503, "temporarily_unavailable");
        assert_eq!(answer.all("set-cookie"), [""; 0]);
    }
    world.store.set_reachable(true);
    world.send(get_("/me").both_cookies(&tokens)).await.is(200);
}

/// klangk #3152 and open-webui #29695: WebSockets and event streams outlived the revocation.
#[tokio::test(start_paused = true)]
async fn trap_an_open_connection_does_not_outlive_its_session() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let opened = get_("/events").access_cookie(tokens.access().expose());
    let mut body = world.app.clone().call(opened.0).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    world.send(post_("/auth/logout").same_origin().both_cookies(&tokens)).await.is(204);
    assert!(body.frame().await.is_none(), "the stream ends with the session");
}
