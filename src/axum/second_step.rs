//! Login in two steps, for a request: the password, then a second factor.

use std::{fmt, sync::Arc};

use axum_core::{
    body::Body,
    response::{IntoResponse, IntoResponseParts, Response, ResponseParts},
};
use http::{HeaderValue, header::CONTENT_TYPE, request::Parts};
use serde::{Serialize, de::DeserializeOwned};
use time::Duration;

use super::{
    checks::is_genuine,
    grant::{Grant, add},
    metrics,
    misconfigured::Misconfigured,
    refusal::Refusal,
    request::cookies::{CookieKind, Cookies},
    web::Web,
};
use crate::{
    one_time::SecondStep,
    service::{PendingLogin, ServiceError, VerifiedLogin},
    token::Token,
    user::User,
};

/// Login in two steps, for an application's own handlers. Each call takes the request's head (an argument
/// of type `axum::http::request::Parts`).
///
/// # Example
///
/// ```
/// use axum::{
///     Form, Router,
///     http::request::Parts,
///     response::{IntoResponse, Redirect, Response},
///     routing::post,
/// };
/// use relatch::{axum::Refusal, service::ServiceError};
/// use serde::Deserialize;
///
/// #[derive(Clone)]
/// struct Profile {
///     has_second_factor: bool,
/// }
///
/// type Web = relatch::axum::Web<Profile>;
///
/// #[derive(Deserialize)]
/// struct Login {
///     name: String,
///     password: String,
/// }
///
/// async fn login(web: Web, request: Parts, Form(form): Form<Login>) -> Result<Response, Refusal> {
///     let login = web.verify_login(&request, &form.name, &form.password).await?;
///     if login.user().fields().has_second_factor {
///         return Ok((web.pending(&login)?, Redirect::to("/code")).into_response());
///     }
///     let tokens = login.start_session().await.map_err(|error| web.refusal(error))?;
///     Ok((web.grant(&request, tokens)?, Redirect::to("/")).into_response())
/// }
///
/// # fn is_right(_secret: &str, _code: &str) -> bool { true }
/// #[derive(Deserialize)]
/// struct Code {
///     code: String,
/// }
///
/// async fn code(web: Web, request: Parts, Form(form): Form<Code>) -> Result<Response, Refusal> {
///     let login = web.second_step(&request, None).await?;
///     if !login.expose_secret().is_some_and(|secret| is_right(secret, &form.code)) {
///         return Err(web.refusal(ServiceError::WrongCode));
///     }
///     let tokens = login.start_session().await.map_err(|error| web.refusal(error))?;
///     Ok((web.grant(&request, tokens)?, Redirect::to("/")).into_response())
/// }
///
/// # fn app(web: Web) -> Router {
/// Router::new().route("/login", post(login)).route("/code", post(code)).layer(web.layer())
/// # }
/// ```
impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// Checks a name and a password within the limits, and starts no session:
    /// [`Service::verify_login`](crate::service::Service::verify_login) for [this client](Self::client).
    /// Then call [`pending`](Self::pending), or for a user without a second factor
    /// [`VerifiedLogin::start_session`] and [`grant`](Self::grant).
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn verify_login(
        &self,
        request: &Parts,
        login: &str,
        password: &str,
    ) -> Result<VerifiedLogin<F, C>, Refusal> {
        self.recorded(self.check_origin(request).and_then(|()| self.address(request)), None)?;
        let verified = self.service().verify_login(login, password, self.client(request)).await;
        self.recorded(verified.map_err(Refusal::from), None)
    }

    /// The answer to a right password: the token of the pending login, as a part of the response.
    ///
    /// # Errors
    ///
    /// [`Refusal::Service`] for a user's record that is invalid.
    pub fn pending(&self, login: &VerifiedLogin<F, C>) -> Result<PendingStep, Refusal> {
        let pending = self.as_pending(login).map_err(Refusal::from);
        let user = login.user().id();
        pending.inspect_err(|refusal| self.0.metrics.record(refusal, Some(user)))
    }

    /// Begins the second step of a login, and counts an attempt:
    /// [`Service::second_step`](crate::service::Service::second_step) for [this client](Self::client). The
    /// token is that of the request's cookie, or `given`. Both at once are refused.
    ///
    /// Check one code with the result, then call [`PendingLogin::start_session`] and
    /// [`grant`](Self::grant), whose response deletes the cookie. After a wrong code answer with
    /// [`ServiceError::WrongCode`].
    ///
    /// # Errors
    ///
    /// [`Refusal`]. If it [`is_logged_out`](Refusal::is_logged_out), the login begins again with the
    /// password.
    pub async fn second_step(
        &self,
        request: &Parts,
        given: Option<Token<SecondStep>>,
    ) -> Result<PendingLogin<F, C>, Refusal> {
        self.recorded(self.check_origin(request).and_then(|()| self.address(request)), None)?;
        let token = match (self.pending_cookie(request), given) {
            (Ok(Some(token)), None) | (Ok(None), Some(token)) => Ok(token),
            (Ok(None), None) => Err(Refusal::NoToken),
            (Ok(Some(_)), Some(_)) => Err(Refusal::Ambiguous),
            (Err(refusal), _) => Err(refusal),
        };
        let token = self.recorded(token, None)?;
        let user = token.danger_unverified_subject();
        let pending = self.service().second_step(token, self.client(request)).await;
        let user = user.filter(|_| pending.as_ref().err().is_some_and(is_genuine));
        let pending = pending.map_err(Refusal::from);
        pending.inspect_err(|refusal| self.0.metrics.record(refusal, user.as_deref()))
    }

    /// [`Service::change_secret`](crate::service::Service::change_secret) for this request: the secret of a
    /// second factor that the user sets up, replaces or removes. This device continues with the tokens in
    /// the grant, which has a new [device token](crate::throttle::DeviceToken); with an adopted plain token,
    /// in a new session of [this client](Self::client).
    ///
    /// # Security
    ///
    /// It takes no password. Call it in a handler with [`Recent`](super::Recent).
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub async fn change_secret(
        &self,
        request: &Parts,
        secret: Option<&str>,
    ) -> Result<Grant<C>, Refusal> {
        let verified = self.authenticate(request).await?;
        let (token, _) = self.recorded(self.checked_token(request), Some(&verified))?;
        let client = self.client(request);
        let tokens = self.service().change_secret_of(&token, secret, client.session()).await;
        self.granted_to_device(request, tokens)
    }

    /// Whether the client has a cookie of a pending login.
    pub(super) fn has_pending(&self, request: &Parts) -> bool {
        !matches!(self.pending_cookie(request), Ok(None))
    }

    fn pending_cookie(&self, request: &Parts) -> Result<Option<Token<SecondStep>>, Refusal> {
        let Some(cookies) = self.cookies() else { return Ok(None) };
        Ok(cookies.read(&request.headers, CookieKind::SecondStep)?.map(Token::new))
    }

    fn as_pending(&self, login: &VerifiedLogin<F, C>) -> Result<PendingStep, ServiceError> {
        let token = login.pending()?;
        let authority = self.service().authority();
        let lifetime = authority.open_once(token.again())?.expires_at() - authority.now();
        Ok(PendingStep { token, cookies: self.0.cookies.clone(), lifetime })
    }
}

