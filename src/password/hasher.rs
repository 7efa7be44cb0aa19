//! The hasher.

use std::{fmt, hint, sync::Arc};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::phc::{Output, ParamsString, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{
    error::PasswordError, memory::Memory, normal_form::PasswordForms, verifier::HashVerifier,
};
use crate::entropy::{Entropy, SystemEntropy};

/// Hashes and verifies passwords.
///
/// It keeps the memory of as many hashes as it ran at once, each up to 46 MiB, and shares it with
/// its clones. The memory is freed when the last clone is dropped.
#[derive(Clone)]
pub struct PasswordHasher {
    params: Params,
    entropy: Arc<dyn Entropy>,
    memory: Arc<Memory>,
    verifiers: Vec<Arc<dyn HashVerifier>>,
    /// The memory in KiB and the iterations below which a hash is replaced.
    floor: (u32, u32),
}

/// OWASP's equivalent minimum settings for argon2id: memory in KiB, iterations. Source: OWASP
/// Password Storage Cheat Sheet, section "Argon2id".
const OWASP_MINIMA: [(u32, u32); 5] =
    [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)];

/// The greatest cost of a stored hash: memory in KiB, memory times iterations, and lanes. An
/// attacker who can write the users' table must not be able to exhaust the server with one login.
const MAX_COST: (u32, u64, u32) = (1 << 20, 1 << 22, 64);

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

    /// Also accepts stored hashes of another kind. After a match the hash is to be replaced by argon2id
    /// ([`PasswordMatch::needs_rehash`]). Several kinds can be registered, each by a call of its own.
    ///
    /// Each [`verify`](Self::verify) then also costs the work of this verifier, whatever hash the user
    /// has, so remove it when few such hashes are left.
    #[must_use]
    pub fn also_verifies(mut self, verifier: impl HashVerifier) -> Self {
        self.verifiers.push(Arc::new(verifier));
        self
    }

    /// Replaces argon2id hashes with less memory in KiB or fewer iterations than these, also if they are
    /// stronger than the hasher in the other. Default: 0 and 0, so that a hash is replaced only if it is
    /// weaker in some dimension and stronger in none ([`needs_rehash`](Self::needs_rehash)).
    ///
    /// # Errors
    ///
    /// [`PasswordError::Cost`] if a number is above the hasher's own, which would replace each hash at
    /// every login.
    pub fn rehash_below(mut self, memory: u32, iterations: u32) -> Result<Self, PasswordError> {
        if memory > self.params.m_cost() || iterations > self.params.t_cost() {
            return Err(PasswordError::Cost);
        }
        self.floor = (memory, iterations);
        Ok(self)
    }

    /// Hashes a password with a new random salt and returns the PHC string to store. It hashes the normal
    /// form NFKC (Unicode Standard Annex #15), so the same text typed on another device is the same
    /// password.
    ///
    /// # Errors
    ///
    /// [`PasswordError::Length`] if the password is empty or longer than
    /// [`MAX_PASSWORD_BYTES`](super::MAX_PASSWORD_BYTES), as given or in the normal form;
    /// [`PasswordError::Entropy`] or [`PasswordError::Memory`] if the system fails.
    pub fn hash(&self, password: &str) -> Result<String, PasswordError> {
        self.hash_forms(&PasswordForms::new(password).ok_or(PasswordError::Length)?)
    }

    pub(crate) fn hash_forms(&self, password: &PasswordForms) -> Result<String, PasswordError> {
        let mut salt = [0; SALT_BYTES];
        self.entropy.fill(&mut salt).map_err(PasswordError::Entropy)?;
        let hash = self.compute(&self.argon2(), password.normal(), &salt, HASH_BYTES)?;
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
    /// It accepts argon2 hashes of all variants and parameters, and the kinds of the registered
    /// [verifiers](Self::also_verifies). Pass `None` as the hash if there is no such user, or if the user
    /// has no password: the result is then `None`.
    ///
    /// The password is compared in the normal form NFKC first. If it was typed in another form, it is then
    /// compared as typed, because other programs hash it so; such a match asks for a rehash.
    ///
    /// Each call does the work of one argon2 hash and of each registered verifier, whatever the stored
    /// text is, so that the time does not show which names exist. That holds for `None`, for a text that
    /// nothing can verify, and for a password that cannot be hashed. (A password that is not in the normal
    /// form costs it twice, unless the first comparison matches. A stored hash with another cost
    /// than the hasher or its verifier has takes another time, until the next login of its user
    /// rehashes it.)
    ///
    /// # Errors
    ///
    /// [`PasswordError::UnsupportedHash`] if the stored text is of no kind that the hasher verifies or
    /// its cost is above the bounds, and [`PasswordError::Memory`].
    pub fn verify(
        &self,
        password: &str,
        stored: Option<&str>,
    ) -> Result<Option<PasswordMatch>, PasswordError> {
        match PasswordForms::new(password) {
            Some(password) => self.verify_forms(&password, stored),
            None => self.work("").map(|()| None),
        }
    }

    pub(crate) fn verify_forms(
        &self,
        password: &PasswordForms,
        stored: Option<&str>,
    ) -> Result<Option<PasswordMatch>, PasswordError> {
        let outcome = self.verify_form(password.normal(), stored);
        match (password.typed(), outcome) {
            (Some(typed), Ok(None) | Err(PasswordError::UnsupportedHash)) => {
                let matched = self.verify_form(typed, stored)?;
                Ok(matched.map(|_| PasswordMatch { needs_rehash: true }))
            }
            (_, outcome) => outcome,
        }
    }

    fn verify_form(
        &self,
        password: &str,
        stored: Option<&str>,
    ) -> Result<Option<PasswordMatch>, PasswordError> {
        let Some(text) = stored else {
            self.work(password)?;
            return Ok(None);
        };
        if let Some(stored) = StoredHash::parse(text) {
            self.verifiers.iter().for_each(|verifier| verifier.work(password));
            let hash = self.compute(&stored.argon2, password, &stored.salt, stored.hash.len())?;
            let is_match = bool::from(hash.ct_eq(&stored.hash));
            return Ok(is_match.then(|| PasswordMatch { needs_rehash: self.replaces(&stored) }));
        }
        let reader = self.reader(text);
        let mut outcome = Err(PasswordError::UnsupportedHash);
        for (place, verifier) in self.verifiers.iter().enumerate() {
            if reader == Some(place) {
                outcome = verifier.verify(password, text);
            }
            if reader != Some(place) || outcome.is_err() {
                verifier.work(password);
            }
        }
        self.dummy(password)?;
        Ok(outcome?.then_some(PasswordMatch { needs_rehash: true }))
    }

    /// Whether a stored hash is to be replaced by what [`hash`](Self::hash) makes now. It is if it is not
    /// of argon2id, version 19; if it is weaker in some dimension (memory, iterations, a salt below 16
    /// bytes, an output below 32) and stronger in none; and if it is below the floor
    /// ([`rehash_below`](Self::rehash_below)).
    ///
    /// # Errors
    ///
    /// [`PasswordError::UnsupportedHash`], as for [`verify`](Self::verify).
    pub fn needs_rehash(&self, stored: &str) -> Result<bool, PasswordError> {
        match StoredHash::parse(stored) {
            Some(stored) => Ok(self.replaces(&stored)),
            None => self.reader(stored).map(|_| true).ok_or(PasswordError::UnsupportedHash),
        }
    }

    /// The place of the verifier for a text that is no argon2 hash.
    fn reader(&self, stored: &str) -> Option<usize> {
        self.verifiers.iter().position(|verifier| verifier.recognises(stored))
    }

    /// The work of one verification.
    fn work(&self, password: &str) -> Result<(), PasswordError> {
        self.verifiers.iter().for_each(|verifier| verifier.work(password));
        self.dummy(password)
    }

    /// The work of one argon2 hash.
    fn dummy(&self, password: &str) -> Result<(), PasswordError> {
        let hash = self.compute(&self.argon2(), password, &[0; SALT_BYTES], HASH_BYTES)?;
        hint::black_box(hash);
        Ok(())
    }

    fn replaces(&self, stored: &StoredHash) -> bool {
        let params = stored.argon2.params();
        // More salt or output than the hasher's makes no hash stronger.
        let pairs = [
            (params.m_cost(), self.params.m_cost()),
            (params.t_cost(), self.params.t_cost()),
            (u32::from(stored.salt.len() >= SALT_BYTES), 1),
            (u32::from(stored.hash.len() >= HASH_BYTES), 1),
        ];
        let is_weaker = pairs.iter().any(|(stored, own)| stored < own);
        let is_stronger = pairs.iter().any(|(stored, own)| stored > own);
        let (memory, iterations) = self.floor;
        !stored.is_argon2id_v19
            || (is_weaker && !is_stronger)
            || params.m_cost() < memory
            || params.t_cost() < iterations
    }

    fn argon2(&self) -> Argon2<'static> {
        Argon2::new(Algorithm::Argon2id, Version::V0x13, self.params.clone())
    }

    fn with_params(params: Params) -> Self {
        Self {
            params,
            entropy: Arc::new(SystemEntropy),
            memory: Arc::default(),
            verifiers: Vec::new(),
            floor: (0, 0),
        }
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
            .field("verifiers", &self.verifiers.len())
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

fn is_affordable(params: &Params) -> bool {
    let (memory, work, lanes) = MAX_COST;
    params.m_cost() <= memory
        && u64::from(params.m_cost()) * u64::from(params.t_cost()) <= work
        && params.p_cost() <= lanes
}
