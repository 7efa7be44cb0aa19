//! The calls that verify the access token of a request.

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
    authority::session::Session,
    live::LiveGuard,
    rejection::VerifyError,
    service::ServiceError,
    sessions::SessionInfo,
    store::StoredUser,
    token::{Token, purpose::Access},
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The verified session: [`Service::authenticate`](crate::service::Service::authenticate).
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn authenticate(
        &self,
        request: &Parts,
    ) -> Result<Session<StoredUser<F>, C>, Refusal> {
        let verify = async |token: &_| self.service().authenticate(token).await;
        self.verify_with(request, verify).await.map_err(|unrecorded| self.record(unrecorded))
    }

    /// The verified session, past the cache.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn authenticate_fresh(
        &self,
        request: &Parts,
    ) -> Result<Session<StoredUser<F>, C>, Refusal> {
        let verify = async |token: &_| self.service().authenticate_fresh(token).await;
        self.verify_with(request, verify).await.map_err(|unrecorded| self.record(unrecorded))
    }

    /// The verified session, past the cache, of a user who authenticated at most so long ago.
    ///
    /// # Errors
    ///
    /// [`Refusal::StepUp`] and the others.
    pub async fn authenticate_recent(
        &self,
        request: &Parts,
        max_age: Duration,
    ) -> Result<Session<StoredUser<F>, C>, Refusal> {
        let session = self.authenticate_fresh(request).await?;
        let authority = self.service().authority();
        let info = authority.session_info(&session).map_err(ServiceError::from);
        let info = self.recorded(info.map_err(Refusal::from), Some(&session))?;
        let is_recent = |info: &SessionInfo| authority.now() - info.started_at() <= max_age;
        let recent = match info.as_ref().is_some_and(is_recent) {
            true => Ok(()),
            false => Err(Refusal::StepUp { max_age }),
        };
        self.recorded(recent, Some(&session))?;
        Ok(session)
    }

    /// The verified session and a guard over it: for a connection that stays open.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn watch(
        &self,
        request: &Parts,
    ) -> Result<(Session<StoredUser<F>, C>, LiveGuard), Refusal> {
        let mut guard = None;
        let session = self.verify_with(request, async |token| {
            let token = Token::<Access<C>>::new(token.expose()).in_context(self.context(request));
            match self.live().watch(token).await {
                Ok((session, watching)) => {
                    guard = Some(watching);
                    Ok(session)
                }
                Err(VerifyError::Lookup(error)) => Err(ServiceError::Store(error)),
                Err(VerifyError::Rejected(rejection)) => Err(rejection.into()),
                Err(VerifyError::Record(error)) => Err(error.into()),
            }
        });
        let session = session.await.map_err(|unrecorded| self.record(unrecorded))?;
        guard.map(|guard| (session, guard)).ok_or(Refusal::NoToken)
    }

    /// The access token of the request as it came, unverified: for calls of the service that take one,
    /// once the request is authenticated.
    ///
    /// # Errors
    ///
    /// [`Refusal::Ambiguous`] and the others of a token that cannot be read.
    pub fn access_token(&self, request: &Parts) -> Result<Option<Token<Access<C>>>, Refusal> {
        let presented = token::access(&request.headers, self.cookies())?;
        Ok(presented.map(|(_, text)| Token::new(text).in_context(self.context(request))))
    }

    /// A token for the pages of this session, whose scripts send it in the header
    /// [`CSRF_HEADER`](crate::axum::CSRF_HEADER) with each request that changes something. It is asked for where a request
    /// has neither `Sec-Fetch-Site` nor `Origin`, which every browser of today sends: for old
    /// ones, and for clients that are none and use the cookies.
    ///
    /// # Errors
    ///
    /// [`Refusal::Service`] for a user's record that is not fit to be used.
    pub fn csrf_token(&self, session: &Session<StoredUser<F>, C>) -> Result<Token<Csrf>, Refusal> {
        csrf::issue(&self.service().authority(), session)
            .map_err(|error| ServiceError::from(error).into())
    }
}
