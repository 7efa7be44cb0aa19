//! Tokens against cross-site requests, for requests without the headers that browsers send.

use http::{HeaderName, HeaderValue, request::Parts};
use time::Duration;

use crate::{
    authority::{Authority, error::IssueError, verified::Verified},
    binding::context::Context,
    token::{
        Token,
        purpose::{NoClaims, Purpose},
    },
    user::User,
};

/// The request header that takes a [`Csrf`] token.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// The purpose of tokens that prove that a page of this origin made a request. Each is bound to its
/// session, and is valid for a day, but not longer than the session.
#[derive(Clone, Copy, Debug)]
pub struct Csrf(());

impl Purpose for Csrf {
    type Claims = NoClaims;
    const TYP: &'static str = "csrf+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::DAY);
    const CONTEXT: &'static [&'static str] = &[KIND];
}

/// The kind of context to which the token is bound.
const KIND: &str = "session";

/// Issues a token for the pages of this session.
pub(crate) fn issue<U: User, C>(
    authority: &Authority,
    verified: &Verified<U, C>,
) -> Result<Token<Csrf>, IssueError> {
    let issue = authority.issue::<Csrf>(verified.user(), &NoClaims {});
    issue.context(context(verified)).sign()
}

/// Whether the header's value is a valid token for this session.
pub(crate) fn is_valid<U: User + Clone, C>(
    authority: &Authority,
    verified: &Verified<U, C>,
    value: &HeaderValue,
) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let token = Token::<Csrf>::new(text).in_context(context(verified));
    let opened = authority.open(&token);
    opened.is_ok_and(|opened| opened.verify(Some(verified.user().clone())).is_ok())
}

/// The header's value, if it is present exactly once.
pub(crate) fn header(request: &Parts) -> Option<&HeaderValue> {
    let mut values = request.headers.get_all(HeaderName::from_static(CSRF_HEADER)).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The context: the session's id, or for a token of no session the `jti`.
fn context<U, C>(verified: &Verified<U, C>) -> Context {
    let id = match verified.session_id() {
        Some(id) => id.to_string(),
        None => verified.registered().jti().unwrap_or_default().to_owned(),
    };
    Context::new().with(KIND, id)
}
