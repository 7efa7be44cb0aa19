//! What people are shown of a refusal: of one that the library made a response of, wherever it came
//! up, a page takes the place.

use axum::{
    extract::Request,
    http::{
        HeaderMap, HeaderValue, Method, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
        request::Parts,
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{Reason, axum::Refusal, password::PasswordError, service::ServiceError};

use crate::{Web, pages, taken_apart};

/// The layer of all that people are shown.
pub(crate) async fn layer(web: Web, request: Request, next: Next) -> Response {
    let (request, body) = request.into_parts();
    let head = request.clone();
    let response = next.run(Request::from_parts(request, body)).await;
    match Refusal::of(&response) {
        Some(refusal) => page(&web, &head, refusal, response.headers()),
        // Axum's own, such as a form with a field missing.
        None if is_bare(&response) => {
            let status = response.status();
            let page = pages::error(phrase(status), "That did not work.");
            (status, but_content(response.headers().clone()), page).into_response()
        }
        None => response,
    }
}

/// With the status and the headers of the library's own answer.
fn page(web: &Web, request: &Parts, refusal: &Refusal, headers: &HeaderMap) -> Response {
    let here = match request.method {
        Method::GET => request.uri.path(),
        // What was sent is lost, and sent again from the page that it came from.
        _ => "/devices",
    };
    let with_page =
        |page: Markup| (refusal.status(), but_content(headers.clone()), page).into_response();
    match refusal {
        Refusal::NoToken => Redirect::to(&format!("/auth/resume?to={here}")).into_response(),
        Refusal::Service(ServiceError::Rejected(rejection)) => match rejection.reason() {
            Reason::Expired => Redirect::to(&format!("/auth/resume?to={here}")).into_response(),
            reason => {
                let token = web.access_token(request).ok().flatten();
                let token = token.as_ref().map(|token| taken_apart::token(token.expose()));
                let page = pages::logged_out(reason.as_str(), in_words(reason), token.as_ref());
                (web.forget(), with_page(page)).into_response()
            }
        },
        Refusal::StepUp { .. } => with_page(pages::confirm(request.uri.path(), None)),
        _ => with_page(pages::error(phrase(refusal.status()), text_of(refusal))),
    }
}

/// What is told on the form that was sent, if the form can be sent once more.
pub(crate) fn on_form(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::TooManyAttempts { retry_after } => {
            let seconds = retry_after.whole_seconds() + 1;
            Some(format!("Too many attempts. Try again in {seconds} seconds."))
        }
        Refusal::Service(ServiceError::LoginRefused(_)) => Some("Wrong name or password".into()),
        Refusal::Service(ServiceError::WrongPassword(_)) => Some("Wrong password".into()),
        Refusal::Service(ServiceError::Password(PasswordError::Length)) => {
            Some("This password is too long".into())
        }
        _ => None,
    }
}

/// The form once more, with what was wrong.
pub(crate) fn again(refusal: Refusal, form: impl FnOnce(&str) -> Markup) -> Response {
    match on_form(&refusal) {
        Some(alert) => with_page(refusal, form(&alert)),
        None => refusal.into_response(),
    }
}

/// The library's own answer, with a page in place of its JSON.
pub(crate) fn with_page(refusal: Refusal, page: Markup) -> Response {
    let status = refusal.status();
    let headers = refusal.into_response().headers().clone();
    (status, but_content(headers), page).into_response()
}

/// For a page of what no form shows.
fn text_of(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::CrossSite => {
            "This request did not come from a page of this site, so nothing was done."
        }
        _ if refusal.status() == StatusCode::SERVICE_UNAVAILABLE => {
            "The database does not answer just now. You are still logged in: try again in a moment."
        }
        _ => "That did not work.",
    }
}

/// A real site tells nobody.
const fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::SessionEnded => "This device was logged out, here or from another one.",
        Reason::SessionExpired => "This device was not used for too long.",
        Reason::RevokedByVersion => {
            "All devices were logged out: everywhere, all others, or by a new password. The version \
             in the token is no longer the one in the database."
        }
        Reason::AheadOfRecord | Reason::SessionAhead => {
            "The token is newer than the database, which was restored from a backup."
        }
        Reason::BadSignature => {
            "The signature is wrong. It is made with a key that is derived from the stored password \
             hash: either that was changed behind the site's back, or the token was tampered with."
        }
        Reason::UnknownUser => "The account does not exist any more.",
        Reason::InactiveUser => "The account is disabled.",
        Reason::Forged => {
            "The token was not issued by this server for this user and this expiry. That was found out \
             without a look into the database."
        }
        _ => "This is no token that this site takes.",
    }
}

/// What is told of a status without a word of its own.
fn phrase(status: StatusCode) -> &'static str {
    status.canonical_reason().unwrap_or("Error")
}

/// An error that nobody made a page of.
fn is_bare(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    (status.is_client_error() || status.is_server_error())
        && !kind.is_some_and(|kind| kind.starts_with(b"text/html"))
}

fn but_content(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    headers
}
