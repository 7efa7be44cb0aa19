//! Bindings of tokens: credentials, contexts, and the keys derived from them.

pub(crate) mod context;
pub(crate) mod credential;
pub(crate) mod derivation;
pub(crate) mod epoch;
pub(crate) mod fingerprint;
pub(crate) mod key_cache;
pub(crate) mod session_tag;

use std::borrow::Cow;

use crate::{
    binding::credential::{Carried, Credential, CredentialError, effective},
    counter::Counter,
};

/// The binding of a user's tokens: a credential and the version counter.
///
/// A change of either revokes all tokens issued before.
///
/// # Security
///
/// Without [`version`](Self::version) the counter is always 0, and increasing a database column
/// that is not passed here revokes nothing.
#[derive(Clone, Debug)]
pub struct Binding<'a> {
    credential: Result<Cow<'a, Credential>, CredentialError>,
    version: Counter,
}

impl<'a> Binding<'a> {
    /// A binding to the whole stored password hash, of any format. With an empty text or a placeholder
    /// (`!`, `oauth`), no token is issued or accepted for the user: see
    /// [`CredentialError::Placeholder`].
    #[must_use]
    pub fn password_hash(hash: &str) -> Self {
        Self::made(Credential::from_password_hash(hash))
    }

    /// A binding to the stored random secret of a user without a password
    /// ([`Credential::generate_secret`]).
    #[must_use]
    pub fn secret(secret: impl AsRef<[u8]>) -> Self {
        Self::made(Credential::from_secrets([secret]))
    }

    /// A binding to several secrets together (password hash, then TOTP secret…): a change of any
    /// one revokes the tokens. Their order matters; leave out secrets that the user does not have.
    #[must_use]
    pub fn secrets<S: AsRef<[u8]>>(secrets: impl IntoIterator<Item = S>) -> Self {
        Self::made(Credential::from_secrets(secrets))
    }

    /// A binding to a digest computed earlier, for a cached record that does not hold the hash.
    ///
    /// # Security
    ///
    /// Compute the digest again whenever the stored hash changes: with the digest of the old
    /// password, its tokens stay valid. A record that holds a [`Carried`] must return it as well;
    /// otherwise a rehash logs the user out.
    #[must_use]
    pub const fn credential(credential: &'a Credential) -> Self {
        Self { credential: Ok(Cow::Borrowed(credential)), version: Counter::INITIAL }
    }

    /// Sets the version counter; [`Counter::INITIAL`] by default. A `NULL` column, `None`, means
    /// the same.
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

    /// The credential that tokens are bound to, given the record's carried credential.
    pub(crate) fn effective(
        self,
        carried: Option<&'a Carried>,
    ) -> Result<Cow<'a, Credential>, CredentialError> {
        Ok(effective(self.credential?, carried))
    }
}
