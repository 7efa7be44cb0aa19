//! Limits of login attempts, under Tokio's paused clock.

use std::{num::NonZeroU32, time::Duration};

use axum::extract::ConnectInfo;
use relatch::{
    MasterKey,
    axum::{ClientAddress, Refusal, Web, WebBuilder},
    service::Service,
    store::NewUser,
    throttle::{Limit, Throttle},
};
use serde_json::json;
use tokio::time::advance;

use super::{ALICE, Answer, World, alices_login, get_, login, post_, users};
use crate::{
    common::{TestClock, builder},
    service::{PASSWORD, hash},
    web::logs::Log,
};

fn limit(at_once: u32, seconds: i64) -> Limit {
    Limit::new(NonZeroU32::new(at_once).unwrap(), time::Duration::seconds(seconds))
}

/// A web that takes the client's address from `X-Forwarded-For`.
fn world(limits: Throttle) -> World {
    World::of(|service| service.throttle(limits), behind_a_proxy)
}

fn behind_a_proxy(web: WebBuilder) -> WebBuilder {
    web.client_address(ClientAddress::forwarded_for(1))
}

/// Counts an attempt, as the first step of a login does. Returns the seconds to wait, if refused.
async fn attempt(web: &Web, account: &str, address: &str) -> Option<u64> {
    let (parts, _) = post_("/").header("x-forwarded-for", address).0.into_parts();
    match web.admit(&parts, account).await {
        Ok(()) => None,
        Err(Refusal::TooManyAttempts { retry_after }) => {
            Some(retry_after.whole_milliseconds().div_euclid(1000).try_into().unwrap())
        }
        Err(other) => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn an_account_takes_so_many_at_once_and_then_one_each_interval() {
    let world = world(Throttle::new().per_account(limit(3, 30)));
    let try_ = async |account: &str| attempt(&world.web, account, "192.0.2.1").await;
    for _ in 0..3 {
        assert_eq!(try_("alice").await, None);
    }
    assert_eq!(try_("alice").await, Some(30));
    assert_eq!(try_("bob").await, None, "another's is another");
    advance(Duration::from_secs(20)).await;
    assert_eq!(try_("alice").await, Some(10));
    advance(Duration::from_millis(9_999)).await;
    assert_eq!(try_("alice").await, Some(0), "refused attempts do not count");
    advance(Duration::from_millis(1)).await;
    assert_eq!(try_("alice").await, None);
    assert_eq!(try_("alice").await, Some(30));
    // From another address too.
    assert_eq!(attempt(&world.web, "alice", "192.0.2.77").await, Some(30));
    advance(Duration::from_secs(3600)).await;
    for _ in 0..3 {
        assert_eq!(try_("alice").await, None);
    }
    assert!(try_("alice").await.is_some(), "no more attempts accumulate than are allowed at once");
}

#[tokio::test(start_paused = true)]
async fn an_address_over_its_limit_uses_nothing_up_of_an_accounts() {
    let limits = Throttle::new().per_account(limit(3, 30)).per_address(limit(2, 60));
    let world = world(limits);
    let from = async |address: &str| attempt(&world.web, "alice", address).await;
    assert_eq!([from("192.0.2.1").await, from("192.0.2.1").await], [None; 2]);
    for _ in 0..20 {
        assert_eq!(from("192.0.2.1").await, Some(60));
    }
    assert_eq!(from("192.0.2.2").await, None, "the account's third");
    assert_eq!(from("192.0.2.2").await, Some(30), "the account's limit");
}

#[tokio::test(start_paused = true)]
async fn the_default_is_10_of_an_account_and_30_from_an_address() {
    let world = world(Throttle::new());
    let accounts: Vec<_> = (0..40).map(|n| format!("user{n}")).collect();
    let taken = async |address: &str, account: &dyn Fn(usize) -> String| {
        let mut taken = 0;
        for n in 0..40 {
            taken += u32::from(attempt(&world.web, &account(n), address).await.is_none());
        }
        taken
    };
    assert_eq!(taken("192.0.2.1", &|n| accounts[n].clone()).await, 30);
    assert_eq!(taken("192.0.2.2", &|_| "alice".into()).await, 10);
}

#[tokio::test(start_paused = true)]
async fn the_answer_says_when_to_come_back() {
    let world = world(Throttle::new().per_account(limit(1, 30)));
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

/// The holder of one token uses up the attempts of its session, and not those of the others.
#[tokio::test(start_paused = true)]
async fn what_asks_for_the_password_is_counted_by_the_session() {
    let limits = Throttle::new().per_session(limit(3, 30)).per_user(limit(6, 10));
    let world = World::of(|service| service.throttle(limits), |web| web);
    let (stolen, other) = (world.start(ALICE).await, world.start(ALICE).await);
    let wrong = json!({ "password": "another", "new_password": "another battery staple" });
    let right = json!({ "password": PASSWORD, "new_password": "another battery staple" });
    let paths = ["/auth/logout_others", "/auth/change_password", "/auth/reauthenticate"];
    let of_stolen = |path: &str| post_(path).bearer(stolen.access().expose());
    for path in paths {
        world.send(of_stolen(path).json(&wrong)).await.fails(403, "wrong_password");
    }
    for path in paths {
        world.send(of_stolen(path).json(&right)).await.fails(429, "too_many_attempts");
    }
    // Requests without a token are not counted.
    for _ in 0..9 {
        world.send(post_(paths[0]).bearer("x").json(&right)).await.is(401);
    }
    assert!(world.lives(&stolen).await && world.lives(&other).await);
    let owner = |path: &str| post_(path).bearer(other.access().expose()).json(&right);
    world.send(owner("/auth/change_password")).await.is(200);
    assert!(!world.lives(&stolen).await, "the owner has changed the password");
}

/// With many sessions of one user, nobody tries more than the user's limit.
#[tokio::test(start_paused = true)]
async fn what_asks_for_the_password_is_counted_by_the_user_too() {
    let limits = Throttle::new().per_session(limit(3, 30)).per_user(limit(6, 10));
    let world = World::of(|service| service.throttle(limits), |web| web);
    let wrong = json!({ "password": "another" });
    let mut tried = 0;
    for _ in 0..4 {
        let tokens = world.start(ALICE).await;
        for _ in 0..4 {
            let asked = post_("/auth/reauthenticate").bearer(tokens.access().expose());
            tried += u32::from(world.send(asked.json(&wrong)).await.status == 403);
        }
    }
    assert_eq!(tried, 6);
}

/// Flooding a login name that equals another user's id does not affect that user's sessions.
#[tokio::test(start_paused = true)]
async fn a_name_does_not_count_for_the_user_of_that_id() {
    let limits = Throttle::new().per_account(limit(3, 30));
    let world = World::of(|service| service.throttle(limits), |web| web);
    let tokens = world.start(ALICE).await;
    for _ in 0..5 {
        let _ = attempt(&world.web, ALICE, "192.0.2.1").await;
    }
    assert!(attempt(&world.web, ALICE, "192.0.2.1").await.is_some());
    let right = post_("/auth/reauthenticate").bearer(tokens.access().expose());
    world.send(right.json(&json!({ "password": PASSWORD }))).await.is(200);
}

#[tokio::test(start_paused = true)]
async fn a_name_in_other_spellings_is_one_account() {
    let world = world(Throttle::new().per_account(limit(3, 30)));
    for name in ["alice", "ALICE", " Alice\t"] {
        assert_eq!(attempt(&world.web, name, "192.0.2.1").await, None, "{name}");
    }
    assert!(attempt(&world.web, "aLiCe", "192.0.2.1").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn an_ipv6_network_is_one_address_and_a_mapped_ipv4_is_its_own() {
    let limits = Throttle::danger_unlimited().per_address(limit(1, 60));
    let world = world(limits);
    for (address, is_taken) in [
        ("2001:db8:0:1::1", true),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", false),
        ("2001:db8:0:2::1", true),
        ("192.0.2.1", true),
        ("::ffff:192.0.2.1", false),
        ("::ffff:c000:201", false),
        ("::ffff:192.0.2.2", true), // mapped IPv4 addresses do not share a network
        ("192.0.2.2", false),
        // Translated ones (NAT64) and 6to4 neither.
        ("64:ff9b::192.0.2.3", true),
        ("192.0.2.3", false),
        ("64:ff9b::192.0.2.4", true),
        ("2002:c000:204:1::1", false),
        ("2002:c000:205:1::1", true),
        ("2002:c000:205:2::1", false),
    ] {
        assert_eq!(attempt(&world.web, "alice", address).await.is_none(), is_taken, "{address}");
    }
}

/// An attacker who has a /56 or a /48 has no budget for each /64 of it.
#[tokio::test(start_paused = true)]
async fn the_networks_of_an_address_are_counted_too() {
    for (networks, taken) in [
        ((0..256_u32).map(|n| format!("2001:db8:1:{n:x}::1")).collect::<Vec<_>>(), 4),
        ((0..256).map(|n| format!("2001:db8:2:{n:x}00::1")).collect(), 16),
        ((0..256).map(|n| format!("2001:db8:{n:x}::1")).collect(), 256),
        ((0..256).map(|n| format!("192.0.2.{n}")).collect(), 8),
        ((0..256).map(|n| format!("192.0.{n}.2")).collect(), 256),
    ] {
        let world = world(Throttle::danger_unlimited().per_address(limit(1, 3600)));
        let mut allowed = 0;
        for address in &networks {
            allowed += u32::from(attempt(&world.web, "alice", address).await.is_none());
        }
        assert_eq!(allowed, taken, "{}", networks[1]);
    }
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
    World::of(
        |service| service.throttle(Throttle::new().without_addresses()),
        |web| web.client_address(ClientAddress::from_fn(|_| None)),
    )
}

/// The address that is taken from these headers behind this number of proxies: the one whose
/// attempts are used up afterwards.
async fn found(proxies: usize, headers: &[&str]) -> Option<&'static str> {
    for candidate in ["192.0.2.1", "192.0.2.2", "192.0.2.3", "2001:db8::1"] {
        let limits = Throttle::danger_unlimited().per_address(limit(1, 3600));
        let world = World::of(
            |service| service.throttle(limits),
            |web| web.client_address(ClientAddress::forwarded_for(proxies)),
        );
        let inner = ", 10.0.0.9".repeat(proxies - 1);
        let address = format!("{candidate}{inner}");
        assert_eq!(attempt(&world.web, "alice", &address).await, None);
        let asked = headers.iter().fold(post_("/"), |ask, h| ask.header("x-forwarded-for", h));
        match world.web.admit(&asked.0.into_parts().0, "alice").await {
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
    let (never, many) = (time::Duration::MAX, u32::MAX);
    for (burst, interval) in [(2, never), (many, never), (2, -never)] {
        let limit = Limit::new(NonZeroU32::new(burst).unwrap(), interval);
        let world = world(Throttle::danger_unlimited().per_account(limit));
        assert_eq!(attempt(&world.web, "alice", "192.0.2.1").await, None);
        assert_eq!(attempt(&world.web, "alice", "192.0.2.1").await, None);
        if burst == 2 && interval == never {
            assert!(attempt(&world.web, "alice", "192.0.2.1").await.is_some());
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
    let limits = Throttle::new().without_addresses().per_account(limit(1, 3600));
    let world = world(limits);
    let mut taken = 0;
    for n in 0..40_000 {
        let name = format!("user{n}");
        taken += u32::from(attempt(&world.web, &name, "192.0.2.1").await.is_none());
    }
    assert!(taken > 38_000, "few share a bucket: {taken}");
    assert!(attempt(&world.web, "user1", "192.0.2.1").await.is_some());
    advance(Duration::from_secs(3600)).await;
    assert!(attempt(&world.web, "user1", "192.0.2.1").await.is_none());
}

#[tokio::test]
async fn a_web_without_the_source_of_addresses_is_not_built() {
    let error = Web::builder(service(Throttle::new())).build().unwrap_err();
    assert_eq!(error.setting(), "client_address");
    for limits in [Throttle::new().without_addresses(), Throttle::danger_unlimited()] {
        assert!(Web::builder(service(limits)).build().is_ok());
    }
}

fn service(limits: Throttle) -> Service {
    Service::builder(builder(&TestClock::new()).build().unwrap(), users()).throttle(limits).build()
}

/// A flood of one name does not keep its owner from logging in where the owner has before.
#[tokio::test(start_paused = true)]
async fn a_device_with_a_cookie_has_a_limit_of_its_own() {
    let world = World::cookies();
    let first = world.send(alices_login().same_origin()).await.is(200);
    let device = device_of(&first);
    let flood = async || {
        for _ in 0..20 {
            world.send(post_("/auth/login").same_origin().json(&login("another"))).await;
            advance(Duration::from_secs(2)).await;
        }
    };
    flood().await;
    world.send(alices_login().same_origin()).await.fails(429, "too_many_attempts");
    let again = world.send(alices_login().same_origin().header("cookie", &device)).await.is(200);
    assert_eq!(device_of(&again), device, "it is renewed");
    // It survives a logout, and a change of the password.
    let out = post_("/auth/logout_everywhere").same_origin().header("cookie", cookies_of(&again));
    let out = world.send(out).await.is(204);
    assert!(out.all("set-cookie").iter().all(|cookie| !cookie.contains("device")));
    world.web.service().set_password(ALICE, PASSWORD).await.unwrap();
    flood().await;
    world.send(alices_login().same_origin().header("cookie", &device)).await.is(200);
    // Its limit is as tight as that of the name.
    let mut tried = 0;
    for _ in 0..30 {
        let wrong = post_("/auth/login").same_origin().header("cookie", &device);
        tried += u32::from(world.send(wrong.json(&login("another"))).await.status == 401);
        advance(Duration::from_secs(2)).await;
    }
    assert!((8..=12).contains(&tried), "{tried}");
}

/// A login with a device token of a retiring key gives one of the current key.
#[tokio::test(start_paused = true)]
async fn a_device_cookie_outlives_the_key_that_made_it() {
    let world = World::cookies();
    let service = world.web.service();
    let old = device_of(&world.send(alices_login().same_origin()).await.is(200));
    let authority = service.authority();
    let (retiring, new) = (authority.keys().current().kid().to_owned(), MasterKey::generate("new"));
    let keys = authority.keys().clone().rotate(new.unwrap(), world.clock.at(3600)).unwrap();
    service.replace_authority(authority.with_keys(keys.clone()).unwrap());
    let asked = alices_login().same_origin().header("cookie", &old);
    let new = device_of(&world.send(asked).await.is(200));
    service.replace_authority(authority.with_keys(keys.remove(&retiring).unwrap()).unwrap());
    for _ in 0..20 {
        world.send(post_("/auth/login").same_origin().json(&login("another"))).await;
        advance(Duration::from_secs(2)).await;
    }
    for (device, status) in [(&old, 429), (&new, 200)] {
        let asked = alices_login().same_origin().header("cookie", device);
        world.send(asked).await.is(status);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_cookie_is_for_the_name_of_its_user_alone() {
    let world = World::cookies();
    let carol = NewUser::with_password_hash("3", "carol", hash());
    assert!(world.store.insert(carol, ()));
    let form = json!({ "username": "carol", "password": PASSWORD });
    let carols = world.send(post_("/auth/login").same_origin().json(&form)).await.is(200);
    let (mut genuine, false_) = (device_of(&carols), "__Host-device=AAAA".to_owned());
    let mut tried = 0;
    for cookie in [&genuine, &false_, &format!("{genuine}A"), &genuine] {
        for _ in 0..8 {
            let asked = post_("/auth/login").same_origin().header("cookie", cookie);
            tried += u32::from(world.send(asked.json(&login("another"))).await.status == 401);
            advance(Duration::from_millis(2000)).await;
        }
    }
    assert!((10..=13).contains(&tried), "{tried}: those of the name");
    // Two device cookies are none.
    genuine.push_str("; __Host-device=x");
    let asked = post_("/auth/login").same_origin().header("cookie", &genuine).json(&form);
    world.send(asked).await.is(200);
}

/// A client without cookies gets the token in the answer, and sends it in a header.
#[tokio::test(start_paused = true)]
async fn a_device_token_comes_in_a_header_too() {
    let world = World::bearer();
    let granted = world.send(alices_login()).await.is(200).json();
    let device = granted["device_token"].as_str().unwrap();
    for _ in 0..15 {
        world.send(post_("/auth/login").json(&login("another"))).await;
    }
    world.send(alices_login()).await.is(429);
    world.send(alices_login().header("x-device-token", device)).await.is(200);
    // A refresh gives none.
    let token = json!({ "refresh_token": granted["refresh_token"] });
    let refreshed = world.send(post_("/auth/refresh").json(&token)).await.is(200).json();
    assert_eq!(refreshed["device_token"], serde_json::Value::Null);
}

fn device_of(answer: &Answer) -> String {
    let all = answer.all("set-cookie");
    let set = all.iter().find(|cookie| cookie.starts_with("__Host-device=")).unwrap();
    assert!(set.contains("Secure; HttpOnly; SameSite=Strict") && set.contains("Max-Age=31536000"));
    set.split_once(';').unwrap().0.to_owned()
}

fn cookies_of(answer: &Answer) -> String {
    let all = answer.all("set-cookie");
    let pairs: Vec<_> = all.iter().map(|cookie| cookie.split_once(';').unwrap().0).collect();
    pairs.join("; ")
}
