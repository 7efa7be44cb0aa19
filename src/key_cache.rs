//! Derived keys beside a cached record.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use crate::{
    constant_time,
    context::Context,
    credential::Credential,
    derivation::{self, Body, Derivation, HmacSha256},
};

/// The keys that were derived of a user's record, kept beside it in memory: its field in a record
/// that is cached, handed over by [`User::key_cache`](crate::User::key_cache).
///
/// Deriving a user's key is a third of what a verification costs. With this it is done once for as
/// long as the record is kept. It fills itself, and starts empty
/// ([`default`](Self::default)); a clone is the same cache.
///
/// Each key is kept under *all* that it was derived from: the master key, the issuer, the type of
/// token, and the whole of the user's binding with its context. After a bump or a new password
/// nothing of it is found any more, even where the record was changed in place. It holds up to
/// [`MAX_KEYS`](Self::MAX_KEYS) keys, about 0.5 KiB each, those that came first; so replace it
/// with the record, rather than keep it for ever. It is for key mode
/// ([`BindingMode::Key`](crate::BindingMode::Key)): a stamp is of one token alone.
///
/// # Security
///
/// Whoever reads it makes tokens for this user until the record changes. It is zeroized on drop,
/// prints as redacted and cannot be serialised.
///
/// # Example
///
/// ```
/// use relatch::{Binding, Credential, KeyCache, User};
///
/// #[derive(Clone)]
/// struct CachedAccount {
///     id: String,
///     credential: Credential,
///     token_version: i64,
///     keys: KeyCache,
/// }
///
/// impl User for CachedAccount {
///     fn id(&self) -> &str {
///         &self.id
///     }
///     fn binding(&self) -> Binding<'_> {
///         Binding::credential(&self.credential).version(self.token_version)
///     }
///     fn key_cache(&self) -> Option<&KeyCache> {
///         Some(&self.keys)
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct KeyCache(Arc<[OnceLock<Box<Entry>>; KeyCache::MAX_KEYS]>);

/// A key, and all that it was derived from.
struct Entry {
    /// Of the derivation.
    id: [u8; 32],
    user_id: String,
    credential: Credential,
    outer: Vec<(String, u64)>,
    version: u64,
    lane: Option<u64>,
    context: Context,
    mac: HmacSha256,
}

/// A user's HS256 key, ready to sign.
pub(crate) enum UserMac<'a> {
    Kept(&'a HmacSha256),
    /// And where it is to be kept.
    Derived(HmacSha256, Option<&'a KeyCache>),
}

impl KeyCache {
    /// How many keys are kept: those of access and refresh tokens, under a current and a retiring
    /// master key.
    pub const MAX_KEYS: usize = 4;
}

impl<'a> UserMac<'a> {
    /// The kept one, or a derived one.
    pub(crate) fn new(
        derivation: &Derivation,
        body: &Body<'_>,
        cache: Option<&'a KeyCache>,
    ) -> Self {
        let entries = cache.into_iter().flat_map(|cache| cache.0.iter().filter_map(OnceLock::get));
        match entries.into_iter().find(|entry| entry.is_of(derivation, body)) {
            Some(entry) => Self::Kept(&entry.mac),
            None => Self::Derived(derivation::hs256(&derivation.user_key(body)), cache),
        }
    }

    pub(crate) fn sign(&self, signing_input: &str) -> [u8; 32] {
        let mac = match self {
            Self::Kept(mac) => *mac,
            Self::Derived(mac, _) => mac,
        };
        derivation::sign(mac.clone(), signing_input)
    }

    /// Keeps the key, once it is known to be of use: what only a forger asked for takes no room.
    pub(crate) fn keep(self, derivation: &Derivation, body: &Body<'_>) {
        let Self::Derived(mac, Some(cache)) = self else { return };
        let Some(free) = cache.0.iter().find(|slot| slot.get().is_none()) else { return };
        // Another thread may have been first.
        let _ = free.set(Box::new(Entry::new(derivation, body, mac)));
    }
}

impl Entry {
    fn new(derivation: &Derivation, body: &Body<'_>, mac: HmacSha256) -> Self {
        let Body { user_id, credential, outer, version, lane, context } = *body;
        Self {
            id: *derivation.id(),
            user_id: user_id.to_owned(),
            credential: credential.clone(),
            outer: outer.iter().map(|(name, counter)| (name.to_string(), *counter)).collect(),
            version,
            lane,
            context: context.clone(),
            mac,
        }
    }

    fn is_of(&self, derivation: &Derivation, body: &Body<'_>) -> bool {
        // All of them, by name, so that none that is added can be forgotten.
        let Body { user_id, credential, outer, version, lane, context } = *body;
        let kept = self.outer.iter().map(|(name, counter)| (name.as_str(), *counter));
        self.version == version
            && self.lane == lane
            && self.user_id == user_id
            && kept.eq(outer.iter().map(|(name, counter)| (&**name, *counter)))
            && constant_time::equal(self.credential.as_bytes(), credential.as_bytes())
            && self.context.is_same(context)
            && constant_time::equal(&self.id, derivation.id())
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache([redacted])")
    }
}
