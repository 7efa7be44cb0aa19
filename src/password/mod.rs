//! Password hashing with argon2id (RFC 9106), with OWASP's parameters or stronger ones; verification of
//! hashes of other kinds ([`HashVerifier`]); and the policy of new passwords ([`PasswordPolicy`]).
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
//!
//! The verifiers of other hashes are as slow without optimisation: add `bcrypt` and `blowfish`, `sha2`, or
//! `scrypt` and `salsa20`.

#[cfg(feature = "bcrypt")]
mod bcrypt;
#[cfg(any(feature = "pbkdf2", feature = "scrypt"))]
mod encoding;
mod error;
mod hasher;
mod memory;
mod normal_form;
#[cfg(feature = "pbkdf2")]
mod pbkdf2;
mod policy;
#[cfg(feature = "scrypt")]
mod scrypt;
mod verifier;

#[cfg(feature = "bcrypt")]
pub use self::bcrypt::Bcrypt;
#[cfg(feature = "service")]
pub(crate) use self::normal_form::PasswordForms;
#[cfg(feature = "pbkdf2")]
pub use self::pbkdf2::Pbkdf2;
#[cfg(feature = "scrypt")]
pub use self::scrypt::Scrypt;
pub use self::{
    error::{MAX_PASSWORD_BYTES, PasswordError},
    hasher::{PasswordHasher, PasswordMatch},
    policy::{PasswordPolicy, PasswordRefusal},
    verifier::HashVerifier,
};
