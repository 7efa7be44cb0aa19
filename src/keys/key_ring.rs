//! The key ring: the current master key and the retiring ones.

use time::OffsetDateTime;

use crate::keys::{
    error::{KeyError, Kind},
    master_key::{KeyTrace, MasterKey},
};

/// The server's master keys: the current one, which issues tokens, and any number of retiring ones,
/// which only verify, until their deadline.
///
/// A ring is a value: each change returns a new ring. Pass the new ring to
/// [`Authority::with_keys`](crate::Authority::with_keys).
///
/// # Example
///
/// ```
/// use relatch::{KeyRing, MasterKey};
/// use time::{Duration, OffsetDateTime};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let old = MasterKey::generate("2026-10")?;
/// let new = MasterKey::generate("2026-11")?;
///
/// // Rotation: the old key retires when its longest-lived tokens have expired or were refreshed:
/// // after the idle lifetime of a session, or the lifetime of the links you send.
/// let deadline = OffsetDateTime::now_utc() + Duration::days(14);
/// let ring = KeyRing::new(old).rotate(new, deadline)?;
///
/// // Emergency: the old key has leaked. This revokes its tokens at once.
/// let ring = ring.remove("2026-10")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a changed ring is a new value, which is to replace the old one"]
pub struct KeyRing {
    current: MasterKey,
    retiring: Vec<Retiring>,
    /// The keys that were removed.
    removed: Vec<KeyTrace>,
}

#[derive(Clone, Debug)]
struct Retiring {
    key: MasterKey,
    until: OffsetDateTime,
}

impl KeyRing {
    /// A ring with one key.
    pub const fn new(current: MasterKey) -> Self {
        Self { current, retiring: Vec::new(), removed: Vec::new() }
    }

    /// Adds a key that verifies until `until` (exclusive) and does not issue: an old key, or a new
    /// key before its first use.
    ///
    /// With several machines, change the key in two deployments, so that no machine receives tokens
    /// under a key that it does not have. First all machines verify with the new key:
    /// `KeyRing::new(old).retiring(new, until)`. Then all issue with it:
    /// `KeyRing::new(new).retiring(old, until)`.
    ///
    /// # Errors
    ///
    /// [`KeyError`] if the ring has, or had before it was [removed](Self::remove), the `kid`, the key
    /// or its signing key. Two keys are the same if HMAC cannot tell them apart.
    pub fn retiring(mut self, key: MasterKey, until: OffsetDateTime) -> Result<Self, KeyError> {
        self.check_new(&key)?;
        self.retiring.push(Retiring { key, until });
        Ok(self)
    }

    /// Makes `new` the current key; the previous one retires at `until`. For several machines see
    /// [`retiring`](Self::retiring).
    ///
    /// # Errors
    ///
    /// [`KeyError`] as for [`retiring`](Self::retiring). The same key under a new name would not be a
    /// rotation, and a `kid` stands for one key for ever.
    pub fn rotate(mut self, new: MasterKey, until: OffsetDateTime) -> Result<Self, KeyError> {
        self.check_new(&new)?;
        let key = std::mem::replace(&mut self.current, new);
        self.retiring.push(Retiring { key, until });
        Ok(self)
    }

    /// Removes a retiring key at once, for example because it has leaked. Its tokens are then rejected
    /// like those of an unknown key.
    ///
    /// # Errors
    ///
    /// [`KeyError`] for the current key (call [`rotate`](Self::rotate) first), and for a `kid` that the
    /// ring does not have.
    pub fn remove(mut self, kid: &str) -> Result<Self, KeyError> {
        if self.current.kid() == kid {
            return Err(KeyError::new(Kind::Current));
        }
        let position = self.retiring.iter().position(|entry| entry.key.kid() == kid);
        let removed = self.retiring.remove(position.ok_or(KeyError::new(Kind::Unknown))?);
        self.removed.push(removed.key.trace());
        Ok(self)
    }

