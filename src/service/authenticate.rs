//! Requests: verifying tokens and refreshing them.

use std::sync::Arc;

use serde::{Serialize, de::DeserializeOwned};
use time::Duration;
use tokio::time::Instant;

use super::{Service, ServiceError, found::Found, transact::to_the_end};
use crate::{
    authority::{SessionTokens, session::Session},
    live::{BoundError, Live},
    rejection::{Stage, VerifyError},
    sessions::event::EventKind,
    store::{Key, StoreError, StoredUser},
    token::{
        RefreshToken, Token,
        purpose::{Access, Purpose},
    },
};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Verifies a token: on each request.
    ///
    /// With a cache the record may be as old as its bound. That a token is *not* accepted is never
    /// said of a record that was read before the call: it is read again first.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], [`ServiceError::Store`] and [`ServiceError::Record`].
    pub async fn authenticate<P: Purpose>(
        &self,
        token: &Token<P>,
    ) -> Result<Session<StoredUser<F>, P::Claims>, ServiceError> {
        let called = Instant::now();
        let authority = self.authority();
        let opened = authority.open(token)?;
        let Found { user, began } = self.0.records.find(opened.user_id()).await?;
        match opened.verify(user) {
            Err(VerifyError::Rejected(rejection))
                if began < called
                    && (Stage::Lookup..=Stage::Session).contains(&rejection.stage()) =>
            {
                let opened = authority.open(token)?;
                let found = self.0.records.confirm(opened.user_id(), called).await?;
                Ok(opened.verify(found.user)?)
            }
            verified => Ok(verified?),
        }
    }

    /// [`authenticate`](Self::authenticate) on the record as it is now, past the cache: before
    /// something grave, such as a payment or a change of the e-mail address.
    ///
    /// # Errors
    ///
    /// Those of [`authenticate`](Self::authenticate).
    pub async fn authenticate_fresh<P: Purpose>(
        &self,
        token: &Token<P>,
    ) -> Result<Session<StoredUser<F>, P::Claims>, ServiceError> {
        let called = Instant::now();
        let authority = self.authority();
        let opened = authority.open(token)?;
        let found = self.0.records.find_since(opened.user_id(), called).await?;
        Ok(opened.verify(found.user)?)
    }

    /// Guards for WebSockets and event streams, which resolve within `bound` of a revocation, and at
    /// once for one that was made through this service or that it was told of
    /// ([`changes`](Self::changes)). Each guard that is told reads the user anew.
    ///
    /// # Errors
    ///
    /// [`BoundError`] for a bound out of range.
    pub fn live(&self, bound: Duration) -> Result<Live<StoredUser<F>, StoreError>, BoundError> {
        let records = Arc::clone(&self.0.records);
        let revocations = records.revocations.clone();
        Live::new(self.authority(), revocations, bound, move |id| {
            let records = Arc::clone(&records);
            async move { Ok(records.find_since(&id, Instant::now()).await?.user) }
        })
    }
}

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned + 'static,
{
    /// Exchanges a refresh token for its successor and a fresh access token.
    ///
    /// A token that had been used before ends its session, but for the policy's grace; the
    /// [`on_event`](super::ServiceBuilder::on_event) of the service hears of both, also where the
    /// client hangs up.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], and the others, after which the same token may be tried again.
    pub async fn refresh(&self, token: RefreshToken) -> Result<SessionTokens<C>, ServiceError> {
        let this = self.clone();
        // A reuse that ends the session is told though its client hangs up.
        to_the_end(async move { this.refresh_to_the_end(token).await }).await
    }

    async fn refresh_to_the_end(
        &self,
        token: RefreshToken,
    ) -> Result<SessionTokens<C>, ServiceError> {
        let authority = self.authority();
        let opened = authority.open_refresh(token)?;
        let mut reuse = None;
        let decided = self.decide(Key::Id(opened.user_id()), |read| {
            let user = read.ok_or(opened.unknown_user())?.user();
            let claims = (self.0.claims)(user);
            let decision = authority.issue::<Access<C>>(user, &claims).refresh(&opened)?;
            Ok(decision.map(|refreshed| {
                reuse = refreshed.event().filter(|event| event.kind() == EventKind::Reuse).cloned();
                refreshed
            }))
        });
        match decided.await {
            Ok(refreshed) => {
                refreshed.event().into_iter().for_each(|event| (self.0.on_event)(event));
                Ok(refreshed.into_tokens()?)
            }
            // Whether the session has ended is not known, and that the token came twice is.
            Err(error) => {
                reuse.iter().for_each(|event| (self.0.on_event)(event));
                Err(error)
            }
        }
    }
}
