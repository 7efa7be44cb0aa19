//! Log in: the password, then the second factor of a user who has one.

use axum::{
    Form,
    extract::State,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{User, axum::Refusal, service::ServiceError};

use super::{
    account::Credentials,
    check::{self, Given},
};
use crate::{Site, Web, error_pages, factors::Factors, pages};

pub(crate) async fn page() -> Markup {
    pages::log_in("", None)
}

pub(crate) async fn password(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Form(credentials): Form<Credentials>,
) -> Response {
    let (name, password) = credentials.normal();
    let answer = first_step(&web, &site, &request, (&name, password)).await;
    answer.unwrap_or_else(|refusal| {
        error_pages::again(refusal, |alert| pages::log_in(&name, Some(alert)))
    })
}

async fn first_step(
    web: &Web,
    site: &Site,
    request: &Parts,
    (name, password): (&str, &str),
) -> Result<Response, Refusal> {
    let login = web.verify_login(request, name, password).await?;
    let id = login.user().id();
    let factors = site.factors.of(id).await.map_err(|error| web.refusal(error))?;
    if factors.is_empty() {
        // Refused if the user has set a second factor up meanwhile.
        let tokens = login.start_session().await.map_err(|error| web.refusal(error))?;
        return Ok((web.grant(request, tokens)?, Redirect::to("/account")).into_response());
    }
    let page = pages::second_step(check::dialogue(site, id, &factors).as_ref(), None);
    Ok((web.pending(&login)?, page).into_response())
}

/// The second step.
pub(crate) async fn second_factor(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Form(given): Form<Given>,
) -> Result<Response, Refusal> {
    let login = match web.second_step(&request, None).await {
        Ok(login) => login,
        Err(refusal) => return Ok(start_again(refusal)),
    };
    let refused = |error| web.refusal(error);
    let id = login.user().id();
    let secret = login.expose_secret().unwrap_or_default();
    let factors = site.factors.named_by(secret).await.map_err(refused)?;
    if !check::is_right(&site, id, &factors, &given).await.map_err(refused)? {
        return Ok(wrong(&web, &site, id, &factors));
    }
    let tokens = login.start_session().await.map_err(refused)?;
    Ok((web.grant(&request, tokens)?, Redirect::to("/account")).into_response())
}

/// The form again, with a new challenge.
fn wrong(web: &Web, site: &Site, user_id: &str, factors: &Factors) -> Response {
    let passkey = check::dialogue(site, user_id, factors);
    error_pages::again(web.refusal(ServiceError::WrongCode), |alert| {
        pages::second_step(passkey.as_ref(), Some(alert))
    })
}

/// Too many attempts, or the pending login is over.
fn start_again(refusal: Refusal) -> Response {
    match refusal.is_logged_out() {
        true => (refusal.status(), pages::log_in("", Some(OVER))).into_response(),
        false => error_pages::again(refusal, |alert| pages::second_step(None, Some(alert))),
    }
}

const OVER: &str = "This login took too long, or you logged in elsewhere meanwhile. Start again.";
