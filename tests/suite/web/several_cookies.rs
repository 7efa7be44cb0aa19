//! Requests with several refresh cookies: leftovers of another path, and planted ones.

use relatch::{RefreshToken, SessionTokens, axum::Cookies};

use super::{ACCESS_SECONDS, ALICE, Ask, BOB, World, alices_login, get_, post_};

fn asked(path: &str, tokens: &[&str]) -> Ask {
    let each = tokens.iter().map(|token| format!("__Secure-refresh={token}"));
    post_(path).same_origin().header("cookie", each.collect::<Vec<_>>().join("; "))
}

async fn refreshed(world: &World, token: &str) -> SessionTokens {
    world.web.service().refresh(RefreshToken::new(token)).await.unwrap()
}

#[tokio::test]
async fn the_leftover_of_another_path_ends_nothing() {
    let world = World::cookies();
    // The cookie of an ended session; one that was used long ago; and the current one.
    let ended = world.start(ALICE).await;
    let verified = world.web.service().authenticate(ended.access()).await.unwrap();
    world.web.service().log_out(&verified).await.unwrap();
    let used = world.start(ALICE).await;
    let next = refreshed(&world, used.refresh().expose()).await;
    world.clock.set(ACCESS_SECONDS);
    let mut current =
        refreshed(&world, next.refresh().expose()).await.refresh().expose().to_owned();
    let dead = [ended.refresh().expose(), used.refresh().expose(), "rubbish"];
    for place in 0..4 {
        world.clock.set(ACCESS_SECONDS * (place + 2));
        let mut tokens = dead.to_vec();
        tokens.insert(usize::try_from(place).unwrap(), &*current);
        let granted = world.send(asked("/auth/refresh", &tokens)).await.is(200);
        current = granted.cookie("__Secure-refresh");
    }
    assert_eq!(world.refused("refresh_reused"), 0);
    // Twice the same is one.
    world.clock.set(ACCESS_SECONDS * 9);
    drop(world.send(asked("/auth/refresh", &[&*current, &*current])).await.is(200));
}

/// Two tabs: the leftover is the predecessor of the current one, within the grace.
#[tokio::test]
async fn of_two_in_one_session_the_newer_is_used() {
    let world = World::cookies();
    for is_newer_first in [true, false] {
        let first = world.start(ALICE).await;
        let second = refreshed(&world, first.refresh().expose()).await;
        let mut texts = [second.refresh().expose(), first.refresh().expose()];
        if !is_newer_first {
            texts.reverse();
        }
        let third = world.send(asked("/auth/refresh", &texts)).await.is(200);
        let third = third.cookie("__Secure-refresh");
        assert_ne!(third, second.refresh().expose(), "the older was used");
    }
}

/// A page of a sister host plants a cookie of its own account.
#[tokio::test]
async fn a_planted_cookie_takes_no_place_of_a_living_one() {
    let world = World::cookies();
    let (own, others, other) =
        (world.start(ALICE).await, world.start(BOB).await, world.start(ALICE).await);
    for planted in [&others, &other] {
        for tokens in [[&own, planted], [planted, &own]] {
            let texts = tokens.map(|tokens| tokens.refresh().expose());
            let refused = world.send(asked("/auth/refresh", &texts)).await;
            let refused = refused.fails(400, "invalid_request");
            assert_eq!(refused.all("set-cookie"), [""; 0]);
        }
    }
    let five = ["a", "b", "c", "d", own.refresh().expose()];
    let refused = world.send(asked("/auth/refresh", &five)).await.fails(400, "invalid_request");
    assert_eq!(refused.all("set-cookie"), [""; 0]);
    drop(world.send(asked("/auth/refresh", &[own.refresh().expose()])).await.is(200));
}

/// A server whose clock is behind, or that does not have the newest key yet, rejects the cookie of a living
/// session.
#[tokio::test]
async fn a_planted_cookie_takes_no_place_of_one_that_may_be_alive() {
    let world = World::cookies();
    let planted = world.start(BOB).await;
    world.clock.set(3600);
    let own = world.start(ALICE).await;
    world.clock.set(0);
    for tokens in [[&own, &planted], [&planted, &own]] {
        let texts = tokens.map(|tokens| tokens.refresh().expose());
        let refused = world.send(asked("/auth/refresh", &texts)).await;
        assert_eq!(refused.fails(400, "invalid_request").all("set-cookie"), [""; 0]);
    }
    // A leftover of the same user is nobody else's.
    let later = world.start(ALICE).await;
    let texts = [own.refresh().expose(), later.refresh().expose()];
    drop(world.send(asked("/auth/refresh", &texts)).await.is(200));
}

#[tokio::test]
async fn reuse_beside_rubbish_is_still_reuse() {
    let world = World::cookies();
    let used = world.start(ALICE).await;
    let next = refreshed(&world, used.refresh().expose()).await;
    world.clock.set(ACCESS_SECONDS);
    let tokens = ["rubbish", used.refresh().expose()];
    drop(world.send(asked("/auth/refresh", &tokens)).await.fails(401, "invalid_token"));
    assert_eq!(world.refused("refresh_reused"), 1);
    assert!(world.web.service().refresh(RefreshToken::new(next.refresh().expose())).await.is_err());
}

#[tokio::test]
async fn of_dead_ones_a_reason_that_is_not_final_keeps_them() {
    let world = World::cookies();
    let ended = world.start(ALICE).await;
    world.web.service().log_out_everywhere(ALICE).await.unwrap();
    world.clock.set(3600);
    let ahead = world.start(ALICE).await;
    world.clock.set(0);
    let tokens = [ended.refresh().expose(), ahead.refresh().expose()];
    let refused = world.send(asked("/auth/refresh", &tokens)).await.fails(401, "invalid_token");
    assert_eq!(refused.all("set-cookie"), [""; 0]);
}

#[tokio::test]
async fn a_logout_ends_the_sessions_of_all() {
    let world = World::cookies();
    let (one, two) = (world.start(ALICE).await, world.start(ALICE).await);
    let tokens = ["rubbish", one.refresh().expose(), two.refresh().expose()];
    drop(world.send(asked("/auth/logout", &tokens)).await.is(204));
    assert!(!world.lives(&one).await && !world.lives(&two).await);
}

#[tokio::test]
async fn the_cookies_of_former_paths_are_deleted_by_each_grant_and_logout() {
    let set = Cookies::new().former_refresh_path("/api").former_refresh_path("/");
    let world = World::with(|web| web.cookies(set));
    let deleted = ["/api", "/"].map(|path| {
        format!("__Secure-refresh=; Max-Age=0; Path={path}; Secure; HttpOnly; SameSite=Strict")
    });
    let tokens = world.start(ALICE).await;
    let answers = [
        world.send(alices_login().same_origin()).await.is(200),
        world.send(asked("/auth/refresh", &[tokens.refresh().expose()])).await.is(200),
        world.send(asked("/auth/logout", &[tokens.refresh().expose()])).await.is(204),
        world.send(asked("/auth/refresh", &[tokens.refresh().expose()])).await.is(401),
    ];
    for answer in answers {
        let set = answer.all("set-cookie");
        assert!(deleted.iter().all(|each| set.contains(&&**each)), "{set:?}");
        let of_now = set.iter().filter(|cookie| cookie.contains("; Path=/auth;")).count();
        assert_eq!(of_now, 1, "{set:?}");
    }
    let page = world.send(get_("/me").access_cookie("rubbish")).await.is(401);
    assert_eq!(page.all("set-cookie"), [""; 0]);
}
