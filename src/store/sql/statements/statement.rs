//! The kinds of statements.

use crate::store::{
    Columns,
    sql::{Name, users_table::Names},
};

/// A statement that a store runs over users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store::sql) enum Statement {
    /// `$1` the id.
    ReadById,
    /// `$1` the ids, as the text of an array, and `$2` the greatest number of rows.
    #[cfg(feature = "postgres")]
    ReadByIds,
    /// `$1` the login.
    ReadByLogin,
    /// `$1` the id, then the old columns, then the new ones of those that change: the version first, the
    /// others in the order of [`texts`]. If none changes, it selects the row.
    CompareAndSet {
        changed: Changed,
        /// Whether it notifies.
        revokes: bool,
    },
    /// `$1` the id.
    Delete,
    /// `$1` the id, `$2` the least version.
    BumpVersion,
    /// As [`BumpVersion`](Self::BumpVersion); `$3` is false.
    Disable,
    /// As [`BumpVersion`](Self::BumpVersion); `$3` is true, `$4` the version that the row must have.
    Enable,
    /// The id, the login unless it is the id, the version, the hash, and the secret where there is a
    /// column for it.
    Insert,
    /// Of the group at this place in the description: `$1` its key, `$2` the least counter.
    BumpEpoch(usize),
}

impl Statement {
    /// Whether it makes its change whatever the row holds: after a conflict it is as right as before.
    pub(in crate::store::sql) const fn is_unconditional(self) -> bool {
        matches!(self, Self::Delete | Self::BumpVersion | Self::Disable | Self::BumpEpoch(_))
    }

    /// Whether it moves a counter, and returns it.
    pub(in crate::store::sql) const fn moves_a_counter(self) -> bool {
        matches!(self, Self::BumpVersion | Self::Disable | Self::Enable | Self::BumpEpoch(_))
    }

    /// Whether it only reads.
    pub(in crate::store::sql) const fn reads(self) -> bool {
        match self {
            Self::ReadById | Self::ReadByLogin => true,
            Self::CompareAndSet { changed, .. } => changed.is_nothing(),
            _ => false,
        }
    }
}

/// The columns that a compare-and-set changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store::sql) struct Changed(u8);

impl Changed {
    /// Every column.
    pub(in crate::store::sql) const ALL: Self = Self(0b11_1111);

    pub(in crate::store::sql) fn between(before: &Columns, after: &Columns) -> Self {
        let Columns { version, password_hash, secret, carried, sessions, lanes } = before;
        let changed = [
            *version != after.version,
            *password_hash != after.password_hash,
            *carried != after.carried,
            *sessions != after.sessions,
            *lanes != after.lanes,
            *secret != after.secret,
        ];
        Self(changed.iter().rev().fold(0, |bits, changed| bits << 1 | u8::from(*changed)))
    }

    pub(in crate::store::sql) const fn is_nothing(self) -> bool {
        self.0 == 0
    }

    /// Whether the column at this place changes: 0 for the version, then those of [`texts`].
    pub(in crate::store::sql) const fn has(self, at: usize) -> bool {
        self.0 >> at & 1 == 1
    }
}

/// The text columns that are compared and set, after the version.
pub(in crate::store::sql) fn texts(names: &Names) -> impl Iterator<Item = &Name> {
    let Names { password_hash, carried, sessions, lanes, secret, .. } = names;
    [password_hash, carried, sessions, lanes].into_iter().chain(secret)
}
