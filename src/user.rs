//! Users: what the application's record tells of them.

use std::{error, fmt, sync::Arc};

use time::OffsetDateTime;

use crate::{
    binding::{
        Binding,
        credential::{Carried, CredentialError},
        epoch::Epoch,
        key_cache::KeyCache,
    },
    counter::Counter,
    sessions::SessionTable,
};

/// A user's record, as far as tokens are concerned.
///
/// Two methods are required. The others are provided; each is for a feature of its own.
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
    /// Not an e-mail address or anything else that another user may hold one day.
    fn id(&self) -> &str;

    /// What this user's tokens are bound to.
    fn binding(&self) -> Binding<'_>;

    /// Whether tokens may be issued to this user and are accepted of them. Disabling a user
    /// should bump the version as well, so that enabling again revives nothing.
    fn is_active(&self) -> bool {
        true
    }

    /// The credential carried over a rehash, as stored by the login that rehashed.
    fn carried(&self) -> Option<&Carried> {
        None
    }

    /// The epochs of the groups that this user is in, in the order in which
    /// [`AuthorityBuilder::user_epoch`](crate::AuthorityBuilder::user_epoch) named them.
    fn epochs(&self) -> Vec<Epoch<'_>> {
        Vec::new()
    }

    /// The user's sessions, as [`SessionTable::from_column`] read them. `None` is for a record
    /// that keeps none: then only tokens without a session can be issued and are accepted.
    fn sessions(&self) -> Option<&SessionTable> {
        None
    }

    /// Where the keys are kept that are derived of this record, if it is one that is kept in memory
    /// itself: one [`KeyCache`] for each user. `None` derives them each time.
    fn key_cache(&self) -> Option<&KeyCache> {
        None
    }

    /// The user's counter for the purpose of this JOSE `typ`. It is asked for only where the
    /// purpose is [`Use::OnceByLane`](crate::Use::OnceByLane); `None`, as for a record that has no
    /// such counter, is an error then. A `NULL` column is a counter: `Some(column.into())`, where
    /// the column is an `Option<i64>`.
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

/// What is wrong with a user's record: a fault of the server or of its data, not of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// [`User::id`] is empty or longer than [`MAX_ID_BYTES`].
    Id,
    /// The credential is empty or too long.
    Credential(CredentialError),
    /// A counter is negative.
    NegativeCounter,
    /// [`User::epochs`] are not those that the authority was built with, in kind and order.
    Epochs,
    /// [`User::lane`] gives no counter for a purpose that has a lane.
    Lane,
    /// [`User::sessions`] gives no table, and one is needed.
    Sessions,
    /// A counter that was to move stands at the end of its range.
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

/// A counter as it is bound.
pub(crate) fn count(counter: Counter) -> Result<u64, RecordError> {
    counter.checked().ok_or(RecordError::NegativeCounter)
}

/// The value that follows in a counter of a user's record.
pub(crate) fn following(counter: Counter, now: OffsetDateTime) -> Result<Counter, RecordError> {
    count(counter)?;
    counter.next(now).ok_or(RecordError::Exhausted)
}
