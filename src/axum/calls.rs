//! The calls of handlers: the service's, for a request.

use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};
use time::Duration;

use super::{
    Grant, LoggedOut, Refusal, Web,
    limits::Account,
    request::{checks::is_genuine, device_label, token},
};
use crate::{
    authority::{SessionTokens, session::Session},
    live::LiveGuard,
    rejection::VerifyError,
    service::{Client, ServiceError},
    sessions::{SessionId, SessionInfo},
    store::StoredUser,
    token::{RefreshToken, Token, purpose::Access},
    user::User,
};

/// For handlers of an application's own: each takes the request's head
/// (`axum::http::request::Parts` as an argument), and refuses as the extractors and
/// [`endpoints`](super::endpoints) do.
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

    /// Logs in by name and password: [`Service::login`](crate::service::Service::login), within the
    /// limits, for the client that the `User-Agent` tells.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn login(
        &self,
        request: &Parts,
        login: &str,
        password: &str,
    ) -> Result<Grant<C>, Refusal> {
        self.admit(request, login)?;
        let tokens = self.service().login(login, password, self.client(request)).await;
        self.granted(tokens, None)
    }

    /// Counts an attempt at this account, by whatever name it goes, and asks for the proof of origin:
    /// before what [`login`](Self::login) is not for, such as signing up or sending a link.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyAttempts`] and [`Refusal::CrossSite`].
    pub fn admit(&self, request: &Parts, account: &str) -> Result<(), Refusal> {
        self.recorded(
            self.check_origin(request)
                .and_then(|()| self.count_attempt(request, Account::Login(account))),
            None,
        )
    }

    /// Starts a session for a user whom the application itself has authenticated.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn start_session(&self, request: &Parts, user_id: &str) -> Result<Grant<C>, Refusal> {
        self.recorded(self.check_origin(request), None)?;
        let tokens = self.service().start_session(user_id, self.client(request)).await;
        self.granted(tokens, None)
    }

    /// The client of a session that is to be started for this request: what the `User-Agent` tells,
    /// in the request's context.
    #[must_use]
    pub fn client(&self, request: &Parts) -> Client {
        Client::new(device_label::label(&request.headers)).in_context(self.context(request))
    }

    /// Tokens of the service's, to be handed out in the answer to this request: of a magic link, say.
    ///
    /// # Errors
    ///
    /// [`Refusal::CrossSite`], and the others if they cannot be.
    pub fn grant(&self, request: &Parts, tokens: SessionTokens<C>) -> Result<Grant<C>, Refusal> {
        self.recorded(self.check_origin(request), None)?;
        self.granted(Ok(tokens), None)
    }

    /// Exchanges a refresh token: with cookies, that of the request, or else the one that is given.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: if it is the [rejection](Refusal::reason) of a token, and no other, answer with
    /// [`forget`](Self::forget) as well.
    pub async fn refresh(
        &self,
        request: &Parts,
        given: Option<RefreshToken>,
    ) -> Result<Grant<C>, Refusal> {
        self.recorded(self.check_origin(request), None)?;
        let token = match (self.refresh_cookie(request), given) {
            (Ok(Some(token)), None) | (Ok(None), Some(token)) => Ok(token),
            (Ok(None), None) => Err(Refusal::NoToken),
            (Ok(Some(_)), Some(_)) => Err(Refusal::Ambiguous),
            (Err(refusal), _) => Err(refusal),
        };
        let token = self.recorded(token, None)?.in_context(self.context(request));
        let user = token.danger_unverified_subject();
        let tokens = self.service().refresh(token).await;
        let user = user.filter(|_| tokens.as_ref().err().is_some_and(is_genuine));
        self.granted(tokens, user.as_deref())
    }

    /// Logs this device out, by its access token, or by its refresh token where that comes in a
    /// cookie and the other has expired. A cookie of a session that is over already is no error; nor
    /// is one that cannot be verified, as in another context than the session's, which then lives on
    /// without it.
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the session lives, and so do its cookies.
    pub async fn log_out(&self, request: &Parts) -> Result<LoggedOut, Refusal> {
        let verify = async |token: &_| self.service().authenticate(token).await;
        match self.verify_with(request, verify).await {
            Ok(session) => {
                let ended = self.service().log_out(&session).await.map_err(Refusal::from);
                self.recorded(ended, Some(&session))?;
            }
            Err(unrecorded) if unrecorded.refusal.is_logged_out() && self.cookies().is_some() => {
                self.recorded(self.check_origin(request), None)?;
                if let Some(token) = self.recorded(self.refresh_cookie(request), None)? {
                    match self.service().revoke(token.expose(), self.context(request)).await {
                        Ok(_) | Err(ServiceError::Rejected(_) | ServiceError::NoSession) => {}
                        Err(error) => return self.recorded(Err(error.into()), None),
                    }
                }
            }
            Err(unrecorded) => return Err(self.record(unrecorded)),
        }
        Ok(self.forget())
    }

    /// Logs out one of the user's devices, by an id out of the list; whether there was such a
    /// session.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn log_out_device(
        &self,
        request: &Parts,
        device: SessionId,
    ) -> Result<bool, Refusal> {
        let session = self.authenticate(request).await?;
        let ended = self.service().log_out_device(&session, device).await;
        self.recorded(ended.map_err(Refusal::from), Some(&session))
    }

    /// Logs all of the user's devices out but this one, which goes on with the tokens in the grant:
    /// the password is asked for.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn log_out_others(
        &self,
        request: &Parts,
        password: &str,
    ) -> Result<Grant<C>, Refusal> {
        self.with_password(request, async |token| {
            self.service().check_password(token, password).await?;
            self.service().log_out_others(token).await
        })
        .await
    }

    /// Logs the user out everywhere, here too.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn log_out_everywhere(&self, request: &Parts) -> Result<LoggedOut, Refusal> {
        // Past the cache: a device that was logged out elsewhere does not do it to all others.
        let session = self.authenticate_fresh(request).await?;
        let done = self.service().log_out_everywhere(session.user().id()).await;
        self.recorded(done.map_err(Refusal::from), Some(&session))?;
        Ok(self.forget())
    }

    /// Changes the user's password, for which the present one is asked, and logs all other devices
    /// out.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn change_password(
        &self,
        request: &Parts,
        present: &str,
        new: &str,
    ) -> Result<Grant<C>, Refusal> {
        let change = async |token: &_| self.service().change_password(token, present, new).await;
        self.with_password(request, change).await
    }

    /// Authenticates the user anew, for [`Recent`](super::Recent): this device's session starts anew,
    /// and its tokens until now are dead.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn reauthenticate(
        &self,
        request: &Parts,
        password: &str,
    ) -> Result<Grant<C>, Refusal> {
        let renew = async |token: &_| self.service().reauthenticate(token, password).await;
        self.with_password(request, renew).await
    }

    /// The user's sessions that are alive, and which of them is the caller's.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn sessions(
        &self,
        request: &Parts,
    ) -> Result<(Vec<SessionInfo>, Option<SessionId>), Refusal> {
        let session = self.authenticate(request).await?;
        let sessions = self.service().sessions(&session).await;
        Ok((self.recorded(sessions.map_err(Refusal::from), Some(&session))?, session.id()))
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

    /// Counts and logs what came of a call of the service's own, as that of the calls here is already.
    #[must_use]
    pub fn refusal(&self, error: impl Into<ServiceError>) -> Refusal {
        let refusal = error.into().into();
        self.0.metrics.record(&refusal, None);
        refusal
    }

    /// Deletes the client's cookies, if there are any.
    pub fn forget(&self) -> LoggedOut {
        LoggedOut { cookies: self.0.cookies.clone() }
    }
}
