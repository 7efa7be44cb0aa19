//! Password hashing off the async threads, a few at a time.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};
use zeroize::Zeroizing;

use super::ServiceError;
use crate::password::{MAX_PASSWORD_BYTES, PasswordError, PasswordHasher, PasswordMatch};

/// The longest time that a call waits for a permit before it fails as busy.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The password hasher behind a semaphore, which bounds the memory and processors that many
/// simultaneous logins take: at most one hash per permit runs, in memory that the hasher keeps, and
/// waiting calls allocate nothing.
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
            // It matches no hash, so it is neither queued nor copied.
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
            // Held by the work, which continues if the waiting future is dropped.
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
