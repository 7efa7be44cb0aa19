//! The trait of stores.

use std::{future::Future, time::Duration};

use tokio::time::sleep;

use super::{CheckReport, Locked, Row, StoreError, Update, UserKey};

/// A store of users' records.
///
/// An implementation reads a user's row and writes it in single statements; it decides nothing. Write
/// its methods as plain `async fn`. Each call must read and write **the primary** database, and time
/// out by itself after a few seconds. An id or a login that the database cannot store finds no user. If
/// only the fields of a row cannot be read, return [`StoreError::damaged_fields`]: the user can then
/// still be logged out. [`check_conformance`](crate::store::check_conformance) checks most of this.
pub trait UserStore: Send + Sync + 'static {
    /// Further fields of a user's row that the application needs in each request: an e-mail address, a
    /// role. They are cached along with the rest.
    type Fields: Clone + Send + Sync + 'static;

    /// Reads the row of this user; `None` if there is no such user.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether there is such a user.
    fn read(
        &self,
        key: UserKey<'_>,
    ) -> impl Future<Output = Result<Option<Row<Self::Fields>>, StoreError>> + Send;

    /// Writes [`Update::after`] if the row still holds [`Update::before`], in one statement, and returns
    /// whether it did.
    ///
    /// The statement must set only the columns that differ between the two, because a trigger of the
    /// application may run for each column in the `SET` list. `false` means that the row differs, and the
    /// service reads it again. If the service then finds the same row several times in a row, the call
    /// fails as [`Misconfigured`](crate::store::StoreErrorKind::Misconfigured). If another connection has
    /// locked the row for too long, return [`StoreError::unreachable`].
    ///
    /// # Security
    ///
    /// The condition must contain **each** column of [`Columns`](crate::store::Columns), whichever of
    /// them changes, and `NULL` must equal `NULL` there (`IS`, in PostgreSQL `IS NOT DISTINCT FROM`). A
    /// missing column loses its protection: without the version a refresh undoes a bump, without the
    /// sessions it undoes a logout, without the hash a new password, and without the lanes a link works
    /// twice.
    ///
    /// A change must not fail because its notification ([`Update::revokes`]) cannot be sent: write it
    /// without the notification. The same holds for the calls below.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether the row was written.
    fn compare_and_set(
        &self,
        update: &Update,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Reads the row of this user as [`read`](Self::read) does, and locks it (`SELECT … FOR UPDATE`). Every
    /// other change of the row waits until the returned value is dropped or its write ends. Waiting calls
    /// should get the row in the order in which they came.
    ///
    /// The service locks a row only after other changes were faster several times. A client that changes
    /// the row in a loop, for example by refreshes, can then not block a login or a logout.
    ///
    /// The default returns `None`: this store has no locks. If other changes are faster too often, a call
    /// then fails as [`ServiceError::Busy`](crate::service::ServiceError::Busy).
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether there is such a user, and nothing is locked.
    fn lock(
        &self,
        key: UserKey<'_>,
    ) -> impl Future<Output = Result<Option<Locked<Self::Fields>>, StoreError>> + Send {
        let _ = key;
        async { Ok(None) }
    }

    /// Deletes the user, and returns whether there was one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether the user was deleted.
    fn delete(&self, id: &str) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Logs the user out everywhere, whatever the row holds: the version becomes
    /// `max(coalesce(version, 0) + 1, at_least)`, and the sessions become `NULL`. Returns the new version
    /// (`RETURNING`); `None` if there was no such user with a version below `i64::MAX`.
    ///
    /// The default is a [`read`](Self::read) and a [`compare_and_set`](Self::compare_and_set), tried a
    /// few times. A store that can do it in one statement should: it then never fails because the row
    /// changes too often.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether the row was written.
    fn bump_version(
        &self,
        id: &str,
        at_least: i64,
    ) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send {
        bump_by_compare_and_set(self, id, at_least)
    }

    /// Logs out every user in this group: its counter becomes `max(coalesce(counter, 0) + 1,
    /// at_least)`. Returns the new counter; `None` if there is no such group with a counter below
    /// `i64::MAX`.
    ///
    /// The default is [`StoreErrorKind::Unsupported`](crate::store::StoreErrorKind::Unsupported):
    /// not every store has groups.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether the row was written.
    fn bump_epoch(
        &self,
        kind: &str,
        instance: &str,
        at_least: i64,
    ) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send {
        let _ = (kind, instance, at_least);
        async { Err(StoreError::unsupported("this store has no groups of users")) }
    }

    /// Disables the user, whatever the row holds, and logs it out everywhere as
    /// [`bump_version`](Self::bump_version) does, in one statement: enabling again revives nothing.
    /// Returns the new version; `None` if there was no such user with a version below `i64::MAX`.
    ///
    /// The default is [`StoreErrorKind::Unsupported`](crate::store::StoreErrorKind::Unsupported):
    /// not every table has such a column.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether the row was written.
    fn disable(
        &self,
        id: &str,
        at_least: i64,
    ) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send {
        let _ = (id, at_least);
        async { Err(NO_STATUS) }
    }

    /// Enables the user again if the row's version still is this one, and moves the version as
    /// [`disable`](Self::disable) does, in one statement. Returns the new version; `None` if it did
    /// not enable the user. A statement that arrives late, after its timeout, undoes no disabling.
    ///
    /// The default is [`StoreErrorKind::Unsupported`](crate::store::StoreErrorKind::Unsupported).
    ///
    /// # Errors
    ///
    /// [`StoreError`]: it is not known whether the row was written.
    fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> impl Future<Output = Result<Option<i64>, StoreError>> + Send {
        let _ = (id, version, at_least);
        async { Err(NO_STATUS) }
    }

    /// Checks that each call will work over this database. Call it before the first request. It leaves no
    /// change in the database.
    ///
    /// The default is an empty report. The SQL stores read the database's catalogue and prepare each
    /// statement. They check the types of the columns, that the id and the login are unique, the rights
    /// of the role, and more. It may take seconds. A finding is in the report, and is not an error.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the check could not finish.
    fn check(&self) -> impl Future<Output = Result<CheckReport, StoreError>> + Send {
        async { Ok(CheckReport::new()) }
    }
}

const NO_STATUS: StoreError =
    StoreError::unsupported("this store does not enable and disable users");

/// The number of attempts if other changes are faster.
const ATTEMPTS: u32 = 16;

/// The default of [`UserStore::bump_version`].
async fn bump_by_compare_and_set<S: UserStore + ?Sized>(
    store: &S,
    id: &str,
    at_least: i64,
) -> Result<Option<i64>, StoreError> {
    for attempt in 0..ATTEMPTS {
        let Some(mut row) = store.read(UserKey::Id(id)).await? else { return Ok(None) };
        let old = row.columns.clone();
        let Some(version) = row.bump(at_least) else { return Ok(None) };
        let update = Update { id: row.id, old, new: row.columns, revokes: true };
        if store.compare_and_set(&update).await? {
            return Ok(Some(version));
        }
        sleep(Duration::from_millis(u64::from(attempt))).await;
    }
    Err(StoreError::unreachable("other changes of the user's row were faster at each attempt"))
}
