//! Users' records in a database: the trait that a store implements, and what it yields.
//!
//! A [`Service`](crate::service::Service) is made of an authority and a [`UserStore`]. Ready ones
//! are [`MemoryStore`] for tests,
#![cfg_attr(feature = "sqlite", doc = "[`SqliteStore`]")]
#![cfg_attr(not(feature = "sqlite"), doc = "`SqliteStore` (feature `sqlite`)")]
//! for one machine, and
#![cfg_attr(feature = "postgres", doc = "[`PostgresStore`]")]
#![cfg_attr(not(feature = "postgres"), doc = "`PostgresStore` (feature `postgres`)")]
//! for many; each works on the application's own table of users, too. An application that wants
//! neither implements the trait over whatever it has.

mod conformance;
mod erased;
mod error;
mod lanes;
#[cfg(feature = "postgres")]
mod listener;
mod memory;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod migration;
#[cfg(feature = "postgres")]
mod postgres;
mod row;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod table;
mod user;

use std::future::Future;

#[cfg(feature = "sqlite")]
pub use self::sqlite::SqliteStore;
pub use self::{
    conformance::{Conformance, Nonconformance, check_conformance},
    error::{StoreError, StoreErrorKind},
    lanes::{Lanes, LanesError},
    memory::MemoryStore,
    row::{Columns, Key, NewUser, Row, Update, UserEpoch},
    user::StoredUser,
};
pub(crate) use self::{erased::ErasedStore, user::Record};
#[cfg(feature = "postgres")]
pub use self::{listener::Listener, postgres::PostgresStore};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::{
    sql::UsersTableError,
    table::{GroupsTable, IdType, UsersTable},
};

/// Where users' records are kept.
///
/// An implementation reads a user's row, and writes it in single statements; it decides nothing.
/// Its methods are written as plain `async fn`. Each call reads and writes **the primary**
/// database, and gives up by itself after a few seconds.
pub trait UserStore: Send + Sync + 'static {
    /// What else of a user's row the application wants at hand in each request: an e-mail address,
    /// a role. It is cached along with the rest.
    type Fields: Clone + Send + Sync + 'static;

    /// The row of this user, `None` if there is no such user.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: whether there is such a user is not known.
    fn read(
        &self,
        key: Key<'_>,
    ) -> impl Future<Output = Result<Option<Row<Self::Fields>>, StoreError>> + Send;

    /// Writes [`Update::new`] if the row still holds [`Update::old`], in one statement; whether it
    /// did.
    ///
    /// # Security
    ///
    /// **Each** column of the [`Columns`] belongs into the condition, whichever of them changes, and
    /// `NULL` equals `NULL` there (`IS`, in PostgreSQL `IS NOT DISTINCT FROM`). A column that is
    /// left out loses what it guards: without the version a refresh takes back a bump, without the
    /// sessions a logout, without the lanes a link works twice, without the hash a new password.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: whether it was written is not known.
    fn compare_and_set(
        &self,
        update: &Update,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Deletes the user; whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: whether it was deleted is not known.
    fn delete(&self, id: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Logs the user out everywhere, whatever the row holds: the version becomes
    /// `max(coalesce(version, 0) + 1, at_least)`, and the sessions become `NULL`. Whether there was
    /// such a user.
    ///
    /// By itself this is a [`read`](Self::read) and a [`compare_and_set`](Self::compare_and_set),
    /// tried a few times. A store that can do it in one statement should: it then never has to give
    /// way to a user who is busy.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: whether it was written is not known.
    fn bump_version(
        &self,
        id: &str,
        at_least: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        erased::bump_by_compare_and_set(self, id, at_least)
    }

    /// Enables the user or disables it, and logs it out everywhere as
    /// [`bump_version`](Self::bump_version) does, in one statement: enabling again revives nothing.
    /// Whether there was such a user.
    ///
    /// By itself this is [`StoreErrorKind::Unsupported`]: not every table has such a column.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: whether it was written is not known.
    fn set_active(
        &self,
        id: &str,
        is_active: bool,
        at_least: i64,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        let _ = (id, is_active, at_least);
        async { Err(StoreError::unsupported("this store does not enable and disable users")) }
    }
}
