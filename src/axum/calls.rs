//! The calls that change a session: each is one of the service's, for a request.

use std::net::{IpAddr, Ipv6Addr};

use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    grant::{Grant, LoggedOut},
    misconfigured::Misconfigured,
    refusal::Refusal,
    request::{
        cookies::{CookieKind, Cookies},
        device_label,
    },
    web::Web,
};
use crate::{
    authority::SessionTokens,
    rejection::{Reason, Rejection, Stage},
    service::{Client, ServiceError},
    sessions::{SessionData, SessionId, SessionInfo},
    token::{Token, purpose::Access},
    user::User,
};

/// Calls for an application's own handlers. Each takes the request's head (an argument of type
/// `axum::http::request::Parts`), and refuses the same requests as the extractors and
/// [`endpoints`](super::endpoints).
impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Logs in by name and password, within the limits:
    /// [`Service::login`](crate::service::Service::login). The `User-Agent` gives the device's
    /// label. The grant has a [device token](crate::throttle::DeviceToken).
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
        self.login_of(request, login, password, self.client(request)).await
    }

    /// [`login`](Self::login) for this client of the request.
    pub(super) async fn login_of(
        &self,
        request: &Parts,
        login: &str,
        password: &str,
        client: Client,
    ) -> Result<Grant<C>, Refusal> {
        self.recorded(self.check_origin(request).and_then(|()| self.address(request)), None)?;
        let tokens = self.service().login(login, password, client).await;
        self.granted_to_device(request, tokens)
    }

    /// Counts an attempt at this account and checks the proof of origin. Call it before your own
    /// operations that need the same limits as [`login`](Self::login), such as a sign-up or sending
    /// a link. `account` is any name for the account.
    ///
    /// # Errors
    ///
    /// [`Refusal::TooManyAttempts`] and [`Refusal::CrossSite`].
    pub async fn admit(&self, request: &Parts, account: &str) -> Result<(), Refusal> {
        self.recorded(self.check_origin(request).and_then(|()| self.address(request)), None)?;
        let admitted = self.service().admit(account, &self.client(request)).await;
        self.recorded(admitted.map_err(Refusal::from), None)
    }

    /// Starts a session for a user that the application itself has authenticated. After a sign-up, when
    /// every device is a new one, do this with a [client](Self::client)
    /// [`without_notice`](Client::without_notice).
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn start_session(&self, request: &Parts, user_id: &str) -> Result<Grant<C>, Refusal> {
        self.recorded(self.check_origin(request), None)?;
        let tokens = self.service().start_session(user_id, self.client(request)).await;
        self.granted_to_device(request, tokens)
    }

    /// The client for a new session of this request. Its label is made from the `User-Agent`, its
    /// context, its address and its device token are those of the request, and its policy is that of the
    /// [web](super::WebBuilder::session_policy). If attempts are counted by address, all clients
    /// of unknown address count as one.
    ///
    /// Use it for a session with data or a fixed end: pass the client to a call of the service, and its
    /// tokens to [`grant`](Self::grant).
    ///
    /// # Example
    ///
    /// ```
    /// use axum::http::request::Parts;
    /// use relatch::{axum::{Grant, Refusal, Web}, sessions::SessionData};
    ///
    /// async fn log_in(
    ///     web: &Web,
    ///     request: &Parts,
    ///     (name, password): (&str, &str),
    ///     data: SessionData,
    /// ) -> Result<Grant, Refusal> {
    ///     let client = web.client(request).data(data);
    ///     let tokens = web.service().login(name, password, client).await;
    ///     web.grant(request, tokens.map_err(|error| web.refusal(error))?)
    /// }
    /// ```
    #[must_use]
    pub fn client(&self, request: &Parts) -> Client {
        let client = Client::new(device_label::label(&request.headers));
        let client = client.in_context(self.context(request));
        let address = match self.address(request) {
            Ok(None) => self.known_address(request),
            Ok(counted) => counted,
            Err(_) => Some(UNKNOWN),
        };
        let client = match address {
            Some(address) => client.address(address),
            None => client,
        };
        let client = match self.device(request) {
            Some(token) => client.device(token),
            None => client,
        };
        match &self.0.session_policy {
            Some(name) => client.policy(name),
            None => client,
        }
    }

    /// Turns tokens of the service, for example those of a magic link, into a part of the response
    /// to this request.
    ///
    /// # Errors
    ///
    /// [`Refusal::CrossSite`]; [`Refusal::Misconfigured`] for an access token that is too long for
    /// a cookie; [`Refusal::Service`] for tokens that this service's authority did not issue.
    pub fn grant(&self, request: &Parts, tokens: SessionTokens<C>) -> Result<Grant<C>, Refusal> {
        self.recorded(self.check_origin(request), None)?;
        self.granted_to_device(request, Ok(tokens))
    }

    /// Logs this device out by its access token. With cookies, if that token is missing or rejected
    /// (because it has expired, for example), it uses the refresh token instead, or several of them. A
    /// cookie of a session that has already ended is no error. Neither is a cookie that cannot be
    /// verified, for example in a context other than that of its session, or by a server that does not
    /// have its key yet: the session then stays alive, and the client loses its cookie, as its user
    /// wishes.
    ///
    /// An adopted plain token has no session: the user is logged out everywhere
    /// ([`Service::log_out`](crate::service::Service::log_out)).
    ///
    /// # Errors
    ///
    /// [`Refusal`]: the session stays alive, and the client keeps its cookies.
    pub async fn log_out(&self, request: &Parts) -> Result<LoggedOut, Refusal> {
        let verify = async |token: &_| self.service().authenticate(token).await;
        match self.verify_with(request, verify).await {
            Ok(verified) => {
                let ended = self.service().log_out(&verified).await.map_err(Refusal::from);
                self.recorded(ended, Some(&verified))?;
            }
            Err(unrecorded) if unrecorded.refusal.is_logged_out() && self.cookies().is_some() => {
                self.recorded(self.check_origin(request), None)?;
                for token in self.recorded(self.refresh_cookies(request), None)? {
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

    /// [`Service::log_out_device`](crate::service::Service::log_out_device) for this request, by an
    /// id of [`sessions`](Self::sessions). Returns whether there was such a session.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn log_out_device(
        &self,
        request: &Parts,
        device: SessionId,
    ) -> Result<bool, Refusal> {
        let verified = self.authenticate(request).await?;
        let ended = self.service().log_out_device(&verified, device).await;
        self.recorded(ended.map_err(Refusal::from), Some(&verified))
    }

    /// [`Service::log_out_others`](crate::service::Service::log_out_others) for this request, after
    /// a check of the password. This device continues with the tokens in the grant; with an adopted
    /// plain token, in a new session of [this client](Self::client).
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
            self.service().log_out_others_of(token, self.client(request).session()).await
        })
        .await
    }

    /// [`Service::log_out_everywhere`](crate::service::Service::log_out_everywhere) for the user of
    /// this request.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn log_out_everywhere(&self, request: &Parts) -> Result<LoggedOut, Refusal> {
        // Not from the cache: a device that is already logged out must not log out the others.
        let verified = self.authenticate_fresh(request).await?;
        let done = self.service().log_out_everywhere(verified.user().id()).await;
        self.recorded(done.map_err(Refusal::from), Some(&verified))?;
        Ok(self.forget())
    }

    /// [`Service::change_password`](crate::service::Service::change_password) for this request.
    /// This device continues with the tokens in the grant; with an adopted plain token, in a new session
    /// of [this client](Self::client).
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
        let change = async |token: &_| {
            let client = self.client(request);
            self.service().change_password_of(token, present, new, client.session()).await
        };
        self.with_password(request, change).await
    }

    /// [`Service::reauthenticate`](crate::service::Service::reauthenticate) for this request, as
    /// [`Recent`](super::Recent) requires. With an adopted plain token, a new session of
    /// [this client](Self::client) starts.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn reauthenticate(
        &self,
        request: &Parts,
        password: &str,
    ) -> Result<Grant<C>, Refusal> {
        let renew = async |token: &_| {
            let client = self.client(request);
            self.service().reauthenticate_of(token, password, client.session()).await
        };
        self.with_password(request, renew).await
    }

    /// The user's live sessions, and the id of the caller's own.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn sessions(
        &self,
        request: &Parts,
    ) -> Result<(Vec<SessionInfo>, Option<SessionId>), Refusal> {
        let verified = self.authenticate(request).await?;
        let sessions = self.service().sessions(&verified).await;
        Ok((
            self.recorded(sessions.map_err(Refusal::from), Some(&verified))?,
            verified.session_id(),
        ))
    }

    /// Replaces the application's data in the session of this request, or removes it with `None`: for
    /// a handler in which the user switches to another organisation, for example. Claims that are made
    /// from the data change at the next refresh: the client refreshes after the answer.
    ///
    /// # Security
    ///
    /// The claims of the session's tokens are made from the data. Compute it on the server, check that
    /// this user may have it, and never store what a client sends.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; it is [`ServiceError::NoSession`] for a token without a session, and
    /// [`ServiceError::Issue`] for data that is longer than the policy allows.
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{Form, http::{StatusCode, request::Parts}, response::{IntoResponse, Response}};
    /// use relatch::{User, axum::{Fresh, Refusal, Web}, sessions::SessionData};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Organisation {
    ///     organisation: String,
    /// }
    ///
    /// # fn is_member(_user_id: &str, _organisation: &str) -> bool { true }
    /// async fn switch(
    ///     web: Web,
    ///     Fresh(verified): Fresh,
    ///     request: Parts,
    ///     Form(to): Form<Organisation>,
    /// ) -> Result<Response, Refusal> {
    ///     if !is_member(verified.user().id(), &to.organisation) {
    ///         return Ok(StatusCode::FORBIDDEN.into_response());
    ///     }
    ///     let Ok(data) = SessionData::new(&to) else {
    ///         return Ok(StatusCode::UNPROCESSABLE_ENTITY.into_response());
    ///     };
    ///     web.set_session_data(&request, Some(data)).await?;
    ///     Ok(StatusCode::NO_CONTENT.into_response())
    /// }
    /// ```
    pub async fn set_session_data(
        &self,
        request: &Parts,
        data: Option<SessionData>,
    ) -> Result<(), Refusal> {
        let verified = self.authenticate(request).await?;
        let own = verified.session_id().ok_or(ServiceError::NoSession);
        let own = self.recorded(own.map_err(Refusal::from), Some(&verified))?;
        let set = self.service().set_session_data(&verified, own, data).await;
        let ended = || ServiceError::from(Rejection::new(Stage::Session, Reason::SessionEnded));
        let set = set.and_then(|is_set| is_set.then_some(()).ok_or_else(ended));
        self.recorded(set.map_err(Refusal::from), Some(&verified))
    }

    /// Turns an error of the service into a refusal, and counts and logs it. Use it for calls on
    /// [`service`](Self::service); the calls here count and log their own refusals.
    #[must_use]
    pub fn refusal(&self, error: impl Into<ServiceError>) -> Refusal {
        let refusal = error.into().into();
        self.0.metrics.record(&refusal, None);
        refusal
    }

    /// A part of a response that deletes the client's cookies. Without cookies it does nothing.
    pub fn forget(&self) -> LoggedOut {
        LoggedOut { cookies: self.0.cookies.clone() }
    }

    /// Runs a call that takes the password of the request's user, within the limits.
    async fn with_password(
        &self,
        request: &Parts,
        call: impl AsyncFnOnce(&Token<Access<C>>) -> Result<SessionTokens<C>, ServiceError>,
    ) -> Result<Grant<C>, Refusal> {
        let verified = self.authenticate(request).await?;
        if let Some(address) = self.recorded(self.address(request), Some(&verified))? {
            let admitted = self.service().admit_address(address).await;
            self.recorded(admitted.map_err(Refusal::from), Some(&verified))?;
        }
        let (token, _) = self.recorded(self.checked_token(request), Some(&verified))?;
        let tokens = call(&token).await;
        match verified.is_legacy() {
            // It begins a session, as a login does.
            true => self.granted_to_device(request, tokens),
            false => self.granted(tokens, Some(verified.user().id())),
        }
    }

    /// [`granted`](Self::granted) for a client that has just authenticated.
    pub(super) fn granted_to_device(
        &self,
        request: &Parts,
        tokens: Result<SessionTokens<C>, ServiceError>,
    ) -> Result<Grant<C>, Refusal> {
        let mut grant = self.granted(tokens, None)?;
        if self.service().uses_devices() {
            let sent = self.device(request);
            let device = self.service().device_token(&grant.tokens, sent.as_ref());
            grant.device = Some(self.recorded(device.map_err(Refusal::from), None)?);
        }
        grant.ends_pending = self.has_pending(request);
        Ok(grant)
    }

    pub(super) fn granted(
        &self,
        tokens: Result<SessionTokens<C>, impl Into<Refusal>>,
        user: Option<&str>,
    ) -> Result<Grant<C>, Refusal> {
        let grant = tokens.map_err(Into::into).and_then(|tokens| self.as_grant(tokens));
        grant.inspect_err(|refusal| self.0.metrics.record(refusal, user))
    }

    fn as_grant(&self, tokens: SessionTokens<C>) -> Result<Grant<C>, Refusal> {
        let access = tokens.access().expose();
        let is_long = |cookies: &Cookies| access.len() > cookies.max_bytes(CookieKind::Access);
        if self.cookies().is_some_and(is_long) {
            return Err(Misconfigured::LongCookie.into());
        }
        let authority = self.service().authority();
        let now = authority.now();
        let opened = authority.open(tokens.access()).map_err(ServiceError::from)?;
        let lifetimes = (opened.expires_at() - now, tokens.session().expires_at() - now);
        Ok(Grant {
            tokens,
            cookies: self.0.cookies.clone(),
            lifetimes,
            device: None,
            ends_pending: false,
        })
    }
}

/// The address of clients whose address is unknown.
const UNKNOWN: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
