//! The layer that puts a web into each request.

use std::{
    fmt,
    task::{Context, Poll},
};

use serde::{Serialize, de::DeserializeOwned};
use tower_layer::Layer;
use tower_service::Service;

use super::installed::Installed;
use crate::axum::web::Web;

impl<F, C> Web<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    /// A layer that puts this web into each request, where the extractors and the
    /// [`endpoints`](crate::axum::endpoints) find it. It refuses no request.
    #[must_use]
    pub fn layer(&self) -> WebLayer {
        WebLayer(self.installed())
    }
}

/// The layer of [`Web::layer`].
#[derive(Clone)]
pub struct WebLayer(Installed);

impl<S> Layer<S> for WebLayer {
    type Service = WebService<S>;

    fn layer(&self, inner: S) -> WebService<S> {
        WebService { inner, installed: self.0.clone() }
    }
}

/// The service of a [`WebLayer`]: puts the web into each request, and calls the inner service.
#[derive(Clone)]
pub struct WebService<S> {
    inner: S,
    installed: Installed,
}

impl<S, B> Service<http::Request<B>> for WebService<S>
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

impl<S> fmt::Debug for WebService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebService").finish_non_exhaustive()
    }
}
