//! The layer that requires a login for the service behind it.

use std::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum_core::response::IntoResponse;
use http::{Request, Response, header::CONTENT_TYPE};
use serde::{Serialize, de::DeserializeOwned};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    authority::verified::Verified,
    axum::{refusal::Refusal, web::Web},
    store::StoredUser,
    token::purpose::NoClaims,
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
{
    /// A layer that requires a login: it verifies each request's access token and refuses the
    /// others. Use it for a whole router, or for any other `tower` service over HTTP, such as those
    /// of tonic and hyper. It also does what [`layer`](Self::layer) does, and
    /// [`Authenticated`](crate::axum::Authenticated) behind it does not verify the token again.
    ///
    /// Whether it checks the origin depends on the request's method. Put a layer that overrides
    /// methods outside of it.
    ///
    /// Outside axum, the verified token is in the request's extensions, as a
    /// [`Verified<StoredUser<F>, C>`](Verified).
    ///
    /// # Example
    ///
    /// ```
    /// use axum::{Router, routing::get};
    /// use relatch::axum::Web;
    ///
    /// # fn app(web: &Web, health: Router) -> Router {
    /// let inside = Router::new().route("/reports", get(async || "...")).layer(web.require_login());
    /// health.merge(inside)
    /// # }
    /// ```
    #[must_use]
    pub fn require_login(&self) -> RequireLoginLayer<F, C> {
        RequireLoginLayer(self.clone())
    }

    /// Verifies the request, and puts the web and the verified token into it.
    async fn verify_request<B>(&self, request: Request<B>) -> Result<Request<B>, Refusal> {
        let (mut parts, body) = request.into_parts();
        let verified = self.authenticate(&parts).await?;
        parts.extensions.insert(self.installed());
        parts.extensions.insert(verified.clone());
        parts.extensions.insert(AuthenticatedRequest { web: self.clone(), verified });
        Ok(Request::from_parts(parts, body))
    }

    /// The token that a [`RequireLogin`] of this very web has already verified.
    pub(crate) fn already_verified(
        &self,
        extensions: &http::Extensions,
    ) -> Option<Verified<StoredUser<F>, C>> {
        let authenticated = extensions.get::<AuthenticatedRequest<F, C>>()?;
        Arc::ptr_eq(&authenticated.web.0, &self.0).then(|| authenticated.verified.clone())
    }
}

/// A verified token in a request's extensions, with the web that verified it.
struct AuthenticatedRequest<F, C> {
    web: Web<F, C>,
    verified: Verified<StoredUser<F>, C>,
}

impl<F, C> Clone for AuthenticatedRequest<F, C>
where
    Verified<StoredUser<F>, C>: Clone,
{
    fn clone(&self) -> Self {
        Self { web: self.web.clone(), verified: self.verified.clone() }
    }
}

/// The layer of [`Web::require_login`].
pub struct RequireLoginLayer<F = (), C = NoClaims>(Web<F, C>);

impl<S, F, C> Layer<S> for RequireLoginLayer<F, C> {
    type Service = RequireLogin<S, F, C>;

    fn layer(&self, inner: S) -> RequireLogin<S, F, C> {
        RequireLogin { inner, web: self.0.clone() }
    }
}

/// The service of a [`RequireLoginLayer`]: calls the inner service for verified requests only.
pub struct RequireLogin<S, F = (), C = NoClaims> {
    inner: S,
    web: Web<F, C>,
}

impl<S, F, C, B, R> Service<Request<B>> for RequireLogin<S, F, C>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    B: Send + 'static,
    R: Default,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that `poll_ready` was called on must be the one that is called.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let web = self.web.clone();
        Box::pin(async move {
            match web.verify_request(request).await {
                Ok(request) => inner.call(request).await,
                Err(refusal) => Ok(without_body(refusal)),
            }
        })
    }
}

fn without_body<R: Default>(refusal: Refusal) -> Response<R> {
    let (mut parts, _) = refusal.into_response().into_parts();
    parts.headers.remove(CONTENT_TYPE);
    Response::from_parts(parts, R::default())
}

impl<F, C> Clone for RequireLoginLayer<F, C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Clone, F, C> Clone for RequireLogin<S, F, C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), web: self.web.clone() }
    }
}

impl<F, C> fmt::Debug for RequireLoginLayer<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLoginLayer").finish_non_exhaustive()
    }
}

impl<S, F, C> fmt::Debug for RequireLogin<S, F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireLogin").finish_non_exhaustive()
    }
}
