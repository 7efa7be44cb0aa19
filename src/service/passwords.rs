//! Password hashing off the async threads, a few at a time.

use std::{error, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
use zeroize::Zeroizing;

use super::ServiceError;
use crate::password::{PasswordError, PasswordForms, PasswordHasher, PasswordPolicy};

/// The longest time that a call waits for a permit before it fails as busy.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The password hasher behind a semaphore, which bounds the memory and processors that many
/// simultaneous logins take: at most one hash per permit runs, in memory that the hasher keeps, and
/// waiting calls allocate nothing.
pub(super) struct Passwords {
    hasher: PasswordHasher,
    policy: PasswordPolicy,
    permits: Arc<Semaphore>,
}

/// A password that matches the stored hash.
pub(super) struct Matched {
    /// A new hash of the same password, if the stored one is to be replaced.
    pub(super) rehash: Option<String>,
}

/// A turn to hash one password.
pub(super) struct Turn(OwnedSemaphorePermit);

impl Passwords {
    pub(super) fn new(hasher: PasswordHasher, policy: PasswordPolicy, at_once: usize) -> Self {
        let permits = Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS)));
        Self { hasher, policy, permits }
    }

    /// Hashes a new password, if the policy accepts it. One of a wrong length takes no turn.
    pub(super) async fn hash(&self, new: &str) -> Result<String, ServiceError> {
        let turn = self.turn_for(new).await?;
        self.hash_in(turn, new).await
    }

    /// Waits for a turn to hash this new password. Between the wait and the work, the caller can check
    /// that the work is still due. A password of a wrong length is refused without a turn.
    pub(super) async fn turn_for(&self, new: &str) -> Result<Turn, ServiceError> {
        self.policy.forms(new)?;
        self.turn().await
    }

    /// [`hash`](Self::hash) in the turn of this password.
    pub(super) async fn hash_in(&self, turn: Turn, new: &str) -> Result<String, ServiceError> {
        let (password, policy) = (self.policy.forms(new)?, self.policy.clone());
        self.run(turn, move |hasher| {
            policy.ask(&password)?;
            Ok(hasher.hash_forms(&password)?)
        })
        .await
    }

    async fn turn(&self) -> Result<Turn, ServiceError> {
        let turn = timeout(TIMEOUT, Arc::clone(&self.permits).acquire_owned()).await;
        let Ok(Ok(permit)) = turn else { return Err(ServiceError::Busy) };
        Ok(Turn(permit))
    }

    /// Verifies a password against the stored hash, and with `rehashes` makes a new one if it is due, in
    /// the same turn.
    pub(super) async fn verify(
        &self,
        password: PasswordForms,
        stored: Option<&str>,
        rehashes: bool,
    ) -> Result<Option<Matched>, ServiceError> {
        let stored = stored.map(|hash| Zeroizing::new(hash.to_owned()));
        let turn = self.turn().await?;
        self.run(turn, move |hasher| {
            let stored = stored.as_deref().map(String::as_str);
            let Some(matched) = hasher.verify_forms(&password, stored)? else { return Ok(None) };
            let rehash = match rehashes && matched.needs_rehash() {
                true => hasher.hash_forms(&password).inspect_err(log_failed_rehash).ok(),
                false => None,
            };
            Ok(Some(Matched { rehash }))
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        Turn(permit): Turn,
        work: impl FnOnce(&PasswordHasher) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        let hasher = self.hasher.clone();
        let hashing = spawn_blocking(move || {
            // Held by the work, which continues if the waiting future is dropped.
            let _permit = permit;
            work(&hasher)
        });
        match hashing.await {
            Ok(outcome) => outcome,
            // It is the server's fault, and another attempt would end the same.
            Err(error) if error.is_panic() => {
                log_panic();
                Err(PasswordError::Panicked.into())
            }
            // The runtime is shutting down.
            Err(_) => Err(ServiceError::Busy),
        }
    }
}

/// Without the panic's message: a password may be part of it.
fn log_panic() {
    #[cfg(feature = "tracing")]
    tracing::error!(
        target: "relatch",
        "the application's check of a password, or its verifier of a hash, panicked: the panic hook has \
         printed where"
    );
}

/// Logs that a hash could not be replaced by a stronger one. The user is let in all the same.
pub(super) fn log_failed_rehash(error: &(impl error::Error + 'static)) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "relatch",
        error = error as &dyn error::Error,
        "a password hash was not replaced by a stronger one"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = error;
}
