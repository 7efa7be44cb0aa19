//! The settings of a service.

use std::{
    fmt, num::NonZeroUsize, sync::Arc, thread::available_parallelism, time::Duration as StdDuration,
};

use serde::{Serialize, de::DeserializeOwned};
use time::Duration;

#[cfg(feature = "cache")]
use super::CachePolicy;
use super::{
    AccessOptions, Claims, Inner, Service,
    events::{Events, OnEvent},
    new_device::{NewDevice, OnNewDevice},
    passwords::Passwords,
    records::Records,
};
use crate::{
    authority::{Authority, CurrentAuthority},
    password::{PasswordHasher, PasswordPolicy},
    sessions::{SessionEvent, SessionInfo},
    store::{ErasedStore, Listening, StoredUser, UserStore},
    throttle::{Counters, Throttle},
    token::{TokenOptions, purpose::NoClaims},
};

/// The settings of a [`Service`] for users with the fields `F` and access tokens with the claims
/// `C`: see [`Service::builder`].
#[must_use = "nothing is made before `build`"]
pub struct ServiceBuilder<F = (), C = NoClaims> {
    authority: Authority,
    store: Arc<dyn ErasedStore<F>>,
    claims: Claims<F, C>,
    access_options: AccessOptions<F>,
    hasher: PasswordHasher,
    password_policy: PasswordPolicy,
    hashes_at_once: NonZeroUsize,
    store_timeout: StdDuration,
    on_event: OnEvent,
    on_new_device: Option<OnNewDevice<F>>,
    throttle: Throttle,
    #[cfg(feature = "cache")]
    cache: Option<CachePolicy>,
}

/// The default time that a store may take for one answer. It is longer than the ready stores' own
/// timeout, which cleans up better.
const STORE_TIMEOUT: StdDuration = StdDuration::from_secs(6);

impl<F: Clone + Send + Sync + 'static> ServiceBuilder<F> {
    pub(super) fn new(authority: Authority, store: impl UserStore<Fields = F>) -> Self {
        Self {
            authority,
            store: Arc::new(store),
            claims: Box::new(|_, _| NoClaims {}),
            access_options: Box::new(|_, _| TokenOptions::new()),
            hasher: PasswordHasher::new(),
            password_policy: PasswordPolicy::new(),
            hashes_at_once: available_parallelism().unwrap_or(NonZeroUsize::MIN),
            store_timeout: STORE_TIMEOUT,
            on_event: Box::new(|_| ()),
            on_new_device: None,
            throttle: Throttle::new(),
            #[cfg(feature = "cache")]
            cache: None,
        }
    }
}

