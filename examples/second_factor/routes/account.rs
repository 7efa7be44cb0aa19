//! The account: sign up, the page of an account, log out.

use axum::{
    Form,
    extract::State,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    User,
    axum::{Authenticated, Refusal},
    store::NewUser,
};
use serde::Deserialize;
use webauthn_rs::prelude::Uuid;

use crate::{Profile, Site, Web, error_pages, pages};

#[derive(Deserialize)]
pub(crate) struct Credentials {
    name: String,
    password: String,
}

impl Credentials {
    /// The normalized name, used for the lookup and for the limits; and the password.
    pub(crate) fn normal(&self) -> (String, &str) {
        (self.name.trim().to_lowercase(), &self.password)
    }
}

pub(crate) async fn welcome(verified: Option<Authenticated<Profile>>) -> Response {
    match verified {
        Some(_) => Redirect::to("/account").into_response(),
        None => pages::welcome().into_response(),
    }
}

pub(crate) async fn sign_up_page() -> Markup {
    pages::sign_up("", None)
}

pub(crate) async fn sign_up(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Form(credentials): Form<Credentials>,
) -> Result<Response, Refusal> {
    let (name, password) = credentials.normal();
    let form = |alert: &str| pages::sign_up(&name, Some(alert));
    if let Err(refusal) = web.admit(&request, &name).await {
        return Ok(error_pages::again(refusal, form));
    }
    if !(1..=64).contains(&name.chars().count()) || name.contains(char::is_control) {
        let alert = "A name must have 1 to 64 characters";
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, form(alert)).into_response());
    }
    let hash = match web.service().hash_password(password).await {
        Ok(hash) => hash,
        Err(error) => return Ok(error_pages::again(web.refusal(error), form)),
    };
    // A UUID, because authenticators store it with a passkey.
    let id = Uuid::new_v4().to_string();
    let user = NewUser::with_password_hash(&*id, &*name, hash);
    match site.users.insert(user).await.map_err(|error| web.refusal(error))? {
        true => {
            Ok((web.start_session(&request, &id).await?, Redirect::to("/account")).into_response())
        }
        false => Ok((StatusCode::CONFLICT, form("This name is taken")).into_response()),
    }
}

pub(crate) async fn page(
    web: Web,
    State(site): State<Site>,
    Authenticated(verified): Authenticated<Profile>,
    request: Parts,
) -> Result<Markup, Refusal> {
    let user = verified.user();
    let (sessions, own) = web.sessions(&request).await?;
    let factors = site.factors.of(user.id()).await.map_err(|error| web.refusal(error))?;
    let name = &user.fields().login;
    Ok(pages::account(&pages::Account { name, sessions: &sessions, own, factors: &factors }))
}

pub(crate) async fn log_out(web: Web, request: Parts) -> Result<Response, Refusal> {
    Ok((web.log_out(&request).await?, Redirect::to("/")).into_response())
}
