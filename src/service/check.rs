//! The check of the whole configuration.

use super::{Service, ServiceError};
use crate::store::{CheckReport, Finding};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Checks the database ([`UserStore::check`](crate::store::UserStore::check)), and that the
    /// service fits it: the kinds of the users' epochs, and whether other machines learn of a revocation.
    /// It takes many statements: call it when the application starts and from a check of health, not in
    /// a request.
    ///
    /// Whether a listener is connected is known of those that the store's `listen` made with this
    /// service's [`changes`](Self::changes). Start it before, and give it a moment.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Store`]: the check could not be finished. What it finds is no error but in the
    /// report; [`CheckReport::into_result`] makes it one.
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
                "the authority has the epochs {wanted:?} of users and the table's description \
                 {stored:?}, so no user's record is usable: name the same kinds in the same order"
            );
            Finding::problem("user_epoch", text)
        })
    }

    /// A cache whose process learns of no other's revocations.
    #[cfg(feature = "cache")]
    fn unheard(&self, report: &CheckReport) -> Option<Finding> {
        let staleness = self.0.records.max_staleness()?;
        (report.is_shared() && !self.0.listening.is_any()).then(|| {
            let text = format!(
                "no listener of this service is connected, so a revocation by another process takes \
                 effect here only after the cache's bound of {} seconds",
                staleness.as_secs_f64()
            );
            Finding::warning("listener", text)
        })
    }
}
