//! What a token is bound to, and what is derived from it.

pub(crate) mod context;
pub(crate) mod credential;
pub(crate) mod derivation;
pub(crate) mod epoch;
pub(crate) mod fingerprint;
pub(crate) mod key_cache;

use std::borrow::Cow;

use crate::{
    binding::credential::{Carried, Credential, CredentialError, effective},
    counter::Counter,
};

/// What a user's tokens are bound to: a credential and the version counter.
///
/// A change of either kills every token issued before.
///
/// # Security
///
/// Without [`version`](Self::version) the counter is 0 for ever, and bumping a column that is not
/// handed over here logs nobody out.
#[derive(Clone, Debug)]
pub struct Binding<'a> {
    credential: Result<Cow<'a, Credential>, CredentialError>,
    version: Counter,
}

impl<'a> Binding<'a> {
    /// To the whole stored password hash. An empty one is refused at issue, and no token of such
    /// a user is accepted.
    #[must_use]
    pub fn password_hash(hash: &str) -> Self {
        Self::made(Credential::from_password_hash(hash))
    }

    /// To the random secret of a user without a password
    /// ([`Credential::generate_secret`]), as it was stored.
    #[must_use]
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::made(Credential::from_secrets([secret]))
    }

    /// To several secrets together (password hash, then TOTP secret…), where a change of any is
    /// to log out. Their order counts; leave out what the user does not have.
    #[must_use]
    pub fn secrets<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        Self::made(Credential::from_secrets(secrets))
    }

    /// To a digest taken before: for a cached record, which never holds the hash.
    ///
    /// # Security
    ///
    /// Take it again whenever the stored hash is another one: with the digest of the old password
    /// its tokens live on. A record that holds a [`Carried`] hands it over as well, or a rehash logs
    /// out.
    #[must_use]
    pub const fn credential(credential: &'a Credential) -> Self {
        Self { credential: Ok(Cow::Borrowed(credential)), version: Counter::INITIAL }
    }

    /// Sets the version counter, which is [`Counter::INITIAL`] otherwise. A `NULL` column is
    /// `None` and means the same.
    #[must_use]
    pub fn version(mut self, version: impl Into<Counter>) -> Self {
        self.version = version.into();
        self
    }

    fn made(credential: Result<Credential, CredentialError>) -> Self {
        Self { credential: credential.map(Cow::Owned), version: Counter::INITIAL }
    }

    pub(crate) const fn current_version(&self) -> Counter {
        self.version
    }

    /// What tokens are bound to, given what the record carries.
    pub(crate) fn effective(
        self,
        carried: Option<&'a Carried>,
    ) -> Result<Cow<'a, Credential>, CredentialError> {
        Ok(effective(self.credential?, carried))
    }
}
