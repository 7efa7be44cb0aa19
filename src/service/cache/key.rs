//! The key of a cached record.

use std::hash::{Hash, Hasher};

use quick_cache::Equivalent;

use crate::{service::found::Found, store::StoredUser, user::User};

/// The user's id of a lookup. A record is its own key, so that a hit reads no other memory than the
/// record's to compare the id.
pub(super) enum Key<F> {
    Record(StoredUser<F>),
    /// The id of an absent user, or one that differs from the record's.
    Id(Box<str>),
}

/// A user's id to look up by.
#[derive(Hash)]
pub(super) struct Id<'a>(pub(super) &'a str);

impl<F> Key<F> {
    pub(super) fn new(id: &str, found: &Found<F>) -> Self {
        match &found.user {
            Some(user) if user.has_id(id) => Self::Record(user.clone()),
            _ => Self::Id(id.into()),
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Record(user) => user.id(),
            Self::Id(id) => id,
        }
    }
}

impl<F> Equivalent<Key<F>> for Id<'_> {
    fn equivalent(&self, key: &Key<F>) -> bool {
        match key {
            Key::Record(user) => user.has_id(self.0),
            Key::Id(id) => **id == *self.0,
        }
    }
}

/// As that of [`Id`].
impl<F> Hash for Key<F> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Id(self.as_str()).hash(state);
    }
}

impl<F> PartialEq for Key<F> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl<F> Eq for Key<F> {}
