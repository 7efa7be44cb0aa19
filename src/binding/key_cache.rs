//! A cache of derived keys, kept with a cached user record.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use crate::{
    binding::derivation::{Body, Derivation},
    bytes::{
        constant_time,
        inline::InlineBytes,
        mac::{BLOCK, MacKey},
    },
};

/// A cache of the keys derived from one user's record. It is a field of a record that is kept in
/// memory and is returned by [`User::key_cache`](crate::User::key_cache).
///
/// With it a verification takes about a fifth less time: the user's key is derived once, and the
/// stable beginning of the user's tokens is hashed once. The cache is empty at the start
/// ([`default`](Self::default)) and fills itself. Clones share the same cache, so a lookup can return a
/// copy of the record, and threads can share it.
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
    /// The stable beginning of the user's tokens, in whole blocks. In place for usual names.
    start: InlineBytes<192>,
    /// The key behind `start`.
    begun: MacKey,
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
    /// The HS256 signature under the user's key, if the cache has the key with this beginning of the
    /// signing input.
    pub(crate) fn sign(
        &self,
        derivation: &Derivation,
        body: &Body,
        signing_input: &str,
    ) -> Option<[u8; 32]> {
        // A poisoned lock is safe to use: no panic leaves the entries half changed.
        let kept = self.0.read().unwrap_or_else(PoisonError::into_inner);
        kept.entries().find_map(|entry| {
            let rest = signing_input.as_bytes().strip_prefix(entry.start.as_slice())?;
            entry.is_of(derivation, body).then(|| entry.begun.sign(rest))
        })
    }

    /// Keeps a key that has verified a token. Keys for forged tokens are never kept.
    ///
    /// `start` is the beginning that the user's other tokens are expected to have. It is hashed once
    /// for all of them; a token with another beginning takes an entry of its own.
    #[cold]
    pub(crate) fn keep(&self, derivation: &Derivation, body: &Body, mac: MacKey, start: &str) {
        let blocks = start.as_bytes().as_chunks::<BLOCK>().0;
        let start = blocks.as_flattened();
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have added it first.
        if kept
            .entries()
            .any(|entry| entry.start.as_slice() == start && entry.is_of(derivation, body))
        {
            return;
        }
        let entry = Entry::new(derivation, body, &mac, blocks);
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
    fn new(derivation: &Derivation, body: &Body, mac: &MacKey, start: &[[u8; BLOCK]]) -> Self {
        Self {
            id: *derivation.id(),
            body: InlineBytes::from(body.as_bytes()),
            start: InlineBytes::from(start.as_flattened()),
            begun: mac.after(start),
        }
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
    use crate::{
        binding::{context::Context, credential::Credential, derivation::Bound},
        bytes::hmac::HmacSha256,
    };

    #[test]
    fn the_last_keys_are_kept_each_once() {
        let master = HmacSha256::new_from_slice(&[7; 32]).unwrap();
        let derivation = Derivation::new(&master, "at+jwt", "issuer");
        let credential = Credential::from_secrets(["hash"]).unwrap();
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
        let keep = |version| {
            let body = body(version);
            cache.keep(&derivation, &body, derivation.user_mac(&body), "");
        };
        keep(0);
        keep(0);
        assert_eq!(kept(), 1);
        (1..=4).for_each(keep);
        assert_eq!(kept(), KeyCache::MAX_KEYS);
        let is_found = |version| cache.sign(&derivation, &body(version), "a.b").is_some();
        assert_eq!([0, 1, 2, 3, 4, 5].map(is_found), [false, true, true, true, true, false]);
    }

    #[test]
    fn a_kept_beginning_changes_no_signature() {
        let master = HmacSha256::new_from_slice(&[7; 32]).unwrap();
        let derivation = Derivation::new(&master, "at+jwt", "issuer");
        let credential = Credential::from_secrets(["hash"]).unwrap();
        let context = Context::new();
        let body = Body::of(&Bound {
            user_id: "alice",
            credential: &credential,
            outer: &[],
            version: 0,
            lane: None,
            context: &context,
        });
        let text = "0123456789abcdef".repeat(20);
        let genuine = |message: &str| derivation.user_mac(&body).sign(message.as_bytes());
        for start in [0, 1, 63, 64, 65, 127, 128, 200, 320] {
            let cache = UserKeys::default();
            cache.keep(&derivation, &body, derivation.user_mac(&body), &text[..start]);
            let kept = start / BLOCK * BLOCK;
            for len in 0..=text.len() {
                let expected = (len >= kept).then(|| genuine(&text[..len]));
                assert_eq!(cache.sign(&derivation, &body, &text[..len]), expected, "{start} {len}");
            }
            let other = format!("x{}", &text[1..]);
            let expected = (kept == 0).then(|| genuine(&other));
            assert_eq!(cache.sign(&derivation, &body, &other), expected, "{start}");
        }
    }
}
