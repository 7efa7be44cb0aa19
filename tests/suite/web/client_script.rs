//! The JavaScript module: its type, and how a browser learns that it has the present text.

use axum::{Router, routing::any};
use http::StatusCode;
use relatch::axum::endpoints::client_script;

use super::{Answer, ask, get_, send};

/// Without the layer of a web.
async fn fetch(tags: &[&str]) -> Answer {
    let app = Router::new().route("/relatch.js", any(client_script));
    let ask = tags.iter().fold(get_("/relatch.js"), |ask, tag| ask.header("if-none-match", tag));
    send(&app, ask).await
}

fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_client_script_is_a_module_that_browsers_accept() {
    let answer = fetch(&[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(header(&answer, "content-type"), "text/javascript; charset=utf-8");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert_eq!(header(&answer, "cache-control"), "no-cache");
    assert!(answer.body.contains("export function createSession("));
}

#[tokio::test]
async fn a_browser_with_the_present_script_does_not_get_it_again() {
    let tag = header(&fetch(&[]).await, "etag").to_owned();
    assert!(tag.len() > 10 && tag.starts_with('"') && tag.ends_with('"'), "{tag}");
    let weak = format!("W/{tag}"); // behind a proxy that compresses
    let among = format!("\"another\", {tag}");
    for tags in [&[&*tag][..], &[&*weak], &["*"], &[&*among], &["\"another\"", &tag]] {
        let answer = fetch(tags).await;
        assert_eq!(answer.status, StatusCode::NOT_MODIFIED, "{tags:?}");
        assert_eq!(header(&answer, "etag"), tag);
        assert_eq!(answer.body, "");
    }
    for tags in [&["\"another\""][..], &[&tag[1..]], &[""]] {
        assert_eq!(fetch(tags).await.status, StatusCode::OK, "{tags:?}");
    }
}

#[tokio::test]
async fn the_client_script_can_only_be_read() {
    let app = Router::new().route("/relatch.js", any(client_script));
    let head = send(&app, ask("HEAD", "/relatch.js")).await;
    assert_eq!((head.status, &*head.body), (StatusCode::OK, ""));
    let post = send(&app, ask("POST", "/relatch.js")).await;
    assert_eq!(post.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(header(&post, "allow"), "GET, HEAD");
}
