//! The redirect of pages without scripts over a refresh.

use relatch::{
    RefreshToken,
    axum::{Cookies, Web, endpoints},
    service::{CachePolicy, Service},
    store::MemoryStore,
};

use super::{
    ACCESS_SECONDS, ALICE, Answer, Ask, World, ask, get_, here, minutes, post_, send, users,
};
use crate::{
    common::{TestClock, builder},
    service::faulty::{Faulty, Mode},
};

impl Ask {
    /// A user navigates, from this page or from that of another site.
    fn navigates(self, site: &str) -> Self {
        let asked = self.header("sec-fetch-site", site).header("sec-fetch-mode", "navigate");
        asked.header("sec-fetch-dest", "document").header("sec-fetch-user", "?1")
    }
}

#[track_caller]
fn is_the_button(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.all("set-cookie"), [""; 0], "the refresh token was used up");
    assert!(answer.body.contains("<form method=\"post\""), "{}", answer.body);
    assert!(!answer.body.contains("http-equiv"), "it repeats the request by itself");
}

#[tokio::test]
async fn a_page_without_scripts_is_led_over_a_refresh() {
    let world = World::with(|web| web.cookies(Cookies::new()).login_page("/hello"));
    let tokens = world.start(ALICE).await;
    let refresh = |path: &str| get_(path).refresh_cookie(tokens.refresh().expose());

    let none = world.send(get_("/auth/resume?to=/a").navigates("none")).await.is(303);
    assert_eq!((none.header("location"), none.all("set-cookie")), ("/hello", vec![]));

    let on = refresh("/auth/resume?to=/a%3Fb=c%26d").navigates("same-origin");
    let on = world.send(on).await.is(303);
    assert_eq!(on.header("location"), "/a?b=c&d");
    let access = on.cookie("__Host-access");
    drop(world.send(get_("/me").access_cookie(&access)).await.is(200));
    assert!(!on.cookie("__Secure-refresh").is_empty());

    // Within the grace.
    for to in ["//evil.example", "/%5Cevil.example", "https://evil.example", "", "/%0aa"] {
        let on = refresh(&format!("/auth/resume?to={to}")).navigates("none");
        assert_eq!(world.send(on).await.is(303).header("location"), "/", "{to}");
    }
    let asked = ask("HEAD", "/auth/resume").refresh_cookie(tokens.refresh().expose());
    let asked = asked.navigates("same-origin");
    assert_eq!(world.send(asked).await.is(405).header("allow"), "GET, POST");
    world.store.set_reachable(false);
    let away = world.send(refresh("/auth/resume?to=/a").navigates("none")).await;
    assert_eq!(away.fails(503, "temporarily_unavailable").all("set-cookie"), [""; 0]);
    world.store.set_reachable(true);

    world.web.service().log_out_everywhere(ALICE).await.unwrap();
    let over = world.send(refresh("/auth/resume?to=/a").navigates("none")).await.is(303);
    assert_eq!((over.header("location"), over.all("set-cookie").len()), ("/hello", 2));
}

#[tokio::test]
async fn a_valid_access_token_is_not_replaced() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    for site in ["same-origin", "same-site", "cross-site", "none"] {
        let asked = get_("/auth/resume?to=/a").both_cookies(&tokens).navigates(site);
        let answer = world.send(asked).await.is(303);
        assert_eq!(
            (answer.header("location"), answer.all("set-cookie").len()),
            ("/a", 0),
            "{site}"
        );
    }
    let pressed = post_("/auth/resume?to=/a").both_cookies(&tokens).navigates("same-origin");
    let answer = world.send(pressed).await.is(303);
    assert_eq!((answer.header("location"), answer.all("set-cookie").len()), ("/a", 0));
    world.clock.set(ACCESS_SECONDS);
    let asked = get_("/auth/resume?to=/a").both_cookies(&tokens).navigates("same-origin");
    assert_eq!(world.send(asked).await.is(303).all("set-cookie").len(), 2);
}

