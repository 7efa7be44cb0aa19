//! JWK sets (RFC 7517 §5): published by a key ring, and read.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::{Jwk, JwkSet};
use time::OffsetDateTime;

use crate::keys::{key_ring::KeyRing, master_key::MasterKey, verifying_key::VerifyingKey};

/// Reads a JWK set (RFC 7517 §5) into the keys that verify relatch's tokens, by `kid`. Keys of
/// other kinds, without a `kid` or out of form are passed over, as the RFC asks.
#[must_use]
pub fn read_jwk_set(set: &JwkSet) -> BTreeMap<String, VerifyingKey> {
    let named = |jwk: &Jwk| Some((jwk.common.key_id.clone()?, VerifyingKey::from_jwk(jwk).ok()?));
    set.keys.iter().filter_map(named).collect()
}

impl KeyRing {
    /// The public keys of the current and of each retiring key whose deadline is still to come, as
    /// a JWK set for other services.
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
