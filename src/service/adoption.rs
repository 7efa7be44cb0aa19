//! Sessions in exchange for refresh tokens and sessions of the setup before relatch.

use serde::{Serialize, de::DeserializeOwned};

use super::{Client, Service, ServiceError};
use crate::{
    authority::SessionTokens,
    counter::Counter,
    rejection::{Reason, Rejection, Stage},
    store::UserKey,
    user::User,
};

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Starts a session in exchange for a refresh token, or for a session, of the setup before relatch,
    /// which the application has checked: if the user's version is still `version`, the value that the
    /// [`Adoption`](crate::authority::Adoption) has too (0 for `NULL`). The check and the new session are
    /// one compare-and-set.
    ///
    /// So each call that revokes the user's adopted access tokens, such as a logout everywhere or a new
    /// password, also revokes the old refresh tokens.
    ///
    /// # Security
    ///
    /// - The application's own check must be as strict as before: the old token is genuine, has not
    ///   expired, and was not revoked.
    /// - This call does not know the old token. Delete that token afterwards, so that it is exchanged
    ///   once. If another request has already deleted it, end this session ([`Service::revoke`] with its
    ///   refresh token).
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`] if the version has increased, or if the user does not exist or is not
    /// active; [`ServiceError::SessionsFull`] and [`ServiceError::Issue`] as for [`login`](Self::login); and
    /// the errors common to all calls.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{SessionTokens, service::{Service, ServiceError}};
    ///
    /// # struct Row { user_id: String }
    /// # struct OldTokens;
    /// # impl OldTokens {
    /// #     async fn find(&self, _: &str) -> Option<Row> { None }
    /// #     async fn delete(&self, _: &str) -> bool { true }
    /// # }
    /// async fn exchange(
    ///     service: &Service,
    ///     old_tokens: &OldTokens,
    ///     old_token: &str,
    /// ) -> Result<Option<SessionTokens>, ServiceError> {
    ///     let Some(row) = old_tokens.find(old_token).await else { return Ok(None) };
    ///     let tokens = service.adopt_session(&row.user_id, 0, "Firefox on Linux").await?;
    ///     if !old_tokens.delete(old_token).await {
    ///         service.revoke(tokens.refresh().expose(), relatch::Context::new()).await?;
    ///         return Ok(None);
    ///     }
    ///     Ok(Some(tokens))
    /// }
    /// ```
    pub async fn adopt_session(
        &self,
        user_id: &str,
        version: impl Into<Counter>,
        client: impl Into<Client>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let (version, client) = (version.into(), client.into());
        self.decide_on(UserKey::Id(user_id), |read| {
            let rejected = |reason| ServiceError::Rejected(Rejection::new(Stage::Binding, reason));
            let read = read.ok_or_else(|| rejected(Reason::UnknownUser))?;
            match () {
                () if !read.user().is_active() => Err(rejected(Reason::InactiveUser)),
                () if read.user().binding().current_version() != version => {
                    Err(rejected(Reason::RevokedByVersion))
                }
                () => Ok(self.start(read.user(), read.user(), &client)?),
            }
        })
        .await
    }
}
