//! Verification of PBKDF2 hashes.

use std::{hint, ops::RangeInclusive};

use ::pbkdf2::pbkdf2_hmac;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::{
    encoding::{Hashed, base64, decimal, fields},
    error::PasswordError,
    verifier::HashVerifier,
};

/// Verifies PBKDF2 hashes (RFC 8018 §5.2) with HMAC-SHA-256 and HMAC-SHA-512.
///
/// | form | written by |
/// | --- | --- |
/// | `pbkdf2_sha256$1000000$salt$base64` | Django (Django documentation, "Password management in Django") |
/// | `$pbkdf2-sha256$29000$salt$base64`, `$pbkdf2-sha512$…` | passlib (passlib documentation, "PBKDF2 Hashes") |
/// | `$pbkdf2-sha256$i=600000,l=32$salt$base64`, `$pbkdf2-sha512$…` | PHC strings, as of the Rust crate `pbkdf2` |
///
/// A hash whose cost is above 10 000 000 iterations, counted for each block of its output, is refused as
/// [`PasswordError::UnsupportedHash`]: they take seconds.
///
/// # Example
///
/// ```
/// use relatch::password::{PasswordHasher, Pbkdf2};
///
/// # fn main() -> Result<(), relatch::password::PasswordError> {
/// // Most users have hashes of Django 5.2.
/// let hasher = PasswordHasher::new().also_verifies(Pbkdf2::sha256(1_000_000)?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Pbkdf2 {
    digest: Digest,
    iterations: u32,
}

/// The iterations that are accepted.
const ITERATIONS: RangeInclusive<u32> = 1..=10_000_000;

#[derive(Clone, Copy, Debug)]
enum Digest {
    Sha256,
    Sha512,
}

impl Pbkdf2 {
    /// A verifier for a table in which most PBKDF2 hashes are by HMAC-SHA-256 with this number of
    /// iterations: 1 to 10 000 000. The others are verified too. The number only sets how long a login
    /// takes for a user without a PBKDF2 hash.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Cost`] if it is out of range.
    pub fn sha256(iterations: u32) -> Result<Self, PasswordError> {
        Self::new(Digest::Sha256, iterations)
    }

    /// [`sha256`](Self::sha256) for a table in which most PBKDF2 hashes are by HMAC-SHA-512.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Cost`] if the number is out of range.
    pub fn sha512(iterations: u32) -> Result<Self, PasswordError> {
        Self::new(Digest::Sha512, iterations)
    }

    fn new(digest: Digest, iterations: u32) -> Result<Self, PasswordError> {
        match ITERATIONS.contains(&iterations) {
            true => Ok(Self { digest, iterations }),
            false => Err(PasswordError::Cost),
        }
    }
}

impl HashVerifier for Pbkdf2 {
    fn recognises(&self, stored: &str) -> bool {
        Stored::parse(stored).is_some()
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, PasswordError> {
        let stored = Stored::parse(stored).filter(Stored::is_affordable);
        let Stored { digest, iterations, hashed } = stored.ok_or(PasswordError::UnsupportedHash)?;
        let output = digest.compute(password, &hashed.salt, iterations, hashed.len());
        Ok(hashed.is(&output))
    }

    fn work(&self, password: &str) {
        let block = self.digest.block_bytes();
        hint::black_box(self.digest.compute(password, &[0; 16], self.iterations, block));
    }
}

impl Digest {
    const fn block_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn compute(
        self,
        password: &str,
        salt: &[u8],
        iterations: u32,
        len: usize,
    ) -> Zeroizing<Vec<u8>> {
        let mut output = Zeroizing::new(vec![0; len]);
        match self {
            Self::Sha256 => {
                pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut output)
            }
            Self::Sha512 => {
                pbkdf2_hmac::<Sha512>(password.as_bytes(), salt, iterations, &mut output)
            }
        }
        output
    }
}

/// A parsed hash.
struct Stored {
    digest: Digest,
    iterations: u32,
    hashed: Hashed,
}

impl Stored {
    fn parse(text: &str) -> Option<Self> {
        if let Some(django) = text.strip_prefix("pbkdf2_sha256$") {
            let [iterations, salt, output] = fields(django)?;
            return Some(Self {
                digest: Digest::Sha256,
                iterations: decimal(iterations)?,
                hashed: Hashed::new(salt.into(), base64(output)?)?,
            });
        }
        let (digest, rest) = match text.strip_prefix("$pbkdf2-sha256$") {
            Some(rest) => (Digest::Sha256, rest),
            None => (Digest::Sha512, text.strip_prefix("$pbkdf2-sha512$")?),
        };
        let [params, salt, output] = fields(rest)?;
        let hashed = Hashed::new(base64(salt)?, base64(output)?)?;
        let iterations = match params.strip_prefix("i=") {
            None => params,
            Some(params) => match params.split_once(",l=") {
                None => params,
                Some((iterations, len)) => {
                    let is_len = decimal(len).is_some_and(|len| len as usize == hashed.len());
                    is_len.then_some(iterations)?
                }
            },
        };
        Some(Self { digest, iterations: decimal(iterations)?, hashed })
    }

    fn is_affordable(&self) -> bool {
        let blocks = self.hashed.len().div_ceil(self.digest.block_bytes()) as u64;
        let work = u64::from(self.iterations) * blocks;
        self.iterations >= *ITERATIONS.start() && work <= u64::from(*ITERATIONS.end())
    }
}
