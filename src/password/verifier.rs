//! Verification of stored hashes of other kinds than argon2.

use super::error::PasswordError;

/// Verifies stored password hashes of another kind than argon2. Register it with
/// [`PasswordHasher::also_verifies`](super::PasswordHasher::also_verifies).
///
/// After a match, a login replaces the hash by argon2id, which logs nobody out. Verifiers for common
/// kinds are in this module: `Bcrypt` (feature `bcrypt`), `Pbkdf2` (`pbkdf2`) and
/// `Scrypt` (`scrypt`).
///
/// The methods block, for milliseconds to seconds. [`Service`](../service/struct.Service.html) calls them
/// off the async threads.
///
/// # Security
///
/// - Compare hashes in constant time.
/// - Bound the cost that a stored hash may ask for. Otherwise an attacker who can write the users' table
///   can exhaust the server with one login.
/// - [`work`](Self::work) must take as long as [`verify`](Self::verify) takes for most users. Otherwise
///   the time of a login shows which names exist.
///
/// # Example
///
/// ```
/// use relatch::password::{HashVerifier, PasswordError, PasswordHasher};
///
/// /// Hashes of an older application: `legacy$` and what its hash function returns.
/// struct Legacy;
///
/// # fn legacy_hash(password: &str) -> [u8; 2] { let _ = password; *b"ok" }
/// impl HashVerifier for Legacy {
///     fn recognises(&self, stored: &str) -> bool {
///         stored.starts_with("legacy$")
///     }
///
///     fn verify(&self, password: &str, stored: &str) -> Result<bool, PasswordError> {
///         let stored = stored.strip_prefix("legacy$").ok_or(PasswordError::UnsupportedHash)?;
///         Ok(bool::from(subtle::ConstantTimeEq::ct_eq(&legacy_hash(password)[..], stored.as_bytes())))
///     }
///
///     fn work(&self, password: &str) {
///         std::hint::black_box(legacy_hash(password));
///     }
/// }
///
/// let hasher = PasswordHasher::new().also_verifies(Legacy);
/// let matched = hasher.verify("correct horse battery", Some("legacy$ok"))?;
/// assert!(matched.is_some_and(|matched| matched.needs_rehash()));
/// # Ok::<(), PasswordError>(())
/// ```
pub trait HashVerifier: Send + Sync + 'static {
    /// Whether this text is a hash of this kind: by its syntax alone, without work. The first verifier
    /// that recognises a text gets it; argon2 PHC strings never reach a verifier. A service takes a text
    /// that cannot be a hash, such as `!` or one below 13 characters, for
    /// [no password](crate::user::CredentialError::Placeholder) before it asks a verifier.
    fn recognises(&self, stored: &str) -> bool;

    /// Whether the password matches the stored text, which this verifier has recognised.
    ///
    /// # Errors
    ///
    /// [`PasswordError::UnsupportedHash`] if the text is damaged or its cost is above the bounds, and
    /// [`PasswordError::Memory`]. Fail before the work: after an error, [`work`](Self::work) is called.
    fn verify(&self, password: &str, stored: &str) -> Result<bool, PasswordError>;

    /// Does the work of one [`verify`](Self::verify), for a user who has no hash of this kind, or for a
    /// name that nobody has.
    fn work(&self, password: &str);
}
