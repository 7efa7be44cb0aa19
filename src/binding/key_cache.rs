//! A cache of derived keys, kept with a cached user record.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use sha2::digest::Update;

use crate::{
    binding::derivation::{Body, Derivation},
    bytes::{constant_time, hmac::HmacSha256, inline::InlineBytes},
};

/// A cache of the keys derived from one user's record. It is a field of a record that is kept in
/// memory and is returned by [`User::key_cache`](crate::User::key_cache).
///
/// Deriving a user's key takes about a sixth of a verification; with the cache it happens once. The
/// cache is empty at the start ([`default`](Self::default)) and fills itself. Clones share the same
/// cache, so a lookup can return a copy of the record, and threads can share it.
///
/// The cache key contains *all* inputs of the derivation: the master key, the issuer, the type of
/// token, and the user's whole binding with the context. So nothing has to be invalidated: after a
/// change of the version or the password, no old key is found, even if the record changes in place.
/// Users who shared a cache by mistake would not get each other's keys.
///
/// It holds the last [`MAX_KEYS`](Self::MAX_KEYS) keys that verified a token, about 450 bytes each,
/// and their contexts. It is for key mode ([`BindingMode::Key`](crate::BindingMode::Key)): a stamp
/// belongs to only one token.
///
/// # Security
///
/// An attacker who reads a key from it can make tokens for this user until the record changes. A
/// key is zeroized when another key replaces it, and when the last clone of the cache is dropped.
/// The `Debug` output is redacted, and the cache cannot be serialised. A key derived from a master
/// key that was removed from the ring is never found again, but it stays in memory until it is
/// zeroized.
///
/// # Example
///
/// ```
/// use relatch::{Binding, User, user::{Carried, Credential, KeyCache}};
///
/// #[derive(Clone)]
/// struct CachedAccount {
///     id: String,
///     credential: Credential, // of the current hash: compute it again with each load
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
pub struct KeyCache(Arc<UserKeys>);

/// The keys of one record. A [`KeyCache`] shares them; a record of the service's cache holds them
/// itself, in its one allocation.
#[derive(Default)]
pub struct UserKeys(RwLock<Kept>);

/// At most [`KeyCache::MAX_KEYS`] entries.
#[derive(Default)]
struct Kept {
    /// In place: usually the only one.
    newest: Option<Entry>,
    /// The others, the oldest first. Boxed, because moving an entry leaves a copy that is not zeroized.
    older: VecDeque<Box<Entry>>,
}

/// A key, and all inputs of its derivation.
struct Entry {
    /// The id of the derivation.
    id: [u8; 32],
    /// In place for an id as long as a UUID and one fingerprint.
    body: InlineBytes<160>,
    mac: HmacSha256,
}

impl KeyCache {
    /// The number of keys kept: enough for access and refresh tokens under a current and a retiring
    /// master key.
    pub const MAX_KEYS: usize = 4;

    pub(crate) fn user_keys(&self) -> &UserKeys {
        &self.0
    }
}

impl UserKeys {
    /// The user's HS256 key, if the cache has it.
    pub(crate) fn find(&self, derivation: &Derivation, body: &Body) -> Option<HmacSha256> {
        // A poisoned lock is safe to use: no panic leaves the entries half changed.
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let entry = kept.entries().find(|entry| entry.is_of(derivation, body))?;
        Some(entry.mac.clone())
    }

    /// Keeps a key that has verified a token. Keys for forged tokens are never kept.
    pub(crate) fn keep(&self, derivation: &Derivation, body: &Body) {
        let entry = Entry::new(derivation, body);
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added it first.
        if kept.entries().any(|entry| entry.is_of(derivation, body)) {
            return;
        }
        if kept.older.len() == KeyCache::MAX_KEYS - 1 {
            kept.older.pop_front();
        }
        if let Some(older) = kept.newest.replace(entry) {
            kept.older.push_back(Box::new(older));
        }
    }
}

impl Kept {
    /// The newest first.
    fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.newest.iter().chain(self.older.iter().rev().map(|entry| &**entry))
    }
}

impl Entry {
    fn new(derivation: &Derivation, body: &Body) -> Self {
        let mut kept = InlineBytes::with_capacity(body.as_bytes().len());
        kept.update(body.as_bytes());
        Self { id: *derivation.id(), body: kept, mac: derivation.user_mac(body) }
    }

    fn is_of(&self, derivation: &Derivation, body: &Body) -> bool {
        constant_time::equal_slices(self.body.as_slice(), body.as_bytes())
            && constant_time::equal(&self.id, derivation.id())
    }
}

impl fmt::Debug for KeyCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyCache([redacted])")
    }
}

impl fmt::Debug for UserKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKeys([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use hmac::KeyInit;

    use super::*;
    use crate::binding::{context::Context, credential::Credential, derivation::Bound};

    #[test]
    fn the_last_keys_are_kept_each_once() {
        let master = HmacSha256::new_from_slice(&[7; 32]).unwrap();
        let derivation = Derivation::new(&master, "at+jwt", "issuer");
        let credential = Credential::from_password_hash("hash").unwrap();
        let context = Context::new();
        let body = |version| {
            Body::of(&Bound {
                user_id: "alice",
                credential: &credential,
                outer: &[],
                version,
                lane: None,
                context: &context,
            })
        };
        let cache = UserKeys::default();
        let kept = || cache.0.read().unwrap().entries().count();
        cache.keep(&derivation, &body(0));
        cache.keep(&derivation, &body(0));
        assert_eq!(kept(), 1);
        (1..=4).for_each(|version| cache.keep(&derivation, &body(version)));
        assert_eq!(kept(), KeyCache::MAX_KEYS);
        let is_found = |version| cache.find(&derivation, &body(version)).is_some();
        assert_eq!([0, 1, 2, 3, 4, 5].map(is_found), [false, true, true, true, true, false]);
    }
}
