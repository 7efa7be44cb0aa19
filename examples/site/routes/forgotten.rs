//! Password reset by a link that works once.

use axum::{
    Form,
    extract::{Query, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    NoClaims, Token,
    axum::Refusal,
    one_time::PasswordReset,
    service::ServiceError,
    store::{StoredUser, UserKey},
};
use serde::Deserialize;

use super::account::normal;
use crate::{Profile, Site, Web, error_pages, pages};

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
        let issued = web.service().issue::<PasswordReset>(key, &NoClaims {}).sign().await;
        match issued {
            Ok(Some((user, token))) => print_link(&site, &user, &token),
            Ok(None) => {}
            Err(error) => drop(web.refusal(error)),
        }
    });
    page.into_response()
}

/// Prints the link to set a new password: to the address of the record, not to one that was typed.
pub(super) fn print_link(site: &Site, user: &StoredUser<Profile>, token: &Token<PasswordReset>) {
    let to = user.login().unwrap_or_default();
    println!("link for {to}: {}/reset?token={}", site.url, token.expose());
}

#[derive(Deserialize)]
pub(crate) struct Link {
    pub(super) token: String,
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
pub(super) fn dead(refusal: Refusal) -> Result<Response, Refusal> {
    match refusal.is_logged_out() {
        true => {
            let page =
                pages::error("This link no longer works", "Ask for a link to set a new password.");
            Ok((StatusCode::GONE, page).into_response())
        }
        false => Err(refusal),
    }
}
