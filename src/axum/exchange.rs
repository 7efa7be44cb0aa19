//! The exchange of a request's refresh token.

use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    checks::is_genuine, grant::Grant, misconfigured::Misconfigured, refusal::Refusal,
    request::cookies::CookieKind, web::Web,
};
use crate::{authority::IssueError, service::ServiceError, token::RefreshToken};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Exchanges a refresh token: that of the request's cookie, or `given`. Both at once are
    /// refused. Of [several cookies](super::Cookies), that of the only live session is exchanged.
    ///
    /// # Errors
    ///
    /// [`Refusal`]. If it [is final](Refusal::is_final), respond with [`forget`](Self::forget) too. For
    /// every other refusal, also a rejection, keep the cookies: the token may be accepted on another server
    /// or in a moment.
    pub async fn refresh(
        &self,
        request: &Parts,
        given: Option<RefreshToken>,
    ) -> Result<Grant<C>, Refusal> {
        self.recorded(self.check_origin(request), None)?;
        let token = match given {
            None => self.refresh_token(request).await,
            Some(token) => match self.refresh_cookies(request) {
                Ok(cookies) if cookies.is_empty() => Ok(token.in_context(self.context(request))),
                Ok(_) => Err(Refusal::Ambiguous),
                Err(refusal) => Err(refusal),
            },
        };
        let token = self.recorded(token, None)?;
        let user = token.danger_unverified_subject();
        let max = self.cookies().map(|cookies| cookies.max_bytes(CookieKind::Access));
        let tokens = self.service().refresh_within(token, max.unwrap_or(usize::MAX)).await;
        let user = user.filter(|_| tokens.as_ref().err().is_some_and(is_genuine));
        let tokens = tokens.map_err(|error| match error {
            // Nothing is stored: the client's refresh token stays valid.
            ServiceError::Issue(IssueError::TooLong { max: cap, .. }) if Some(cap) == max => {
                Misconfigured::LongCookie.into()
            }
            error => Refusal::from(error),
        });
        self.granted(tokens, user.as_deref())
    }

    /// The refresh token of the request's cookie; of several cookies, that of the live session.
    async fn refresh_token(&self, request: &Parts) -> Result<RefreshToken, Refusal> {
        let mut tokens = self.refresh_cookies(request)?;
        let chosen = match tokens.len() {
            0 => return Err(Refusal::NoToken),
            1 => 0,
            _ => {
                let tokens = self.refresh_cookies(request)?;
                self.service().only_current(tokens).await?.ok_or(Refusal::Ambiguous)?
            }
        };
        Ok(tokens.swap_remove(chosen))
    }
}
