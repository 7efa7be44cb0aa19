//! [`WebBuilder`]: the settings of a [`Web`].

use std::{fmt, sync::Arc, time::Duration as StdDuration};

use http::request::Parts;
use serde::{Serialize, de::DeserializeOwned};
use time::Duration;
use zeroize::Zeroizing;

use super::{
    local_path::local_path,
    metrics::{self, Metrics},
    refusal::RETRY_AFTER_SECONDS,
    request::{
        address::ClientAddress,
        callers::Callers,
        cookies::Cookies,
        origin::{self, Origins},
    },
    web::{Inner, NormalizeLogin, ReadContext, ShowData, Web},
};
use crate::binding::context::Context;
use crate::error::ConfigError;
use crate::service::Service;
use crate::sessions::SessionInfo;
use crate::token::purpose::NoClaims;

/// The default bound of live connections.
const LIVE_BOUND: Duration = Duration::seconds(30);

impl<F: Clone + Send + Sync + 'static, C> Web<F, C> {
    /// Returns a builder of a web for this service, with the default settings.
    pub fn builder(service: Service<F, C>) -> WebBuilder<F, C> {
        WebBuilder {
            service,
            cookies: None,
            trusted: Vec::new(),
            address: None,
            context: Box::new(|_| Context::new()),
            live_bound: LIVE_BOUND,
            login_page: "/login".into(),
            session_policy: None,
            remembered: None,
            normalize_login: Box::new(str::to_owned),
            shown_data: Box::new(|_| None),
            callers: Vec::new(),
        }
    }
}

/// The settings of a [`Web`]: see [`Web::builder`].
#[must_use = "a builder does nothing until `build` is called"]
pub struct WebBuilder<F = (), C = NoClaims> {
    service: Service<F, C>,
    cookies: Option<Cookies>,
    trusted: Vec<String>,
    address: Option<ClientAddress>,
    context: ReadContext,
    live_bound: Duration,
    login_page: String,
    session_policy: Option<String>,
    remembered: Option<String>,
    normalize_login: NormalizeLogin,
    shown_data: ShowData,
    callers: Vec<(String, Zeroizing<String>)>,
}

