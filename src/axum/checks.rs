//! Checks before a call: token, origin, rate limits; recording of refusals.

use std::net::IpAddr;

use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    misconfigured::Misconfigured,
    refusal::Refusal,
    request::{
        cookies::{CookieKind, Cookies},
        csrf, device,
        origin::{self, Proof},
        token::{self, Carrier},
    },
    web::Web,
};
use crate::{
    authority::verified::Verified,
    binding::context::Context,
    rejection::Stage,
    service::ServiceError,
    store::StoredUser,
    throttle::DeviceToken,
    token::{RefreshToken, Token, purpose::Access},
    user::User,
};

/// A refusal that is not yet counted and logged, and the user's id if the token is genuine.
pub(super) struct Unrecorded {
    pub(super) refusal: Refusal,
    user: Option<String>,
}

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The access token of the request, after the check of its origin; and whether the token in
    /// [`csrf::CSRF_HEADER`] must still be checked, which needs the verified token.
    pub(super) fn checked_token(
        &self,
        request: &Parts,
    ) -> Result<(Token<Access<C>>, bool), Refusal> {
        self.check_host(request)?;
        let presented = token::access(&request.headers, self.cookies())?;
        let (carrier, text) = presented.ok_or(Refusal::NoToken)?;
        let proof = match carrier {
            Carrier::Cookie if !origin::is_safe(request) => self.0.origins.proof(request),
            _ => Proof::Same,
        };
        let needs_csrf_token = match proof {
            Proof::Same => false,
            Proof::Unknown if csrf::header(request).is_some() => true,
            _ => return Err(Refusal::CrossSite),
        };
        Ok((Token::new(text).in_context(self.context(request)), needs_csrf_token))
    }

    /// Verifies the request's token with this function.
    pub(super) async fn verify_with(
        &self,
        request: &Parts,
        verify: impl AsyncFnOnce(&Token<Access<C>>) -> Result<Verified<StoredUser<F>, C>, ServiceError>,
    ) -> Result<Verified<StoredUser<F>, C>, Unrecorded> {
        let (token, needs_csrf_token) = self.checked_token(request)?;
        let verified = match verify(&token).await {
            Ok(verified) => verified,
            Err(error) => {
                let user = is_genuine(&error).then(|| token.danger_unverified_subject()).flatten();
                return Err(Unrecorded { refusal: error.into(), user });
            }
        };
        if needs_csrf_token && !self.has_csrf_token(request, &verified) {
            let user = Some(verified.user().id().to_owned());
            return Err(Unrecorded { refusal: Refusal::CrossSite, user });
        }
        Ok(verified)
    }

    /// The client's address, if attempts are counted by address.
    pub(super) fn address(&self, request: &Parts) -> Result<Option<IpAddr>, Refusal> {
        if !self.service().counts_addresses() {
            return Ok(None);
        }
        Ok(Some(self.known_address(request).ok_or(Misconfigured::NoClientAddress)?))
    }

    /// The client's address, if the web is configured to know it.
    pub(super) fn known_address(&self, request: &Parts) -> Option<IpAddr> {
        self.0.address.as_ref().and_then(|address| address.of(request))
    }

    /// The device token of the request. Two are none.
    pub(super) fn device(&self, request: &Parts) -> Option<DeviceToken> {
        let read = |cookies: &Cookies| {
            let token = cookies.read(&request.headers, CookieKind::Device).ok().flatten();
            token.map(str::to_owned)
        };
        let token = self.cookies().and_then(read);
        token.map(DeviceToken::new).or_else(|| device::header(&request.headers))
    }

    /// Checks that a page of this origin made the request. Only with cookies, and only for a
    /// request that may change something.
    pub(super) fn check_origin(&self, request: &Parts) -> Result<(), Refusal> {
        self.check_host(request)?;
        let needs_proof = self.cookies().is_some() && !origin::is_safe(request);
        match needs_proof && self.0.origins.proof(request) != Proof::Same {
            true => Err(Refusal::CrossSite),
            false => Ok(()),
        }
    }

    /// Checks that cookies for development are used only on `localhost`.
    fn check_host(&self, request: &Parts) -> Result<(), Refusal> {
        let is_development = self.cookies().is_some_and(Cookies::is_development);
        match is_development && !origin::host_of(request).is_some_and(is_localhost) {
            true => Err(Misconfigured::NotLocalhost.into()),
            false => Ok(()),
        }
    }

    /// The refresh tokens of the request's cookies, in its context.
    pub(super) fn refresh_cookies(&self, request: &Parts) -> Result<Vec<RefreshToken>, Refusal> {
        let Some(cookies) = self.cookies() else { return Ok(Vec::new()) };
        let token = |text| RefreshToken::new(text).in_context(self.context(request));
        Ok(cookies.read_refresh(&request.headers)?.into_iter().map(token).collect())
    }

    pub(super) fn cookies(&self) -> Option<&Cookies> {
        self.0.cookies.as_deref()
    }

    pub(super) fn context(&self, request: &Parts) -> Context {
        (self.0.context)(request)
    }

    fn has_csrf_token(&self, request: &Parts, verified: &Verified<StoredUser<F>, C>) -> bool {
        let authority = self.service().authority();
        csrf::header(request).is_some_and(|value| csrf::is_valid(&authority, verified, value))
    }

    /// Counts and logs a refusal.
    pub(super) fn record(&self, unrecorded: Unrecorded) -> Refusal {
        self.0.metrics.record(&unrecorded.refusal, unrecorded.user.as_deref());
        unrecorded.refusal
    }

    /// Counts and logs the refusal if the outcome is one, with the user's id if the request is
    /// verified.
    pub(super) fn recorded<T>(
        &self,
        outcome: Result<T, Refusal>,
        verified: Option<&Verified<StoredUser<F>, C>>,
    ) -> Result<T, Refusal> {
        if let Err(refusal) = &outcome {
            self.0.metrics.record(refusal, verified.map(|verified| verified.user().id()));
        }
        outcome
    }
}

impl From<Refusal> for Unrecorded {
    fn from(refusal: Refusal) -> Self {
        Self { refusal, user: None }
    }
}

/// Whether the error came after the check of the guard. The user's id in the token is then genuine.
pub(super) fn is_genuine(error: &ServiceError) -> bool {
    match error {
        ServiceError::Rejected(rejection) => rejection.stage() > Stage::Guard,
        _ => true,
    }
}

fn is_localhost(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || name == "127.0.0.1" || name == "[::1]"
}
