//! Set second factors up, and remove them. Each change requires a login within the last 5 minutes,
//! keeps this device logged in, and logs the others out.

use axum::{
    Form,
    extract::State,
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{
    User,
    axum::{Recent, Refusal},
    password::PasswordError,
    store::StoredUser,
};
use serde::Deserialize;
use webauthn_rs::prelude::{PasskeyRegistration, RegisterPublicKeyCredential, Uuid};

use crate::{
    Profile, Site, Web,
    factors::{Factors, NamedPasskey},
    pages::{self, Dialogue},
    totp,
};

/// A factor that is not stored yet: the user has not shown that it works.
pub(crate) enum Enrolment {
    Totp(String),
    Passkey(PasskeyRegistration),
}

/// The most passkeys of one user.
const MOST_PASSKEYS: usize = 20;

type RecentUser = Recent<5, Profile>;

pub(crate) async fn new_totp(
    web: Web,
    State(site): State<Site>,
    Recent(verified): RecentUser,
) -> Result<Markup, Refusal> {
    let secret = totp::new_secret().map_err(|error| web.refusal(PasswordError::Entropy(error)))?;
    Ok(totp_page(&site, verified.user(), secret, None))
}

fn totp_page(
    site: &Site,
    user: &StoredUser<Profile>,
    secret: String,
    alert: Option<&str>,
) -> Markup {
    let picture = totp::qr_code(&secret, &user.fields().login);
    let ceremony = site.enrolments.begin(user.id(), Enrolment::Totp(secret.clone()));
    pages::new_totp(&ceremony, &secret, picture.as_deref(), alert)
}

#[derive(Deserialize)]
pub(crate) struct Code {
    ceremony: String,
    code: String,
}

pub(crate) async fn confirm_totp(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Recent(verified): RecentUser,
    Form(Code { ceremony, code }): Form<Code>,
) -> Result<Response, Refusal> {
    let user = verified.user();
    let Some(Enrolment::Totp(secret)) = site.enrolments.finish(&ceremony, user.id()) else {
        return Ok(gone());
    };
    let refused = |error| web.refusal(error);
    if !site.factors.use_code(user.id(), &secret, &code).await.map_err(refused)? {
        let page = totp_page(&site, user, secret, Some("Wrong code"));
        return Ok((StatusCode::FORBIDDEN, page).into_response());
    }
    change(&web, &site, &request, user.id(), |factors| factors.totp = Some(secret)).await
}

pub(crate) async fn remove_totp(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Recent(verified): RecentUser,
) -> Result<Response, Refusal> {
    change(&web, &site, &request, verified.user().id(), |factors| factors.totp = None).await
}

pub(crate) async fn new_passkey(
    web: Web,
    State(site): State<Site>,
    Recent(verified): RecentUser,
) -> Result<Response, Refusal> {
    let user = verified.user();
    let factors = site.factors.of(user.id()).await.map_err(|error| web.refusal(error))?;
    if factors.passkeys.len() >= MOST_PASSKEYS {
        let page = pages::error("Not done", "Remove a passkey first.");
        return Ok((StatusCode::CONFLICT, page).into_response());
    }
    let present = factors.passkeys.iter().map(|named| named.passkey.cred_id().clone()).collect();
    let dialogue = Uuid::parse_str(user.id()).ok().and_then(|id| {
        let name = &user.fields().login;
        let begun = site.webauthn.start_passkey_registration(id, name, name, Some(present)).ok()?;
        let ceremony = site.enrolments.begin(user.id(), Enrolment::Passkey(begun.1));
        Dialogue::new(ceremony, &begun.0).ok()
    });
    Ok(match dialogue {
        Some(dialogue) => pages::new_passkey(&dialogue).into_response(),
        // `webauthn-rs` has logged why.
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    })
}

#[derive(Deserialize)]
pub(crate) struct NewPasskey {
    ceremony: String,
    name: String,
    /// A `PublicKeyCredential` as JSON.
    credential: String,
}

pub(crate) async fn confirm_passkey(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Recent(verified): RecentUser,
    Form(form): Form<NewPasskey>,
) -> Result<Response, Refusal> {
    let id = verified.user().id();
    let Some(Enrolment::Passkey(begun)) = site.enrolments.finish(&form.ceremony, id) else {
        return Ok(gone());
    };
    let credential = serde_json::from_str::<RegisterPublicKeyCredential>(&form.credential).ok();
    let passkey = credential
        .and_then(|credential| site.webauthn.finish_passkey_registration(&credential, &begun).ok());
    let Some(passkey) = passkey else {
        let page = pages::error("Not done", "The passkey is not accepted.");
        return Ok((StatusCode::FORBIDDEN, page).into_response());
    };
    let name = form.name.chars().take(64).collect();
    let named = NamedPasskey { name, passkey };
    change(&web, &site, &request, id, |factors| factors.passkeys.push(named)).await
}

#[derive(Deserialize)]
pub(crate) struct OnePasskey {
    id: String,
}

pub(crate) async fn remove_passkey(
    web: Web,
    State(site): State<Site>,
    request: Parts,
    Recent(verified): RecentUser,
    Form(OnePasskey { id }): Form<OnePasskey>,
) -> Result<Response, Refusal> {
    let remove = |factors: &mut Factors| {
        factors.passkeys.retain(|named| pages::hex(named.passkey.cred_id()) != id);
    };
    change(&web, &site, &request, verified.user().id(), remove).await
}

pub(crate) async fn new_recovery_codes(
    web: Web,
    State(site): State<Site>,
    Recent(verified): RecentUser,
) -> Result<Markup, Refusal> {
    let codes = site.factors.replace_recovery_codes(verified.user().id()).await;
    Ok(pages::recovery_codes(&codes.map_err(|error| web.refusal(error))?))
}

/// Changes the user's factors. The first factor comes with recovery codes.
async fn change(
    web: &Web,
    site: &Site,
    request: &Parts,
    user_id: &str,
    edit: impl FnOnce(&mut Factors),
) -> Result<Response, Refusal> {
    let refused = |error| web.refusal(error);
    let mut factors = site.factors.of(user_id).await.map_err(refused)?;
    let is_first = factors.is_empty();
    edit(&mut factors);
    if is_first && factors.is_empty() {
        return Ok(Redirect::to("/account").into_response());
    }
    let codes = match is_first {
        true => Some(site.factors.replace_recovery_codes(user_id).await.map_err(refused)?),
        false => None,
    };
    let secret = site.factors.insert(user_id, &factors).await.map_err(refused)?;
    let grant = web.change_secret(request, secret.as_deref()).await?;
    // The change is made. A row that stays is not used, and the next change deletes it.
    let deleted = site.factors.delete_former(user_id, secret.as_deref()).await;
    drop(deleted.map_err(refused));
    match codes {
        Some(codes) => Ok((grant, pages::recovery_codes(&codes)).into_response()),
        None => Ok((grant, Redirect::to("/account")).into_response()),
    }
}

fn gone() -> Response {
    let text = "This took too long, or was finished already. Start again.";
    (StatusCode::GONE, pages::error("Not done", text)).into_response()
}
