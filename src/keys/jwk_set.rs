//! JWK sets (RFC 7517 §5): published by a key ring, and read.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use time::OffsetDateTime;

use crate::keys::{key_ring::KeyRing, master_key::MasterKey, verifying_key::VerifyingKey};

/// Reads the keys that can verify relatch's tokens from a JWK set (RFC 7517 §5), by `kid`. It skips
/// keys of other kinds, keys without a `kid`, and malformed keys, as the RFC requires. It also skips a
/// `kid` that several of the other keys have, because it names none of them.
#[must_use]
pub fn read_jwk_set(set: &JwkSet) -> BTreeMap<String, VerifyingKey> {
    let named = |jwk: &Jwk| Some((jwk.common.key_id.clone()?, VerifyingKey::from_jwk(jwk).ok()?));
    let mut keys = BTreeMap::new();
    for (kid, key) in set.keys.iter().filter_map(named) {
        keys.entry(kid).and_modify(|only| *only = None).or_insert(Some(key));
    }
    keys.into_iter().filter_map(|(kid, only)| Some((kid, only?))).collect()
}

impl KeyRing {
    /// The public keys as a JWK set for other services: those of the current key and of each
    /// retiring key before its deadline.
    #[cfg_attr(docsrs, doc(cfg(feature = "asymmetric")))]
    #[must_use]
    pub fn jwk_set(&self, now: OffsetDateTime) -> JwkSet {
        let live = self.iter().filter(|(_, until)| until.is_none_or(|until| now < until));
        let public = |key: &MasterKey| {
            key.signing_key().map(|signing| signing.verifying_key().to_jwk(key.kid()))
        };
        JwkSet { keys: live.filter_map(|(key, _)| public(key)).collect() }
    }
}
