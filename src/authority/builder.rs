//! An authority's settings.

use std::{error, fmt, sync::Arc};

use jsonwebtoken::Algorithm;
use time::Duration;

use super::Authority;
use super::kernel::pinned::Keys;
#[cfg(feature = "asymmetric")]
use crate::keys::asymmetric::SigningKey;
use crate::{
    authority::adoption::Adoption,
    clock::{Clock, MAX_LIFETIME, SystemClock},
    counter::Counter,
    entropy::{BufferedEntropy, Entropy},
    keys::{key_ring::KeyRing, master_key::MasterKey},
    sessions::{PolicyError, SessionPolicy},
    token::{MAX_TOKEN_BYTES, claims::names::MAX_EPOCHS},
};

/// How a token is bound to the user's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindingMode {
    /// Each user's tokens are signed (HS256) under a key that is derived from the user's record.
    /// The default, and the strongest: no single leak forges a token.
    #[default]
    Key,
    /// Tokens are signed (HS256) under one key of the server's and carry a stamp that is derived
    /// from the user's record.
    StampHs256,
    /// Tokens are signed with the asymmetric key that is joined to each master key
    /// ([`MasterKey::with_signing_key`]) and carry a stamp: other services can verify them with
    /// the public key alone, without learning of revocations.
    #[cfg(feature = "asymmetric")]
    #[cfg_attr(docsrs, doc(cfg(feature = "asymmetric")))]
    StampAsymmetric,
}

impl BindingMode {
    /// The header's `alg` under this key; `None` where the key lacks what the mode takes.
    #[cfg_attr(not(feature = "asymmetric"), expect(unused_variables))]
    pub(crate) fn algorithm(self, key: &MasterKey) -> Option<Algorithm> {
        match self {
            Self::Key | Self::StampHs256 => Some(Algorithm::HS256),
            #[cfg(feature = "asymmetric")]
            Self::StampAsymmetric => key.signing_key().map(SigningKey::algorithm),
        }
    }
}

/// What an authority is built with.
pub(crate) struct Settings {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) mode: BindingMode,
    pub(crate) lifetime: Duration,
    /// Seconds.
    pub(crate) leeway: u64,
    pub(crate) max_token_bytes: usize,
    pub(crate) fixed_epochs: Vec<(String, Counter)>,
    pub(crate) user_epochs: Vec<String>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) sessions: SessionPolicy,
    pub(crate) adoption: Option<Adoption>,
}

impl Settings {
    pub(crate) fn check_keys(&self, keys: &KeyRing) -> Result<(), ConfigError> {
        for (key, _) in keys.iter() {
            if self.mode.algorithm(key).is_none() {
                return Err(ConfigError::NoSigningKey { kid: key.kid().to_owned() });
            }
            if self.adoption.as_ref().is_some_and(|adoption| adoption.is_unfit_beside(key)) {
                return Err(ConfigError::LegacySecret);
            }
        }
        Ok(())
    }

    fn check(&self) -> Result<(), ConfigError> {
        let is_name = |name: &str| (1..=512).contains(&name.len());
        if !is_name(&self.issuer) {
            return Err(ConfigError::Issuer);
        }
        if !is_name(&self.audience) {
            return Err(ConfigError::Audience);
        }
        if !(Duration::SECOND..=MAX_LIFETIME).contains(&self.lifetime) {
            return Err(ConfigError::Lifetime);
        }
        if self.leeway > AuthorityBuilder::MAX_LEEWAY.whole_seconds().unsigned_abs() {
            return Err(ConfigError::Leeway);
        }
        if !(AuthorityBuilder::MIN_TOKEN_CAP..=MAX_TOKEN_BYTES).contains(&self.max_token_bytes) {
            return Err(ConfigError::MaxTokenBytes);
        }
        self.sessions.check().map_err(ConfigError::Sessions)?;
        self.check_epochs()
    }