impl<F: Clone + Send + Sync + 'static, C> WebBuilder<F, C> {
    /// Sets tokens in cookies, and reads them from there. Without cookies, tokens are in the bodies
    /// of responses, for clients that send them in a header (RFC 6750). The header is accepted in
    /// both cases.
    ///
    /// With cookies, a request that may change something or that opens a WebSocket needs a proof
    /// that a page of the same origin made it: `Sec-Fetch-Site`; without that header `Origin`;
    /// without both a token ([`Web::csrf_token`]).
    pub fn cookies(mut self, cookies: Cookies) -> Self {
        self.cookies = Some(cookies);
        self
    }

    /// Trusts the pages of another origin like the site's own. Write the origin as browsers do:
    /// `https://app.example.com`.
    ///
    /// The pages of an app in a WebView, or of a browser extension, have an origin with another scheme:
    /// `capacitor://localhost`, `ionic://localhost`, `tauri://localhost`, `chrome-extension://…`. They are
    /// of another site, so a browser sends no `SameSite` cookies with their requests: such an app uses a
    /// [`Web`] without cookies. Trust its origin if native code of the app keeps the cookies.
    ///
    /// A native client that keeps cookies and sends no `Origin` is refused like any request without proof
    /// of origin. Let it send the site's own origin: `Origin: https://login.example.com`.
    ///
    /// # Security
    ///
    /// The scripts of that origin can do everything that a logged-in user can. `http://localhost` and
    /// `https://localhost` are the origins of any program that listens on the user's own machine. `null`,
    /// `file://` and `data:` are the origins of anybody's pages, and the builder refuses them.
    pub fn trust_origin(mut self, origin: impl Into<String>) -> Self {
        self.trusted.push(origin.into());
        self
    }

    /// Sets the source of the client's address. It is required, unless the service counts no attempts by
    /// address ([`Throttle::without_addresses`](crate::throttle::Throttle::without_addresses)).
    pub fn client_address(mut self, address: ClientAddress) -> Self {
        self.address = Some(address);
        self
    }

    /// Binds tokens to a context of the request, such as the client's network or a hardened cookie.
    /// The function runs when a token is issued and again when one is received. A request with
    /// another context cannot use the token, and cannot revoke it or log out with it either.
    pub fn context(mut self, context: impl Fn(&Parts) -> Context + Send + Sync + 'static) -> Self {
        self.context = Box::new(context);
        self
    }

    /// Sets the bound of [`LiveAuthenticated`](super::LiveAuthenticated): the longest time until an
    /// open connection notices a revocation. From [`MIN_BOUND`](crate::live::MIN_BOUND) to
    /// [`MAX_BOUND`](crate::live::MAX_BOUND); the default is 30 seconds.
    pub const fn live_bound(mut self, bound: Duration) -> Self {
        self.live_bound = bound;
        self
    }

    /// Sets the path to which [`resume`](super::endpoints::resume()) redirects if the session has
    /// ended. The default is `/login`.
    pub fn login_page(mut self, path: impl Into<String>) -> Self {
        self.login_page = path.into();
        self
    }

    /// Sets the kind of client that logs in through this web, by the name of one of the authority's
    /// named policies ([`SessionPolicy::named`](crate::SessionPolicy::named)). For example, an app
    /// on phones uses a web of its own, without cookies and with the policy `phone`.
    pub fn session_policy(mut self, name: impl Into<String>) -> Self {
        self.session_policy = Some(name.into());
        self
    }

    /// Sets the named policy of sessions whose users wish to be remembered: logins by the endpoint
    /// [`login`](super::endpoints::login()) with `remember_me`. All other logins have the
    /// [`session_policy`](Self::session_policy). Without this setting, `remember_me` has no effect. A
    /// handler of your own sets [`Client::policy`](crate::service::Client::policy) of
    /// [`Web::client`].
    ///
    /// # Example
    ///
    /// A login ends with the browser, or after a day without use; a remembered one stays for 60 days:
    ///
    /// ```
    /// use relatch::{
    ///     Authority, ConfigError, MasterKey, SessionPolicy,
    ///     axum::{ClientAddress, Cookies, Web},
    ///     service::Service,
    ///     sessions::ClientPolicy,
    ///     store::MemoryStore,
    /// };
    /// use time::Duration;
    ///
    /// fn web(key: MasterKey, users: MemoryStore, address: ClientAddress) -> Result<Web, ConfigError> {
    ///     let remembered =
    ///         ClientPolicy::new().persistent_cookies().idle_lifetime(Duration::days(60));
    ///     let policy = SessionPolicy::new()
    ///         .session_cookies()
    ///         .idle_lifetime(Duration::days(1))
    ///         .named("remembered", remembered);
    ///     let url = "https://app.example.com";
    ///     let authority = Authority::builder(key, url, url).sessions(policy).build()?;
    ///     Web::builder(Service::new(authority, users))
    ///         .cookies(Cookies::new())
    ///         .client_address(address)
    ///         .remember_me("remembered")
    ///         .build()
    /// }
    /// ```
    pub fn remember_me(mut self, name: impl Into<String>) -> Self {
        self.remembered = Some(name.into());
        self
    }

    /// Sets the function that makes the stored form of a login's name from the typed one, for the
    /// endpoint [`login`](super::endpoints::login()): for example
    /// `|name| name.trim().to_lowercase()`. By default the name stays as it was typed. Use the same
    /// function where names are stored, such as at sign-up.
    pub fn normalize_login(
        mut self,
        normalize: impl Fn(&str) -> String + Send + Sync + 'static,
    ) -> Self {
        self.normalize_login = Box::new(normalize);
        self
    }

    /// Sets what [`sessions`](super::endpoints::sessions()) shows of the application's data in each
    /// session, as the member `data`. By default, and for `None`, it shows nothing.
    ///
    /// # Security
    ///
    /// The user sees it. Return a type with only the members that the user may see, and not the
    /// [data](SessionInfo::data) itself.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{ConfigError, axum::Web, service::Service, sessions::SessionInfo};
    /// use serde::{Deserialize, Serialize};
    ///
    /// /// Of the data, the user sees the tenant alone.
    /// #[derive(Serialize, Deserialize)]
    /// struct Shown {
    ///     tenant: String,
    /// }
    ///
    /// fn web(service: Service) -> Result<Web, ConfigError> {
    ///     let shown = |session: &SessionInfo| session.data()?.read::<Shown>().ok();
    ///     Web::builder(service).show_session_data(shown).build()
    /// }
    /// ```
    pub fn show_session_data<T: Serialize>(
        mut self,
        show: impl Fn(&SessionInfo) -> Option<T> + Send + Sync + 'static,
    ) -> Self {
        self.shown_data = Box::new(move |session| serde_json::to_value(show(session)?).ok());
        self
    }

    /// Allows a resource server or a gateway to introspect tokens
    /// ([`introspect`](super::endpoints::introspect())). It authenticates by this id and this
    /// secret of at least 32 bytes (HTTP Basic; RFC 6749 §2.3.1, or without the encoding of that section).
    pub fn introspection_caller(
        mut self,
        id: impl Into<String>,
        secret: impl Into<String>,
    ) -> Self {
        self.callers.push((id.into(), Zeroizing::new(secret.into())));
        self
    }

    /// Builds the web.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a setting out of its range, if the
    /// [`client_address`](Self::client_address) is missing, or if the grace of the authority's default or
    /// named policy is too short for a client that obeys `Retry-After`. A refresh can be stored although
    /// the store's answer is lost. Its response is then a 503 after the service's
    /// [`store_timeout`](crate::service::ServiceBuilder::store_timeout), with a `Retry-After` of 2 seconds.
    /// So the grace must be longer than the sum of that timeout and 3 seconds. A grace of 0 is accepted, and
    /// so is any grace of a policy with a [late repeat](crate::SessionPolicy::late_repeat).
    pub fn build(self) -> Result<Web<F, C>, ConfigError>
    where
        C: Serialize + DeserializeOwned + Clone + Send + Sync + 'static,
    {
        let development = self.cookies.as_ref().is_some_and(Cookies::is_development);
        if self.cookies.as_ref().is_some_and(|cookies| !cookies.is_valid()) {
            return Err(ConfigError::new(
                "cookies",
                "a cookie's name must consist of letters and digits; its path must begin with `/`, must \
                 not end with `/`, and must have no blank, comma or semicolon; at most 8 former paths \
                 may differ from it",
            ));
        }
        let canonical = |origin: &String| origin::canonical(origin).map(str::to_owned);
        let trusted = self.trusted.iter().map(canonical).collect::<Option<_>>();
        let trusted = trusted.ok_or(ConfigError::new(
            "trust_origin",
            "a trusted origin must have a scheme and a host in lower case, without a slash at the \
             end, such as `https://app.example.com`; `null` and the origins of files and of data \
             cannot be trusted",
        ))?;
        if self.address.is_none() && self.service.counts_addresses() {
            return Err(ConfigError::new(
                "client_address",
                "password attempts are counted by the client's address, whose source is not set: set it \
                 here, or make the service with `Throttle::without_addresses`",
            ));
        }
        if local_path(&self.login_page).is_none() {
            return Err(ConfigError::new(
                "login_page",
                "the login page must be a path that begins with exactly one `/`",
            ));
        }
        self.check_policy("session_policy", self.session_policy.as_deref())?;
        self.check_policy("remember_me", self.remembered.as_deref())?;
        self.check_graces()?;
        let live = self.service.live(self.live_bound)?;
        let callers = Callers::new(self.callers).ok_or(ConfigError::new(
            "introspection_caller",
            "an introspection caller must have an id, and a secret of at least 32 bytes",
        ))?;
        if development {
            metrics::warn(
                "cookies are set for development only: they are sent without TLS, for localhost, \
                 never for production",
            );
        }
        Ok(Web(Arc::new(Inner {
            service: self.service,
            cookies: self.cookies.map(Arc::new),
            origins: Origins { trusted, scheme: if development { "http" } else { "https" } },
            address: self.address,
            context: self.context,
            live,
            login_page: self.login_page,
            session_policy: self.session_policy,
            remembered: self.remembered,
            normalize_login: self.normalize_login,
            shown_data: self.shown_data,
            callers,
            metrics: Metrics::default(),
        })))
    }
}

