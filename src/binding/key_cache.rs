//! Derived keys beside a cached record.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    binding::{
        context::Context,
        credential::Credential,
        derivation::{Body, Derivation},
    },
    bytes::{constant_time, hmac::HmacSha256},
};

/// The keys that were derived of a user's record, kept beside it in memory: a field of a record that
/// is cached, handed over by [`User::key_cache`](crate::User::key_cache).
///
/// Deriving a user's key is about a sixth of a verification; with this it is done once. It fills
/// itself, and begins empty ([`default`](Self::default)). A clone is the same cache, so a lookup may
/// return a copy of the record, and threads may share it.
///
/// Each key is kept under *all* that it was derived from: the master key, the issuer, the type of
/// token, and the whole of the user's binding with the context. So there is nothing to invalidate:
/// after a bump or a new password none is found any more, even where the record is changed in
/// place, and even users who shared one by mistake would not get each other's keys.
///
/// It holds the last [`MAX_KEYS`](Self::MAX_KEYS) keys that verified a token, of some 400 bytes
/// each, and their contexts. It is for key mode ([`BindingMode::Key`](crate::BindingMode::Key)): a
/// stamp is of one token alone.
///
/// # Security
///
/// Whoever reads it makes tokens for this user until the record changes. A key is zeroized when it
/// makes room for another, and when the last clone of the cache is dropped. It prints as redacted
/// and cannot be serialised. The key under a master key that was removed from the ring is not found
/// any more, but stays in memory until then.
///
/// # Example
///
/// ```
/// use relatch::{Binding, Carried, Credential, KeyCache, User};
///
/// #[derive(Clone)]
/// struct CachedAccount {
///     id: String,
///     credential: Credential, // of the present hash: taken again whenever the record is
///     carried: Option<Carried>,
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
///     fn carried(&self) -> Option<&Carried> {
///         self.carried.as_ref()
///     }
///     fn key_cache(&self) -> Option<&KeyCache> {
///         Some(&self.keys)
///     }
/// }
/// ```
#[derive(Clone, Default)]
pub struct KeyCache(Arc<RwLock<VecDeque<Box<Entry>>>>);

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

impl KeyCache {
    /// How many keys are kept: enough for access and refresh tokens under a current and a retiring
    /// master key.
    pub const MAX_KEYS: usize = 4;

    /// The user's HS256 key, if it is kept.
    pub(crate) fn find(&self, derivation: &Derivation, body: &Body<'_>) -> Option<HmacSha256> {
        // No panic can leave it half-changed.
        let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().find(|entry| entry.is_of(derivation, body))?;
        Some(entry.mac.clone())
    }

    /// Keeps a key, once it has verified a token: what only a forger asked for takes no room.
    pub(crate) fn keep(&self, derivation: &Derivation, body: &Body<'_>) {
        let entry = Box::new(Entry::new(derivation, body));
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been first.
        if entries.iter().any(|entry| entry.is_of(derivation, body)) {
            return;
        }
        if entries.len() == Self::MAX_KEYS {
            entries.pop_front();
        }
        entries.push_back(entry);
    }
}

impl Entry {
    fn new(derivation: &Derivation, body: &Body<'_>) -> Self {
        let Body { user_id, credential, outer, version, lane, context } = *body;
        Self {
            id: *derivation.id(),
            user_id: user_id.to_owned(),
            credential: credential.clone(),
            outer: outer.iter().map(|(name, counter)| (name.to_string(), *counter)).collect(),
            version,
            lane,
            context: context.clone(),
            mac: derivation.user_mac(body),
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

#[cfg(test)]
mod tests {
    use hmac::KeyInit;

    use super::*;

    #[test]
    fn the_last_keys_are_kept_each_once() {
        let master = HmacSha256::new_from_slice(&[7; 32]).unwrap();
        let derivation = Derivation::new(&master, "at+jwt", "issuer");
        let credential = Credential::from_password_hash("hash").unwrap();
        let context = Context::new();
        let body = |version| Body {
            user_id: "alice",
            credential: &credential,
            outer: &[],
            version,
            lane: None,
            context: &context,
        };
        let cache = KeyCache::default();
        let kept = || cache.0.read().unwrap().len();
        cache.keep(&derivation, &body(0));
        cache.keep(&derivation, &body(0));
        assert_eq!(kept(), 1);
        (1..=4).for_each(|version| cache.keep(&derivation, &body(version)));
        assert_eq!(kept(), KeyCache::MAX_KEYS);
        let is_found = |version| cache.find(&derivation, &body(version)).is_some();
        assert_eq!([0, 1, 2, 3, 4, 5].map(is_found), [false, true, true, true, true, false]);
    }
}
