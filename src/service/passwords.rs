//! Password hashing off the async threads, a few at a time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use zeroize::Zeroizing;

use super::ServiceError;
use crate::password::{MAX_PASSWORD_BYTES, PasswordError, PasswordHasher, PasswordMatch};

/// How long a login waits for its turn before it is told to come back later.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The bound on memory and processors that a storm of logins can take: as many hashes run at once as
/// there are permits, in memory that the hasher keeps, and nothing is allocated for those that wait.
pub(super) struct Passwords {
    hasher: PasswordHasher,
    permits: Arc<Semaphore>,
}

impl Passwords {
    pub(super) fn new(hasher: PasswordHasher, at_once: usize) -> Self {
        Self { hasher, permits: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))) }
    }

    pub(super) async fn hash(&self, password: &str) -> Result<String, ServiceError> {
        if password.len() > MAX_PASSWORD_BYTES {
            return Err(PasswordError::Length.into());
        }
        let password = Zeroizing::new(password.to_owned());
        self.run(move |hasher| hasher.hash(&password)).await
    }

    pub(super) async fn verify(
        &self,
        password: &str,
        stored: Option<&str>,
    ) -> Result<Option<PasswordMatch>, ServiceError> {
        if password.len() > MAX_PASSWORD_BYTES {
            // Matches nothing: it need not wait, nor be copied.
            return Ok(None);
        }
        let password = Zeroizing::new(password.to_owned());
        let stored = stored.map(|hash| Zeroizing::new(hash.to_owned()));
        let stored = move |hasher: &PasswordHasher| {
            hasher.verify(&password, stored.as_deref().map(String::as_str))
        };
        self.run(stored).await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&PasswordHasher) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let turn = timeout(TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = turn else { return Err(ServiceError::Busy) };
        let hasher = self.hasher.clone();
        let hashing = spawn_blocking(move || {
            // Held by the work: it goes on where whoever waits for it is dropped.
            let _permit = permit;
            work(&hasher)
        });
        match hashing.await {
            Ok(outcome) => Ok(outcome?),
            // The runtime is shutting down.
            Err(_) => Err(ServiceError::Busy),
        }
    }
}
