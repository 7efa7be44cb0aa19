//! Refresh: the exchange of a refresh token for its successor.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    to_the_end::{Decided, to_the_end},
};
#[cfg(feature = "axum")]
use crate::sessions::SessionId;
use crate::{
    authority::{IssueError, Refreshed, SessionTokens},
    store::UserKey,
    token::RefreshToken,
};

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + 'static,
{
    /// Exchanges a refresh token for its successor and a fresh access token.
    ///
    /// A token that was used before ends its session, except within the policy's grace and time for
    /// a late repeat. The service's [`on_event`](super::ServiceBuilder::on_event) is called in each
    /// of these cases. If the client disconnects before the service has decided, nothing
    /// happens; afterwards the service completes the call.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`]. After every other error the same token may be tried again.
    pub async fn refresh(&self, token: RefreshToken) -> Result<SessionTokens<C>, ServiceError> {
        self.refresh_within(token, usize::MAX).await
    }

    /// [`refresh`](Self::refresh) that fails with [`IssueError::TooLong`], and stores nothing, if the
    /// access token would be longer than this many bytes.
    pub(crate) async fn refresh_within(
        &self,
        token: RefreshToken,
        max_access_bytes: usize,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let this = self.clone();
        // A reuse that ends the session is reported even if its client disconnects.
        to_the_end(|decided| async move {
            this.refresh_to_the_end(token, max_access_bytes, &decided).await
        })
        .await
    }

    /// Chooses the one of several refresh tokens that [`refresh`](Self::refresh) takes, and changes
    /// nothing. It returns the index of the only one that a refresh accepts now; of two in one session it
    /// is the newer. If a refresh accepts none, it is one that shows reuse, or else one whose
    /// rejection is not [final](crate::Reason::is_final), or else the first. `None` if a refresh accepts
    /// tokens of several sessions, or if one that it rejects for a reason that is not final says that it
    /// is another user's: that session may be alive, and the accepted token may be planted.
    #[cfg(feature = "axum")]
    pub(crate) async fn only_current(
        &self,
        tokens: Vec<RefreshToken>,
    ) -> Result<Option<usize>, ServiceError> {
        let authority = self.authority();
        let mut current: Option<(usize, SessionId, String, u64)> = None;
        let (mut is_reuse, mut is_kept) = (None, None);
        let mut kept_users = Vec::new();
        for (index, token) in tokens.into_iter().enumerate() {
            let said = token.danger_unverified_subject();
            let outcome = match authority.open_refresh(token) {
                Ok(opened) => {
                    let read = self.0.records.read(UserKey::Id(opened.user_id())).await?;
                    let found = read.as_ref().ok_or_else(|| opened.unknown_user());
                    let outcome = found
                        .map_err(ServiceError::from)
                        .and_then(|read| Ok(opened.current(read.user())?));
                    outcome.map(|session| (session, opened.user_id().to_owned()))
                }
                Err(rejection) => Err(rejection.into()),
            };
            match outcome {
                Ok((Some((id, seq)), user_id)) => match &current {
                    Some((_, other, of, _)) if *other != id || *of != user_id => return Ok(None),
                    Some((.., newer)) if *newer > seq => {}
                    _ => current = Some((index, id, user_id, seq)),
                },
                Ok((None, _)) => is_reuse = is_reuse.or(Some(index)),
                Err(ServiceError::Rejected(rejection)) => {
                    if !rejection.reason().is_final() {
                        is_kept = is_kept.or(Some(index));
                        kept_users.extend(said);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        if let Some((_, _, user_id, _)) = &current
            && kept_users.iter().any(|said| said != user_id)
        {
            return Ok(None);
        }
        let current = current.map(|(index, ..)| index);
        Ok(Some(current.or(is_reuse).or(is_kept).unwrap_or(0)))
    }

    async fn refresh_to_the_end(
        &self,
        token: RefreshToken,
        max: usize,
        decided: &Decided,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let authority = self.authority();
        let opened = authority.open_refresh(token)?;
        let mut stored = None;
        let decided = self.decide_yielding(UserKey::Id(opened.user_id()), |read| {
            let user = read.ok_or_else(|| opened.unknown_user())?.user();
            let decision =
                self.issue_access(&authority, user, user, |issue| issue.refresh(&opened))?;
            let is_change = decision.change().is_some();
            let mut bytes = 0;
            let decision = decision.map(|refreshed| {
                if let Refreshed::Rotated(tokens) | Refreshed::Repeated(tokens, _) = &refreshed {
                    bytes = tokens.access().expose().len();
                }
                stored = refreshed.event().filter(|_| is_change).cloned();
                refreshed
            });
            if bytes > max {
                return Err(IssueError::TooLong { bytes, max }.into());
            }
            decided.note(&decision);
            Ok(decision)
        });
        match decided.await {
            Ok(refreshed) => {
                refreshed.event().into_iter().for_each(|event| self.0.events.report(event));
                Ok(refreshed.into_tokens()?)
            }
            // It is not known whether the change was stored, but the token did come twice.
            Err(error) => {
                stored.iter().for_each(|event| self.0.events.report_once(event));
                Err(error)
            }
        }
    }
}
