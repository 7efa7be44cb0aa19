//! Log in: the password, then the second factor of a user who has one.

use axum::{
    Form,
    extract::State,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    User,
    axum::Refusal,
    service::{PendingLogin, ServiceError},
};
use serde::Deserialize;
use webauthn_rs::prelude::PublicKeyCredential;

use super::account::Credentials;
use crate::{
    Profile, Site, Web, error_pages,
    factors::Factors,
    pages::{self, Dialogue},
};

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
    let page = pages::second_step(dialogue(site, id, &factors).as_ref(), None);
    Ok((web.pending(&login)?, page).into_response())
}

#[derive(Deserialize)]
pub(crate) struct Code {
    code: String,
}

/// The second step with a code of the app, or with a recovery code.
pub(crate) async fn code(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Form(Code { code }): Form<Code>,
) -> Result<Response, Refusal> {
    let login = match web.second_step(&request, None).await {
        Ok(login) => login,
        Err(refusal) => return Ok(start_again(refusal)),
    };
    let id = login.user().id();
    let accepted = async {
        let factors = site.factors.named_by(login.expose_secret().unwrap_or_default()).await?;
        // It is used up before the session starts: of two requests with one code, one succeeds.
        let is_of_app = match &factors.totp {
            Some(totp) => site.factors.use_code(id, totp, &code).await?,
            None => false,
        };
        let is_right = is_of_app || site.factors.use_recovery_code(id, &code).await?;
        Ok::<_, ServiceError>((factors, is_right))
    };
    match accepted.await.map_err(|error| web.refusal(error))? {
        (_, true) => finish(&web, &request, login).await,
        (factors, false) => Ok(wrong(&web, &site, id, &factors)),
    }
}

#[derive(Deserialize)]
pub(crate) struct Answer {
    ceremony: String,
    /// A `PublicKeyCredential` as JSON.
    credential: String,
}

/// The second step with a passkey.
pub(crate) async fn passkey(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Form(answer): Form<Answer>,
) -> Result<Response, Refusal> {
    let login = match web.second_step(&request, None).await {
        Ok(login) => login,
        Err(refusal) => return Ok(start_again(refusal)),
    };
    let id = login.user().id();
    let secret = login.expose_secret().unwrap_or_default();
    let factors = site.factors.named_by(secret).await.map_err(|error| web.refusal(error))?;
    let begun = site.passkey_logins.finish(&answer.ceremony, id);
    let result = begun.zip(serde_json::from_str::<PublicKeyCredential>(&answer.credential).ok());
    let result = result.and_then(|(begun, credential)| {
        site.webauthn.finish_passkey_authentication(&credential, &begun).ok()
    });
    let is_right = match result {
        // The passkey may have been removed since the dialogue began.
        Some(result) if factors.has(result.cred_id()) => {
            let counted = site.factors.count(secret, &factors, &result).await;
            counted.map_err(|error| web.refusal(error))?
        }
        _ => false,
    };
    match is_right {
        true => finish(&web, &request, login).await,
        false => Ok(wrong(&web, &site, id, &factors)),
    }
}

async fn finish(
    web: &Web,
    request: &Parts,
    login: PendingLogin<Profile>,
) -> Result<Response, Refusal> {
    let tokens = login.start_session().await.map_err(|error| web.refusal(error))?;
    Ok((web.grant(request, tokens)?, Redirect::to("/account")).into_response())
}

/// The form again, with a new challenge.
fn wrong(web: &Web, site: &Site, user_id: &str, factors: &Factors) -> Response {
    let passkey = dialogue(site, user_id, factors);
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

/// The passkey dialogue of a user who has passkeys.
fn dialogue(site: &Site, user_id: &str, factors: &Factors) -> Option<Dialogue> {
    let passkeys = factors.passkeys();
    if passkeys.is_empty() {
        return None;
    }
    // After an error, which `webauthn-rs` logs, the user has the recovery codes.
    let (options, state) = site.webauthn.start_passkey_authentication(&passkeys).ok()?;
    Dialogue::new(site.passkey_logins.begin(user_id, state), &options).ok()
}
