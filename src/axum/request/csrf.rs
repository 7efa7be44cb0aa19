//! A token against cross-site requests, for what says nothing of where a request comes from.

use http::{HeaderName, request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use time::Duration;

use crate::{
    authority::session::Session,
    axum::{Refusal, Web},
    binding::context::Context,
    service::ServiceError,
    store::StoredUser,
    token::{
        Token,
        purpose::{NoClaims, Purpose},
    },
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

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// A token for the pages of this session, whose scripts send it in the header
    /// [`CSRF_HEADER`] with each request that changes something. It is asked for where a request
    /// has neither `Sec-Fetch-Site` nor `Origin`, which every browser of today sends: for old
    /// ones, and for clients that are none and use the cookies.
    ///
    /// # Errors
    ///
    /// [`Refusal::Service`] for a user's record that is not fit to be used.
    pub fn csrf_token(&self, session: &Session<StoredUser<F>, C>) -> Result<Token<Csrf>, Refusal> {
        let authority = self.service().authority();
        let issue = authority.issue::<Csrf>(session.user(), &NoClaims {});
        issue.context(context(session)).sign().map_err(|error| ServiceError::from(error).into())
    }

    /// Whether the header has a token for this session.
    pub(in crate::axum) fn has_csrf_token(
        &self,
        request: &Parts,
        session: &Session<StoredUser<F>, C>,
    ) -> bool {
        let Some(Ok(text)) = text(request).map(|value| value.to_str()) else { return false };
        let token = Token::<Csrf>::new(text).in_context(context(session));
        let authority = self.service().authority();
        let opened = authority.open(&token);
        opened.is_ok_and(|opened| opened.verify(Some(session.user().clone())).is_ok())
    }
}

/// The header, if it came once.
pub(in crate::axum) fn text(request: &Parts) -> Option<&http::HeaderValue> {
    let mut values = request.headers.get_all(HeaderName::from_static(CSRF_HEADER)).iter();
    values.next().filter(|_| values.next().is_none())
}

/// The session's id; of a token without a session, its own.
fn context<F, C>(session: &Session<StoredUser<F>, C>) -> Context {
    let id = match session.id() {
        Some(id) => id.to_string(),
        None => session.registered().token_id().unwrap_or_default().to_owned(),
    };
    Context::new().with(KIND, id)
}
