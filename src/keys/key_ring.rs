//! The key ring: the current master key and the retiring ones.

use time::OffsetDateTime;

use crate::keys::{
    error::{KeyError, Kind},
    master_key::MasterKey,
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
}

#[derive(Clone, Debug)]
struct Retiring {
    key: MasterKey,
    until: OffsetDateTime,
}

impl KeyRing {
    /// A ring with one key.
    pub const fn new(current: MasterKey) -> Self {
        Self { current, retiring: Vec::new() }
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
    /// [`KeyError`] if the ring already has the `kid`, the key or its signing key.
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
    /// [`KeyError`] if the ring already has the `kid`, the key or its signing key. The same key under a
    /// new name would not be a rotation.
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
        self.retiring.remove(position.ok_or(KeyError::new(Kind::Unknown))?);
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
        match self.iter().any(|(key, _)| key.kid() == new.kid() || key.same_as(new)) {
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
    use super::*;

    fn key(kid: &str, byte: u8) -> MasterKey {
        MasterKey::from_bytes(kid, &[byte; 32]).unwrap()
    }

    #[test]
    fn a_kid_or_a_key_is_there_once() {
        let at = OffsetDateTime::UNIX_EPOCH;
        let ring = KeyRing::new(key("a", 1)).retiring(key("b", 2), at).unwrap();
        for twice in [key("a", 3), key("b", 3), key("c", 1), key("c", 2)] {
            let error = ring.clone().retiring(twice.clone(), at).unwrap_err();
            assert_eq!(error, KeyError::new(Kind::Duplicate));
            assert_eq!(ring.clone().rotate(twice, at).unwrap_err(), KeyError::new(Kind::Duplicate));
        }
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
