//! The access token of a request: in one header or one cookie, never both.

use super::{ALICE, World, get_, post_};

/// A web with cookies, and the text of a valid token.
async fn world() -> (World, String) {
    let world = World::cookies();
    let text = world.start(ALICE).await.access().expose().to_owned();
    (world, text)
}

#[tokio::test]
async fn a_header_and_a_cookie_are_each_enough() {
    let (world, text) = world().await;
    world.send(get_("/me").bearer(&text)).await.is(200);
    world.send(get_("/me").access_cookie(&text)).await.is(200);
}

#[tokio::test]
async fn two_credentials_are_refused_though_both_are_good() {
    let (world, text) = world().await;
    let twice = format!("__Host-access={text}; __Host-access={text}");
    let asks = [
        get_("/me").bearer(&text).access_cookie(&text),
        get_("/me").bearer("").access_cookie(&text),
        get_("/me").bearer(&text).bearer(&text),
        get_("/me").bearer(&text).header("authorization", "Basic YTpi"),
        get_("/me").header("authorization", "Basic YTpi").bearer(&text),
        get_("/me").header("cookie", &twice),
        get_("/me").access_cookie(&text).access_cookie(&text),
        get_("/me").access_cookie(&text).access_cookie(""),
        get_("/me").access_cookie("").access_cookie(&text),
        get_("/me").header("cookie", twice.replace(' ', "")).bearer(&text),
    ];
    for ask in asks {
        let what = format!("{ask:?}");
        let refused = world.send(ask).await;
        assert_eq!(refused.status, 400, "{what}");
        let refused = refused.fails(400, "invalid_request");
        assert_eq!(refused.header("www-authenticate"), "Bearer error=\"invalid_request\"");
    }
}

#[tokio::test]
async fn the_scheme_is_bearer_in_any_case() {
    let (world, text) = world().await;
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "] {
        let asked = get_("/me").header("authorization", format!("{scheme} {text}"));
        world.send(asked).await.is(200);
    }
    // Other schemes carry no token, so there is no user.
    for other in ["Basic YTpi", "Digest x", "Negotiate x", "Bearerx", "Token", "DPoP", "", " "] {
        let asked = get_("/me").header("authorization", other);
        world.send(asked).await.fails(401, "login_required");
    }
    let asked = get_("/me").header("authorization", format!("Token {text}"));
    world.send(asked).await.fails(401, "login_required");
    let asked = get_("/me").header("authorization", &text);
    world.send(asked).await.fails(401, "login_required");
    // A password for a proxy in the header does not hide the cookie.
    let asked = get_("/me").header("authorization", "Basic YTpi").access_cookie(&text);
    world.send(asked).await.is(200);
}

#[tokio::test]
async fn an_empty_or_odd_bearer_is_no_good_token() {
    let (world, text) = world().await;
    let values = [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        format!("Bearer \t{text}"),
        format!("Bearer {text}, Bearer {text}"),
        format!("Bearer {text};"),
        format!("Bearer \"{text}\""),
        format!("Bearer {text} {text}"),
    ];
    for value in values {
        let asked = get_("/me").header("authorization", &value);
        world.send(asked).await.fails(401, "invalid_token");
    }
    let asked = get_("/me").header("authorization", b"Bearer \xff\xfe");
    world.send(asked).await.fails(400, "invalid_request");
}

#[tokio::test]
async fn other_cookies_are_not_looked_at() {
    let (world, text) = world().await;
    let beside: [&[u8]; 9] = [
        b"theme=dark",
        b"theme=\xff\xfe\x80",
        b"\xff\xfe\x80",
        b"=",
        b"; ;;  ; ",
        b"a=\"; b=\"",
        b"__Host-access",
        b"__Host-accessory=1",
        b"x=__Host-access",
    ];
    for other in beside {
        let ours = format!("__Host-access={text}");
        for pair in [[other, ours.as_bytes()], [ours.as_bytes(), other]] {
            let one = get_("/me").header("cookie", pair.join(&b"; "[..]));
            world.send(one).await.is(200);
            let tight = get_("/me").header("cookie", pair.join(&b";"[..]));
            world.send(tight).await.is(200);
            let two = get_("/me").header("cookie", pair[0]).header("cookie", pair[1]);
            world.send(two).await.is(200);
        }
    }
}

#[tokio::test]
async fn a_name_that_is_like_ours_is_another() {
    let (world, text) = world().await;
    let names = [
        "__host-access",
        "__HOST-ACCESS",
        "_Host-access",
        "access",
        "__Host-access2",
        "x__Host-access",
        "__Host-access ",
        "__Host-access[0]",
        "__Secure-access",
        "__Host-named-access",
        "__Secure-refresh",
        "insecure-access",
        "\"__Host-access\"",
        "__Host-\u{e4}ccess",
    ];
    for name in names {
        let asked = get_("/me").header("cookie", format!("{name}={text}"));
        world.send(asked).await.fails(401, "login_required");
    }
}

#[tokio::test]
async fn a_value_is_taken_as_it_is() {
    let (world, text) = world().await;
    for value in
        [format!("\"{text}\""), format!(" {text}"), format!("{text}%20"), format!("={text}")]
    {
        world.send(get_("/me").access_cookie(&value)).await.fails(401, "invalid_token");
    }
    // Browsers may put spaces between cookies.
    let spaced = format!("  __Host-access={text}  ;  theme=dark  ");
    world.send(get_("/me").header("cookie", spaced)).await.is(200);
    // An empty cookie, and one that is not text, hold no token.
    world.send(get_("/me").access_cookie("")).await.fails(401, "login_required");
    let junk = get_("/me").header("cookie", b"__Host-access=\xff\xfe");
    world.send(junk).await.fails(401, "login_required");
    world.send(get_("/me").access_cookie("").bearer(&text)).await.is(200);
}

#[tokio::test]
async fn without_cookies_set_up_none_is_looked_at() {
    let world = World::bearer();
    let tokens = world.start(ALICE).await;
    let text = tokens.access().expose();
    world.send(get_("/me").access_cookie(text)).await.fails(401, "login_required");
    world.send(post_("/me").access_cookie(text).bearer(text)).await.is(200);
    world.send(get_("/me").access_cookie(text).access_cookie(text).bearer(text)).await.is(200);
}

#[tokio::test]
async fn what_is_absurdly_long_is_not_looked_at() {
    let (world, text) = world().await;
    let long = "x".repeat(64 * 1024);
    world.send(get_("/me").bearer(&long)).await.fails(431, "invalid_request");
    // Below the limit it is an ordinary invalid token.
    let shorter = "x".repeat(32 * 1024);
    world.send(get_("/me").bearer(&shorter)).await.fails(401, "invalid_token");
    let cookies = format!("a={}", "x".repeat(16 * 1024));
    let beside = get_("/me").access_cookie(&text).header("cookie", &cookies);
    world.send(beside).await.fails(431, "invalid_request");
    let beside = get_("/maybe").header("cookie", &cookies);
    world.send(beside).await.fails(431, "invalid_request");
    let half = format!("a={}", "x".repeat(8 * 1024));
    let beside = get_("/me").access_cookie(&text).header("cookie", &half);
    world.send(beside).await.is(200);
}
