//! A token against cross-site requests, for requests without the headers that browsers send.

use http::{HeaderName, HeaderValue, request::Parts};
use time::Duration;

use crate::{
    authority::{Authority, IssueError, session::Session},
    binding::context::Context,
    token::{
        Token,
        purpose::{NoClaims, Purpose},
    },
    user::User,
};

/// The request header that takes a [`Csrf`] token.
pub const CSRF_HEADER: &str = "x-csrf-token";

/// Tokens that a page hands back to prove that it is of this origin: bound to its session, and dead
/// with it.
#[derive(Clone, Copy, Debug)]
pub struct Csrf(());

impl Purpose for Csrf {
    type Claims = NoClaims;
    const TYP: &'static str = "csrf+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::DAY);
    const CONTEXT: &'static [&'static str] = &[KIND];
}

/// The kind of context that it is bound to.
const KIND: &str = "session";

/// Issues a token for the pages of this session.
pub(crate) fn issue<U: User, C>(
    authority: &Authority,
    session: &Session<U, C>,
) -> Result<Token<Csrf>, IssueError> {
    let issue = authority.issue::<Csrf>(session.user(), &NoClaims {});
    issue.context(context(session)).sign()
}

/// Whether this is the text of a token for this session.
pub(crate) fn is_valid<U: User + Clone, C>(
    authority: &Authority,
    session: &Session<U, C>,
    value: &HeaderValue,
) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let token = Token::<Csrf>::new(text).in_context(context(session));
    let opened = authority.open(&token);
    opened.is_ok_and(|opened| opened.verify(Some(session.user().clone())).is_ok())
}

/// The header, if it came once.
pub(crate) fn header(request: &Parts) -> Option<&HeaderValue> {
    let mut values = request.headers.get_all(HeaderName::from_static(CSRF_HEADER)).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The session's id; of a token without a session, its own.
fn context<U, C>(session: &Session<U, C>) -> Context {
    let id = match session.id() {
        Some(id) => id.to_string(),
        None => session.registered().token_id().unwrap_or_default().to_owned(),
    };
    Context::new().with(KIND, id)
}
