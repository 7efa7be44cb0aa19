//! Proof of origin: a request that a cookie authenticates must come from a page of the same origin.

use http::Request;
use relatch::axum::{CSRF_HEADER, Cookies};

use super::{ALICE, Ask, BOB, World, alices_login, ask, get_, post_};

const HOST: &str = "app.example.com";
const TRUSTED: &str = "https://partner.example.com";

fn world() -> World {
    World::with(|web| web.cookies(Cookies::new()).trust_origin(TRUSTED))
}

/// The specification, written independently: whether a request that a cookie authenticates is
/// accepted.
fn expected(
    method: &str,
    upgrade: bool,
    site: &[&str],
    origin: &[&str],
    host: Option<&str>,
    csrf: &str,
) -> bool {
    let is_read = ["GET", "HEAD", "OPTIONS", "TRACE"].contains(&method) && !upgrade;
    if is_read {
        return true;
    }
    if site.len() > 1 || origin.len() > 1 {
        return false;
    }
    if site == ["same-origin"] || site == ["none"] || origin == [TRUSTED] {
        return true;
    }
    match (site, origin) {
        ([], []) => csrf == "good",
        ([], [origin]) => {
            host.is_some_and(|host| origin.to_lowercase() == format!("https://{host}"))
        }
        _ => false,
    }
}

#[tokio::test]
async fn a_cookie_takes_a_proof_and_a_header_takes_none() {
    let world = world();
    let tokens = world.start(ALICE).await;
    let verified = world.web.service().authenticate(tokens.access()).await.unwrap();
    let token = world.web.csrf_token(&verified).unwrap();
    let other = world.start(ALICE).await;
    let other = world.web.service().authenticate(other.access()).await.unwrap();
    let other = world.web.csrf_token(&other).unwrap();

    let methods = [
        ("GET", false),
        ("HEAD", false),
        ("OPTIONS", false),
        ("GET", true),
        ("POST", false),
        ("PUT", false),
        ("DELETE", false),
        ("get", false),
        ("PROPFIND", false),
    ];
    let sites: [&[&str]; 9] = [
        &[],
        &["same-origin"],
        &["none"],
        &["same-site"],
        &["cross-site"],
        &[""],
        &["Same-Origin"],
        &["same-origin", "same-origin"],
        &["cross-site", "same-origin"],
    ];
    let origins: [&[&str]; 13] = [
        &[],
        &["https://app.example.com"],
        &["https://APP.example.com"],
        &["http://app.example.com"],
        &["https://app.example.com:8443"],
        &["https://evil.com"],
        &["https://app.example.com.evil.com"],
        &["https://evil.com/https://app.example.com"],
        &["null"],
        &["https://"],
        &[TRUSTED],
        &["https://partner.example.com.evil.com"],
        &["https://app.example.com", "https://app.example.com"],
    ];
    let hosts = [Some(HOST), Some("evil.com"), None];
    let csrfs = [("", None), ("good", Some(token.expose())), ("other", Some(other.expose()))];
    let mut taken = [0, 0];
    for (method, upgrade) in methods {
        for site in sites {
            for origin in origins {
                for host in hosts {
                    for (which, csrf) in csrfs {
                        let request = || {
                            let mut asked = ask(method, "/me");
                            let upgrades = upgrade.then_some(("upgrade", "websocket"));
                            let sites = site.iter().map(|site| ("sec-fetch-site", *site));
                            let origins = origin.iter().map(|origin| ("origin", *origin));
                            let host = host.map(|host| ("host", host));
                            let csrf = csrf.map(|csrf| (CSRF_HEADER, csrf));
                            for (name, value) in upgrades
                                .into_iter()
                                .chain(sites)
                                .chain(origins)
                                .chain(host)
                                .chain(csrf)
                            {
                                asked = asked.header(name, value);
                            }
                            asked
                        };
                        let what =
                            format!("{method} {upgrade} {site:?} {origin:?} {host:?} {which}");
                        let wanted = expected(method, upgrade, site, origin, host, which);
                        let by_cookie = request().access_cookie(tokens.access().expose());
                        let answer = world.send(by_cookie).await;
                        let status = if wanted { 200 } else { 403 };
                        assert_eq!(answer.status, status, "{what}");
                        taken[usize::from(wanted)] += 1;
                        // The oracle covers cookies only.
                        if which.is_empty() {
                            let by_header = request().bearer(tokens.access().expose());
                            world.send(by_header).await.is(200);
                        }
                    }
                }
            }
        }
    }
    assert!(taken.iter().all(|count| *count > 2000), "{taken:?}");
}

