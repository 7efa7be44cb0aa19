//! Key material per `typ`, computed on first use.

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
    keys::{key_ring::KeyRing, master_key::MasterKey},
    token::{claims::canonical, compact},
};

/// A key ring, with the key material for each `typ`.
pub(crate) struct Keys {
    pub(crate) ring: KeyRing,
    types: PerType<PinnedRing>,
}

/// The key material of a ring for one `typ`, in the order of the ring.
struct PinnedRing {
    mode: BindingMode,
    current: Pinned,
    retiring: Vec<Pinned>,
}

/// The material of one key for one `typ`.
struct Pinned {
    /// The only header of such tokens, and its dot; `None` if the key cannot sign them.
    prefix: Option<String>,
    /// The beginning of their claims, if it has no escape.
    claims: Option<canonical::Pinned>,
    derivation: Derivation,
}

/// A key of the ring, with its material for one `typ`.
#[derive(Clone, Copy)]
pub(crate) struct PinnedKey<'a> {
    #[cfg(feature = "asymmetric")]
    key: &'a MasterKey,
    /// The time from which the key is refused; `None` for the current key.
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
        self.pinned.prefix.as_deref()?.strip_suffix('.')
    }

    /// The length of the header of a token that begins with this key's.
    #[inline]
    pub(crate) fn header_len(self, token: &str) -> Option<usize> {
        let prefix = self.pinned.prefix.as_deref()?;
        token.starts_with(prefix).then(|| prefix.len() - 1)
    }

    /// The pinned beginning of the claims.
    pub(crate) fn claims(self) -> Option<&'a canonical::Pinned> {
        self.pinned.claims.as_ref()
    }

    #[cfg(feature = "asymmetric")]
    pub(crate) fn signing_key(self) -> Option<&'a SigningKey> {
        self.key.signing_key()
    }

    pub(crate) fn derivation(self) -> &'a Derivation {
        &self.pinned.derivation
    }
}

impl Keys {
    pub(crate) const fn new(ring: KeyRing) -> Self {
        Self { ring, types: PerType::new() }
    }

    /// The key that signs new tokens; `None` as for [`pinned_ring`](Self::pinned_ring).
    pub(crate) fn current(&self, settings: &Settings, kind: Kind) -> Option<PinnedKey<'_>> {
        let pinned = &self.pinned_ring(settings, kind)?.current;
        Some(PinnedKey::new(self.ring.current(), None, pinned))
    }

    /// The keys of the ring, the current key first; none as for [`pinned_ring`](Self::pinned_ring).
    pub(crate) fn pinned(
        &self,
        settings: &Settings,
        kind: Kind,
    ) -> impl Iterator<Item = PinnedKey<'_>> {
        let pinned = self.pinned_ring(settings, kind);
        let pinned =
            pinned.into_iter().flat_map(|ring| iter::once(&ring.current).chain(&ring.retiring));
        let keys = self.ring.iter().zip(pinned);
        keys.map(|((key, until), pinned)| PinnedKey::new(key, until, pinned))
    }

    /// `None` if another purpose has a `typ` that differs only in case, or the same `typ` in another
    /// binding mode.
    fn pinned_ring(&self, settings: &Settings, kind: Kind) -> Option<&PinnedRing> {
        let ring = self.types.get(kind.typ, || {
            let pin = |key| Pinned::new(settings, kind, key);
            PinnedRing {
                mode: kind.mode,
                current: pin(self.ring.current()),
                retiring: self.ring.iter().skip(1).map(|(key, _)| pin(key)).collect(),
            }
        });
        ring.filter(|ring| ring.mode == kind.mode)
    }
}

impl Pinned {
    fn new(settings: &Settings, kind: Kind, key: &MasterKey) -> Self {
        Self {
            prefix: kind
                .algorithm(key)
                .and_then(|alg| compact::pinned_header(alg, key.kid(), kind.typ))
                .map(|header| header + "."),
            claims: canonical::Pinned::new(&settings.issuer, &settings.audience),
            derivation: Derivation::new(key.mac(), kind.typ, &settings.issuer),
        }
    }
}
