//! Requests: verifying tokens.

use std::sync::Arc;

use time::Duration;
use tokio::time::Instant;

use super::{Service, ServiceError, found::Found};
use crate::{
    authority::{error::VerifyError, verified::Verified},
    error::ConfigError,
    live::Live,
    rejection::Stage,
    store::{StoreError, StoredUser},
    token::{Token, purpose::Purpose},
};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Verifies a token. Call it on each request.
    ///
    /// With a cache the record may be as old as the cache's bound. A token is *not* rejected on a
    /// record that was read before the call: the record is read again first.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], [`ServiceError::Store`] and [`ServiceError::Record`].
    pub async fn authenticate<P: Purpose>(
        &self,
        token: &Token<P>,
    ) -> Result<Verified<StoredUser<F>, P::Claims>, ServiceError> {
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

    /// [`authenticate`](Self::authenticate) with the current record from the database and not from the
    /// cache. Call it before a sensitive operation, such as a payment or a change of the e-mail address.
    ///
    /// # Errors
    ///
    /// Those of [`authenticate`](Self::authenticate).
    pub async fn authenticate_fresh<P: Purpose>(
        &self,
        token: &Token<P>,
    ) -> Result<Verified<StoredUser<F>, P::Claims>, ServiceError> {
        let called = Instant::now();
        let authority = self.authority();
        let opened = authority.open(token)?;
        let found = self.0.records.find_since(opened.user_id(), called).await?;
        Ok(opened.verify(found.user)?)
    }

    /// Makes a [`Live`], whose watches end WebSockets and event streams. A watch
    /// resolves within `bound` after a revocation. It resolves at once if the revocation was made
    /// through this service, or if this service was notified of it ([`changes`](Self::changes)). A
    /// notified watch reads the user again.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] for a bound out of range.
    pub fn live(&self, bound: Duration) -> Result<Live<StoredUser<F>, StoreError>, ConfigError> {
        let records = Arc::clone(&self.0.records);
        let revocations = records.revocations.clone();
        Live::new(self.0.authority.clone(), revocations, bound, move |id| {
            let records = Arc::clone(&records);
            async move { Ok(records.find_since(&id, Instant::now()).await?.user) }
        })
    }
}
