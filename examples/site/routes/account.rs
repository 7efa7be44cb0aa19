//! Accounts: sign up, log in, log out, change the password, delete.

use axum::{
    Form,
    extract::{RawQuery, State},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    User,
    authority::{Entropy, SystemEntropy},
    axum::{Authenticated, Recent, Refusal, local_path},
    password::PasswordError,
    store::NewUser,
};
use serde::Deserialize;

use crate::{Profile, Site, Web, error_pages, pages};

#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
}

pub(crate) async fn sign_up_page() -> Markup {
    pages::sign_up("", None)
}

pub(crate) async fn sign_up(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Form(Credentials { name, password }): Form<Credentials>,
) -> Result<Response, Refusal> {
    let name = normal(&name);
    let form = |alert: &str| pages::sign_up(&name, Some(alert));
    if let Err(refusal) = web.admit(&request, &name).await {
        return Ok(error_pages::again(refusal, form));
    }
    let is_name = (1..=64).contains(&name.chars().count()) && !name.contains(char::is_control);
    if !is_name {
        return Ok((UNFIT, form("A name must have 1 to 64 characters")).into_response());
    }
    let hash = match web.service().hash_password(&password).await {
        Ok(hash) => hash,
        Err(error) => return Ok(error_pages::again(web.refusal(error), form)),
    };
    let id = new_id(&web)?;
    let user = NewUser::with_password_hash(&*id, &*name, hash);
    match site.users.insert(user).await.map_err(|error| web.refusal(error))? {
        true => {
            let client = web.client(&request).without_notice();
            let tokens = web.service().start_session(&id, client).await;
            let grant = web.grant(&request, tokens.map_err(|error| web.refusal(error))?)?;
            Ok((grant, Redirect::to("/devices")).into_response())
        }
        false => Ok((StatusCode::CONFLICT, form("This name is taken")).into_response()),
    }
}

pub(crate) async fn log_in_page(RawQuery(query): RawQuery) -> Markup {
    let was_reset = query.as_deref() == Some("reset");
    pages::log_in(
        "",
        was_reset.then_some("Your password was changed. Log in with the new one."),
        None,
    )
}

pub(crate) async fn log_in(
    web: Web,
    request: Parts,
    Form(Credentials { name, password }): Form<Credentials>,
) -> Response {
    let name = normal(&name);
    match web.login(&request, &name, &password).await {
        Ok(grant) => (grant, Redirect::to("/devices")).into_response(),
        Err(refusal) => {
            error_pages::again(refusal, |alert| pages::log_in(&name, None, Some(alert)))
        }
    }
}

pub(crate) async fn log_out(web: Web, request: Parts) -> Result<Response, Refusal> {
    Ok((web.log_out(&request).await?, Redirect::to("/")).into_response())
}

pub(crate) async fn password_page(_: Authenticated<Profile>) -> Markup {
    pages::password(None)
}

#[derive(Deserialize)]
pub(crate) struct Passwords {
    present: String,
    new: String,
}

pub(crate) async fn change_password(
    web: Web,
    request: Parts,
    Form(Passwords { present, new }): Form<Passwords>,
) -> Response {
    let form = |alert: &str| pages::password(Some(alert));
    match web.change_password(&request, &present, &new).await {
        Ok(grant) => (grant, Redirect::to("/devices?changed")).into_response(),
        Err(refusal) => error_pages::again(refusal, form),
    }
}

pub(crate) async fn delete_page(_: Authenticated<Profile>) -> Markup {
    pages::delete_account()
}

/// Deletes the account. A user who logged in more than 5 minutes ago must first [`confirm`].
pub(crate) async fn delete(
    web: Web,
    Recent(verified): Recent<5, Profile>,
) -> Result<Response, Refusal> {
    let deleted = web.service().delete(verified.user().id()).await;
    deleted.map_err(|error| web.refusal(error))?;
    Ok((web.forget(), Redirect::to("/")).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Confirmation {
    password: String,
    then: String,
}

pub(crate) async fn confirm(
    web: Web,
    request: Parts,
    Form(Confirmation { password, then }): Form<Confirmation>,
) -> Response {
    match web.reauthenticate(&request, &password).await {
        Ok(grant) => (grant, Redirect::to(local_path(&then).unwrap_or("/"))).into_response(),
        Err(refusal) => error_pages::again(refusal, |alert| pages::confirm(&then, Some(alert))),
    }
}

/// The normalized name, used for the lookup and for the rate limits.
pub(crate) fn normal(name: &str) -> String {
    name.trim().to_lowercase()
}

const UNFIT: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

/// A random user id. An id is never used again, even after its user is deleted.
fn new_id(web: &Web) -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    SystemEntropy.fill(&mut bytes).map_err(|error| web.refusal(PasswordError::Entropy(error)))?;
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}
