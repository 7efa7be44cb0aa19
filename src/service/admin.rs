//! Administration of users by their ids.

use super::{
    Service, ServiceError,
    records::Write,
    transact::{Attempts, Proposal, transact},
};
use crate::{
    counter::Counter,
    store::{StoredUser, UserKey},
    user::RecordError,
};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Finds the user on the primary database; `None` if there is no such user.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`].
    pub async fn find(&self, key: UserKey<'_>) -> Result<Option<StoredUser<F>>, ServiceError> {
        Ok(self.0.records.read(key).await?.map(|record| record.user().clone()))
    }

    /// Hashes the password of a new user, off the async threads, if the policy accepts it
    /// ([`password_policy`](super::ServiceBuilder::password_policy)). It waits for a free hasher.
    ///
    /// # Errors
    ///
    /// [`ServiceError::PasswordRefused`] if the policy refuses it, [`ServiceError::Password`] and
    /// [`ServiceError::Busy`].
    pub async fn hash_password(&self, password: &str) -> Result<String, ServiceError> {
        self.0.passwords.hash(password).await
    }

    /// Logs the user out everywhere: every token is revoked, and the list of sessions is empty. The
    /// ready stores do it in one statement, which succeeds however often the row changes.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`] and [`ServiceError::Store`].
    pub async fn log_out_everywhere(&self, user_id: &str) -> Result<(), ServiceError> {
        let (id, at_least) = (user_id.to_owned(), self.now_ms());
        self.write(Write::Bump { id, at_least }).await
    }

    /// Disables the user and logs it out everywhere: no login and no token is accepted. It requires a
    /// column (`UsersTable::active`).
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`] and [`ServiceError::Store`], of the kind
    /// [`Unsupported`](crate::store::StoreErrorKind::Unsupported) without such a column.
    pub async fn disable(&self, user_id: &str) -> Result<(), ServiceError> {
        let (id, at_least) = (user_id.to_owned(), self.now_ms());
        self.write(Write::Disable { id, at_least }).await
    }

    /// Enables the user again. Tokens from before the disabling stay revoked. If the store answers too
    /// late, the call fails and the user may still become enabled, unless the row has changed since.
    ///
    /// # Errors
    ///
    /// Those of [`disable`](Self::disable), and [`ServiceError::Busy`].
    pub async fn enable(&self, user_id: &str) -> Result<(), ServiceError> {
        let read = self.0.records.read_bare(UserKey::Id(user_id)).await?;
        let version = read.ok_or(ServiceError::NoSuchUser)?.version();
        let (id, at_least) = (user_id.to_owned(), self.now_ms());
        self.write(Write::Enable { id, version, at_least }).await
    }

    /// Logs out every user in this group by a bump of its counter. This takes effect in this process at
    /// once, and in others when they are notified, or within their staleness.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchGroup`], and [`ServiceError::Store`], of the kind
    /// [`Unsupported`](crate::store::StoreErrorKind::Unsupported) if the store has no groups of this
    /// kind.
    pub async fn bump_epoch(&self, kind: &str, instance: &str) -> Result<(), ServiceError> {
        match self.0.records.bump_epoch(kind, instance, self.now_ms()).await? {
            true => Ok(()),
            false => Err(ServiceError::NoSuchGroup),
        }
    }

    /// Deletes the user.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`] and [`ServiceError::Store`].
    pub async fn delete(&self, user_id: &str) -> Result<(), ServiceError> {
        self.write(Write::Delete { id: user_id.to_owned() }).await
    }

    /// Sets a new password without checking the current one, and logs the user out everywhere, in one
    /// statement.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`], [`ServiceError::PasswordRefused`] if the policy refuses it, and the
    /// errors common to all calls.
    pub async fn set_password(&self, user_id: &str, new: &str) -> Result<(), ServiceError> {
        let hash = self.0.passwords.hash(new).await?;
        let authority = self.authority();
        transact!(bare self, UserKey::Id(user_id), |read| {
            let edited = read.ok_or(ServiceError::NoSuchUser)?.with_password(&hash)?;
            Proposal { decision: authority.log_out_everywhere(edited.user())?, edited }
        })
    }

    async fn write(&self, write: Write) -> Result<(), ServiceError> {
        let mut attempts = Attempts::default();
        loop {
            attempts.begin().await?;
            if self.0.records.write(write.clone()).await? {
                return Ok(());
            }
            let read = self.0.records.read_bare(UserKey::Id(write.id())).await?;
            let read = read.ok_or(ServiceError::NoSuchUser)?;
            match write {
                Write::Enable { version, .. } if version != read.version() => {
                    return Err(ServiceError::Busy);
                }
                Write::Delete { .. } => {}
                _ if !read.user().has_version_left() => {
                    return Err(ServiceError::Record(RecordError::Exhausted));
                }
                _ => {}
            }
            attempts.lost(&read)?;
        }
    }

    /// The least value that a counter moves to.
    pub(super) fn now_ms(&self) -> i64 {
        Counter::INITIAL.next(self.authority().now()).unwrap_or_default().get()
    }
}
