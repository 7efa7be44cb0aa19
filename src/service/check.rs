//! The check of the whole configuration.

use super::{Service, ServiceError};
use crate::store::{CheckReport, Finding};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Checks the database ([`UserStore::check`](crate::store::UserStore::check)). It also compares the
    /// names of the users' epochs, and warns if a cache has no connected listener, or if the deadline of the
    /// [`Adoption`](crate::authority::Adoption) has passed. It runs many statements: call it when the
    /// application starts or from a health check, not in a request.
    ///
    /// It knows the listeners that the store's `listen` made with this service's
    /// [`changes`](Self::changes). A listener needs a moment to connect: start it before this call.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`]: the check could not finish. A finding is not an error;
    /// [`CheckReport::into_result`] returns an error if there is a problem.
    ///
    /// # Example
    ///
    /// ```
    /// # use relatch::{Authority, MasterKey, service::Service, store::MemoryStore};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let key = MasterKey::generate("2026-11")?;
    /// # let authority = Authority::new(key, "https://login.example.com", "https://api.example.com")?;
    /// # let service = Service::new(authority, MemoryStore::<()>::new());
    /// let report = service.check().await?.into_result()?;
    /// for warning in report.findings() {
    ///     eprintln!("{warning}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check(&self) -> Result<CheckReport, ServiceError> {
        let mut report = self.0.records.check().await?;
        if let Some(problem) = self.unlike_epochs(&report) {
            report.add(problem);
        }
        if let Some(warning) = self.ended_adoption() {
            report.add(warning);
        }
        #[cfg(feature = "cache")]
        if let Some(warning) = self.unheard(&report) {
            report.add(warning);
        }
        Ok(report)
    }

    fn unlike_epochs(&self, report: &CheckReport) -> Option<Finding> {
        let (stored, authority) = (report.user_epochs()?, self.authority());
        let wanted = authority.user_epochs();
        (stored != wanted).then(|| {
            let text = format!(
                "the authority names the users' epochs {wanted:?}, and the table's description names \
                 {stored:?}, so no user's record is usable: name the same epochs in the same order"
            );
            Finding::problem("user_epoch", text)
        })
    }

    /// An adoption that accepts nothing any more.
    fn ended_adoption(&self) -> Option<Finding> {
        let until = self.authority().ended_adoption()?;
        let text = format!(
            "its deadline passed at {until}, so the plain tokens of the setup before relatch are refused: \
             remove the adoption from the authority, and delete its secret"
        );
        Some(Finding::warning("adoption", text))
    }

    /// A cache without a listener: the process does not learn of other processes' revocations.
    #[cfg(feature = "cache")]
    fn unheard(&self, report: &CheckReport) -> Option<Finding> {
        let staleness = self.0.records.max_staleness()?;
        (report.is_shared() && !self.0.listening.is_any()).then(|| {
            let text = format!(
                "no listener of this service is connected, so a revocation by another process takes \
                 effect here only after the cache's bound of {} seconds: call `listen` and keep the \
                 `Listener`",
                staleness.as_secs_f64()
            );
            Finding::warning("listener", text)
        })
    }
}
