//! What each key of the ring comes to for a type of token, worked out when the first of that type
//! is met.

use std::iter;

use time::OffsetDateTime;

use super::kind::Kind;
#[cfg(feature = "asymmetric")]
use crate::keys::signing_key::SigningKey;
use crate::{
    authority::kernel::{
        per_type::PerType,
        settings::{BindingMode, Settings},
    },
    binding::derivation::Derivation,
    bytes::hmac::{self, HmacSha256},
    keys::{key_ring::KeyRing, master_key::MasterKey},
    token::compact,
};

/// A key ring, and what it comes to for each type of token.
pub(crate) struct Keys {
    pub(crate) ring: KeyRing,
    types: PerType<PinnedRing>,
}

/// The keys of a ring for one type of token, in its order.
struct PinnedRing {
    current: Pinned,
    retiring: Vec<Pinned>,
}

/// What one key comes to for one type of token.
struct Pinned {
    /// The one header of such tokens; `None` if the key cannot sign them.
    header: Option<String>,
    derivation: Derivation,
    /// What signs them, where that is the same for all users.
    server: Option<HmacSha256>,
}

/// A key of the ring, as one type of token takes it.
#[derive(Clone, Copy)]
pub(crate) struct PinnedKey<'a> {
    #[cfg(feature = "asymmetric")]
    key: &'a MasterKey,
    /// When the key is refused; `None` for the current one.
    pub(crate) until: Option<OffsetDateTime>,
    pinned: &'a Pinned,
}

impl<'a> PinnedKey<'a> {
    #[cfg_attr(not(feature = "asymmetric"), expect(unused_variables))]
    const fn new(key: &'a MasterKey, until: Option<OffsetDateTime>, pinned: &'a Pinned) -> Self {
        Self {
            #[cfg(feature = "asymmetric")]
            key,
            until,
            pinned,
        }
    }

    pub(crate) fn header(self) -> Option<&'a str> {
        self.pinned.header.as_deref()
    }

    #[cfg(feature = "asymmetric")]
    pub(crate) fn signing_key(self) -> Option<&'a SigningKey> {
        self.key.signing_key()
    }

    pub(crate) fn derivation(self) -> &'a Derivation {
        &self.pinned.derivation
    }

    /// Signs (HS256) under the server's key, in the mode that has one.
    pub(crate) fn server_mac(self) -> Option<&'a HmacSha256> {
        self.pinned.server.as_ref()
    }
}

impl Keys {
    pub(crate) const fn new(ring: KeyRing) -> Self {
        Self { ring, types: PerType::new() }
    }

    /// The key that issues.
    pub(crate) fn current(&self, settings: &Settings, kind: Kind) -> PinnedKey<'_> {
        let pinned = &self.pinned_ring(settings, kind).current;
        PinnedKey::new(self.ring.current(), None, pinned)
    }

    /// The keys of the ring, the current one first.
    pub(crate) fn pinned(
        &self,
        settings: &Settings,
        kind: Kind,
    ) -> impl Iterator<Item = PinnedKey<'_>> {
        let PinnedRing { current, retiring } = self.pinned_ring(settings, kind);
        let pinned = iter::once(current).chain(retiring);
        let keys = self.ring.iter().zip(pinned);
        keys.map(|((key, until), pinned)| PinnedKey::new(key, until, pinned))
    }

    fn pinned_ring(&self, settings: &Settings, kind: Kind) -> &PinnedRing {
        self.types.get(kind.typ, || {
            let pin = |key| Pinned::new(settings, kind, key);
            PinnedRing {
                current: pin(self.ring.current()),
                retiring: self.ring.iter().skip(1).map(|(key, _)| pin(key)).collect(),
            }
        })
    }
}

impl Pinned {
    fn new(settings: &Settings, kind: Kind, key: &MasterKey) -> Self {
        let derivation = Derivation::new(key.mac(), kind.typ, &settings.issuer);
        Self {
            header: kind
                .algorithm(key)
                .and_then(|alg| compact::pinned_header(alg, key.kid(), kind.typ)),
            server: matches!(kind.mode, BindingMode::StampHs256)
                .then(|| hmac::hs256(&derivation.server_key())),
            derivation,
        }
    }
}
