//! The `User` trait: the part of the application's user record that tokens depend on.

use std::{borrow::Cow, error, fmt, sync::Arc};

use crate::{
    binding::{
        credential::{Carried, Credential, CredentialError, effective},
        key_cache::KeyCache,
    },
    counter::Counter,
    sessions::SessionTable,
};

/// A user's record, as tokens see it.
///
/// Two methods are required. The others have defaults; each serves one optional feature.
///
/// # Example
///
/// ```
/// use relatch::{Binding, User};
///
/// struct Account {
///     id: String,
///     password_hash: String,
///     token_version: i64,
/// }
///
/// impl User for Account {
///     fn id(&self) -> &str {
///         &self.id
///     }
///     fn binding(&self) -> Binding<'_> {
///         Binding::password_hash(&self.password_hash).version(self.token_version)
///     }
/// }
/// ```
pub trait User {
    /// The user's stable identifier: the token's `sub`, 1 to [`MAX_ID_BYTES`] bytes.
    ///
    /// Do not use an e-mail address or anything else that can pass to another user later.
    fn id(&self) -> &str;

    /// The credential and version that this user's tokens are bound to.
    fn binding(&self) -> Binding<'_>;

    /// Whether the authority issues and accepts tokens of this user. When you disable a user, also
    /// increase the version, so that enabling the user again does not revive old tokens.
    fn is_active(&self) -> bool {
        true
    }

    /// The credential carried over a rehash, as the login that rehashed stored it.
    fn carried(&self) -> Option<&Carried> {
        None
    }

    /// The epochs of the groups of this user, in the order in which
    /// [`AuthorityBuilder::user_epoch`](crate::AuthorityBuilder::user_epoch) named them.
    fn epochs(&self) -> Vec<Epoch<'_>> {
        Vec::new()
    }

    /// The user's sessions, as read by [`SessionTable::from_column`]. `None` means that the record
    /// keeps no sessions: then only tokens without a session can be issued and are accepted.
    fn sessions(&self) -> Option<&SessionTable> {
        None
    }

    /// The cache of the keys derived from this record, for a record that is itself kept in memory:
    /// one [`KeyCache`] per user. With `None`, keys are derived for each verification.
    fn key_cache(&self) -> Option<&KeyCache> {
        None
    }

    /// The user's counter for the purpose with this JOSE `typ`. It is called only for purposes with
    /// [`Use::OnceByLane`](crate::Use::OnceByLane); `None`, which means that the record has no such
    /// counter, is then an error. A `NULL` column is a counter too: return `Some(column.into())`,
    /// where the column is an `Option<i64>`.
    fn lane(&self, typ: &str) -> Option<Counter> {
        let _ = typ;
        None
    }
}

/// The greatest length of a [`User::id`], in bytes.
pub const MAX_ID_BYTES: usize = 255;

macro_rules! forward {
    ($($pointer:ty),+) => {$(
        impl<U: User + ?Sized> User for $pointer {
            fn id(&self) -> &str {
                (**self).id()
            }
            fn binding(&self) -> Binding<'_> {
                (**self).binding()
            }
            fn is_active(&self) -> bool {
                (**self).is_active()
            }
            fn carried(&self) -> Option<&Carried> {
                (**self).carried()
            }
            fn epochs(&self) -> Vec<Epoch<'_>> {
                (**self).epochs()
            }
            fn sessions(&self) -> Option<&SessionTable> {
                (**self).sessions()
            }
            fn key_cache(&self) -> Option<&KeyCache> {
                (**self).key_cache()
            }
            fn lane(&self, typ: &str) -> Option<Counter> {
                (**self).lane(typ)
            }
        }
    )+};
}

forward!(&U, Box<U>, Arc<U>);

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
    /// A binding to the whole stored password hash. With an empty hash, no token is issued or
    /// accepted for the user.
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

/// The counter of a group of users: increasing it logs out all users of the group.
///
/// Groups of one kind, such as tenants, are distinguished by their names, so that the tokens of a
/// user who moves to another group never match by coincidence.
#[derive(Clone, Copy, Debug)]
pub struct Epoch<'a> {
    pub(crate) kind: &'a str,
    pub(crate) instance: Option<&'a str>,
    pub(crate) counter: Counter,
}

impl<'a> Epoch<'a> {
    /// The epoch of the only group of this kind.
    #[must_use]
    pub fn new(kind: &'a str, counter: impl Into<Counter>) -> Self {
        Self { kind, instance: None, counter: counter.into() }
    }

    /// The epoch of one group of this kind, named by `instance` (for example a tenant's id).
    #[must_use]
    pub fn of(kind: &'a str, instance: &'a str, counter: impl Into<Counter>) -> Self {
        Self { kind, instance: Some(instance), counter: counter.into() }
    }

    /// The bound name: `kind`, or `kind:instance`. A kind has no colon.
    pub(crate) fn name(&self) -> Cow<'a, str> {
        match self.instance {
            Some(instance) => Cow::Owned(format!("{}:{instance}", self.kind)),
            None => Cow::Borrowed(self.kind),
        }
    }
}

/// Why a user's record cannot be used. It is a fault of the server or of its data, not of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// [`User::id`] is empty or longer than [`MAX_ID_BYTES`].
    Id,
    /// The credential is empty or too long.
    Credential(CredentialError),
    /// A counter is negative.
    NegativeCounter,
    /// [`User::epochs`] differ in kind or order from those that the authority was built with.
    Epochs,
    /// [`User::lane`] returned no counter for a purpose that has a lane.
    Lane,
    /// [`User::sessions`] returned no table, but one is needed.
    Sessions,
    /// A counter that must increase is at the end of its range.
    Exhausted,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id => write!(f, "a user's id takes 1 to {MAX_ID_BYTES} bytes"),
            Self::Credential(_) => f.write_str("the user has no usable credential"),
            Self::NegativeCounter => f.write_str("a counter in the user's record is negative"),
            Self::Epochs => f.write_str(
                "the epochs of the user's record are not those that the authority was built with \
                 (`AuthorityBuilder::user_epoch`), in kind and order",
            ),
            Self::Lane => f.write_str(
                "the user's record has no counter for this purpose, which has a lane: implement \
                 `User::lane`, in which a NULL column is `Some(Counter::INITIAL)`",
            ),
            Self::Sessions => f.write_str(
                "the user's record has no sessions, and the token is of one: implement \
                 `User::sessions`",
            ),
            Self::Exhausted => {
                f.write_str("a counter in the user's record has used up the range of 64 bits")
            }
        }
    }
}

impl error::Error for RecordError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Credential(error) => Some(error),
            _ => None,
        }
    }
}
