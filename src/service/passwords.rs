//! Password hashing off the async threads, a few at a time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
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

/// A turn to hash one password.
pub(super) struct Turn(OwnedSemaphorePermit);

impl Passwords {
    pub(super) fn new(hasher: PasswordHasher, at_once: usize) -> Self {
        Self { hasher, permits: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))) }
    }

    /// Waits for a turn to hash this new password. Between the wait and the work, the caller can check
    /// that the work is still due.
    pub(super) async fn turn_for(&self, password: &str) -> Result<Turn, ServiceError> {
        match password.len() {
            ..=MAX_PASSWORD_BYTES => self.turn().await,
            _ => Err(PasswordError::Length.into()),
        }
    }

    async fn turn(&self) -> Result<Turn, ServiceError> {
        let turn = timeout(TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = turn else { return Err(ServiceError::Busy) };
        Ok(Turn(permit))
    }

    pub(super) async fn hash(&self, password: &str) -> Result<String, ServiceError> {
        let turn = self.turn_for(password).await?;
        self.hash_in(turn, password).await
    }

    /// [`hash`](Self::hash) in the turn of this password.
    pub(super) async fn hash_in(&self, turn: Turn, password: &str) -> Result<String, ServiceError> {
        let password = Zeroizing::new(password.to_owned());
        self.run(turn, move |hasher| hasher.hash(&password)).await
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
        let turn = self.turn().await?;
        self.run(turn, stored).await
    }

    async fn run<T: Send + 'static>(
        &self,
        Turn(permit): Turn,
        work: impl FnOnce(&PasswordHasher) -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, ServiceError> {
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
