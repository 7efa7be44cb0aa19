//! What each key of the ring comes to for a type of token, worked out when the first of that type
//! is met.

use std::{iter, sync::OnceLock};

use time::OffsetDateTime;

use super::kind::Kind;
#[cfg(feature = "asymmetric")]
use crate::keys::asymmetric::SigningKey;
use crate::{
    authority::{
        Authority,
        builder::{BindingMode, Settings},
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
}

impl Authority {
    /// The key that issues.
    pub(crate) fn current_key(&self, kind: Kind) -> PinnedKey<'_> {
        let pinned = &self.pinned_ring(kind).current;
        PinnedKey::new(self.keys.ring.current(), None, pinned)
    }

    /// The keys of the ring, the current one first.
    pub(crate) fn pinned_keys(&self, kind: Kind) -> impl Iterator<Item = PinnedKey<'_>> {
        let PinnedRing { current, retiring } = self.pinned_ring(kind);
        let pinned = iter::once(current).chain(retiring);
        let keys = self.keys.ring.iter().zip(pinned);
        keys.map(|((key, until), pinned)| PinnedKey::new(key, until, pinned))
    }

    fn pinned_ring(&self, kind: Kind) -> &PinnedRing {
        self.keys.types.get(kind.typ, || {
            let ring = &self.keys.ring;
            let pin = |key| Pinned::new(&self.settings, kind, key);
            PinnedRing {
                current: pin(ring.current()),
                retiring: ring.iter().skip(1).map(|(key, _)| pin(key)).collect(),
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

/// A value for each JOSE `typ`, of which a program has few: made once, and read without a lock.
struct PerType<T>(Link<T>);

type Link<T> = OnceLock<Box<Node<T>>>;

struct Node<T> {
    typ: &'static str,
    value: T,
    next: Link<T>,
}

impl<T> PerType<T> {
    const fn new() -> Self {
        Self(OnceLock::new())
    }

    fn get(&self, typ: &'static str, make: impl Fn() -> T) -> &T {
        let mut link = &self.0;
        loop {
            let node =
                link.get_or_init(|| Box::new(Node { typ, value: make(), next: OnceLock::new() }));
            if node.typ == typ {
                return &node.value;
            }
            link = &node.next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;

    #[test]
    fn each_type_has_one_value_whoever_asks_first() {
        const TYPES: [&str; 3] = ["at+jwt", "rt+jwt", "reset+jwt"];
        let values = PerType::new();
        let start = Barrier::new(4);
        let ask = |turn: usize| {
            start.wait();
            (0..3).map(|i| TYPES[(i + turn) % 3]).for_each(|typ| {
                assert!(values.get(typ, || typ.to_owned()) == typ);
            });
        };
        thread::scope(|scope| (0..4).for_each(|turn| drop(scope.spawn(move || ask(turn)))));
        for typ in TYPES {
            assert_eq!(values.get(typ, || unreachable!("it has been made")), typ);
        }
    }
}
