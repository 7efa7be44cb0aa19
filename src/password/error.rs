//! Errors of password hashing.

use std::{error, fmt};

use crate::entropy::EntropyError;

/// The greatest length of a password, in bytes. A longer password matches no hash.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// Why a password could not be hashed or verified. A wrong password is not an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordError {
    /// The password is empty or longer than [`MAX_PASSWORD_BYTES`].
    Length,
    /// The cost is below OWASP's minimum or above the bounds.
    Cost,
    /// The stored text is not an argon2 PHC string, or its cost is above the bounds.
    UnsupportedHash,
    /// There is not enough memory.
    Memory,
    /// The source of randomness failed.
    Entropy(EntropyError),
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a password must have 1 to {MAX_PASSWORD_BYTES} bytes"),
            Self::Cost => f.write_str(
                "the cost is below OWASP's minimum for argon2id (such as 19456 KiB and 2 \
                 iterations), or above 1 GiB of memory, 4 GiB of memory times iterations, or 64 \
                 lanes",
            ),
            Self::UnsupportedHash => f.write_str(
                "the stored password hash is not an argon2 PHC string, or its cost is above the \
                 bounds: verify it with the library that made it, then store a new hash",
            ),
            Self::Memory => f.write_str("there is not enough memory to hash a password"),
            Self::Entropy(_) => f.write_str("no random salt could be generated"),
        }
    }
}

impl error::Error for PasswordError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Entropy(error) => Some(error),
            _ => None,
        }
    }
}