/// The answer to a right password of a user with a second factor: the token of the pending login, in the
/// cookie `__Host-second-step`, or in the body of a [`Web`] without cookies. It has `Cache-Control:
/// no-store`.
///
/// As a response it is JSON with `second_step` (`true`) and `expires_in` (the token's lifetime in
/// seconds), and without cookies also `second_step_token`, which the client sends back with the code. As a
/// *part* of a response (`(pending, Redirect::to("/code"))`) it sets the cookie; without cookies that is an
/// error.
#[must_use = "the client cannot finish the login unless this is part of the response"]
pub struct PendingStep {
    token: Token<SecondStep>,
    cookies: Option<Arc<Cookies>>,
    lifetime: Duration,
}

impl PendingStep {
    /// The token of the pending login.
    pub const fn token(&self) -> &Token<SecondStep> {
        &self.token
    }

    fn cookie(&self, cookies: &Cookies) -> Option<HeaderValue> {
        cookies.set(CookieKind::SecondStep, self.token.expose(), Some(self.lifetime))
    }
}

impl IntoResponse for PendingStep {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct PendingResponse<'a> {
            second_step: bool,
            expires_in: i64,
            #[serde(skip_serializing_if = "Option::is_none")]
            second_step_token: Option<&'a str>,
        }
        let body = PendingResponse {
            second_step: true,
            expires_in: self.lifetime.whole_seconds(),
            second_step_token: self.cookies.is_none().then(|| self.token.expose()),
        };
        // A struct of numbers and strings always serialises.
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        add(self.cookies.as_ref().and_then(|cookies| self.cookie(cookies)), headers);
        response
    }
}

impl IntoResponseParts for PendingStep {
    type Error = Refusal;

    fn into_response_parts(self, mut parts: ResponseParts) -> Result<ResponseParts, Refusal> {
        let Some(cookies) = &self.cookies else {
            metrics::misconfigured(Misconfigured::NoCookies);
            return Err(Misconfigured::NoCookies.into());
        };
        add(self.cookie(cookies), parts.headers_mut());
        Ok(parts)
    }
}

impl fmt::Debug for PendingStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PendingStep").field("token", &self.token).finish_non_exhaustive()
    }
}
