//! The `User` trait: the part of the application's user record that tokens depend on.

use std::{error, fmt, sync::Arc};

use time::OffsetDateTime;

use crate::sessions::SessionTable;
pub use crate::{
    binding::{
        Binding,
        credential::{Carried, Credential, CredentialError},
        epoch::Epoch,
        key_cache::{KeyCache, UserKeys},
    },
    counter::Counter,
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

    /// The keys of [`key_cache`](Self::key_cache), or of a record that holds them itself.
    #[doc(hidden)]
    fn user_keys(&self) -> Option<&UserKeys> {
        self.key_cache().map(KeyCache::user_keys)
    }

    /// The user's counter for the purpose with this JOSE `typ`, one with
    /// [`Usage::OnceByLane`](crate::token::Usage::OnceByLane). `None` means that the record has no such
    /// counter: then tokens of that purpose can be neither issued nor used. A `NULL` column is a counter too:
    /// return `Some(column.into())`, where the column is an `Option<i64>`.
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
            fn user_keys(&self) -> Option<&UserKeys> {
                (**self).user_keys()
            }
            fn lane(&self, typ: &str) -> Option<Counter> {
                (**self).lane(typ)
            }
        }
    )+};
}

forward!(&U, Box<U>, Arc<U>);

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
            Self::Id => write!(f, "a user's id must have 1 to {MAX_ID_BYTES} bytes"),
            Self::Credential(_) => f.write_str("the user has no usable credential"),
            Self::NegativeCounter => f.write_str("a counter in the user's record is negative"),
            Self::Epochs => f.write_str(
                "the kinds of epochs in the user's record, or their order, differ from those of the \
                 authority (`AuthorityBuilder::user_epoch`)",
            ),
            Self::Lane => f.write_str(
                "the purpose has a lane, but `User::lane` returned no counter: implement it, and \
                 return `Some(Counter::INITIAL)` for a NULL column",
            ),
            Self::Sessions => f.write_str(
                "a session is needed, but `User::sessions` returned no sessions table: implement it",
            ),
            Self::Exhausted => {
                f.write_str("a counter in the user's record has reached the end of its range")
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

/// A counter as it is bound.
pub(crate) fn count(counter: Counter) -> Result<u64, RecordError> {
    counter.checked().ok_or(RecordError::NegativeCounter)
}

/// The value that follows in a counter of a user's record.
pub(crate) fn following(counter: Counter, now: OffsetDateTime) -> Result<Counter, RecordError> {
    count(counter)?;
    counter.next(now).ok_or(RecordError::Exhausted)
}

/// The sessions table of a record that has one.
pub(crate) fn sessions_of(user: &dyn User) -> Result<&SessionTable, RecordError> {
    user.sessions().ok_or(RecordError::Sessions)
}
