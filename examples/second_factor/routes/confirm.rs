//! Authenticate again before a change of the second factors, more than 5 minutes after the login. A user
//! who has a second factor shows it again: the thief of a session and of the password must not remove it.

use axum::{
    Form,
    extract::State,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    User,
    axum::{Authenticated, Refusal},
    service::ServiceError,
};
use serde::Deserialize;

use super::check::{self, Given};
use crate::{Profile, Site, Web, error_pages, factors::Factors, pages};

pub(crate) async fn page(
    web: Web,
    State(site): State<Site>,
    Authenticated(verified): Authenticated<Profile>,
) -> Result<Markup, Refusal> {
    let id = verified.user().id();
    let factors = site.factors.of(id).await.map_err(|error| web.refusal(error))?;
    Ok(form(&site, id, &factors, None))
}

fn form(site: &Site, user_id: &str, factors: &Factors, alert: Option<&str>) -> Markup {
    let passkey = check::dialogue(site, user_id, factors);
    pages::confirm(!factors.is_empty(), passkey.as_ref(), alert)
}

#[derive(Deserialize)]
pub(crate) struct Password {
    password: String,
    /// Of a user with a second factor.
    #[serde(default)]
    code: String,
}

/// By the password, and for a user with a second factor also by a code.
pub(crate) async fn password(
    web: Web,
    State(site): State<Site>,
    Authenticated(verified): Authenticated<Profile>,
    request: Parts,
    Form(Password { password, code }): Form<Password>,
) -> Result<Response, Refusal> {
    let id = verified.user().id();
    let factors = site.factors.of(id).await.map_err(|error| web.refusal(error))?;
    let confirmed = async {
        if !factors.is_empty() {
            let admitted = web.service().admit_code(&verified).await;
            admitted.map_err(|error| web.refusal(error))?;
            let is_right = check::is_right(&site, id, &factors, &Given::Code { code }).await;
            if !is_right.map_err(|error| web.refusal(error))? {
                return Err(web.refusal(ServiceError::WrongCode));
            }
        }
        web.reauthenticate(&request, &password).await
    };
    Ok(match confirmed.await {
        Ok(grant) => (grant, Redirect::to("/account")).into_response(),
        Err(refusal) => error_pages::again(refusal, |alert| form(&site, id, &factors, Some(alert))),
    })
}

/// By a passkey, for which the user has shown a finger or a PIN to the authenticator.
pub(crate) async fn passkey(
    web: Web,
    State(site): State<Site>,
    Authenticated(verified): Authenticated<Profile>,
    request: Parts,
    Form(given): Form<Given>,
) -> Result<Response, Refusal> {
    let refused = |error| web.refusal(error);
    let id = verified.user().id();
    web.service().admit_code(&verified).await.map_err(refused)?;
    let factors = site.factors.of(id).await.map_err(refused)?;
    let is_passkey = matches!(given, Given::Passkey { .. });
    if !is_passkey || !check::is_right(&site, id, &factors, &given).await.map_err(refused)? {
        let refusal = web.refusal(ServiceError::WrongCode);
        return Ok(error_pages::again(refusal, |alert| form(&site, id, &factors, Some(alert))));
    }
    let token = web.access_token(&request)?.ok_or(Refusal::NoToken)?;
    let tokens = web.service().restart_session(&token).await.map_err(refused)?;
    Ok((web.grant(&request, tokens)?, Redirect::to("/account")).into_response())
}
