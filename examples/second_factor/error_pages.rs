//! Error pages: a layer that replaces the library's JSON refusals with HTML.

use axum::{
    extract::Request,
    http::{
        HeaderValue, Method, StatusCode,
        header::{CONTENT_LENGTH, CONTENT_TYPE},
    },
    middleware::Next,
    response::{IntoResponse, Redirect, Response},
};
use maud::Markup;
use relatch::{Reason, axum::Refusal, service::ServiceError};

use crate::pages;

/// The layer around all routes.
pub(crate) async fn layer(request: Request, next: Next) -> Response {
    let is_page = request.method() == Method::GET;
    let path = request.uri().path().to_owned();
    let response = next.run(request).await;
    let Some(refusal) = Refusal::of(&response) else {
        // An error of axum itself, such as a missing form field.
        return if is_bare(&response) { bare(&response) } else { response };
    };
    match (refusal, refusal.reason()) {
        (Refusal::NoToken, _) | (_, Some(Reason::Expired)) => {
            // The data of a form is lost; the user can send it again.
            let to = if is_page { &path } else { "/account" };
            Redirect::to(&format!("/auth/resume?to={to}")).into_response()
        }
        (_, Some(_)) => {
            let text = "You were logged out. Log in again.";
            in_place_of(&response, pages::log_in("", Some(text)))
        }
        (Refusal::StepUp { .. }, _) => Redirect::to("/confirm").into_response(),
        _ => match on_form(refusal) {
            Some(text) => in_place_of(&response, pages::error("Not done", &text)),
            None => bare(&response),
        },
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
        Refusal::Service(ServiceError::WrongCode) => Some("Wrong code".into()),
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
fn in_place_of(response: &Response, page: Markup) -> Response {
    let mut headers = response.headers().clone();
    headers.remove(CONTENT_TYPE);
    headers.remove(CONTENT_LENGTH);
    (response.status(), headers, page).into_response()
}

fn bare(response: &Response) -> Response {
    let text = match response.status() {
        StatusCode::NOT_FOUND => "There is no page at this address.",
        StatusCode::FORBIDDEN => "This request did not come from a page of this site.",
        StatusCode::SERVICE_UNAVAILABLE => "The database does not respond. Try again in a moment.",
        status if status.is_server_error() => "The server's log has the details.",
        _ => "The server could not read this request.",
    };
    in_place_of(response, pages::error("Error", text))
}

/// Whether this is an error response without an HTML page.
fn is_bare(response: &Response) -> bool {
    let status = response.status();
    let kind = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    (status.is_client_error() || status.is_server_error())
        && !kind.is_some_and(|kind| kind.starts_with(b"text/html"))
}
