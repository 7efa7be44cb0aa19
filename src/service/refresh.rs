//! Refresh: the exchange of a refresh token for its successor.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    to_the_end::{Decided, to_the_end},
};
use crate::{authority::SessionTokens, store::UserKey, token::RefreshToken};

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
        let this = self.clone();
        // A reuse that ends the session is reported even if its client disconnects.
        to_the_end(|decided| async move { this.refresh_to_the_end(token, &decided).await }).await
    }

    async fn refresh_to_the_end(
        &self,
        token: RefreshToken,
        decided: &Decided,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let authority = self.authority();
        let opened = authority.open_refresh(token)?;
        let mut stored = None;
        let decided = self.decide_yielding(UserKey::Id(opened.user_id()), |read| {
            let user = read.ok_or_else(|| opened.unknown_user())?.user();
            let decision =
                self.issue_access(&authority, user, user, |issue| issue.refresh(&opened))?;
            decided.note(&decision);
            let is_change = decision.change().is_some();
            Ok(decision.map(|refreshed| {
                stored = refreshed.event().filter(|_| is_change).cloned();
                refreshed
            }))
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
