//! `relatch::axum` through its public API alone: requests to a router, and its responses.

mod access_token;
mod adoption;
mod client_script;
mod cookies;
mod endpoints;
mod extractors;
mod introspection;
mod kept_cookies;
mod limits;
pub(crate) mod logs;
mod new_device;
mod origin;
mod remember_me;
mod require_login;
mod responses;
mod resume;
mod retry;
mod second_step;
mod several_cookies;
mod traps;
mod wire;

use std::convert::Infallible;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    response::sse::{Event, Sse},
    routing::{any, get, post},
};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use relatch::{
    SessionTokens, User,
    authority::SystemEntropy,
    axum::{
        Authenticated, ClientAddress, Cookies, Fresh, LiveAuthenticated, Recent, Web, WebBuilder,
    },
    service::{Service, ServiceBuilder},
    store::{MemoryStore, NewUser},
};
use time::Duration;
use tower_service::Service as _;

use crate::{
    common::{TestClock, builder},
    service::{PASSWORD, hash},
};

pub(crate) const ALICE: &str = "1";
/// A user without a password.
pub(crate) const BOB: &str = "2";

/// The lifetimes of access tokens and sessions, in seconds.
pub(crate) const ACCESS_SECONDS: i64 = 15 * 60;
pub(crate) const IDLE_SECONDS: i64 = 14 * 24 * 60 * 60;

/// A web over users in memory, with every endpoint.
pub(crate) struct World {
    pub(crate) store: MemoryStore,
    pub(crate) clock: TestClock,
    pub(crate) web: Web,
    pub(crate) app: Router,
}

impl World {
    pub(crate) fn bearer() -> Self {
        Self::with(|web| web)
    }

    pub(crate) fn cookies() -> Self {
        Self::with(|web| web.cookies(Cookies::new()))
    }

    pub(crate) fn with(set: impl FnOnce(WebBuilder) -> WebBuilder) -> Self {
        Self::of(|service| service, set)
    }

    pub(crate) fn of(
        set_service: impl FnOnce(ServiceBuilder) -> ServiceBuilder,
        set: impl FnOnce(WebBuilder) -> WebBuilder,
    ) -> Self {
        let (store, clock) = (users(), TestClock::new());
        let authority = builder(&clock).entropy(SystemEntropy).build().unwrap();
        let service = set_service(Service::builder(authority, store.clone())).build();
        let web = set(Web::builder(service).client_address(here())).build().unwrap();
        Self { app: routes().layer(web.layer()), store, clock, web }
    }

    /// Starts a session of this user, without a request.
    pub(crate) async fn start(&self, user: &str) -> SessionTokens {
        self.web.service().start_session(user, "phone").await.unwrap()
    }

    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        send(&self.app, ask).await
    }

    /// Whether this access token is valid.
    pub(crate) async fn lives(&self, tokens: &SessionTokens) -> bool {
        self.web.service().authenticate_fresh(tokens.access()).await.is_ok()
    }

    pub(crate) fn refused(&self, reason: &str) -> u64 {
        let counts = self.web.refused();
        counts.iter().find(|(name, _)| *name == reason).map_or(0, |(_, count)| *count)
    }
}

/// One address of all clients.
pub(crate) fn here() -> ClientAddress {
    ClientAddress::from_fn(|_| Some([192, 0, 2, 1].into()))
}

pub(crate) fn users() -> MemoryStore {
    let store = MemoryStore::new();
    assert!(store.insert(NewUser::with_password_hash(ALICE, "alice", hash()), ()));
    assert!(store.insert(NewUser::without_password(BOB, "bob").unwrap(), ()));
    store
}

fn routes() -> Router {
    Router::new()
        .route(
            "/me",
            any(async |Authenticated(session): Authenticated| -> String {
                session.user().id().to_owned()
            }),
        )
        .route(
            "/maybe",
            any(async |session: Option<Authenticated>| -> String {
                session.map_or("nobody".into(), |session| session.0.user().id().to_owned())
            }),
        )
        .route(
            "/fresh",
            any(async |Fresh(session): Fresh| -> String { session.user().id().to_owned() }),
        )
        .route(
            "/recent",
            any(async |Recent(session): Recent<5>| -> String { session.user().id().to_owned() }),
        )
        .route("/events", any(events))
        .route("/auth/login", post(relatch::axum::endpoints::login))
        .route("/auth/refresh", post(relatch::axum::endpoints::refresh))
        .route("/auth/resume", any(relatch::axum::endpoints::resume))
        .route("/auth/logout", post(relatch::axum::endpoints::log_out))
        .route("/auth/logout_device", post(relatch::axum::endpoints::log_out_device))
        .route("/auth/logout_others", post(relatch::axum::endpoints::log_out_others))
        .route("/auth/logout_everywhere", post(relatch::axum::endpoints::log_out_everywhere))
        .route("/auth/change_password", post(relatch::axum::endpoints::change_password))
        .route("/auth/reauthenticate", post(relatch::axum::endpoints::reauthenticate))
        .route("/auth/sessions", get(relatch::axum::endpoints::sessions))
        .route("/auth/revoke", post(relatch::axum::endpoints::revoke))
        .route("/auth/not_me", post(relatch::axum::endpoints::not_me))
        .route("/auth/introspect", post(relatch::axum::endpoints::introspect))
        .route("/auth/check", any(relatch::axum::endpoints::check))
}

