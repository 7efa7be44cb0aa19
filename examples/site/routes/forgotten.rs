//! Password reset by a link that works once.

use axum::{
    Form,
    extract::{Query, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    Context, NoClaims, Token, axum::Refusal, one_time::PasswordReset, service::ServiceError,
    store::UserKey,
};
use serde::Deserialize;

use super::account::normal;
use crate::{Site, Web, error_pages, pages};

pub(crate) async fn page() -> Markup {
    pages::forgotten("", None, None)
}

#[derive(Deserialize)]
pub(crate) struct Forgotten {
    name: String,
}

/// Responds in the same way and in the same time whether or not the user exists.
pub(crate) async fn send_link(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Form(Forgotten { name }): Form<Forgotten>,
) -> Response {
    let name = normal(&name);
    if let Err(refusal) = web.admit(&request, &name).await {
        return error_pages::again(refusal, |alert| pages::forgotten(&name, None, Some(alert)));
    }
    let notice = "If there is such a user, a link was printed to the console.";
    let page = pages::forgotten("", Some(notice), None);
    tokio::spawn(async move {
        let key = UserKey::Login(&name);
        let issued = web.service().issue::<PasswordReset>(key, &NoClaims {}, Context::new()).await;
        match issued {
            Ok(Some((user, token))) => {
                let (name, url, token) = (&user.fields().login, &site.url, token.expose());
                println!("link for {name}: {url}/reset?token={token}");
            }
            Ok(None) => {}
            Err(error) => drop(web.refusal(error)),
        }
    });
    page.into_response()
}

#[derive(Deserialize)]
pub(crate) struct Link {
    token: String,
}

/// Shows the form. It does not use up the link, because mail scanners open links too.
pub(crate) async fn reset_page(
    web: Web,
    Query(Link { token }): Query<Link>,
) -> Result<Response, Refusal> {
    match web.service().peek(&Token::<PasswordReset>::new(&*token)).await {
        Ok(_) => Ok(pages::reset(&token, None).into_response()),
        Err(error) => dead(web.refusal(error)),
    }
}

#[derive(Deserialize)]
pub(crate) struct Reset {
    token: String,
    new: String,
}

pub(crate) async fn reset(
    web: Web,
    Form(Reset { token, new }): Form<Reset>,
) -> Result<Response, Refusal> {
    let form = |alert: &str| pages::reset(&token, Some(alert));
    let link = Token::<PasswordReset>::new(&*token);
    match web.service().one_time(link).set_password(&new).consume().await {
        Ok(_) => Ok(Redirect::to("/login?reset").into_response()),
        Err(error @ ServiceError::PasswordRefused(_)) => {
            Ok(error_pages::again(web.refusal(error), form))
        }
        Err(error) => dead(web.refusal(error)),
    }
}

/// The page for a link that is refused. The default page would speak of a login.
fn dead(refusal: Refusal) -> Result<Response, Refusal> {
    match refusal.is_logged_out() {
        true => {
            let page = pages::error("This link no longer works", "Ask for another one.");
            Ok((StatusCode::GONE, page).into_response())
        }
        false => Err(refusal),
    }
}
