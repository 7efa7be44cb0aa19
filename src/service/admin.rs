//! Administration of users by their ids.

use super::{
    Service, ServiceError,
    records::{Bump, Status},
    transact::{Attempts, Proposal, transact},
};
use crate::{
    authority::{Authority, decision::Decision},
    counter::Counter,
    sessions::{SessionData, SessionId, SessionInfo},
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
    /// ready stores do it in one statement, which succeeds however often the row changes, and also if
    /// it is damaged.
    ///
    /// Returns the user's new version. Each token of the user whose claim `ver` is lower is revoked. You
    /// need not notify the service's cache, its live connections and its other processes. Send the version
    /// to others that verify tokens without the database, such as a resource server or a gateway with a
    /// copy of the versions. They must keep the highest version that they have received, because two
    /// messages can arrive in either order.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`], [`ServiceError::Store`], and [`ServiceError::Record`] if the version
    /// has reached the end of its range.
    pub async fn log_out_everywhere(&self, user_id: &str) -> Result<Counter, ServiceError> {
        self.bump(user_id, Status::AsBefore).await
    }

    /// Disables the user and logs it out everywhere: no login and no token is accepted. It requires a
    /// column (`UsersTable::active`). Returns the new version, as
    /// [`log_out_everywhere`](Self::log_out_everywhere) does.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_everywhere`](Self::log_out_everywhere). [`ServiceError::Store`] is of the kind
    /// [`Unsupported`](crate::store::StoreErrorKind::Unsupported) without such a column.
    pub async fn disable(&self, user_id: &str) -> Result<Counter, ServiceError> {
        self.bump(user_id, Status::Disabled).await
    }

    /// Enables the user again. Tokens from before the disabling stay revoked. If the store answers too
    /// late, the call fails and the user may still become enabled, unless the row has changed since. Returns
    /// the new version: tokens with a lower one stay revoked.
    ///
    /// # Errors
    ///
    /// Those of [`disable`](Self::disable), and [`ServiceError::Busy`].
    pub async fn enable(&self, user_id: &str) -> Result<Counter, ServiceError> {
        let read = self.0.records.read_bare(UserKey::Id(user_id)).await?;
        let version = read.ok_or(ServiceError::NoSuchUser)?.version();
        self.bump(user_id, Status::Enabled { version }).await
    }

    /// Logs out every user in this group by a bump of its counter. This takes effect in this process at
    /// once, and in others when they are notified, or within their staleness.
    ///
    /// Returns the group's new counter. Each token with a lower epoch of this group is revoked.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchGroup`], and [`ServiceError::Store`], of the kind
    /// [`Unsupported`](crate::store::StoreErrorKind::Unsupported) if the store has no groups of this
    /// kind.
    pub async fn bump_epoch(&self, kind: &str, instance: &str) -> Result<Counter, ServiceError> {
        let counter = self.0.records.bump_epoch(kind, instance, self.now_ms()).await?;
        counter.map(Counter::from).ok_or(ServiceError::NoSuchGroup)
    }

    /// Deletes the user.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`] and [`ServiceError::Store`].
    pub async fn delete(&self, user_id: &str) -> Result<(), ServiceError> {
        let mut attempts = Attempts::default();
        loop {
            attempts.begin().await?;
            if self.0.records.delete(user_id).await? {
                return Ok(());
            }
            let read = self.0.records.read_bare(UserKey::Id(user_id)).await?;
            attempts.lost(&read.ok_or(ServiceError::NoSuchUser)?)?;
        }
    }

    /// Sets a new password without checking the current one, and logs the user out everywhere, in one
    /// statement. Returns the new version, as [`log_out_everywhere`](Self::log_out_everywhere) does.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`], [`ServiceError::PasswordRefused`] if the policy refuses it, and the
    /// errors common to all calls.
    pub async fn set_password(&self, user_id: &str, new: &str) -> Result<Counter, ServiceError> {
        let turn = self.0.passwords.turn_for(new).await?;
        if self.0.records.read_bare(UserKey::Id(user_id)).await?.is_none() {
            return Err(ServiceError::NoSuchUser);
        }
        let hash = self.0.passwords.hash_in(turn, new).await?;
        let authority = self.authority();
        transact!(bare self, UserKey::Id(user_id), |read| {
            let edited = read.ok_or(ServiceError::NoSuchUser)?.with_password(&hash)?;
            Proposal { decision: authority.log_out_everywhere(edited.user())?, edited }
        })
    }

    /// Stores a decision that the application makes by hand with an
    /// [`Authority`], and returns its outcome: for example a call that the service does not have, or
    /// several decisions [joined](Decision::and_then) into one. `decide` gets the service's current
    /// authority and the user's row on the primary database. The service stores the change by one compare-and-set,
    /// and notifies its cache and its live connections.
    ///
    /// If the row was changed meanwhile, `decide` runs again, on the new row: it should only decide.
    /// To change nothing, it returns [`Decision::unchanged`].
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`], those of `decide`, and the errors common to all calls.
    ///
    /// # Security
    ///
    /// Decide on the given user, and on no record that was read before. A decision for another user
    /// fails as [`ServiceError::Store`], of the kind
    /// [`Unsupported`](crate::store::StoreErrorKind::Unsupported).
    ///
    /// # Example
    ///
    /// A new invitation, which revokes the older ones of this user:
    ///
    /// ```
    /// use relatch::{
    ///     NoClaims, Token,
    ///     one_time::Invitation,
    ///     service::{Service, ServiceError},
    /// };
    ///
    /// async fn invite(service: &Service, id: &str) -> Result<Token<Invitation>, ServiceError> {
    ///     service
    ///         .decide(id, |authority, user| {
    ///             authority.issue::<Invitation>(user, &NoClaims {}).supersede()
    ///         })
    ///         .await
    /// }
    /// ```
    pub async fn decide<T, E>(
        &self,
        user_id: &str,
        mut decide: impl FnMut(&Authority, &StoredUser<F>) -> Result<Decision<T>, E>,
    ) -> Result<T, ServiceError>
    where
        E: Into<ServiceError>,
    {
        self.decide_on(UserKey::Id(user_id), |read| {
            let user = read.ok_or(ServiceError::NoSuchUser)?.user();
            decide(&self.authority(), user).map_err(Into::into)
        })
        .await
    }

    async fn bump(&self, user_id: &str, status: Status) -> Result<Counter, ServiceError> {
        let bump = Bump { id: user_id.to_owned(), at_least: self.now_ms(), status };
        let mut attempts = Attempts::default();
        loop {
            attempts.begin().await?;
            if let Some(version) = self.0.records.bump(bump.clone()).await? {
                return Ok(version.into());
            }
            let read = self.0.records.read_bare(UserKey::Id(user_id)).await?;
            let read = read.ok_or(ServiceError::NoSuchUser)?;
            match status {
                Status::Enabled { version } if version != read.version() => {
                    return Err(ServiceError::Busy);
                }
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

/// An administrator's calls for one device of a user.
impl<F: Clone + Send + Sync + 'static, C: 'static> Service<F, C> {
    /// Lists the live sessions of any user as they are now, the most recently used first: for an
    /// administrator's page. The list of a user who is not active is empty.
    ///
    /// # Security
    ///
    /// Check first that the caller may see this user. A session's label and data can be personal.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`], [`ServiceError::Store`] and [`ServiceError::Record`].
    pub async fn sessions_of(&self, user_id: &str) -> Result<Vec<SessionInfo>, ServiceError> {
        let read = self.0.records.read_bare(UserKey::Id(user_id)).await?;
        Ok(self.authority().sessions(read.ok_or(ServiceError::NoSuchUser)?.user())?)
    }

    /// Logs out one device of any user, by an id from [`sessions_of`](Self::sessions_of), and returns
    /// whether there was such a session. If the caller is dropped after the decision, the service
    /// completes the call.
    ///
    /// # Security
    ///
    /// Check first that the caller may log this user out. For a user's own device call
    /// [`log_out_device`](Self::log_out_device), which also checks that the user's session has not
    /// ended meanwhile.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`] and the errors common to all calls.
    pub async fn log_out_device_of(
        &self,
        user_id: &str,
        device: SessionId,
    ) -> Result<bool, ServiceError> {
        self.end(user_id, device, None).await
    }

    /// Logs out the devices of any user for which `is_out` returns `true`, and returns their number.
    ///
    /// # Security
    ///
    /// As for [`log_out_device_of`](Self::log_out_device_of).
    ///
    /// # Errors
    ///
    /// Those of [`log_out_device_of`](Self::log_out_device_of).
    ///
    /// # Example
    ///
    /// Sessions that were started for members of staff end with their shift:
    ///
    /// ```
    /// use relatch::service::{Service, ServiceError};
    ///
    /// async fn end_support(service: &Service, user_id: &str) -> Result<usize, ServiceError> {
    ///     service.log_out_where_of(user_id, |session| session.label() == "Support").await
    /// }
    /// ```
    pub async fn log_out_where_of(
        &self,
        user_id: &str,
        is_out: impl Fn(&SessionInfo) -> bool,
    ) -> Result<usize, ServiceError> {
        self.end_where(user_id, is_out, None).await
    }

    /// Replaces the application's data in a session of any user, or removes it with `None`, and
    /// returns whether there was such a session. Private claims that are made from the data change
    /// at the next refresh.
    ///
    /// # Security
    ///
    /// Check first that the caller may change this user's session.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`], [`ServiceError::Issue`] with
    /// [`IssueError::SessionData`](crate::IssueError::SessionData) for data that is longer than the
    /// policy allows, and the errors common to all calls.
    pub async fn set_session_data_of(
        &self,
        user_id: &str,
        session: SessionId,
        data: Option<SessionData>,
    ) -> Result<bool, ServiceError> {
        self.replace_data(user_id, session, data, None).await
    }
}
