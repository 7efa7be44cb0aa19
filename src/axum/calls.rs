//! The calls of handlers: the service's, for a request.

use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    checks::is_genuine,
    grant::{Grant, LoggedOut},
    limits::Account,
    misconfigured::Misconfigured,
    refusal::Refusal,
    request::{cookies::CookieKind, device_label},
    web::Web,
};
use crate::{
    authority::SessionTokens,
    service::{Client, ServiceError},
    sessions::{SessionId, SessionInfo},
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

    /// What asks for the password of the request's user, within the limits.
    async fn with_password(
        &self,
        request: &Parts,
        call: impl AsyncFnOnce(&Token<Access<C>>) -> Result<SessionTokens<C>, ServiceError>,
    ) -> Result<Grant<C>, Refusal> {
        let session = self.authenticate(request).await?;
        let account = Account::Id(session.user().id());
        self.recorded(self.count_attempt(request, account), Some(&session))?;
        let (token, _) = self.recorded(self.checked_token(request), Some(&session))?;
        self.granted(call(&token).await, Some(session.user().id()))
    }

    fn granted(
        &self,
        tokens: Result<SessionTokens<C>, ServiceError>,
        user: Option<&str>,
    ) -> Result<Grant<C>, Refusal> {
        let grant = tokens.map_err(Refusal::from).and_then(|tokens| self.as_grant(tokens));
        grant.inspect_err(|refusal| self.0.metrics.record(refusal, user))
    }

    fn as_grant(&self, tokens: SessionTokens<C>) -> Result<Grant<C>, Refusal> {
        let access = tokens.access().expose();
        if self.cookies().is_some_and(|cookies| !cookies.fits(CookieKind::Access, access)) {
            return Err(Misconfigured::LongCookie.into());
        }
        let authority = self.service().authority();
        let now = authority.now();
        let opened = authority.open(tokens.access()).map_err(ServiceError::from)?;
        let lifetimes = (opened.expires_at() - now, tokens.session().expires_at() - now);
        Ok(Grant { tokens, cookies: self.0.cookies.clone(), lifetimes })
    }
}
