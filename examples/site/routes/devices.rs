//! The page "Your devices" and its forms.

use axum::{
    Form,
    extract::{RawQuery, State},
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    User,
    axum::{Authenticated, Refusal},
};
use serde::Deserialize;

use crate::{Profile, Site, Web, decode_token, error_pages, pages};

pub(crate) async fn page(
    web: Web,
    State(site): State<Site>,
    verified: Authenticated<Profile>,
    RawQuery(query): RawQuery,
    request: Parts,
) -> Result<Markup, Refusal> {
    let has_changed = query.as_deref() == Some("changed");
    let notice =
        has_changed.then_some("Your password was changed. All other devices were logged out.");
    shown(&web, &site, &verified, &request, (notice, None)).await
}

async fn shown(
    web: &Web,
    site: &Site,
    Authenticated(verified): &Authenticated<Profile>,
    request: &Parts,
    (notice, alert): (Option<&str>, Option<&str>),
) -> Result<Markup, Refusal> {
    let (sessions, own) = web.sessions(request).await?;
    let token = web.access_token(request)?;
    let id = verified.user().id();
    Ok(pages::devices(&pages::Devices {
        name: &verified.user().fields().login,
        sessions: &sessions,
        own,
        events: &site.events.of(id),
        token: &decode_token::markup(token.as_ref().map_or("", |token| token.expose())),
        kill: &format!(
            "UPDATE relatch_users\nSET token_version = token_version + 1\nWHERE id = '{id}';"
        ),
        notice,
        alert,
    }))
}

#[derive(Deserialize)]
pub(crate) struct Device {
    session: String,
}

pub(crate) async fn log_out(
    web: Web,
    request: Parts,
    Form(Device { session }): Form<Device>,
) -> Result<Redirect, Refusal> {
    let device = session.parse().map_err(|_| Refusal::BadRequest("not a session id".into()))?;
    web.log_out_device(&request, device).await?;
    Ok(Redirect::to("/devices"))
}

#[derive(Deserialize)]
pub(crate) struct Password {
    password: String,
}

pub(crate) async fn log_out_others(
    web: Web,
    State(site): State<Site>,
    verified: Authenticated<Profile>,
    request: Parts,
    Form(Password { password }): Form<Password>,
) -> Result<Response, Refusal> {
    let refusal = match web.log_out_others(&request, &password).await {
        Ok(grant) => return Ok((grant, Redirect::to("/devices")).into_response()),
        Err(refusal) => refusal,
    };
    let Some(alert) = error_pages::on_form(&refusal) else { return Err(refusal) };
    let page = shown(&web, &site, &verified, &request, (None, Some(&alert))).await?;
    Ok(error_pages::in_place_of(&refusal.into_response(), page))
}

pub(crate) async fn log_out_everywhere(web: Web, request: Parts) -> Result<Response, Refusal> {
    Ok((web.log_out_everywhere(&request).await?, Redirect::to("/")).into_response())
}
