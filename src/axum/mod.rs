//! The web: a [`Service`] in axum, or behind any `tower` service, with what
//! else a login on the web takes.
//!
//! [`Web`] joins a service with how its tokens travel. Its layer puts it into each request, where
//! extractors and ready handlers find it:
//!
//! | extractor | gives | where it is not to be had |
//! | --- | --- | --- |
//! | [`Authenticated`] | the verified session | 401 |
//! | `Option<Authenticated>` | the session, if there is one | – |
//! | [`Fresh`] | the session as the database has it now, past the cache | 401 |
//! | [`Recent<5>`](Recent) | the same, of a user who authenticated in the last 5 minutes | 401, 403 |
//! | [`LiveSession`] | the session, and a guard that resolves when it dies | 401 |
//! | [`Web`] | the calls for handlers of your own | – |
//!
//! The handlers are in [`endpoints`], each to be mounted or not.
//!
//! # Example
//!
//! ```
//! use axum::{
//!     Router,
//!     routing::{get, post},
//! };
//! use relatch::{
//!     User,
//!     axum::{Authenticated, ClientAddress, Cookies, Web, WebConfigError, endpoints},
//!     service::Service,
//! };
//!
//! async fn me(Authenticated(session): Authenticated) -> String {
//!     session.user().id().to_owned()
//! }
//!
//! fn app(service: Service) -> Result<Router, WebConfigError> {
//!     let web = Web::builder(service)
//!         .cookies(Cookies::new())
//!         .client_address(ClientAddress::forwarded_for(1))
//!         .build()?;
//!     Ok(Router::new()
//!         .route("/me", get(me))
//!         .route("/auth/login", post(endpoints::login))
//!         .route("/auth/refresh", post(endpoints::refresh))
//!         .route("/auth/logout", post(endpoints::logout))
//!         .layer(web.layer()))
//! }
//! ```

mod address;
mod builder;
mod calls;
mod cookies;
mod csrf;
pub mod endpoints;
mod extract;
mod gate;
mod grant;
mod guard;
mod introspection;
mod label;
mod layer;
mod limits;
mod local_path;
mod origin;
mod presented;
mod refusal;
mod tally;

use std::{fmt, sync::Arc};

use http::request::Parts;

pub use self::{
    address::ClientAddress,
    builder::{WebBuilder, WebConfigError},
    cookies::Cookies,
    csrf::{CSRF_HEADER, Csrf},
    extract::{Authenticated, Fresh, LiveSession, Recent},
    grant::{Grant, LoggedOut},
    guard::{Guard, GuardLayer},
    layer::{WebLayer, WithWeb},
    limits::LoginLimits,
    local_path::local_path,
    refusal::{Misconfigured, Refusal},
};
use self::{introspection::Callers, limits::Limits, origin::Origins, tally::Tally};
use crate::{
    context::Context,
    live::Live,
    purpose::NoClaims,
    service::Service,
    store::{StoreError, StoredUser},
};

/// A service on the web: what the layer puts into each request. A clone is cheap and the same.
///
/// `F` are the fields of a user's row and `C` the claims of access tokens, as in
/// [`Service`]. As an extractor it is the one of the layer, for handlers of an application's own.
///
/// # Example
///
/// ```
/// use axum::{Form, Router, http::request::Parts, response::Redirect, routing::post};
/// use relatch::axum::{Grant, Refusal, Web};
/// use serde::Deserialize;
///
/// #[derive(Deserialize)]
/// struct Login {
///     name: String,
///     password: String,
/// }
///
/// /// A form that leads on to a page.
/// async fn login(
///     web: Web,
///     request: Parts,
///     Form(form): Form<Login>,
/// ) -> Result<(Grant, Redirect), Refusal> {
///     let grant = web.login(&request, &form.name.to_lowercase(), &form.password).await?;
///     Ok((grant, Redirect::to("/")))
/// }
///
/// # fn app() -> Router {
/// Router::new().route("/login", post(login))
/// # }
/// ```
pub struct Web<F = (), C = NoClaims>(Arc<Inner<F, C>>);

struct Inner<F, C> {
    service: Service<F, C>,
    cookies: Option<Arc<Cookies>>,
    origins: Origins,
    address: ClientAddress,
    context: ContextOf,
    limits: Limits,
    live: Live<StoredUser<F>, StoreError>,
    login_page: String,
    callers: Callers,
    tally: Tally,
}

type ContextOf = Box<dyn Fn(&Parts) -> Context + Send + Sync>;

impl<F: Clone + Send + Sync + 'static, C> Web<F, C> {
    /// The settings of a web for this service.
    pub fn builder(service: Service<F, C>) -> WebBuilder<F, C> {
        WebBuilder::new(service)
    }

    /// The service, for calls that are not of a request.
    #[must_use]
    pub fn service(&self) -> &Service<F, C> {
        &self.0.service
    }

    /// The guards of open connections, as [`LiveSession`] hands them out: for
    /// [`Live::replace_authority`].
    #[must_use]
    pub fn live(&self) -> &Live<StoredUser<F>, StoreError> {
        &self.0.live
    }

    /// How many requests were refused since the start, by reason: a metric's label and its value.
    #[must_use]
    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        self.0.tally.counts()
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
