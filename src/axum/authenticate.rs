//! The calls that verify the access token of a request, and issue one against cross-site requests.

use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};
use time::Duration;

use super::{
    refusal::Refusal,
    request::{
        csrf::{self, Csrf},
        token,
    },
    web::Web,
};
use crate::{
    authority::verified::Verified,
    live::Watch,
    service::ServiceError,
    sessions::SessionInfo,
    store::StoredUser,
    token::{Token, purpose::Access},
};

/// Verification of a request's access token, for an application's own handlers. Each call takes the
/// request's head (an argument of type `axum::http::request::Parts`).
impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Verifies the access token of the request:
    /// [`Service::authenticate`](crate::service::Service::authenticate).
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn authenticate(
        &self,
        request: &Parts,
    ) -> Result<Verified<StoredUser<F>, C>, Refusal> {
        let verify = async |token: &_| self.service().authenticate(token).await;
        self.verify_with(request, verify).await.map_err(|unrecorded| self.record(unrecorded))
    }

    /// Verifies the access token of the request against the database and not the cache.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn authenticate_fresh(
        &self,
        request: &Parts,
    ) -> Result<Verified<StoredUser<F>, C>, Refusal> {
        let verify = async |token: &_| self.service().authenticate_fresh(token).await;
        self.verify_with(request, verify).await.map_err(|unrecorded| self.record(unrecorded))
    }

    /// Verifies the access token of the request against the database and not the cache, and
    /// requires that the user authenticated at most `max_age` ago.
    ///
    /// # Errors
    ///
    /// [`Refusal::StepUp`] if the user authenticated earlier, and for a token of no session; the
    /// other [`Refusal`]s.
    pub async fn authenticate_recent(
        &self,
        request: &Parts,
        max_age: Duration,
    ) -> Result<Verified<StoredUser<F>, C>, Refusal> {
        let verified = self.authenticate_fresh(request).await?;
        let authority = self.service().authority();
        let info = authority.session_info(&verified).map_err(ServiceError::from);
        let info = self.recorded(info.map_err(Refusal::from), Some(&verified))?;
        let is_recent = |info: &SessionInfo| authority.now() - info.started_at() <= max_age;
        let recent = match info.as_ref().is_some_and(is_recent) {
            true => Ok(()),
            false => Err(Refusal::StepUp { max_age }),
        };
        self.recorded(recent, Some(&verified))?;
        Ok(verified)
    }

    /// Verifies the access token of the request, and returns a future that resolves when it stops
    /// being valid: for a connection that stays open.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn watch(
        &self,
        request: &Parts,
    ) -> Result<(Verified<StoredUser<F>, C>, Watch), Refusal> {
        let mut watch = None;
        let verified = self.verify_with(request, async |token| {
            let token = Token::<Access<C>>::new(token.expose()).in_context(self.context(request));
            match self.0.live.watch(token).await {
                Ok((verified, started)) => {
                    watch = Some(started);
                    Ok(verified)
                }
                Err(error) => Err(error.into()),
            }
        });
        let verified = verified.await.map_err(|unrecorded| self.record(unrecorded))?;
        watch.map(|watch| (verified, watch)).ok_or(Refusal::NoToken)
    }

    /// The access token of the request, *unverified*: for calls of the service that take a token,
    /// after the request is authenticated. `None` if the request has none.
    ///
    /// # Errors
    ///
    /// [`Refusal::Ambiguous`] for more than one token, [`Refusal::HeaderTooLarge`] for a header
    /// that is too long.
    pub fn access_token(&self, request: &Parts) -> Result<Option<Token<Access<C>>>, Refusal> {
        let presented = token::access(&request.headers, self.cookies())?;
        Ok(presented.map(|(_, text)| Token::new(text).in_context(self.context(request))))
    }

    /// Issues a token for the pages of this session. Their scripts send it in the header
    /// [`CSRF_HEADER`](crate::axum::CSRF_HEADER) with each request that changes something. It is
    /// needed only where a request has neither `Sec-Fetch-Site` nor `Origin`: for old browsers
    /// (every current one sends them), and for other clients that use the cookies.
    ///
    /// # Errors
    ///
    /// [`Refusal::Service`] for a user's record that is invalid.
    pub fn csrf_token(
        &self,
        verified: &Verified<StoredUser<F>, C>,
    ) -> Result<Token<Csrf>, Refusal> {
        csrf::issue(&self.service().authority(), verified)
            .map_err(|error| ServiceError::from(error).into())
    }
}
