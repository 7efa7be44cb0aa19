//! The web: a [`Service`](crate::service::Service) in axum, or in front of any `tower` service over HTTP, with what else a
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
//! A whole router goes behind the login by [`.layer(web.require_login())`](Web::require_login). The handlers are in
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
//!         .route("/auth/logout", post(endpoints::log_out))
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

mod authenticate;
mod builder;
mod calls;
mod checks;
pub mod endpoints;
mod extract;
mod grant;
mod layer;
mod limits;
mod local_path;
mod metrics;
mod misconfigured;
mod refusal;
mod request;
mod web;

pub use self::{
    builder::{WebBuilder, WebConfigError},
    extract::{Authenticated, Fresh, LiveSession, Recent},
    grant::{Grant, LoggedOut},
    layer::{
        require_login::{RequireLogin, RequireLoginLayer},
        web_service::{WebLayer, WebService},
    },
    limits::LoginLimits,
    local_path::local_path,
    misconfigured::Misconfigured,
    refusal::Refusal,
    request::{
        address::ClientAddress,
        cookies::Cookies,
        csrf::{CSRF_HEADER, Csrf},
    },
    web::Web,
};