#[tokio::test]
async fn the_host_of_http2_is_the_requests_own() {
    let world = world();
    let tokens = world.start(ALICE).await;
    let of = |uri: &str, host: Option<&str>, origin: &str| {
        let request = Request::post(uri).body(axum::body::Body::empty()).unwrap();
        let asked = Ask(request).access_cookie(tokens.access().expose()).header("origin", origin);
        match host {
            Some(host) => asked.header("host", host),
            None => asked,
        }
    };
    let own = "https://app.example.com";
    world.send(of("https://app.example.com/me", None, own)).await.is(200);
    world.send(of("https://evil.com/me", None, own)).await.is(403);
    // `:authority` takes precedence over `Host` (RFC 9113 §8.3.1).
    world.send(of("https://evil.com/me", Some(HOST), own)).await.is(403);
    world.send(of("https://app.example.com/me", Some("evil.com"), own)).await.is(200);
    // Two hosts prove nothing.
    world.send(of("/me", Some(HOST), own).header("host", HOST)).await.is(403);
    // The port is part of the origin.
    world.send(of("/me", Some("app.example.com:8443"), own)).await.is(403);
    let ported = "https://app.example.com:8443";
    world.send(of("/me", Some("app.example.com:8443"), ported)).await.is(200);
}

#[tokio::test]
async fn a_csrf_token_is_good_for_its_own_session_and_as_long_as_that_lives() {
    let world = world();
    let token_of = async |user| {
        let tokens = world.start(user).await;
        let session = world.web.service().authenticate(tokens.access()).await.unwrap();
        let csrf = world.web.csrf_token(&session).unwrap().expose().to_owned();
        (tokens.access().expose().to_owned(), csrf)
    };
    let (access, csrf) = token_of(ALICE).await;
    let (_, of_another_session) = token_of(ALICE).await;
    let (bobs_access, bobs_csrf) = token_of(BOB).await;
    let with =
        |access: &str, csrf: &str| post_("/me").access_cookie(access).header(CSRF_HEADER, csrf);
    world.send(with(&access, &csrf)).await.is(200);
    world.send(with(&bobs_access, &bobs_csrf)).await.is(200);
    for refused in [&of_another_session, &bobs_csrf, &access, "", "x"] {
        world.send(with(&access, refused)).await.fails(403, "cross_site_request");
    }
    let twice = with(&access, &csrf).header(CSRF_HEADER, &csrf);
    world.send(twice).await.fails(403, "cross_site_request");
    // The token replaces missing headers, but does not override what they say.
    for (name, value) in
        [("sec-fetch-site", "cross-site"), ("origin", "https://evil.com"), ("origin", "null")]
    {
        world.send(with(&access, &csrf).header(name, value)).await.is(403);
    }
    // It is not an access token.
    world.send(get_("/me").access_cookie(&csrf)).await.fails(401, "invalid_token");
    // It is not read from a cookie.
    let in_a_cookie = post_("/me").access_cookie(&access);
    let in_a_cookie = in_a_cookie.header("cookie", format!("{CSRF_HEADER}={csrf}"));
    world.send(in_a_cookie).await.is(403);

    world.web.service().log_out_everywhere(ALICE).await.unwrap();
    let (again, _) = token_of(ALICE).await;
    world.send(with(&again, &csrf)).await.fails(403, "cross_site_request");
    world.send(with(&access, &csrf)).await.fails(401, "invalid_token");
    world.send(with(&bobs_access, &bobs_csrf)).await.is(200);
}

#[tokio::test]
async fn a_csrf_token_lasts_a_day_through_refreshes() {
    const DAY: i64 = 24 * 60 * 60;
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    let verified = world.web.service().authenticate(tokens.access()).await.unwrap();
    let csrf = world.web.csrf_token(&verified).unwrap();
    world.clock.set(DAY - 1);
    let refresh = relatch::Token::new(tokens.refresh().expose());
    let tokens = world.web.service().refresh(refresh).await.unwrap();
    let asked =
        || post_("/me").access_cookie(tokens.access().expose()).header(CSRF_HEADER, csrf.expose());
    world.send(asked()).await.is(200);
    world.clock.set(DAY);
    world.send(asked()).await.fails(403, "cross_site_request");
}

#[tokio::test]
async fn what_sets_and_takes_cookies_takes_a_proof() {
    let world = world();
    let tokens = world.start(ALICE).await;
    let csrf = {
        let verified = world.web.service().authenticate(tokens.access()).await.unwrap();
        world.web.csrf_token(&verified).unwrap().expose().to_owned()
    };
    let refreshing = || post_("/auth/refresh").refresh_cookie(tokens.refresh().expose());
    let logging_out = || post_("/auth/logout").refresh_cookie(tokens.refresh().expose());
    let evil =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "null")];
    for (name, value) in evil {
        for asked in [alices_login(), refreshing(), logging_out()] {
            let refused = world.send(asked.header(name, value)).await;
            let refused = refused.fails(403, "cross_site_request");
            assert_eq!(refused.all("set-cookie"), [""; 0]);
        }
    }
    for asked in [alices_login(), refreshing(), logging_out()] {
        world.send(asked).await.fails(403, "cross_site_request");
    }
    assert!(world.lives(&tokens).await);
    // The session's CSRF token is a proof for that session.
    let by_access = post_("/auth/logout").both_cookies(&tokens).header(CSRF_HEADER, &csrf);
    world.send(by_access).await.is(204);
    assert!(!world.lives(&tokens).await);
}

