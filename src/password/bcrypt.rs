//! Verification of bcrypt hashes.

use std::{hint, ops::RangeInclusive};

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{error::PasswordError, verifier::HashVerifier};

/// Verifies bcrypt hashes, of the versions `$2a$`, `$2b$` and `$2y$`.
///
/// These are the hashes of PHP's `password_hash` and Laravel (`$2y$`), of Ruby's Devise and Rails'
/// `has_secure_password` (`$2a$`), of Spring Security, and of the `bcrypt` packages of Node.js, Python and
/// Go. It also reads Django's forms (Django documentation, "Password management in Django"):
/// `bcrypt$$2b$…`, and `bcrypt_sha256$$2b$…`, which hashes the hexadecimal SHA-256 of the password.
///
/// bcrypt reads at most 72 bytes of a password. A longer one is compared by its first 72 bytes, as the
/// library that made the hash did; after the rehash by argon2id the whole password counts. (Django's
/// `bcrypt_sha256` compares the whole password.) A password with a NUL matches no plain bcrypt hash:
/// libraries differ in whether it ends the password.
///
/// A hash whose cost is above 16 is refused as [`PasswordError::UnsupportedHash`]; cost 12 takes about a
/// quarter of a second, and each step doubles it.
///
/// A *pepper* (Devise's `config.pepper`), which an application adds to the password before hashing, needs
/// a [`HashVerifier`] of your own, which adds it and calls this one.
///
/// # Example
///
/// ```
/// use relatch::password::{Bcrypt, PasswordHasher};
///
/// # fn main() -> Result<(), relatch::password::PasswordError> {
/// let hasher = PasswordHasher::new().also_verifies(Bcrypt::new(7)?);
/// // From the PHP manual, page "password_verify".
/// let stored = "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq";
/// let matched = hasher.verify("rasmuslerdorf", Some(stored))?;
/// assert!(matched.is_some_and(|matched| matched.needs_rehash()));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Bcrypt {
    cost: u32,
}

/// The costs that are accepted. The format has costs up to 31, which take days.
const COSTS: RangeInclusive<u32> = 4..=16;

/// The number of bytes of a password that bcrypt reads.
const READ_BYTES: usize = 72;

const SALT_BYTES: usize = 16;
/// bcrypt computes 24 bytes, of which the format keeps 23.
const HASH_BYTES: usize = 23;

impl Bcrypt {
    /// A verifier for a table in which most bcrypt hashes have this cost: the number after the
    /// version, as 12 in `$2b$12$…`; 4 to 16. Hashes of other costs are verified too. The cost only
    /// sets how long a login takes for a user without a bcrypt hash.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Cost`] if it is out of range.
    pub fn new(cost: u32) -> Result<Self, PasswordError> {
        match COSTS.contains(&cost) {
            true => Ok(Self { cost }),
            false => Err(PasswordError::Cost),
        }
    }
}

impl HashVerifier for Bcrypt {
    fn recognises(&self, stored: &str) -> bool {
        Stored::parse(stored).is_some()
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, PasswordError> {
        let stored = Stored::parse(stored).filter(|stored| COSTS.contains(&stored.cost));
        let stored = stored.ok_or(PasswordError::UnsupportedHash)?;
        let hash = match stored.is_prehashed {
            true => hash(stored.cost, stored.salt, &*sha256_hex(password)),
            false => hash(stored.cost, stored.salt, password.as_bytes()),
        };
        let is_readable = stored.is_prehashed || !password.contains('\0');
        Ok(bool::from(hash.ct_eq(&stored.hash)) && is_readable)
    }

    fn work(&self, password: &str) {
        hint::black_box(hash(self.cost, [0; SALT_BYTES], password.as_bytes()));
    }
}

/// A parsed hash.
struct Stored {
    /// Whether the password is hashed by SHA-256 before.
    is_prehashed: bool,
    cost: u32,
    salt: [u8; SALT_BYTES],
    hash: [u8; HASH_BYTES],
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        let (is_prehashed, crypt) = match text.strip_prefix("bcrypt_sha256$") {
            Some(crypt) => (true, crypt),
            None => (false, text.strip_prefix("bcrypt$").unwrap_or(text)),
        };
        let rest = ["$2a$", "$2b$", "$2y$"].iter().find_map(|v| crypt.strip_prefix(v))?;
        let (cost, encoded) = rest.split_once('$')?;
        let is_cost = cost.len() == 2 && cost.bytes().all(|digit| digit.is_ascii_digit());
        let (salt, hash) = encoded.split_at_checked(22).filter(|_| is_cost)?;
        Some(Self {
            is_prehashed,
            cost: cost.parse().ok()?,
            salt: decode(salt)?,
            hash: decode(hash)?,
        })
    }
}

fn hash(cost: u32, salt: [u8; SALT_BYTES], password: &[u8]) -> Zeroizing<[u8; HASH_BYTES]> {
    // The NUL at the end of a C string is part of the key, if it is among the bytes that are read.
    let mut key = Zeroizing::new([0; READ_BYTES]);
    let len = password.len().min(READ_BYTES);
    key[..len].copy_from_slice(&password[..len]);
    let output = Zeroizing::new(::bcrypt::bcrypt(cost, salt, &key[..(len + 1).min(READ_BYTES)]));
    let mut hash = Zeroizing::new([0; HASH_BYTES]);
    hash.copy_from_slice(&output[..HASH_BYTES]);
    hash
}

fn sha256_hex(password: &str) -> Zeroizing<[u8; 64]> {
    let digest = Zeroizing::new(<[u8; 32]>::from(Sha256::digest(password)));
    let mut hex = Zeroizing::new([0; 64]);
    for (pair, byte) in hex.chunks_exact_mut(2).zip(&*digest) {
        let digit = |four: u8| if four < 10 { b'0' + four } else { b'a' + four - 10 };
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    hex
}

/// Decodes bcrypt's base64, which has an alphabet of its own. The unused bits of the last character are
/// ignored, as all libraries do: some wrote them at random.
fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    if text.len() != (N * 8).div_ceil(6) {
        return None;
    }
    let mut bytes = [0; N];
    let (mut bits, mut count, mut place) = (0_u32, 0, bytes.iter_mut());
    for byte in text.bytes() {
        let value = match byte {
            b'.' => 0,
            b'/' => 1,
            b'A'..=b'Z' => byte - b'A' + 2,
            b'a'..=b'z' => byte - b'a' + 28,
            b'0'..=b'9' => byte - b'0' + 54,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xfff;
        count += 6;
        if count >= 8 {
            count -= 8;
            *place.next()? = (bits >> count).to_le_bytes()[0];
        }
    }
    Some(bytes)
}
