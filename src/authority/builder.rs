//! The builder of an [`Authority`].

use std::{fmt, sync::Arc};

use time::Duration;

use super::{Authority, kernel::core::Core};
use crate::{
    authority::{
        adoption::Adoption,
        kernel::settings::{self, BindingMode, Settings},
    },
    clock::{Clock, SystemClock},
    counter::Counter,
    entropy::{BufferedEntropy, Entropy},
    error::ConfigError,
    keys::key_ring::KeyRing,
    sessions::SessionPolicy,
};

/// A builder of an [`Authority`].
#[must_use]
pub struct AuthorityBuilder {
    keys: KeyRing,
    settings: Settings,
    leeway: Duration,
}

impl AuthorityBuilder {
    /// The default lifetime of an access token: 15 minutes.
    pub const DEFAULT_LIFETIME: Duration = Duration::minutes(15);

    /// The greatest leeway: 5 minutes.
    pub const MAX_LEEWAY: Duration = settings::MAX_LEEWAY;

    /// The default cap on a token's length, in bytes. It fits into a header or a cookie of any
    /// common server.
    pub const DEFAULT_TOKEN_CAP: usize = 4096;

    /// The lowest cap on a token's length, in bytes.
    pub const MIN_TOKEN_CAP: usize = settings::MIN_TOKEN_BYTES;

    fn new(keys: KeyRing, issuer: String, audience: String) -> Self {
        let settings = Settings {
            issuer,
            audience,
            mode: BindingMode::default(),
            lifetime: Self::DEFAULT_LIFETIME,
            leeway: 0,
            max_token_bytes: Self::DEFAULT_TOKEN_CAP,
            fixed_epochs: Vec::new(),
            user_epochs: Vec::new(),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(BufferedEntropy),
            sessions: SessionPolicy::new(),
            adoption: None,
        };
        Self { keys, settings, leeway: Duration::ZERO }
    }

    /// Sets how tokens are bound; [`BindingMode::Key`] by default.
    pub const fn mode(mut self, mode: BindingMode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Sets the lifetime of a token for which neither its purpose nor the issuing call sets one:
    /// 1 second to [`MAX_LIFETIME`](crate::token::MAX_LIFETIME),
    /// [`DEFAULT_LIFETIME`](Self::DEFAULT_LIFETIME) by default. A fraction of a second is dropped.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.lifetime = lifetime;
        self
    }

    /// Sets the leeway for clocks that differ between machines: a token is accepted this long after
    /// its `exp` and before its `iat`. Whole seconds, 0 to [`MAX_LEEWAY`](Self::MAX_LEEWAY); 0 by
    /// default.
    ///
    /// With several machines, set one or two seconds. Otherwise a token from a machine whose clock
    /// is ahead is "not yet valid" on the others for a moment.
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Sets the cap on the length of a token, in bytes. A longer token is rejected unread, and
    /// never issued. [`MIN_TOKEN_CAP`](Self::MIN_TOKEN_CAP) to
    /// [`MAX_TOKEN_BYTES`](crate::token::MAX_TOKEN_BYTES),
    /// [`DEFAULT_TOKEN_CAP`](Self::DEFAULT_TOKEN_CAP) by default.
    pub const fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_token_bytes = bytes;
        self
    }

    /// Adds an outer epoch whose counter comes from the configuration. An increase logs all users
    /// out, for example after a backup was restored. Call it once per epoch, outermost first.
    ///
    /// `kind` is 1 to 64 of `A–Z a–z 0–9 - _ .`, each kind once.
    pub fn epoch(mut self, kind: impl Into<String>, counter: impl Into<Counter>) -> Self {
        self.settings.fixed_epochs.push((kind.into(), counter.into()));
        self
    }

    /// Adds an outer epoch whose counter comes from each user's record
    /// ([`User::epochs`](crate::User::epochs)). It is inside the epochs of the configuration. Call
    /// it once per epoch, outermost first.
    pub fn user_epoch(mut self, kind: impl Into<String>) -> Self {
        self.settings.user_epochs.push(kind.into());
        self
    }

    /// Sets the clock; the system's by default.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Sets the source of randomness for `jti`s. By default it is the operating system's, read for
    /// several tokens at once in each thread.
    ///
    /// With the default, a process that forks without `exec`, or a cloned virtual machine, repeats
    /// some `jti`s. No guarantee of this library needs a unique `jti`. If your application needs
    /// one there, set [`SystemEntropy`](crate::authority::SystemEntropy), which reads for each
    /// token. Keys, secrets and fingerprints always use the latter.
    pub fn entropy(mut self, entropy: impl Entropy + 'static) -> Self {
        self.settings.entropy = Arc::new(entropy);
        self
    }

    /// Sets how many sessions a user can have and how long they last; [`SessionPolicy::new`] by
    /// default.
    pub fn sessions(mut self, policy: SessionPolicy) -> Self {
        self.settings.sessions = policy;
        self
    }

    /// Also accepts the plain access tokens of the setup before relatch, until a deadline.
    pub fn adopt(mut self, adoption: Adoption) -> Self {
        self.settings.adoption = Some(adoption);
        self
    }

    /// Checks the settings and builds the authority.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that is out of range.
    pub fn build(mut self) -> Result<Authority, ConfigError> {
        self.settings.leeway =
            u64::try_from(self.leeway.whole_seconds()).map_err(|_| settings::out_of_leeway())?;
        self.settings.check()?;
        self.settings.check_keys(&self.keys)?;
        Ok(Authority { core: Core::new(Arc::new(self.settings), self.keys) })
    }
}

impl fmt::Debug for AuthorityBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorityBuilder")
            .field("keys", &self.keys)
            .field("settings", &self.settings)
            .finish()
    }
}

impl Authority {
    /// An authority with the default settings. [`builder`](Self::builder) takes others.
    ///
    /// `issuer` is the `iss` of its tokens. `audience` is the `aud` that they carry and that the
    /// authority accepts. Each takes 1 to 512 bytes and is a URL by convention. A change of either
    /// revokes every live token.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for an issuer or an audience out of range.
    pub fn new(
        keys: impl Into<KeyRing>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        Self::builder(keys, issuer, audience).build()
    }

    /// A builder of an authority, with the default settings.
    pub fn builder(
        keys: impl Into<KeyRing>,
        issuer: impl Into<String>,
        audience: impl Into<String>,
    ) -> AuthorityBuilder {
        AuthorityBuilder::new(keys.into(), issuer.into(), audience.into())
    }
}
