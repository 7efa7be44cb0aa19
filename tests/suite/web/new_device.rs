//! Logins on a new device: the notice, and the endpoint of its link.

use std::sync::{Arc, Mutex};

use relatch::{axum::Cookies, throttle::Throttle};
use serde_json::json;

use super::{World, alices_login, ask, post_};

/// A world that keeps the links of its notices.
fn world(limits: Throttle) -> (World, Arc<Mutex<Vec<String>>>) {
    let links = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&links);
    let world = World::of(
        |service| {
            service.throttle(limits).on_new_device(move |login| {
                let link = login.link().expose().to_owned();
                heard.lock().unwrap().push(format!("{:?} {link}", login.address()));
            })
        },
        |web| web.cookies(Cookies::new()),
    );
    (world, links)
}

fn take(links: &Mutex<Vec<String>>) -> Vec<String> {
    std::mem::take(&mut *links.lock().unwrap())
}

#[tokio::test]
async fn a_browser_with_the_cookie_of_a_login_is_known() {
    for limits in [Throttle::new(), Throttle::danger_unlimited(), Throttle::new().without_devices()]
    {
        let (world, links) = world(limits);
        let answer = world.send(alices_login().same_origin()).await.is(200);
        let told = take(&links);
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("Some(192.0.2.1)"), "{told:?}");
        let cookie = format!("__Host-device={}", answer.cookie("__Host-device"));
        world.send(alices_login().same_origin().header("cookie", cookie)).await.is(200);
        assert_eq!(take(&links), [""; 0]);
        world.send(alices_login().same_origin()).await.is(200);
        assert_eq!(take(&links).len(), 1);
    }
}

#[tokio::test]
async fn the_link_of_a_notice_is_used_up_without_a_login() {
    let (world, links) = world(Throttle::new());
    let before = world.start(super::ALICE).await;
    take(&links);
    let answer = world.send(alices_login().same_origin()).await.is(200);
    let link = take(&links).remove(0).rsplit_once(' ').unwrap().1.to_owned();
    let report = || post_("/auth/not_me").json(&json!({ "token": link }));
    world.send(ask("GET", &format!("/auth/not_me?token={link}"))).await.is(405);
    // From any page: the token is the permission.
    let foreign = || report().header("sec-fetch-site", "cross-site");
    world.send(foreign()).await.is(204);
    let gone = world.send(foreign()).await.is(410);
    assert_eq!(gone.json(), json!({ "error": "invalid_token" }));
    assert_eq!(gone.all("www-authenticate"), [""; 0]);
    assert_eq!(gone.all("set-cookie"), [""; 0]);
    let form = format!("token={link}");
    world.send(post_("/auth/not_me").form(&form)).await.is(410);
    world.send(post_("/auth/not_me").form("token=x")).await.is(410);
    world.send(post_("/auth/not_me").form("")).await.fails(400, "invalid_request");
    assert!(world.lives(&before).await);
    let access = answer.cookie("__Host-access");
    world.send(super::get_("/me").access_cookie(&access)).await.is(401);
    world.store.set_reachable(false);
    world.send(report()).await.fails(503, "temporarily_unavailable");
}
