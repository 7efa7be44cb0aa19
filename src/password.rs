//! Password hashing with argon2id (RFC 9106), with OWASP's parameters or stronger ones.
//!
//! The hash is stored as a PHC string. Bind tokens to the whole string with
//! [`Binding::password_hash`](crate::Binding::password_hash).
//!
//! # Example
//!
//! ```
//! use relatch::password::PasswordHasher;
//!
//! # fn main() -> Result<(), relatch::password::PasswordError> {
//! let hasher = PasswordHasher::new();
//! let stored = hasher.hash("correct horse battery staple")?;
//!
//! // At login: the stored hash of the user of that name, or `None` if there is no such user. Both
//! // take the same time.
//! let matched = hasher.verify("correct horse battery staple", Some(&stored))?;
//! assert!(matched.is_some_and(|matched| !matched.needs_rehash()));
//! assert!(hasher.verify("wrong", Some(&stored))?.is_none());
//! assert!(hasher.verify("correct horse battery staple", None)?.is_none());
//! # Ok(())
//! # }
//! ```
//!
//! A login can replace the hash by a stronger one without logging out the user's devices, if it
//! stores a [`Carried`](crate::user::Carried) credential with it:
//!
//! ```
//! use std::error::Error;
//!
//! use relatch::{password::PasswordHasher, user::{Carried, Credential}};
//!
//! enum Check {
//!     Wrong,
//!     Right,
//!     /// Right, and the application must store this:
//!     /// `UPDATE … SET password_hash = :new, carried = :carried WHERE password_hash = :old`, so
//!     /// that it does not overwrite a password that was changed in the meantime.
//!     Rehashed(String, Carried),
//! }
//!
//! /// `carried` is the carried credential in the record, if it has one.
//! fn check(
//!     hasher: &PasswordHasher,
//!     password: &str,
//!     stored: Option<&str>,
//!     carried: Option<&Carried>,
//! ) -> Result<Check, Box<dyn Error>> {
//!     let (Some(matched), Some(stored)) = (hasher.verify(password, stored)?, stored) else {
//!         return Ok(Check::Wrong);
//!     };
//!     if !matched.needs_rehash() {
//!         return Ok(Check::Right);
//!     }
//!     let new = hasher.hash(password)?;
//!     let old = Credential::from_password_hash(stored)?;
//!     let carried = Carried::rehash(carried, &old, &Credential::from_password_hash(&new)?);
//!     Ok(Check::Rehashed(new, carried))
//! }
//! ```
//!
//! Issue the token for the record whose password was verified. Never read the record again first.
//!
//! Hashing takes tens of milliseconds and tens of megabytes. In an async application, run it on a
//! blocking thread (`spawn_blocking`) and limit how many hashes run at once. Make one hasher and
//! clone it: the clones share its memory, which is reused from one hash to the next. With a new
//! hasher for each hash, the allocator may hold many times the memory in use (glibc does).
//!
//! Without optimisation, hashing takes more than ten times as long. For debug builds, add this to
//! the application's `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package.argon2]
//! opt-level = 3
//!
//! [profile.dev.package.blake2]
//! opt-level = 3
//! ```