    fn check_epochs(&self) -> Result<(), ConfigError> {
        let fixed = self.fixed_epochs.iter().map(|(kind, _)| kind.as_str());
        let kinds: Vec<_> = fixed.chain(self.user_epochs.iter().map(String::as_str)).collect();
        for (i, kind) in kinds.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
            let is_kind = (1..=64).contains(&kind.len()) && kind.bytes().all(plain);
            if !is_kind || i >= MAX_EPOCHS || kinds[..i].contains(kind) {
                return Err(ConfigError::Epoch { kind: (*kind).to_owned() });
            }
        }
        match self.fixed_epochs.iter().find(|(_, counter)| counter.checked().is_none()) {
            Some((kind, _)) => Err(ConfigError::Epoch { kind: kind.clone() }),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// Sets up an [`Authority`].
#[must_use]
pub struct AuthorityBuilder {
    keys: KeyRing,
    settings: Settings,
    leeway: Duration,
}

impl AuthorityBuilder {
    /// How long an access token lives by default: 15 minutes.
    pub const DEFAULT_LIFETIME: Duration = Duration::minutes(15);

    /// The greatest leeway: 5 minutes.
    pub const MAX_LEEWAY: Duration = Duration::minutes(5);

    /// The default cap on a token's length, in bytes: what fits into a header or a cookie of any
    /// common server.
    pub const DEFAULT_TOKEN_CAP: usize = 4096;

    /// The lowest cap on a token's length, in bytes.
    pub const MIN_TOKEN_CAP: usize = 512;

    pub(super) fn new(keys: KeyRing, issuer: String, audience: String) -> Self {
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

    /// Sets how tokens are bound: [`BindingMode::Key`] otherwise.
    pub const fn mode(mut self, mode: BindingMode) -> Self {
        self.settings.mode = mode;
        self
    }

    /// Sets how long a token lives where neither its purpose nor the call that issues it says:
    /// 1 second to [`MAX_LIFETIME`](crate::MAX_LIFETIME),
    /// [`DEFAULT_LIFETIME`](Self::DEFAULT_LIFETIME) otherwise. A fraction of a second is dropped.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.settings.lifetime = lifetime;
        self
    }

    /// Allows for clocks that differ between machines: a token is taken this long after its `exp`
    /// and before its `iat`. Whole seconds, 0 to [`MAX_LEEWAY`](Self::MAX_LEEWAY); 0 otherwise.
    ///
    /// With several machines, set a second or two: a token that was issued on the one whose clock
    /// is ahead is else "not yet valid" on the others for a moment.
    pub const fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// Caps the length of a token, in bytes: longer text is rejected unread, and not issued.
    /// [`MIN_TOKEN_CAP`](Self::MIN_TOKEN_CAP) to [`MAX_TOKEN_BYTES`](crate::MAX_TOKEN_BYTES),
    /// [`DEFAULT_TOKEN_CAP`](Self::DEFAULT_TOKEN_CAP) otherwise.
    pub const fn max_token_bytes(mut self, bytes: usize) -> Self {
        self.settings.max_token_bytes = bytes;
        self
    }

    /// Adds an outer epoch whose counter comes from the configuration: bumping it logs everybody
    /// out, as after the restoring of a backup. Call it once per epoch, outermost first.
    ///
    /// `kind` is 1 to 64 of `A–Z a–z 0–9 - _ .`, each kind once.
    pub fn epoch(mut self, kind: impl Into<String>, counter: impl Into<Counter>) -> Self {
        self.settings.fixed_epochs.push((kind.into(), counter.into()));
        self
    }

    /// Adds an outer epoch whose counter comes from each user's record
    /// ([`User::epochs`](crate::User::epochs)), within those of the configuration. Call it once
    /// per epoch, outermost first.
    pub fn user_epoch(mut self, kind: impl Into<String>) -> Self {
        self.settings.user_epochs.push(kind.into());
        self
    }

    /// Sets the clock: the system's otherwise.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Sets the source of randomness for `jti`s: the operating system's otherwise, drawn for several
    /// tokens at once in each thread.
    ///
    /// A process that forks without `exec`, or a virtual machine that is cloned, then repeats some
    /// of them. No promise of this library rests on a `jti` being unique; an application that counts
    /// on it there sets [`SystemEntropy`](crate::SystemEntropy), which draws for each token. Keys,
    /// secrets and fingerprints are always drawn so.
    pub fn entropy(mut self, entropy: impl Entropy + 'static) -> Self {
        self.settings.entropy = Arc::new(entropy);
        self
    }

    /// Sets how many sessions a user can have and how long they last: [`SessionPolicy::new`]
    /// otherwise.
    pub const fn sessions(mut self, policy: SessionPolicy) -> Self {
        self.settings.sessions = policy;
        self
    }

    /// Also accepts plain access tokens of before relatch, for a time.
    pub fn adopt(mut self, adoption: Adoption) -> Self {
        self.settings.adoption = Some(adoption);
        self
    }

    /// Checks the settings and makes the authority.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for the first setting that is out of bounds.
    pub fn build(mut self) -> Result<Authority, ConfigError> {
        self.settings.leeway =
            u64::try_from(self.leeway.whole_seconds()).map_err(|_| ConfigError::Leeway)?;
        self.settings.check()?;
        self.settings.check_keys(&self.keys)?;
        Ok(Authority { settings: Arc::new(self.settings), keys: Arc::new(Keys::new(self.keys)) })
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

/// Why an authority could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// The issuer is empty or longer than 512 bytes.
    Issuer,
    /// The audience is empty or longer than 512 bytes.
    Audience,
    /// The lifetime is out of bounds.
    Lifetime,
    /// The leeway is out of bounds.
    Leeway,
    /// The cap on a token's length is out of bounds.
    MaxTokenBytes,
    /// The policy of sessions is out of bounds.
    Sessions(PolicyError),
    /// The kind of an epoch has a character that is not allowed, occurs twice or is one too many,
    /// or its counter is negative.
    Epoch {
        /// The kind.
        kind: String,
    },
    /// A key of the ring lacks the asymmetric key that the binding mode takes.
    NoSigningKey {
        /// The key's `kid`.
        kid: String,
    },
    /// The legacy secret of the adoption is empty, or is a master key.
    LegacySecret,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer => f.write_str("the issuer takes 1 to 512 bytes"),
            Self::Audience => f.write_str("the audience takes 1 to 512 bytes"),
            Self::Lifetime => write!(
                f,
                "the lifetime takes 1 second to {} days",
                MAX_LIFETIME.whole_days()
            ),
            Self::Leeway => write!(
                f,
                "the leeway takes 0 to {} seconds",
                AuthorityBuilder::MAX_LEEWAY.whole_seconds()
            ),
            Self::MaxTokenBytes => write!(
                f,
                "the cap on a token's length takes {} to {MAX_TOKEN_BYTES} bytes",
                AuthorityBuilder::MIN_TOKEN_CAP
            ),
            Self::Sessions(_) => f.write_str("the policy of sessions is out of bounds"),
            Self::Epoch { kind } => write!(
                f,
                "the epoch {kind:?} is not allowed: 1 to 64 characters out of A–Z a–z 0–9 - _ ., \
                 each kind once, {MAX_EPOCHS} at the most, no negative counter"
            ),
            Self::NoSigningKey { kid } => write!(
                f,
                "the key {kid:?} has no asymmetric key, which this binding mode signs with: add \
                 one with `MasterKey::with_signing_key`"
            ),
            Self::LegacySecret => f.write_str(
                "the legacy secret of the adoption is empty or also a master key: generate a master \
                 key of its own",
            ),
        }
    }
}

impl error::Error for ConfigError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Sessions(error) => Some(error),
            _ => None,
        }
    }
}