impl<F: Clone + Send + Sync + 'static, C> ServiceBuilder<F, C> {
    /// Sets the function that makes the private claims of access tokens, at login and again at each
    /// refresh. It gets the user's record and the token's session, which has, for example, the
    /// [data](SessionInfo::data) that the login gave it. The session is `None` for a token without
    /// one. Default: [`NoClaims`].
    pub fn claims<D>(
        self,
        claims: impl Fn(&StoredUser<F>, Option<&SessionInfo>) -> D + Send + Sync + 'static,
    ) -> ServiceBuilder<F, D>
    where
        D: Serialize + DeserializeOwned,
    {
        ServiceBuilder {
            authority: self.authority,
            store: self.store,
            claims: Box::new(claims),
            access_options: self.access_options,
            hasher: self.hasher,
            password_policy: self.password_policy,
            hashes_at_once: self.hashes_at_once,
            store_timeout: self.store_timeout,
            on_event: self.on_event,
            on_new_device: self.on_new_device,
            throttle: self.throttle,
            #[cfg(feature = "cache")]
            cache: self.cache,
        }
    }

    /// Sets the function that makes the lifetime and the audience of access tokens, at login and again at
    /// each refresh. Its arguments are those of the function of [`claims`](Self::claims). To choose them for one
    /// session, store the choice in the session's [data](SessionInfo::data) at login
    /// ([`Client::data`](super::Client::data)). Default: those of the authority.
    ///
    /// The service adds the authority's audience if it is missing, because it would refuse the token
    /// otherwise. A lifetime out of its range fails the call as
    /// [`ServiceError::Issue`](super::ServiceError::Issue).
    ///
    /// # Security
    ///
    /// A token stays valid for its lifetime at a server that verifies it without the user's record, and no
    /// longer than its session.
    ///
    /// # Example
    ///
    /// ```
    /// # use relatch::{Authority, MasterKey, store::MemoryStore};
    /// use relatch::{service::Service, token::TokenOptions};
    /// use time::Duration;
    ///
    /// # fn build(authority: Authority, users: MemoryStore) -> Service {
    /// Service::builder(authority, users)
    ///     .access_options(|_user, session| match session.map(|session| session.label()) {
    ///         Some("Support") => TokenOptions::new().lifetime(Duration::minutes(1)),
    ///         _ => TokenOptions::new().audience("https://files.example.com"),
    ///     })
    ///     .build()
    /// # }
    /// ```
    pub fn access_options(
        mut self,
        options: impl Fn(&StoredUser<F>, Option<&SessionInfo>) -> TokenOptions + Send + Sync + 'static,
    ) -> Self {
        self.access_options = Box::new(options);
        self
    }

    /// Sets the password hasher, which may also verify hashes of other kinds
    /// ([`PasswordHasher::also_verifies`]). A login replaces a stored hash of another kind or a weaker one,
    /// which logs nobody out.
    pub fn hasher(mut self, hasher: PasswordHasher) -> Self {
        self.hasher = hasher;
        self
    }

    /// Sets the policy of new passwords: those of [`Service::hash_password`], [`Service::change_password`],
    /// [`Service::set_password`] and one-time links. A login never checks it. Default: at least 15
    /// characters; [`PasswordPolicy::with_second_factor`] has 8.
    pub fn password_policy(mut self, policy: PasswordPolicy) -> Self {
        self.password_policy = policy;
        self
    }

    /// Sets how many passwords are hashed at once. Default: the number of processors. Each argon2 hash
    /// takes its memory (19 MiB by default), which is kept for the next one, so this bounds the memory of
    /// many simultaneous logins. A call that waits for 10 seconds fails as
    /// [`Busy`](super::ServiceError::Busy).
    pub const fn hashes_at_once(mut self, hashes: NonZeroUsize) -> Self {
        self.hashes_at_once = hashes;
        self
    }

    /// Sets the timeout of the store. After it, the store counts as unreachable. Default: 6
    /// seconds; at least 10 milliseconds. The store's own timeouts should be shorter (those of the
    /// ready stores are 5 seconds). The [grace](crate::SessionPolicy::grace) should be longer than this
    /// and the time after which a client tries again: the change of a refresh may be stored although its
    /// answer is lost.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.store_timeout = timeout.max(Duration::milliseconds(10)).unsigned_abs();
        self
    }

    /// Sets a callback for events of sessions: a refresh token that is used twice, or that is ahead
    /// of a database which was rolled back. It is called within the request, so it should do no more
    /// than log or send.
    ///
    /// A [repeat](crate::sessions::EventKind) that ends nothing is reported once for each successor,
    /// however often it comes. So is a reuse that cannot be stored; when it is stored, it is reported
    /// once more. Each process remembers about the last thousand such events. With the
    /// feature `tracing` every reported event is also logged: repeats at the level `INFO`, reuse and
    /// a rollback as warnings.
    pub fn on_event(mut self, on_event: impl Fn(&SessionEvent) + Send + Sync + 'static) -> Self {
        self.on_event = Box::new(on_event);
        self
    }

    /// Sets a callback for logins on a new device: one whose client has sent no valid
    /// [device token](crate::throttle::DeviceToken) of the user. Send the user a mail with
    /// [`NewDevice::link`], by which the user can say "this was not me". It is called after the new session
    /// is stored, by [`Service::login`], [`Service::start_session`], the [second step](Service::second_step) of
    /// a login and a [login by a link](super::OneTime::login), unless the client is one
    /// [`without_notice`](super::Client::without_notice). It runs within the request, so it should do no
    /// more than send the notice to a queue. If it panics, the panic is logged, and the login succeeds.
    ///
    /// With it, the web layer issues device tokens even if the [limits](Self::throttle) do not use them. After
    /// a change to relatch, each user's first login is on a new device. So is a login after the browser has
    /// deleted its cookies.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{Authority, service::Service, store::MemoryStore};
    ///
    /// # fn queue(_address: &str, _text: String) {}
    /// fn service(authority: Authority, users: MemoryStore) -> Service {
    ///     Service::builder(authority, users)
    ///         .on_new_device(|login| {
    ///             let link = format!("https://example.com/not-me?token={}", login.link().expose());
    ///             let (device, time) = (login.session().label(), login.session().started_at());
    ///             let text = format!("A login at {time} on {device:?}. If this was not you: {link}");
    ///             queue(login.user().login().unwrap_or_default(), text);
    ///         })
    ///         .build()
    /// }
    /// ```
    pub fn on_new_device(
        mut self,
        on_new_device: impl Fn(&NewDevice<'_, F>) + Send + Sync + 'static,
    ) -> Self {
        self.on_new_device = Some(Box::new(on_new_device));
        self
    }

    /// Sets the limits for password attempts. Default: [`Throttle::new`], with counts in memory.
    ///
    /// The counters are chosen by a key that is derived from the current master key when the service is
    /// made. With [`Throttle::shared`], processes share their counts if they have the same current key; a
    /// rotation begins new counts.
    pub fn throttle(mut self, throttle: Throttle) -> Self {
        self.throttle = throttle;
        self
    }

    /// Caches users' records in memory as the policy says. A request then needs no
    /// lookup, but a revocation on another machine may take effect later, by at most the staleness.
    #[cfg(feature = "cache")]
    pub const fn cache(mut self, policy: CachePolicy) -> Self {
        self.cache = Some(policy);
        self
    }

    /// Makes the service.
    pub fn build(self) -> Service<F, C> {
        let records = Records::new(self.store, self.store_timeout);
        #[cfg(feature = "cache")]
        let records = match self.cache {
            Some(policy) => records.cached(policy),
            None => records,
        };
        let counters = Counters::new(self.throttle, &self.authority.limits_key());
        Service(Arc::new(Inner {
            counters,
            authority: CurrentAuthority::new(self.authority),
            records: Arc::new(records),
            passwords: Passwords::new(self.hasher, self.password_policy, self.hashes_at_once.get()),
            claims: self.claims,
            access_options: self.access_options,
            events: Events::new(self.on_event),
            on_new_device: self.on_new_device,
            listening: Listening::default(),
        }))
    }
}

impl<F, C> fmt::Debug for ServiceBuilder<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceBuilder")
            .field("authority", &self.authority)
            .field("hasher", &self.hasher)
            .field("password_policy", &self.password_policy)
            .field("hashes_at_once", &self.hashes_at_once)
            .field("store_timeout", &self.store_timeout)
            .field("throttle", &self.throttle)
            .finish_non_exhaustive()
    }
}

impl<F: Clone + Send + Sync + 'static> Service<F> {
    /// Makes a service with the default settings; [`builder`](Self::builder) changes them.
    pub fn new(authority: Authority, store: impl UserStore<Fields = F>) -> Self {
        Self::builder(authority, store).build()
    }

    /// Starts a builder.
    pub fn builder(authority: Authority, store: impl UserStore<Fields = F>) -> ServiceBuilder<F> {
        ServiceBuilder::new(authority, store)
    }
}