    /// The current key, which issues tokens.
    #[must_use]
    pub const fn current(&self) -> &MasterKey {
        &self.current
    }

    /// All keys with their deadlines, the current key first. Its deadline is `None`; a retiring key
    /// is refused from its deadline on.
    pub fn iter(&self) -> impl Iterator<Item = (&MasterKey, Option<OffsetDateTime>)> {
        std::iter::once((&self.current, None))
            .chain(self.retiring.iter().map(|entry| (&entry.key, Some(entry.until))))
    }

    fn check_new(&self, new: &MasterKey) -> Result<(), KeyError> {
        let new = new.trace();
        let is_known = self.iter().any(|(key, _)| key.trace().excludes(&new))
            || self.removed.iter().any(|removed| removed.excludes(&new));
        match is_known {
            true => Err(KeyError::new(Kind::Duplicate)),
            false => Ok(()),
        }
    }
}

impl From<MasterKey> for KeyRing {
    fn from(current: MasterKey) -> Self {
        Self::new(current)
    }
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    const DUPLICATE: KeyError = KeyError::new(Kind::Duplicate);

    fn key(kid: &str, byte: u8) -> MasterKey {
        MasterKey::from_bytes(kid, &[byte; 32]).unwrap()
    }

    #[test]
    fn a_kid_or_a_key_is_there_once() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let ring = KeyRing::new(key("a", 1)).retiring(key("b", 2), at).unwrap();
        for twice in [key("a", 3), key("b", 3), key("c", 1), key("c", 2)] {
            assert_eq!(ring.clone().retiring(twice.clone(), at).unwrap_err(), DUPLICATE);
            assert_eq!(ring.clone().rotate(twice, at).unwrap_err(), DUPLICATE);
        }
    }

    /// As HMAC sees it, a key is the same with zeros at its end, and a long one is its hash.
    #[test]
    fn a_key_is_there_once_as_hmac_sees_it() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let of = |kid: &str, bytes: &[u8]| MasterKey::from_bytes(kid, bytes).unwrap();
        let ring = KeyRing::new(of("a", &[1; 40])).retiring(of("b", &[2; 100]), at).unwrap();
        let padded = [&[1; 40][..], &[0; 24]].concat();
        for twice in [of("c", &padded), of("c", &Sha256::digest([2; 100]))] {
            assert_eq!(ring.clone().retiring(twice.clone(), at).unwrap_err(), DUPLICATE);
            assert_eq!(ring.clone().rotate(twice, at).unwrap_err(), DUPLICATE);
        }
        assert!(ring.retiring(of("c", &[&padded[..], &[0]].concat()), at).is_ok());
    }

    #[test]
    fn a_key_that_was_removed_does_not_come_back() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let ring = KeyRing::new(key("a", 1)).rotate(key("b", 2), at).unwrap().remove("a").unwrap();
        for back in [key("a", 1), key("a", 3), key("c", 1)] {
            assert_eq!(ring.clone().retiring(back.clone(), at).unwrap_err(), DUPLICATE);
            assert_eq!(ring.clone().rotate(back, at).unwrap_err(), DUPLICATE);
        }
        assert!(ring.rotate(key("c", 3), at).is_ok());
    }

    #[test]
    fn rotation_keeps_the_old_key_with_its_deadline() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let ring = KeyRing::new(key("a", 1)).rotate(key("b", 2), at).unwrap();
        let kids: Vec<_> = ring.iter().map(|(key, until)| (key.kid(), until)).collect();
        assert_eq!(kids, [("b", None), ("a", Some(at))]);
    }

    #[test]
    fn only_a_retiring_key_can_be_removed() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let ring = KeyRing::new(key("a", 1)).rotate(key("b", 2), at).unwrap();
        assert_eq!(ring.clone().remove("b").unwrap_err(), KeyError::new(Kind::Current));
        assert_eq!(ring.clone().remove("c").unwrap_err(), KeyError::new(Kind::Unknown));
        assert_eq!(ring.remove("a").unwrap().iter().count(), 1);
    }
}