use std::{
    error, fmt, hint,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::entropy::{Entropy, EntropyError, SystemEntropy};

/// Hashes and verifies passwords.
///
/// It keeps the memory of as many hashes as it ran at once, each up to 46 MiB, and shares it with
/// its clones. The memory is freed when the last clone is dropped.
#[derive(Clone)]
pub struct PasswordHasher {
    params: Params,
    entropy: Arc<dyn Entropy>,
    memory: Arc<Memory>,
}

/// The greatest length of a password, in bytes. A longer password matches no hash.
pub const MAX_PASSWORD_BYTES: usize = 1024;

/// OWASP's equivalent minimum settings for argon2id: memory in KiB, iterations. Source: OWASP
/// Password Storage Cheat Sheet, section "Argon2id".
const OWASP_MINIMA: [(u32, u32); 5] =
    [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// The greatest cost of a stored hash: memory in KiB, memory times iterations, and lanes. An
/// attacker who can write the users' table must not be able to exhaust the server with one login.
const MAX_COST: (u32, u64, u32) = (1 << 20, 1 << 22, 64);

/// The largest memory that is kept for the next hash, in blocks of 1 KiB: the memory of OWASP's
/// largest minimum. Allocators return larger memory to the system (glibc: from 32 MiB).
const KEPT_BLOCKS: usize = 47_104;

const SALT_BYTES: usize = 16;
const HASH_BYTES: usize = 32;

impl PasswordHasher {
    /// A hasher with OWASP's minimum cost: 19 MiB, 2 iterations, 1 lane.
    #[must_use]
    pub fn new() -> Self {
        Self::with_params(Params::DEFAULT)
    }

    /// A hasher with another cost: memory in KiB, iterations, and lanes of parallelism.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Cost`] if it is weaker than each of OWASP's minimum settings (47 104 KiB
    /// and 1 iteration, 19 456 and 2, 12 288 and 3, 9 216 and 4, 7 168 and 5), or above 1 GiB of
    /// memory, 4 GiB of memory times iterations, or 64 lanes.
    pub fn with_cost(memory: u32, iterations: u32, lanes: u32) -> Result<Self, PasswordError> {
        let strong = OWASP_MINIMA.iter().any(|&(m, t)| memory >= m && iterations >= t);
        let params = Params::new(memory, iterations, lanes, Some(HASH_BYTES));
        match params {
            Ok(params) if strong && is_affordable(&params) => Ok(Self::with_params(params)),
            _ => Err(PasswordError::Cost),
        }
    }

    /// Sets the source of randomness for salts; the operating system's by default.
    #[must_use]
    pub fn entropy(mut self, entropy: impl Entropy + 'static) -> Self {
        self.entropy = Arc::new(entropy);
        self
    }

    /// Hashes a password with a new random salt and returns the PHC string to store.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Length`] if the password is empty or longer than [`MAX_PASSWORD_BYTES`];
    /// [`PasswordError::Entropy`] or [`PasswordError::Memory`] if the system fails.
    pub fn hash(&self, password: &str) -> Result<String, PasswordError> {
        if !is_hashable(password) {
            return Err(PasswordError::Length);
        }
        let mut salt = [0; SALT_BYTES];
        self.entropy.fill(&mut salt).map_err(PasswordError::Entropy)?;
        let hash = self.compute(&self.argon2(), password, &salt, HASH_BYTES)?;
        let phc = PasswordHash {
            algorithm: Algorithm::Argon2id.ident(),
            version: Some(Version::V0x13.into()),
            params: ParamsString::try_from(&self.params).map_err(|_| PasswordError::Cost)?,
            salt: Some(Salt::new(&salt).map_err(|_| PasswordError::Memory)?),
            hash: Some(Output::new(&hash).map_err(|_| PasswordError::Memory)?),
        };
        Ok(phc.to_string())
    }

    /// Verifies a password against the stored hash: `None` if it does not match.
    ///
    /// It accepts argon2 hashes of all variants and parameters. Pass `None` as the hash if there is
    /// no such user: the result is then `None` after the time of one hash with this hasher's
    /// parameters, so that the time does not show which names exist. Pass `None` also for a user
    /// who has no password. (Hashes with other parameters take another time, until the next login
    /// of their user rehashes them.)
    ///
    /// # Errors
    ///
    /// [`PasswordError::UnsupportedHash`] if the stored text is not an argon2 PHC string or its
    /// cost is above the bounds, and [`PasswordError::Memory`].
    pub fn verify(
        &self,
        password: &str,
        stored: Option<&str>,
    ) -> Result<Option<PasswordMatch>, PasswordError> {
        if !is_hashable(password) {
            return Ok(None);
        }
        let Some(stored) = stored else {
            let dummy = self.compute(&self.argon2(), password, &[0; SALT_BYTES], HASH_BYTES)?;
            hint::black_box(dummy);
            return Ok(None);
        };
        let stored = StoredHash::parse(stored).ok_or(PasswordError::UnsupportedHash)?;
        let hash = self.compute(&stored.argon2, password, &stored.salt, stored.hash.len())?;
        if !bool::from(hash.ct_eq(&stored.hash)) {
            return Ok(None);
        }
        Ok(Some(PasswordMatch { needs_rehash: !self.would_make(&stored) }))
    }

    /// Whether a stored hash differs from what [`hash`](Self::hash) makes now: it has another
    /// variant, version or cost, or a shorter salt or output.
    ///
    /// # Errors
    ///
    /// [`PasswordError::UnsupportedHash`], as for [`verify`](Self::verify).
    pub fn needs_rehash(&self, stored: &str) -> Result<bool, PasswordError> {
        let stored = StoredHash::parse(stored).ok_or(PasswordError::UnsupportedHash)?;
        Ok(!self.would_make(&stored))
    }

    fn would_make(&self, stored: &StoredHash) -> bool {
        let cost = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
        stored.is_argon2id_v19
            && cost(stored.argon2.params()) == cost(&self.params)
            && stored.salt.len() >= SALT_BYTES
            && stored.hash.len() >= HASH_BYTES
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    fn with_params(params: Params) -> Self {
        Self { params, entropy: Arc::new(SystemEntropy), memory: Arc::default() }
    }

    fn compute(
        &self,
        argon2: &Argon2<'_>,
        password: &str,
        salt: &[u8],
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, PasswordError> {
        let mut out = Zeroizing::new(vec![0; len]);
        self.memory
            .lend(argon2.params().block_count(), |blocks| {
                argon2.hash_password_into_with_memory(password.as_bytes(), salt, &mut out, blocks)
            })
            .ok_or(PasswordError::Memory)?
            .map_err(|_| PasswordError::UnsupportedHash)?;
        Ok(out)
    }
}

impl Default for PasswordHasher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHasher")
            .field("memory_kib", &self.params.m_cost())
            .field("iterations", &self.params.t_cost())
            .field("lanes", &self.params.p_cost())
            .finish_non_exhaustive()
    }
}

/// The result of a password that matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct PasswordMatch {
    needs_rehash: bool,
}

impl PasswordMatch {
    /// Whether the stored hash should be replaced by one with the current parameters. Store the new
    /// hash together with a [`Carried`](crate::user::Carried) credential; otherwise all devices of the
    /// user are logged out. Store it only `WHERE password_hash = :old`; otherwise it can overwrite
    /// a password that was changed in the meantime.
    #[must_use]
    pub const fn needs_rehash(self) -> bool {
        self.needs_rehash
    }
}

/// A parsed PHC string.
struct StoredHash {
    argon2: Argon2<'static>,
    is_argon2id_v19: bool,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl StoredHash {
    fn parse(phc: &str) -> Option<Self> {
        let phc = PasswordHash::new(phc).ok()?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
        // PHC strings older than version 19 omit the version, which is 16.
        let version = Version::try_from(phc.version.unwrap_or(16)).ok()?;
        let params = Params::try_from(&phc).ok().filter(is_affordable)?;
        Some(Self {
            is_argon2id_v19: algorithm == Algorithm::Argon2id && version == Version::V0x13,
            argon2: Argon2::new(algorithm, version, params),
            salt: phc.salt?.as_ref().to_vec(),
            hash: phc.hash?.as_bytes().to_vec(),
        })
    }
}

/// A pool of working memory for hashes.
///
/// Allocating for each hash can hold far more memory than is in use: with glibc, eight to fourteen
/// times as much per thread, because alignment leaves gaps that separate the freed blocks.
#[derive(Default)]
struct Memory(Mutex<Vec<Vec<Block>>>);

impl Memory {
    /// Runs `work` with `len` blocks. `None` if there is not enough memory.
    fn lend<T>(&self, len: usize, work: impl FnOnce(&mut [Block]) -> T) -> Option<T> {
        let mut blocks = self.take(len)?;
        let used = &mut blocks[..len];
        let result = work(used);
        // With the used blocks an attacker could test guesses at a fraction of the hash's cost.
        used.iter_mut().zeroize();
        if blocks.len() <= KEPT_BLOCKS {
            self.kept().push(blocks);
        }
        Some(result)
    }

    /// At least `len` blocks. A smaller kept allocation is dropped, so that the pool never keeps
    /// more allocations than were in use at once.
    fn take(&self, len: usize) -> Option<Vec<Block>> {
        if len <= KEPT_BLOCKS
            && let Some(blocks) = self.kept().pop()
            && blocks.len() >= len
        {
            return Some(blocks);
        }
        let mut blocks = Vec::new();
        blocks.try_reserve_exact(len).ok()?;
        blocks.resize(len, Block::new());
        Some(blocks)
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Vec<Block>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_affordable(params: &Params) -> bool {
    let (memory, work, lanes) = MAX_COST;
    params.m_cost() <= memory
        && u64::from(params.m_cost()) * u64::from(params.t_cost()) <= work
        && params.p_cost() <= lanes
}

fn is_hashable(password: &str) -> bool {
    (1..=MAX_PASSWORD_BYTES).contains(&password.len())
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_wiped_before_it_is_kept() {
        let memory = Memory::default();
        for len in [20, 10] {
            memory.lend(len, |blocks| {
                assert_eq!(blocks.len(), len);
                blocks.iter_mut().for_each(|block| block.as_mut().fill(7));
            });
            let kept = memory.kept();
            assert_eq!(kept.iter().map(Vec::len).collect::<Vec<_>>(), [20]);
            assert!(kept[0].iter().all(|block| *block.as_ref() == [0; 128]));
        }
    }

    #[test]
    fn as_much_is_kept_as_was_lent_at_once() {
        let memory = Memory::default();
        let kept = || memory.kept().iter().map(Vec::len).collect::<Vec<_>>();
        for (len, then) in [(10, [10, 10]), (30, [30, 30]), (20, [30, 30])] {
            memory.lend(len, |_| memory.lend(len, |_| assert!(kept().is_empty())));
            assert_eq!(kept(), then);
        }
        memory.lend(KEPT_BLOCKS + 1, |_| assert_eq!(kept(), [30, 30]));
        assert_eq!(kept(), [30, 30]);
    }

    #[test]
    fn memory_that_is_not_to_be_had_is_an_answer() {
        let memory = Memory::default();
        assert_eq!(memory.lend(usize::MAX / 1024, |_| ()), None);
    }
}