/// A stream of one event, which then stays open until the session ends.
async fn events(
    LiveAuthenticated { verified, watch }: LiveAuthenticated,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let hello = Event::default().data(verified.user().id());
    let events = futures_util::stream::iter([Ok(hello)]).chain(futures_util::stream::pending());
    Sse::new(events.take_until(watch))
}

pub(crate) async fn send(app: &Router, ask: Ask) -> Answer {
    let answer = app.clone().call(ask.0).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body: text(&bytes) }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A request under construction.
#[derive(Debug)]
pub(crate) struct Ask(pub(crate) Request<Body>);

pub(crate) fn ask(method: &str, path: &str) -> Ask {
    Ask(Request::builder().method(method).uri(path).body(Body::empty()).unwrap())
}

pub(crate) fn get_(path: &str) -> Ask {
    ask("GET", path)
}

pub(crate) fn post_(path: &str) -> Ask {
    ask("POST", path)
}

impl Ask {
    /// Adds a header, even if there is one of this name.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name: HeaderName = name.parse().unwrap();
        self.0.headers_mut().append(name, HeaderValue::from_bytes(value.as_ref()).unwrap());
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    pub(crate) fn access_cookie(self, token: &str) -> Self {
        self.header("cookie", format!("__Host-access={token}"))
    }

    pub(crate) fn refresh_cookie(self, token: &str) -> Self {
        self.header("cookie", format!("__Secure-refresh={token}"))
    }

    /// Both cookies, in one header, as browsers send them.
    pub(crate) fn both_cookies(self, tokens: &SessionTokens) -> Self {
        let (access, refresh) = (tokens.access().expose(), tokens.refresh().expose());
        self.header("cookie", format!("__Host-access={access}; __Secure-refresh={refresh}"))
    }

    pub(crate) fn same_origin(self) -> Self {
        self.header("sec-fetch-site", "same-origin")
    }

    pub(crate) fn json(self, body: &serde_json::Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(crate) fn form(self, body: &str) -> Self {
        self.header("content-type", "application/x-www-form-urlencoded").body(body.to_owned())
    }

    pub(crate) fn body(mut self, body: impl Into<Body>) -> Self {
        *self.0.body_mut() = body.into();
        self
    }
}

/// A whole response.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    /// The only header of this name, or `""`.
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert!(values.len() < 2, "{name} came {} times", values.len());
        values.first().copied().unwrap_or_default()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The error code in the body.
    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of a cookie that the response sets.
    pub(crate) fn cookie(&self, name: &str) -> String {
        let prefix = format!("{name}=");
        let set: Vec<_> =
            self.all("set-cookie").into_iter().filter_map(|c| c.strip_prefix(&prefix)).collect();
        let [one] = set.as_slice() else { panic!("{name} is set {} times", set.len()) };
        one.split(';').next().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    #[track_caller]
    pub(crate) fn fails(self, status: u16, error: &str) -> Self {
        assert_eq!((self.status.as_u16(), &*self.error()), (status, error), "{self:?}");
        assert_eq!(
            self.body,
            format!("{{\"error\":\"{error}\"}}"),
            "the body has the error code only"
        );
        assert_eq!(self.header("cache-control"), "no-store");
        assert_eq!(self.header("content-type"), "application/json");
        self
    }
}

pub(crate) fn login(password: &str) -> serde_json::Value {
    serde_json::json!({ "username": "alice", "password": password })
}

pub(crate) fn alices_login() -> Ask {
    post_("/auth/login").json(&login(PASSWORD))
}

pub(crate) const fn minutes(minutes: i64) -> Duration {
    Duration::minutes(minutes)
}
