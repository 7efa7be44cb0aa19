//! The web: a [`Service`] in axum, or in front of any `tower` service over HTTP, with what else a
//! login on the web takes.
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
//! A whole router goes behind the login by [`.layer(web.guard())`](Web::guard). The handlers are in
//! [`endpoints`], each to be mounted or not.
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
//!
//! # With fields and claims
//!
//! Extractors name those of the layer's [`Web`]; claims take `Clone`. Another type compiles, and is
//! 500 when the request comes: the log names both.
//!
//! ```
//! use relatch::{
//!     Authority, User,
//!     axum::{Authenticated, Recent, Refusal, WebConfigError},
//!     service::Service,
//!     store::SqliteStore,
//! };
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Deserialize)]
//! struct Profile {
//!     email: String,
//!     is_staff: bool,
//! }
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Role {
//!     staff: bool,
//! }
//!
//! /// One name for the whole application.
//! type Web = relatch::axum::Web<Profile, Role>;
//!
//! fn web(authority: Authority, users: SqliteStore<Profile>) -> Result<Web, WebConfigError> {
//!     let service = Service::builder(authority, users);
//!     let service = service.claims(|user| Role { staff: user.fields().is_staff });
//!     Web::builder(service.build()).build()
//! }
//!
//! async fn me(Authenticated(session): Authenticated<Profile, Role>) -> String {
//!     format!("{}, staff: {}", session.user().fields().email, session.claims().staff)
//! }
//!
//! // The number is the first.
//! async fn keys(web: Web, Recent(session): Recent<5, Profile, Role>) -> Result<String, Refusal> {
//!     Ok(web.csrf_token(&session)?.expose().to_owned())
//! }
//! ```
//!
//! # Browsers and other clients
//!
//! A [`Web`] hands its tokens out in one way. A site in cookies and an app on phones in bodies take
//! two, over clones of one service; the inner layer wins:
//!
//! ```
//! use axum::{Router, routing::post};
//! use relatch::{
//!     axum::{ClientAddress, Cookies, Web, WebConfigError, endpoints},
//!     service::Service,
//! };
//!
//! fn app(service: Service, address: ClientAddress) -> Result<Router, WebConfigError> {
//!     let api = Web::builder(service.clone()).client_address(address.clone()).build()?;
//!     let site = Web::builder(service).client_address(address).cookies(Cookies::new()).build()?;
//!     let api = Router::new()
//!         .route("/login", post(endpoints::login))
//!         .route("/refresh", post(endpoints::refresh))
//!         .layer(api.layer());
//!     Ok(Router::new()
//!         .nest("/api", api)
//!         .route("/auth/login", post(endpoints::login))
//!         .route("/auth/refresh", post(endpoints::refresh))
//!         .layer(site.layer()))
//! }
//! ```
//!
//! Each counts login limits and refusals of its own. The one with cookies takes bearer tokens as
//! well, and refuses a request that has both; the other one looks at no cookie.
//!
//! # Testing your routes
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use relatch::{
//!     Authority, MasterKey, User,
//!     axum::{Authenticated, Web},
//!     service::Service,
//!     store::{MemoryStore, NewUser},
//! };
//! use tower_service::Service as _; // or `oneshot` of `tower`'s `ServiceExt`
//!
//! async fn me(Authenticated(session): Authenticated) -> String {
//!     session.user().id().to_owned()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = MemoryStore::new();
//! users.insert(NewUser::without_password("1", "alice")?, ());
//! let key = MasterKey::from_bytes("test", &[7; 32])?;
//! let authority = Authority::new(key, "https://a.example", "https://a.example")?;
//! let service = Service::new(authority, users);
//! let web = Web::builder(service.clone()).build()?;
//! let mut app = Router::new().route("/me", get(me)).layer(web.layer());
//!
//! let tokens = service.start_session("1", "a test").await?;
//! let bearer = format!("Bearer {}", tokens.access().expose());
//! let request = || Request::get("/me").header("authorization", &bearer).body(Body::empty());
//! assert_eq!(app.call(request()?).await?.status(), 200);
//!
//! service.log_out_everywhere("1").await?;
//! assert_eq!(app.call(request()?).await?.status(), 401);
//! # Ok(())
//! # }
//! ```
//!
//! - With cookies, what may change something takes the headers that a browser sends: `host:
//!   a.example` and `origin: https://a.example`. With
//!   [`danger_plain_localhost`](Cookies::danger_plain_localhost) every request takes `host:
//!   localhost`, and the origin is `http://localhost`.
//! - Where passwords are asked for there is no peer: put one in by
//!   `.layer(axum::Extension(ConnectInfo(peer)))` (axum's `MockConnectInfo` is for its own extractor
//!   alone), or set [`LoginLimits::without_addresses`].
//! - Why something is refused or 500 stands in the log: enable the feature `tracing`, and begin a
//!   test with `let _ = tracing_subscriber::fmt().try_init()`.

mod builder;
mod calls;
pub mod endpoints;
mod extract;
mod grant;
mod layer;
mod limits;
mod local_path;
mod metrics;
mod refusal;
mod request;

use std::{fmt, sync::Arc};

use http::request::Parts;

pub use self::{
    builder::{WebBuilder, WebConfigError},
    extract::{Authenticated, Fresh, LiveSession, Recent},
    grant::{Grant, LoggedOut},
    layer::{
        require_login::{Guard, GuardLayer},
        with_web::{WebLayer, WithWeb},
    },
    limits::LoginLimits,
    local_path::local_path,
    refusal::{Misconfigured, Refusal},
    request::{
        address::ClientAddress,
        cookies::Cookies,
        csrf::{CSRF_HEADER, Csrf},
    },
};
use self::{endpoints::callers::Callers, limits::Limits, metrics::Tally, request::origin::Origins};
use crate::{
    binding::context::Context,
    live::Live,
    service::Service,
    store::{StoreError, StoredUser},
    token::purpose::NoClaims,
};

/// A service on the web: what the layer puts into each request. A clone is cheap and the same.
///
/// `F` are the fields of a user's row and `C` the claims of access tokens, as in
/// [`Service`]. As an extractor it is the one of the layer, for handlers of an application's own.
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
/// use relatch::{
///     axum::{Refusal, Web},
///     service::ServiceError,
/// };
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
/// /// A form that leads on to a page, or is shown again.
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
///         Err(refusal) => Err(refusal), // too many attempts, no store, another site's page…
///     }
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

    /// How many requests were refused since the start, by reason: a metric's label, of a closed set
    /// of names in snake case, and its value.
    ///
    /// # Security
    ///
    /// The reasons are not for a public route.
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