/// Whatever the page of another site or host does, and whatever becomes of the response.
#[tokio::test]
async fn nothing_but_the_users_own_navigation_uses_the_refresh_token() {
    let world = World::cookies();
    let tokens = world.start(ALICE).await;
    world.clock.set(ACCESS_SECONDS);
    let resume = || get_("/auth/resume?to=/a%26b%22%3E").both_cookies(&tokens);
    let of = |site: &str, mode: &str, dest: &str| {
        let asked = resume().header("sec-fetch-site", site).header("sec-fetch-mode", mode);
        asked.header("sec-fetch-dest", dest)
    };
    let asked = [
        resume(),
        resume().same_origin(),
        resume().header("origin", "https://evil.example"),
        of("cross-site", "navigate", "document"),
        of("same-site", "navigate", "document"),
        of("same-site", "no-cors", "image"),
        of("same-origin", "no-cors", "image"),
        of("same-origin", "navigate", "iframe"),
        of("same-origin", "cors", "empty"),
        of("none", "navigate", "document").header("sec-purpose", "prefetch;prerender"),
        of("none", "navigate", "document").header("purpose", "prefetch"),
        of("none", "navigate", "document").header("sec-fetch-site", "none"),
    ];
    for asked in asked {
        let page = world.send(asked).await;
        is_the_button(&page);
        assert!(page.body.contains("action=\"?to=/a%26b%22%3E\""), "{}", page.body);
        assert_eq!(page.header("cache-control"), "no-store");
        assert_eq!(page.header("x-frame-options"), "DENY");
        assert_eq!(page.header("cross-origin-opener-policy"), "same-origin");
        let policy = page.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
    // The button: of this site's page alone.
    let press = || post_("/auth/resume?to=/a").both_cookies(&tokens);
    for asked in [press(), press().navigates("cross-site"), press().navigates("same-site")] {
        let refused = world.send(asked).await.fails(403, "cross_site_request");
        assert_eq!(refused.all("set-cookie"), [""; 0]);
    }
    for (name, value) in [
        ("sec-fetch-site", "same-origin"),
        // A browser that sends no `Sec-Fetch-Site`. Within the grace.
        ("origin", "https://app.example.com"),
    ] {
        let asked = press().header(name, value).header("host", "app.example.com");
        let on = world.send(asked).await.is(303);
        assert_eq!((on.header("location"), on.all("set-cookie").len()), ("/a", 2), "{name}");
    }
    let current = RefreshToken::new(tokens.refresh().expose());
    assert!(world.web.service().refresh(current).await.is_ok(), "within the grace");
    assert_eq!(world.refused("refresh_reused"), 0);
}

/// Pages that read the database would otherwise lead back here, and this would lead back there.
#[tokio::test]
async fn a_revoked_token_in_the_cache_is_not_valid() {
    let store = Faulty::new(users());
    let clock = TestClock::new();
    let service = |store: Faulty<MemoryStore>| {
        let service = Service::builder(builder(&clock).build().unwrap(), store);
        service.cache(CachePolicy::new(minutes(5), 100).unwrap()).build()
    };
    let (here_, elsewhere) = (service(store.clone()), service(store.clone()));
    let web = Web::builder(here_.clone()).cookies(Cookies::new()).client_address(here());
    let web = web.build().unwrap();
    let app = axum::Router::new()
        .route("/auth/resume", axum::routing::get(endpoints::resume))
        .layer(web.layer());
    let tokens = here_.start_session(ALICE, "phone").await.unwrap();
    drop(here_.authenticate(tokens.access()).await.unwrap());
    elsewhere.log_out_everywhere(ALICE).await.unwrap();
    let asked = get_("/auth/resume?to=/a").both_cookies(&tokens).navigates("same-origin");
    assert_eq!(send(&app, asked).await.is(303).header("location"), "/login");
    store.set(Mode::Fail);
    let asked = get_("/auth/resume?to=/a").both_cookies(&tokens).navigates("same-origin");
    drop(send(&app, asked).await.fails(503, "temporarily_unavailable"));
}
