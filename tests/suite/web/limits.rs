//! Limits of login attempts, under Tokio's paused clock.

use std::{num::NonZeroU32, time::Duration};

use axum::extract::ConnectInfo;
use relatch::axum::{ClientAddress, LoginLimits, Refusal, Web, WebBuilder};
use serde_json::json;
use tokio::time::advance;

use super::{ALICE, World, alices_login, get_, login, post_};
use crate::{service::PASSWORD, web::logs::Log};

const fn at_once(many: u32) -> NonZeroU32 {
    NonZeroU32::new(many).unwrap()
}

fn seconds(seconds: i64) -> time::Duration {
    time::Duration::seconds(seconds)
}

/// A web that takes the client's address from `X-Forwarded-For`.
fn world(limits: LoginLimits) -> World {
    World::with(|web| behind_a_proxy(web).login_limits(limits))
}

fn behind_a_proxy(web: WebBuilder) -> WebBuilder {
    web.client_address(ClientAddress::forwarded_for(1))
}

/// Counts an attempt, as the first step of a login does. Returns the seconds to wait, if refused.
fn attempt(web: &Web, account: &str, address: &str) -> Option<u64> {
    let (parts, _) = post_("/").header("x-forwarded-for", address).0.into_parts();
    match web.admit(&parts, account) {
        Ok(()) => None,
        Err(Refusal::TooManyAttempts { retry_after }) => {
            Some(retry_after.whole_milliseconds().div_euclid(1000).try_into().unwrap())
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_takes_so_many_at_once_and_then_one_each_interval() {
    let world = world(LoginLimits::new().per_account(at_once(3), seconds(30)));
    let try_ = |account: &str| attempt(&world.web, account, "192.0.2.1");
    assert_eq!([try_("alice"), try_("alice"), try_("alice")], [None; 3]);
    assert_eq!(try_("alice"), Some(30));
    assert_eq!(try_("bob"), None, "another's is another");
    advance(Duration::from_secs(20)).await;
    assert_eq!(try_("alice"), Some(10));
    advance(Duration::from_millis(9_999)).await;
    assert_eq!(try_("alice"), Some(0), "refused attempts do not count");
    advance(Duration::from_millis(1)).await;
    assert_eq!(try_("alice"), None);
    assert_eq!(try_("alice"), Some(30));
    // From another address too.
    assert_eq!(attempt(&world.web, "alice", "192.0.2.77"), Some(30));
    advance(Duration::from_secs(3600)).await;
    assert_eq!([try_("alice"), try_("alice"), try_("alice")], [None; 3]);
    assert!(try_("alice").is_some(), "no more attempts accumulate than are allowed at once");
}

#[tokio::test(start_paused = true)]
async fn an_address_over_its_limit_uses_nothing_up_of_an_accounts() {
    let limits = LoginLimits::new()
        .per_account(at_once(3), seconds(30))
        .per_address(at_once(2), seconds(60));
    let world = world(limits);
    let from = |address: &str| attempt(&world.web, "alice", address);
    assert_eq!([from("192.0.2.1"), from("192.0.2.1")], [None; 2]);
    for _ in 0..20 {
        assert_eq!(from("192.0.2.1"), Some(60));
    }
    assert_eq!(from("192.0.2.2"), None, "the account's third");
    assert_eq!(from("192.0.2.2"), Some(30), "the account's limit");
}

#[tokio::test(start_paused = true)]
async fn the_default_is_10_of_an_account_and_30_from_an_address() {
    let world = world(LoginLimits::new());
    let accounts: Vec<_> = (0..40).map(|n| format!("user{n}")).collect();
    let taken = |address: &str, account: &dyn Fn(usize) -> String| {
        (0..40).filter(|n| attempt(&world.web, &account(*n), address).is_none()).count()
    };
    assert_eq!(taken("192.0.2.1", &|n| accounts[n].clone()), 30);
    assert_eq!(taken("192.0.2.2", &|_| "alice".into()), 10);
    assert_eq!(LoginLimits::new(), LoginLimits::default());
}

#[tokio::test(start_paused = true)]
async fn the_answer_says_when_to_come_back() {
    let world = world(LoginLimits::new().per_account(at_once(1), seconds(30)));
    let asked =
        || post_("/auth/login").header("x-forwarded-for", "192.0.2.1").json(&login("another"));
    world.send(asked()).await.fails(401, "invalid_credentials");
    advance(Duration::from_millis(500)).await;
    let refused = world.send(asked()).await.fails(429, "too_many_attempts");
    assert_eq!(refused.header("retry-after"), "30", "29.5, rounded up");
    assert_eq!(refused.header("www-authenticate"), "");
    // Right passwords are refused too while the limit lasts.
    let right = alices_login().header("x-forwarded-for", "192.0.2.1");
    world.send(right).await.fails(429, "too_many_attempts");
    advance(Duration::from_millis(29_500)).await;
    let right = alices_login().header("x-forwarded-for", "192.0.2.1");
    world.send(right).await.is(200);
    assert_eq!(world.refused("too_many_attempts"), 2);
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_the_password_is_counted_by_the_users_id() {
    let world = World::with(|web| {
        web.login_limits(LoginLimits::new().per_account(at_once(3), seconds(30)))
    });
    let (tokens, other) = (world.start(ALICE).await, world.start(ALICE).await);
    let body = json!({ "password": "another", "new_password": "another battery staple" });
    let paths = ["/auth/logout_others", "/auth/change_password", "/auth/reauthenticate"];
    for path in paths {
        let asked = post_(path).bearer(tokens.access().expose()).json(&body);
        world.send(asked).await.fails(403, "wrong_password");
    }
    // The limit is per user, not per session.
    let right = json!({ "password": PASSWORD, "new_password": "another battery staple" });
    for path in paths {
        let asked = post_(path).bearer(other.access().expose()).json(&right);
        world.send(asked).await.fails(429, "too_many_attempts");
    }
    // Requests without a token are not counted.
    for _ in 0..5 {
        world.send(post_(paths[0]).bearer("x").json(&right)).await.is(401);
    }
    assert!(world.lives(&tokens).await && world.lives(&other).await);
}

/// Flooding a login name that equals another user's id does not affect that user's sessions.
#[tokio::test(start_paused = true)]
async fn a_name_does_not_count_for_the_user_of_that_id() {
    let world = World::with(|web| {
        web.login_limits(LoginLimits::new().per_account(at_once(3), seconds(30)))
    });
    let tokens = world.start(ALICE).await;
    for _ in 0..5 {
        let _ = attempt(&world.web, ALICE, "192.0.2.1");
    }
    assert!(attempt(&world.web, ALICE, "192.0.2.1").is_some());
    let right = post_("/auth/reauthenticate").bearer(tokens.access().expose());
    world.send(right.json(&json!({ "password": PASSWORD }))).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn a_name_in_other_spellings_is_one_account() {
    let world = world(LoginLimits::new().per_account(at_once(3), seconds(30)));
    for name in ["alice", "ALICE", " Alice\t"] {
        assert_eq!(attempt(&world.web, name, "192.0.2.1"), None, "{name}");
    }
    assert!(attempt(&world.web, "aLiCe", "192.0.2.1").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_is_its_own() {
    let limits = LoginLimits::danger_unlimited().per_address(at_once(1), seconds(60));
    let world = world(limits);
    let is_taken = |address: &str| attempt(&world.web, "alice", address).is_none();
    assert!(is_taken("2001:db8:0:1::1"));
    assert!(!is_taken("2001:db8:0:1:ffff:ffff:ffff:ffff"));
    assert!(is_taken("2001:db8:0:2::1"));
    assert!(is_taken("192.0.2.1"));
    assert!(!is_taken("::ffff:192.0.2.1"));
    assert!(!is_taken("::ffff:c000:201"));
    assert!(is_taken("::ffff:192.0.2.2"), "mapped IPv4 addresses do not share a network");
    assert!(!is_taken("192.0.2.2"));
}

#[tokio::test]
async fn an_address_that_is_not_known_is_the_applications_fault() {
    let world = World::with(|web| web.client_address(ClientAddress::from_fn(|_| None)));
    let log = Log::new();
    world.send(alices_login()).await.fails(500, "server_error");
    assert!(log.take().contains("WebBuilder::client_address"));
    let world = world_without_addresses();
    world.send(alices_login()).await.is(200);
}

fn world_without_addresses() -> World {
    World::with(|web| {
        web.client_address(ClientAddress::from_fn(|_| None))
            .login_limits(LoginLimits::new().without_addresses())
    })
}

/// The address that is taken from these headers behind this number of proxies: the one whose
/// attempts are used up afterwards.
async fn found(proxies: usize, headers: &[&str]) -> Option<&'static str> {
    let limits = LoginLimits::danger_unlimited().per_address(at_once(1), seconds(3600));
    for candidate in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"] {
        let world = World::with(|web| {
            web.login_limits(limits).client_address(ClientAddress::forwarded_for(proxies))
        });
        let inner = ", 10.0.0.9".repeat(proxies - 1);
        assert_eq!(attempt(&world.web, "alice", &format!("{candidate}{inner}")), None);
        let asked = headers.iter().fold(post_("/"), |ask, h| ask.header("x-forwarded-for", h));
        match world.web.admit(&asked.0.into_parts().0, "alice") {
            Err(Refusal::TooManyAttempts { .. }) => return Some(candidate),
            Err(Refusal::Misconfigured(_)) => return None,
            Ok(()) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    Some("another")
}

#[tokio::test]
async fn what_proxies_wrote_is_counted_from_the_end() {
    let (a, b, c) = ("192.0.2.1", "192.0.2.2", "192.0.2.3");
    let cases: [(usize, &[&str], Option<&str>); 22] = [
        (1, &[a], Some(a)),
        (1, &["192.0.2.3, 192.0.2.1"], Some(a)),
        (1, &["192.0.2.3,192.0.2.1"], Some(a)),
        (1, &["rubbish, , 192.0.2.1"], Some(a)),
        (1, &["\u{e4}\u{f6}, 192.0.2.1"], Some(a)),
        // The client's own header comes before the proxy's.
        (1, &[c, b, a], Some(a)),
        (1, &["192.0.2.3, 192.0.2.2", a], Some(a)),
        (1, &["2001:db8::1"], Some("2001:db8::1")),
        // Some proxies write the port, and brackets around IPv6.
        (1, &["192.0.2.1:50123"], Some(a)),
        (1, &["[2001:db8::1]:50123"], Some("2001:db8::1")),
        (1, &["[2001:db8::1]"], Some("2001:db8::1")),
        (1, &["192.0.2.1:port"], None),
        (1, &["[192.0.2.1]"], None),
        (2, &["192.0.2.3, 192.0.2.1, 192.0.2.2"], Some(a)),
        (2, &[c, a, b], Some(a)),
        (3, &["192.0.2.1, 192.0.2.2", c], Some(a)),
        // Fewer entries than proxies: the address is unknown.
        (1, &[], None),
        (2, &[a], None),
        (1, &["192.0.2.1, rubbish"], None),
        (1, &["192.0.2.1,"], None),
        (1, &["192.0.2.1, \u{e4}"], None),
        (2, &["rubbish, 192.0.2.1"], None),
    ];
    for (proxies, headers, wanted) in cases {
        assert_eq!(found(proxies, headers).await, wanted, "{proxies}: {headers:?}");
    }
}

#[tokio::test]
async fn without_a_proxy_nobody_wrote_what_can_be_believed() {
    let world = World::with(|web| web.client_address(ClientAddress::forwarded_for(0)));
    let asked = alices_login().header("x-forwarded-for", "192.0.2.1");
    world.send(asked).await.fails(500, "server_error");
}

#[tokio::test]
async fn an_interval_out_of_all_range_is_a_limit_all_the_same() {
    let (never, many) = (time::Duration::MAX, at_once(u32::MAX));
    for (burst, interval) in [(at_once(2), never), (many, never), (at_once(2), -never)] {
        let limits = LoginLimits::danger_unlimited().per_account(burst, interval);
        let world = world(limits);
        assert_eq!(attempt(&world.web, "alice", "192.0.2.1"), None);
        assert_eq!(attempt(&world.web, "alice", "192.0.2.1"), None);
        if burst == at_once(2) && interval == never {
            assert!(attempt(&world.web, "alice", "192.0.2.1").is_some());
        }
    }
}

#[tokio::test]
async fn the_peers_own_address_is_found_by_a_function() {
    let peer = ClientAddress::from_fn(|parts| {
        parts.extensions.get::<ConnectInfo<std::net::SocketAddr>>().map(|info| info.0.ip())
    });
    let world = World::with(|web| web.client_address(peer));
    world.send(alices_login()).await.fails(500, "server_error");
    let mut asked = alices_login();
    let socket: std::net::SocketAddr = "192.0.2.1:9".parse().unwrap();
    asked.0.extensions_mut().insert(ConnectInfo(socket));
    world.send(asked).await.is(200);
    world.send(get_("/me")).await.is(401);
}

#[tokio::test(start_paused = true)]
async fn made_up_names_take_little_from_each_other_and_are_forgotten() {
    // After several cleanups, with one name in fifty in a shared bucket.
    let limits = LoginLimits::new().without_addresses().per_account(at_once(1), seconds(3600));
    let world = world(limits);
    let taken = (0..40_000)
        .filter(|n| attempt(&world.web, &format!("user{n}"), "192.0.2.1").is_none())
        .count();
    assert!(taken > 38_000, "few share a bucket: {taken}");
    assert!(attempt(&world.web, "user1", "192.0.2.1").is_some());
    advance(Duration::from_secs(3600)).await;
    assert!(attempt(&world.web, "user1", "192.0.2.1").is_none());
}