/// Proxies add the port to `Host`, and browsers leave the default one out of `Origin`.
#[tokio::test]
async fn the_default_port_is_no_port() {
    let world = world();
    let asked =
        |origin: &str, host: &str| alices_login().header("origin", origin).header("host", host);
    for (origin, host) in [
        ("https://a.example", "a.example:443"),
        ("https://a.example:443", "a.example"),
        ("https://a.example:8443", "a.example:8443"),
    ] {
        drop(world.send(asked(origin, host)).await.is(200));
    }
    for (origin, host) in [
        ("https://a.example", "a.example:80"),
        ("http://a.example", "a.example:443"),
        ("https://a.example", "a.example:8443"),
        ("https://a.example:8443", "a.example:443"),
    ] {
        drop(world.send(asked(origin, host)).await.fails(403, "cross_site_request"));
    }
    let local = World::with(|web| web.cookies(Cookies::new().danger_plain_localhost()));
    drop(local.send(asked("http://localhost", "localhost:80")).await.is(200));
    drop(local.send(asked("http://localhost", "localhost:443")).await.is(403));
}

/// The pages of an app in a WebView.
#[tokio::test]
async fn an_origin_with_an_apps_own_scheme_is_trusted_by_its_name() {
    let world = World::with(|web| {
        web.cookies(Cookies::new())
            .trust_origin("capacitor://localhost")
            .trust_origin("https://b.example:443")
    });
    let asked = |origin: &str| {
        alices_login().header("origin", origin).header("sec-fetch-site", "cross-site")
    };
    for origin in ["capacitor://localhost", "https://b.example"] {
        drop(world.send(asked(origin)).await.is(200));
    }
    for origin in ["ionic://localhost", "capacitor://localhost.evil.example", "null", "file://"] {
        drop(world.send(asked(origin)).await.fails(403, "cross_site_request"));
    }
    // A native client says the site's own origin.
    let native = alices_login().header("origin", "https://a.example").header("host", "a.example");
    drop(world.send(native).await.is(200));
}

#[tokio::test]
async fn without_cookies_nothing_takes_a_proof() {
    let world = World::bearer();
    let cross_site = |asked: Ask| asked.header("sec-fetch-site", "cross-site");
    let granted = world.send(cross_site(alices_login())).await.is(200).json();
    let refresh = serde_json::json!({ "refresh_token": granted["refresh_token"] });
    let granted = world.send(cross_site(post_("/auth/refresh").json(&refresh))).await.is(200);
    let access = granted.json()["access_token"].as_str().unwrap().to_owned();
    world.send(cross_site(post_("/auth/logout").bearer(&access))).await.is(204);
}

#[tokio::test]
async fn development_cookies_are_for_localhost_alone() {
    let world = World::with(|web| web.cookies(Cookies::new().danger_plain_localhost()));
    let tokens = world.start(ALICE).await;
    let cookie = format!("insecure-access={}", tokens.access().expose());
    let asked = |host: &str| get_("/me").header("cookie", &cookie).header("host", host);
    for host in [
        "localhost",
        "LOCALHOST:3000",
        "localhost:80",
        "[::1]:3000",
        "[::1]",
        "127.0.0.1",
        "127.0.0.1:1",
    ] {
        world.send(asked(host)).await.is(200);
    }
    let others = [
        "localhost.evil.com",
        "localhost.evil.com:80",
        "evil.com",
        "evil.com:localhost",
        "127.0.0.1.nip.io",
        "127.0.0.2",
        "0.0.0.0",
        "[::2]:3000",
        "[::1",
        "::1",
        "notlocalhost",
        "localhost.",
        "localhost:80.evil.com",
        "localhost:x@evil.com",
        "[::1].evil.com",
        "[::1]:80.evil.com",
        "",
    ];
    for host in others {
        world.send(asked(host)).await.fails(500, "server_error");
        let login = alices_login().same_origin().header("host", host);
        world.send(login).await.fails(500, "server_error");
    }
    world.send(get_("/me").header("cookie", &cookie)).await.fails(500, "server_error");
    world.send(asked("localhost").header("host", "localhost")).await.fails(500, "server_error");

    // The web's own origin uses plain HTTP.
    for (origin, status) in [("http://localhost:3000", 200), ("https://localhost:3000", 403)] {
        let post = post_("/me").header("cookie", &cookie).header("host", "localhost:3000");
        world.send(post.header("origin", origin)).await.is(status);
    }
}
