//! The current authority of a process.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use super::Authority;

/// The current authority of a process, which can be replaced while it runs. A clone is cheap and is the
/// same: all holders see the replacement.
///
/// [`Live::new`](crate::live::Live::new) takes one. A `Service` (feature `service`) has one, which it
/// shares with its clones, its live connections and its webs; replace it by
/// `Service::replace_authority`.
///
/// # Example
///
/// ```
/// use relatch::{MasterKey, authority::CurrentAuthority};
/// use time::{Duration, OffsetDateTime};
///
/// fn rotate(current: &CurrentAuthority, new: MasterKey) -> Result<(), Box<dyn std::error::Error>> {
///     let authority = current.get();
///     let until = OffsetDateTime::now_utc() + Duration::days(14);
///     let ring = authority.keys().clone().rotate(new, until)?;
///     current.replace(authority.with_keys(ring)?);
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct CurrentAuthority(Arc<RwLock<Authority>>);

impl CurrentAuthority {
    /// Makes this the current authority.
    #[must_use]
    pub fn new(authority: Authority) -> Self {
        Self(Arc::new(RwLock::new(authority)))
    }

    /// The current authority. Get it anew for each call: a copy does not see a replacement.
    pub fn get(&self) -> Authority {
        // A poisoned lock is safe to use: no panic leaves the authority half replaced.
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the current authority, for example after [`Authority::with_keys`].
    ///
    /// # Security
    ///
    /// Open live connections use the new authority from their next lookup.
    /// [`Revocations::publish_all`](crate::live::Revocations::publish_all) causes that lookup now.
    pub fn replace(&self, authority: Authority) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = authority;
    }
}

impl From<Authority> for CurrentAuthority {
    fn from(authority: Authority) -> Self {
        Self::new(authority)
    }
}

impl fmt::Debug for CurrentAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CurrentAuthority").field(&self.get()).finish()
    }
}
