//! The web layer: a [`Service`](crate::service::Service) for axum and for any `tower` service over
//! HTTP, with extractors, cookies, ready handlers and limits.
//!
//! [`Web`] holds a service and the settings of its transport: cookies or headers, trusted origins,
//! limits. Its layer puts it into each request, where the extractors and the ready handlers find
//! it:
//!
//! | extractor | gives | otherwise |
//! | --- | --- | --- |
//! | [`Authenticated`] | the verified access token | 401 |
//! | `Option<Authenticated>` | the verified access token, or `None` | – |
//! | [`Fresh`] | the same, verified against the database and not the cache | 401 |
//! | [`Recent<5>`](Recent) | as `Fresh`, for a user who authenticated in the last 5 minutes | 401, 403 |
//! | [`LiveAuthenticated`] | the verified access token, and a future that resolves when it stops being valid | 401 |
//! | [`Web`] | the calls for handlers of your own | – |
//!
//! To require a login for a whole router, add
//! [`.layer(web.require_login())`](Web::require_login). The ready handlers are in [`endpoints`];
//! mount those you need.
//!
//! # Example
//!
//! ```
//! use axum::{
//!     Router,
//!     routing::{get, post},
//! };
//! use relatch::{
//!     ConfigError, User,
//!     axum::{Authenticated, ClientAddress, Cookies, Web, endpoints},
//!     service::Service,
//! };
//!
//! async fn me(Authenticated(verified): Authenticated) -> String {
//!     verified.user().id().to_owned()
//! }
//!
//! fn app(service: Service) -> Result<Router, ConfigError> {
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
//! Extractors take the same type parameters as the layer's [`Web`]; claims must be `Clone`. Other
//! types compile, but each request is answered with 500, and the log names both types.
//!
//! ```
//! use relatch::{
//!     Authority, ConfigError, User,
//!     axum::{Authenticated, ClientAddress, Recent, Refusal},
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
//! fn web(authority: Authority, users: SqliteStore<Profile>) -> Result<Web, ConfigError> {
//!     let service = Service::builder(authority, users);
//!     let service = service.claims(|user, _| Role { staff: user.fields().is_staff });
//!     Web::builder(service.build()).client_address(ClientAddress::forwarded_for(1)).build()
//! }
//!
//! async fn me(Authenticated(verified): Authenticated<Profile, Role>) -> String {
//!     format!("{}, staff: {}", verified.user().fields().email, verified.claims().staff)
//! }
//!
//! // The number comes first.
//! async fn keys(web: Web, Recent(verified): Recent<5, Profile, Role>) -> Result<String, Refusal> {
//!     Ok(web.csrf_token(&verified)?.expose().to_owned())
//! }
//! ```
//!
//! # Browsers and other clients
//!
//! A [`Web`] returns tokens in one way: in cookies or in response bodies. A site with cookies and a
//! mobile app therefore need two, built from clones of one service. The web of the app can have its
//! own policy for sessions ([`WebBuilder::session_policy`]). The inner layer wins:
//!
//! ```
//! use axum::{Router, routing::post};
//! use relatch::{axum::{ClientAddress, Cookies, Web, endpoints}, ConfigError, service::Service};
//!
//! fn app(service: Service, address: ClientAddress) -> Result<Router, ConfigError> {
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
//! Each `Web` counts its own refusals. The service counts the password attempts of both. The one with
//! cookies also accepts bearer tokens, and refuses a request that has both. The other one reads no
//! cookies.
//!
//! # Testing your routes
//!
//! ```
//! use axum::{Router, body::Body, http::Request, routing::get};
//! use relatch::{
//!     Authority, MasterKey, User,
//!     axum::{Authenticated, ClientAddress, Web},
//!     service::Service,
//!     store::{MemoryStore, NewUser},
//! };
//! use tower_service::Service as _; // or `oneshot` of `tower`'s `ServiceExt`
//!
//! async fn me(Authenticated(verified): Authenticated) -> String {
//!     verified.user().id().to_owned()
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let users = MemoryStore::new();
//! users.insert(NewUser::without_password("1", "alice")?, ());
//! let key = MasterKey::from_bytes("test", &[7; 32])?;
//! let authority = Authority::new(key, "https://a.example", "https://a.example")?;
//! let service = Service::new(authority, users);
//! let address = ClientAddress::from_fn(|_| Some([192, 0, 2, 1].into()));
//! let web = Web::builder(service.clone()).client_address(address).build()?;
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
//! - With cookies, a request that may change something needs the headers that a browser sends:
//!   `host: a.example` and `origin: https://a.example`. With
//!   [`danger_plain_localhost`](Cookies::danger_plain_localhost) every request needs `host:
//!   localhost`, and the origin is `http://localhost`.
//! - Handlers that take a password need the client's address, and a test has no connection. Add one
//!   with `.layer(axum::Extension(ConnectInfo(peer)))` (axum's `MockConnectInfo` works only for its
//!   own extractor), or make the service with
//!   [`Throttle::without_addresses`](crate::throttle::Throttle::without_addresses).
//! - The log says why a request was refused or answered with 500: enable the feature `tracing`, and
//!   begin a test with `let _ = tracing_subscriber::fmt().try_init()`.

mod authenticate;
mod builder;
mod calls;
mod checks;
mod device_list;
pub mod endpoints;
mod exchange;
mod extract;
mod grant;
mod layer;
mod local_path;
mod metrics;
mod misconfigured;
mod refusal;
mod request;
mod second_step;
mod web;

pub use self::{
    builder::WebBuilder,
    extract::{Authenticated, Fresh, LiveAuthenticated, Recent},
    grant::{Grant, LoggedOut},
    layer::{
        require_login::{RequireLogin, RequireLoginLayer},
        web_service::{WebLayer, WebService},
    },
    local_path::local_path,
    misconfigured::Misconfigured,
    refusal::Refusal,
    request::{
        address::ClientAddress,
        cookies::Cookies,
        csrf::{CSRF_HEADER, Csrf},
        device::DEVICE_HEADER,
    },
    second_step::PendingStep,
    web::Web,
};
