//! Error pages: a layer that replaces the library's JSON refusals with HTML, whichever handler or
//! extractor returned them.

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
use relatch::{Reason, axum::Refusal, service::ServiceError};

use crate::{Web, decode_token, pages};

/// The layer around all HTML routes.
pub(crate) async fn layer(web: Web, request: Request, next: Next) -> Response {
    let (request, body) = request.into_parts();
    let head = request.clone();
    let response = next.run(Request::from_parts(request, body)).await;
    match Refusal::of(&response) {
        Some(refusal) => page(&web, &head, refusal, &response),
        // An error of axum itself, such as a missing form field.
        None if is_bare(&response) => in_place_of(&response, error(response.status())),
        None => response,
    }
}

fn page(web: &Web, request: &Parts, refusal: &Refusal, response: &Response) -> Response {
    match (refusal, refusal.reason()) {
        (Refusal::NoToken, _) | (_, Some(Reason::Expired)) => {
            let to = match request.method {
                Method::GET => request.uri.path(),
                // The form data is lost; the user can send the form again.
                _ => "/devices",
            };
            Redirect::to(&format!("/auth/resume?to={to}")).into_response()
        }
        (_, Some(reason)) => {
            let token = web.access_token(request).ok().flatten();
            let token = token.map(|token| decode_token::markup(token.expose()));
            let page = pages::logged_out(reason.as_str(), in_words(reason), token.as_ref());
            // Keep the cookies: another tab may have received new ones in the meantime.
            in_place_of(response, page)
        }
        (Refusal::StepUp { .. }, _) => {
            in_place_of(response, pages::confirm(request.uri.path(), None))
        }
        _ => in_place_of(response, error(response.status())),
    }
}

/// The message to show above the form, if the user can correct it and send it again.
pub(crate) fn on_form(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::TooManyAttempts { retry_after } => {
            let seconds = retry_after.whole_seconds() + 1;
            Some(format!("Too many attempts. Try again in {seconds} seconds."))
        }
        Refusal::Service(ServiceError::LoginRefused(_)) => Some("Wrong name or password".into()),
        Refusal::Service(ServiceError::WrongPassword(_)) => Some("Wrong password".into()),
        Refusal::Service(ServiceError::PasswordRefused(refusal)) => Some(refusal.to_string()),
        _ => None,
    }
}

/// The form again, with the error message.
pub(crate) fn again(refusal: Refusal, form: impl FnOnce(&str) -> Markup) -> Response {
    match on_form(&refusal) {
        Some(alert) => in_place_of(&refusal.into_response(), form(&alert)),
        None => refusal.into_response(),
    }
}

/// A page with the status and headers of another response.
pub(crate) fn in_place_of(response: &Response, page: Markup) -> Response {
    let mut headers = response.headers().clone();
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    (response.status(), headers, page).into_response()
}

fn error(status: StatusCode) -> Markup {
    let (title, text) = match status {
        StatusCode::FORBIDDEN => (
            "Request refused",
            "This request did not come from a page of this site. Nothing was changed.",
        ),
        StatusCode::NOT_FOUND => ("Page not found", "There is no page at this address."),
        StatusCode::SERVICE_UNAVAILABLE => (
            "Temporarily unavailable",
            "The database does not respond. You are still logged in. Try again in a moment.",
        ),
        _ if status.is_server_error() => ("Internal error", "The server's log has the details."),
        _ => ("Invalid request", "The server could not read this request."),
    };
    pages::error(title, text)
}

/// Explains the reason. A production site must not show it.
const fn in_words(reason: Reason) -> &'static str {
    match reason {
        Reason::SessionEnded => "This device was logged out, here or from another one.",
        Reason::SessionExpired => {
            "This device was not used for a long time, and its session expired."
        }
        Reason::RevokedByVersion => {
            "All devices were logged out: by “Log out everywhere”, by “Log out all others”, or by a new \
             password. The version in the token is older than the one in the database."
        }
        Reason::AheadOfRecord | Reason::SessionAhead => {
            "The token is newer than the database, which was restored from a backup."
        }
        Reason::BadSignature => {
            "The signature is wrong. Its key is derived from the stored password hash: either the hash \
             was changed directly in the database, or the token was modified."
        }
        Reason::UnknownUser => "The account no longer exists.",
        Reason::InactiveUser => "The account is disabled.",
        Reason::Forged => {
            "This server did not issue the token for this user and this expiry. It rejected the token \
             without a database query."
        }
        _ => "This site does not accept this token.",
    }
}

/// Whether this is an error response without an HTML page.
fn is_bare(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    (status.is_client_error() || status.is_server_error())
        && !kind.is_some_and(|kind| kind.starts_with(b"text/html"))
}
