//! A client's cookies are deleted only for a final reason.

use relatch::{Context, MasterKey, RefreshToken, axum::Cookies};

use super::{ALICE, Answer, BOB, IDLE_SECONDS, World, get_, post_};
use crate::common::key;

/// The answers of the two endpoints that refresh by the cookie.
async fn answers(world: &World, token: &str) -> [Answer; 2] {
    let refresh = post_("/auth/refresh").same_origin().refresh_cookie(token);
    let refresh = world.send(refresh).await.fails(401, "invalid_token");
    let resume = get_("/auth/resume?to=/a").same_origin().refresh_cookie(token);
    let resume = resume.header("sec-fetch-mode", "navigate").header("sec-fetch-dest", "document");
    let resume = world.send(resume).await.is(303);
    assert_eq!(resume.header("location"), "/login");
    [refresh, resume]
}

#[track_caller]
fn keep_the_cookies(answers: [Answer; 2], world: &World, reason: &str) {
    assert_eq!(world.refused(reason), 2, "{reason}: {:?}", world.web.refused());
    for answer in answers {
        assert_eq!(answer.all("set-cookie"), [""; 0], "{reason}");
    }
}

#[track_caller]
fn delete_the_cookies(answers: [Answer; 2], world: &World, reason: &str) {
    assert_eq!(world.refused(reason), 2, "{reason}: {:?}", world.web.refused());
    for answer in answers {
        let set = answer.all("set-cookie");
        assert_eq!(set.len(), 2, "{reason}");
        assert!(set.iter().all(|cookie| cookie.contains("=; Max-Age=0;")), "{reason}: {set:?}");
    }
}

async fn is_good(world: &World, token: &str) {
    let asked = post_("/auth/refresh").same_origin().refresh_cookie(token);
    drop(world.send(asked).await.is(200));
}

#[tokio::test]
async fn a_server_whose_clock_is_behind_deletes_no_cookies() {
    let world = World::cookies();
    world.clock.set(3600);
    let tokens = world.start(ALICE).await;
    let refresh = tokens.refresh().expose();
    world.clock.set(0);
    keep_the_cookies(answers(&world, refresh).await, &world, "not_yet_valid");
    world.clock.set(3600);
    is_good(&world, refresh).await;
}

#[tokio::test]
async fn a_server_that_a_new_key_has_not_reached_deletes_no_cookies() {
    let world = World::cookies();
    let service = world.web.service();
    let before = service.authority();
    let ring =
        relatch::KeyRing::new(key("k1", 1)).rotate(key("k9", 9), world.clock.at(9999)).unwrap();
    service.replace_authority(before.with_keys(ring).unwrap());
    let after = service.authority();
    let tokens = world.start(ALICE).await;
    let refresh = tokens.refresh().expose();
    service.replace_authority(before);
    keep_the_cookies(answers(&world, refresh).await, &world, "unknown_key");
    service.replace_authority(after);
    is_good(&world, refresh).await;
}

#[tokio::test]
async fn a_stale_record_deletes_no_cookies() {
    let world = World::cookies();
    let columns = || {
        let mut columns = None;
        assert!(world.store.edit(ALICE, |row| columns = Some(row.columns.clone())));
        columns.unwrap()
    };
    let stale = columns();
    let tokens = world.start(ALICE).await;
    let refresh = tokens.refresh().expose();
    let current = columns();
    world.store.edit(ALICE, |row| row.columns = stale);
    keep_the_cookies(answers(&world, refresh).await, &world, "session_ahead");
    world.store.edit(ALICE, |row| row.columns = current);
    is_good(&world, refresh).await;
}

/// A phone leaves the network that its tokens are bound to, and comes back.
#[tokio::test]
async fn another_context_deletes_no_cookies() {
    let network = |request: &http::request::Parts| {
        let network = request.headers.get("x-network").and_then(|value| value.to_str().ok());
        Context::new().with("network", network.unwrap_or("away"))
    };
    let world = World::with(|web| web.cookies(Cookies::new()).context(network));
    let at_home = Context::new().with("network", "home");
    let client = relatch::service::Client::new("phone").in_context(at_home);
    let tokens = world.web.service().start_session(ALICE, client).await.unwrap();
    let refresh = tokens.refresh().expose();
    keep_the_cookies(answers(&world, refresh).await, &world, "bad_signature");
    let home = post_("/auth/refresh").same_origin().refresh_cookie(refresh);
    drop(world.send(home.header("x-network", "home")).await.is(200));
}

#[tokio::test]
async fn a_token_of_another_format_or_server_deletes_no_cookies() {
    let world = World::cookies();
    keep_the_cookies(answers(&world, "v2.of.later").await, &world, "malformed");
    let foreign = MasterKey::from_bytes("k1", &[1; 32]).unwrap();
    let foreign =
        relatch::Authority::builder(foreign, "https://other.example", "https://b.example");
    let foreign = foreign.clock(world.clock.clone()).build().unwrap();
    let user = world.web.service().find(relatch::store::UserKey::Id(ALICE)).await.unwrap().unwrap();
    let tokens = foreign.start_session(&user, "phone").unwrap();
    let tokens = tokens.commit(|_| Ok::<_, std::convert::Infallible>(true)).unwrap();
    let tokens = tokens.stored().unwrap();
    keep_the_cookies(answers(&world, tokens.refresh().expose()).await, &world, "forged");
}

#[tokio::test]
async fn a_final_reason_deletes_them() {
    let world = World::cookies();
    let service = world.web.service();

    let used = world.start(ALICE).await.refresh().expose().to_owned();
    drop(service.refresh(RefreshToken::new(&*used)).await.unwrap());
    world.clock.set(60);
    let asked = post_("/auth/refresh").same_origin().refresh_cookie(&used);
    let reused = world.send(asked).await.fails(401, "invalid_token");
    assert_eq!((world.refused("refresh_reused"), reused.all("set-cookie").len()), (1, 2));
    delete_the_cookies(answers(&world, &used).await, &world, "session_ended");

    let everywhere = world.start(ALICE).await;
    service.log_out_everywhere(ALICE).await.unwrap();
    let dead = everywhere.refresh().expose();
    delete_the_cookies(answers(&world, dead).await, &world, "revoked_by_version");

    let idle = world.start(BOB).await;
    world.clock.set(60 + IDLE_SECONDS);
    delete_the_cookies(answers(&world, idle.refresh().expose()).await, &world, "expired");

    let gone = world.start(BOB).await;
    service.delete(BOB).await.unwrap();
    delete_the_cookies(answers(&world, gone.refresh().expose()).await, &world, "unknown_user");
}
