//! What people are shown of a refusal: of one that the library made a response of, wherever it came
//! up, a page takes the place.

use axum::{
    extract::Request,
    http::{
        HeaderValue, Method, StatusCode,
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
        Some(refusal) => page(&web, &head, refusal, &response),
        // Axum's own, such as of a form with a field missing.
        None if is_bare(&response) => in_place_of(&response, error(response.status())),
        None => response,
    }
}

fn page(web: &Web, request: &Parts, refusal: &Refusal, response: &Response) -> Response {
    match (refusal, refusal.reason()) {
        (Refusal::NoToken, _) | (_, Some(Reason::Expired)) => {
            let to = match request.method {
                Method::GET => request.uri.path(),
                // What was sent is lost, and can be sent again.
                _ => "/devices",
            };
            Redirect::to(&format!("/auth/resume?to={to}")).into_response()
        }
        (_, Some(reason)) => {
            let token = web.access_token(request).ok().flatten();
            let token = token.map(|token| taken_apart::token(token.expose()));
            let page = pages::logged_out(reason.as_str(), in_words(reason), token.as_ref());
            // The cookies stay: another page may have been given fresh ones meanwhile.
            in_place_of(response, page)
        }
        (Refusal::StepUp { .. }, _) => {
            in_place_of(response, pages::confirm(request.uri.path(), None))
        }
        _ => in_place_of(response, error(response.status())),
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
        Some(alert) => in_place_of(&refusal.into_response(), form(&alert)),
        None => refusal.into_response(),
    }
}

/// A page with the status and the headers of another answer.
pub(crate) fn in_place_of(response: &Response, page: Markup) -> Response {
    let mut headers = response.headers().clone();
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    (response.status(), headers, page).into_response()
}

fn error(status: StatusCode) -> Markup {
    let (title, text) = match status {
        StatusCode::FORBIDDEN => {
            ("Nothing was done", "This request did not come from a page of this site.")
        }
        StatusCode::NOT_FOUND => ("No such page", "This address leads nowhere."),
        StatusCode::SERVICE_UNAVAILABLE => (
            "One moment",
            "The database does not answer just now. You are still logged in: try again soon.",
        ),
        _ if status.is_server_error() => ("Something went wrong", "The server's log says more."),
        _ => ("That did not work", "The server could not make sense of the request."),
    };
    pages::error(title, text)
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

/// Whether this is an error, and no page.
fn is_bare(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    (status.is_client_error() || status.is_server_error())
        && !kind.is_some_and(|kind| kind.starts_with(b"text/html"))
}