impl<F: Clone + Send + Sync + 'static, C> WebBuilder<F, C> {
    fn check_policy(&self, setting: &'static str, name: Option<&str>) -> Result<(), ConfigError> {
        let authority = self.service.authority();
        match name.filter(|name| !authority.session_policy().knows(name)) {
            None => Ok(()),
            Some(name) => Err(ConfigError::new(
                setting,
                format!("the authority has no policy {name:?} (`SessionPolicy::named`)"),
            )),
        }
    }

    /// Checks that a client whose refresh was stored and answered with a 503 comes again within the grace.
    fn check_graces(&self) -> Result<(), ConfigError> {
        let timeout = self.service.store_timeout();
        let back = timeout + StdDuration::from_secs(RETRY_AFTER_SECONDS.into()) + RETRY_MARGIN;
        let authority = self.service.authority();
        let short =
            authority.session_policy().graces().find(|(_, grace)| grace.unsigned_abs() <= back);
        let Some((name, grace)) = short else { return Ok(()) };
        let of = name.map(|name| format!(" of the policy {name:?}")).unwrap_or_default();
        let (grace, timeout, back) =
            (grace.whole_seconds(), timeout.as_secs_f32(), back.as_secs_f32());
        Err(ConfigError::new(
            "grace",
            format!(
                "the grace{of} of {grace} s must be longer than {back} s: the store's timeout of \
                 {timeout} s, the `Retry-After` of {RETRY_AFTER_SECONDS} s and a margin. Set a longer \
                 grace or a late repeat, or a shorter `ServiceBuilder::store_timeout`"
            ),
        ))
    }
}

/// The time that a client's second request may take on its way, beyond its `Retry-After`.
const RETRY_MARGIN: StdDuration = StdDuration::from_secs(1);

impl<F, C> fmt::Debug for WebBuilder<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebBuilder")
            .field("cookies", &self.cookies)
            .field("trusted", &self.trusted)
            .field("live_bound", &self.live_bound)
            .finish_non_exhaustive()
    }
}
