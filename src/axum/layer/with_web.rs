//! The layer: puts a web into each request.

use std::{
    any::{Any, type_name},
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum_core::{extract::Request, response::Response};
use http::Extensions;
use serde::{Serialize, de::DeserializeOwned};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    authority::session::Session,
    axum::{Inner, Misconfigured, Refusal, Web, endpoints::Endpoint, metrics},
    store::StoredUser,
};

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// The layer that puts this web into each request, where extractors and [`endpoints`](crate::axum::endpoints)
    /// find it. It refuses nothing.
    #[must_use]
    pub fn layer(&self) -> WebLayer {
        WebLayer(self.installed())
    }

    pub(in crate::axum) fn installed(&self) -> Installed {
        Installed(Arc::clone(&self.0) as _)
    }

    /// The web that the layer put into a request.
    pub(in crate::axum) fn of(extensions: &Extensions) -> Result<Self, Refusal> {
        let found = match extensions.get::<Installed>() {
            None => Err(Misconfigured::NoLayer.into()),
            Some(installed) => {
                let found = installed.0.types();
                let any: Arc<dyn Any + Send + Sync> = Arc::clone(&installed.0) as _;
                any.downcast().map(Self).map_err(|_| {
                    Misconfigured::OtherTypes { wanted: type_name::<(F, C)>(), found }.into()
                })
            }
        };
        if let Err(Refusal::Misconfigured(what)) = &found {
            metrics::misconfigured(*what);
        }
        found
    }
}

/// What the layer puts into a request, whatever its web's types.
#[derive(Clone)]
pub(in crate::axum) struct Installed(pub(crate) Arc<dyn Endpoints>);

/// A web whose types are not known: what its endpoints need, none of which shows them.
pub(in crate::axum) trait Endpoints: Any + Send + Sync {
    fn call(self: Arc<Self>, endpoint: Endpoint, request: Request) -> Answer;

    /// The names of its types.
    fn types(&self) -> &'static str;
}

type Answer = Pin<Box<dyn Future<Output = Response> + Send>>;

impl<F, C> Endpoints for Inner<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    fn call(self: Arc<Self>, endpoint: Endpoint, request: Request) -> Answer {
        Box::pin(Web(self).endpoint(endpoint, request))
    }

    fn types(&self) -> &'static str {
        type_name::<(F, C)>()
    }
}

/// A session that a guard has verified, and for which web.
pub(in crate::axum) struct Verified<F, C> {
    pub(in crate::axum) web: Web<F, C>,
    pub(in crate::axum) session: Session<StoredUser<F>, C>,
}

impl<F, C> Clone for Verified<F, C>
where
    Session<StoredUser<F>, C>: Clone,
{
    fn clone(&self) -> Self {
        Self { web: self.web.clone(), session: self.session.clone() }
    }
}

/// The layer of [`Web::layer`].
#[derive(Clone)]
pub struct WebLayer(Installed);

impl<S> Layer<S> for WebLayer {
    type Service = WithWeb<S>;

    fn layer(&self, inner: S) -> WithWeb<S> {
        WithWeb { inner, installed: self.0.clone() }
    }
}

/// A service into whose requests a [`WebLayer`] puts its web.
#[derive(Clone)]
pub struct WithWeb<S> {
    inner: S,
    installed: Installed,
}

impl<S, B> Service<http::Request<B>> for WithWeb<S>
where
    S: Service<http::Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<B>) -> S::Future {
        request.extensions_mut().insert(self.installed.clone());
        self.inner.call(request)
    }
}

impl fmt::Debug for WebLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebLayer").finish_non_exhaustive()
    }
}

impl<S> fmt::Debug for WithWeb<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WithWeb").finish_non_exhaustive()
    }
}
