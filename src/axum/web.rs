//! [`Web`]: a service and the settings of its transport.

use std::{fmt, sync::Arc};

use http::request::Parts;

use super::{
    metrics::Metrics,
    request::{address::ClientAddress, callers::Callers, cookies::Cookies, origin::Origins},
};
use crate::{
    binding::context::Context,
    live::Live,
    service::Service,
    sessions::SessionInfo,
    store::{StoreError, StoredUser},
    token::purpose::NoClaims,
};

/// A service on the web. The [layer](Self::layer) puts it into each request. A clone is cheap and
/// shares all state.
///
/// `F` is the type of the application's fields in a user's row, and `C` the type of the private
/// claims of access tokens, as in [`Service`]. As an extractor it gives the layer's `Web` to the
/// application's own handlers.
///
/// # Example
///
/// ```
/// use axum::{
///     Form, Router,
///     http::{StatusCode, request::Parts},
///     response::{Html, IntoResponse, Redirect, Response},
///     routing::post,
/// };
/// use relatch::{axum::{Refusal, Web}, service::ServiceError};
/// use serde::Deserialize;
///
/// # const AGAIN: &str = "";
///
/// #[derive(Deserialize)]
/// struct Login {
///     name: String,
///     password: String,
/// }
///
/// /// Redirects to a page after a login, and otherwise shows the form again.
/// async fn login(
///     web: Web,
///     request: Parts,
///     Form(form): Form<Login>,
/// ) -> Result<Response, Refusal> {
///     match web.login(&request, &form.name.to_lowercase(), &form.password).await {
///         Ok(grant) => Ok((grant, Redirect::to("/")).into_response()),
///         Err(Refusal::Service(ServiceError::LoginRefused(_))) => {
///             Ok((StatusCode::UNAUTHORIZED, Html(AGAIN)).into_response())
///         }
///         Err(refusal) => Err(refusal), // too many attempts, store unreachable, cross-site request…
///     }
/// }
///
/// # fn app() -> Router {
/// Router::new().route("/login", post(login))
/// # }
/// ```
pub struct Web<F = (), C = NoClaims>(pub(super) Arc<Inner<F, C>>);

pub(super) struct Inner<F, C> {
    pub(super) service: Service<F, C>,
    pub(super) cookies: Option<Arc<Cookies>>,
    pub(super) origins: Origins,
    pub(super) address: Option<ClientAddress>,
    pub(super) context: ReadContext,
    pub(super) live: Live<StoredUser<F>, StoreError>,
    pub(super) login_page: String,
    pub(super) session_policy: Option<String>,
    pub(super) remembered: Option<String>,
    pub(super) normalize_login: NormalizeLogin,
    pub(super) shown_data: ShowData,
    pub(super) callers: Callers,
    pub(super) metrics: Metrics,
}

/// What the list of sessions shows of a session's data.
pub(super) type ShowData = Box<dyn Fn(&SessionInfo) -> Option<serde_json::Value> + Send + Sync>;

/// Makes the stored form of a login's name from the typed one.
pub(super) type NormalizeLogin = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Reads the context of a request, to which tokens are bound.
pub(super) type ReadContext = Box<dyn Fn(&Parts) -> Context + Send + Sync>;

impl<F: Clone + Send + Sync + 'static, C> Web<F, C> {
    /// The service, for calls without a request.
    #[must_use]
    pub fn service(&self) -> &Service<F, C> {
        &self.0.service
    }

    /// The number of refused requests since the start, by reason. The reason is one of a fixed set
    /// of names in snake case, suitable as a metric's label.
    ///
    /// # Security
    ///
    /// Do not show the reasons on a public route.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::axum::Web;
    ///
    /// /// For Prometheus: `relatch_refused_total{reason="bad_signature"} 3`.
    /// async fn metrics(web: Web) -> String {
    ///     let line = |(reason, count)| format!("relatch_refused_total{{reason=\"{reason}\"}} {count}\n");
    ///     web.refused().into_iter().map(line).collect()
    /// }
    /// ```
    #[must_use]
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        self.0.metrics.counts()
    }
}

impl<F, C> Clone for Web<F, C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F, C> fmt::Debug for Web<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web")
            .field("service", &self.0.service)
            .field("cookies", &self.0.cookies)
            .finish_non_exhaustive()
    }
}
