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
    /// The cost is out of its range, which the constructor's documentation has.
    Cost,
    /// The stored text is of no kind that the hasher verifies, or its cost is above the bounds.
    UnsupportedHash,
    /// There is not enough memory.
    Memory,
    /// The application's check of the policy, or its verifier of other hashes, has panicked. The panic hook
    /// has printed the message, which may contain the password: it is in no error and no log of relatch.
    Panicked,
    /// The source of randomness failed.
    Entropy(EntropyError),
}

impl fmt::Display for PasswordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "a password must have 1 to {MAX_PASSWORD_BYTES} bytes"),
            Self::Cost => f.write_str(
                "the cost is out of its range: for argon2id, below OWASP's minimum (such as 19456 KiB \
                 and 2 iterations), or above 1 GiB of memory, 4 GiB of memory times iterations, or 64 \
                 lanes; for others see the constructor's documentation",
            ),
            Self::UnsupportedHash => f.write_str(
                "the stored password hash is of no kind that the hasher verifies, or its cost is above \
                 the bounds: register a verifier with `PasswordHasher::also_verifies`",
            ),
            Self::Memory => f.write_str("there is not enough memory to hash a password"),
            Self::Panicked => f.write_str(
                "the application's own check of a password, or verifier of a hash, has panicked: the panic \
                 hook has printed where",
            ),
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
