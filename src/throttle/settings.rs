//! The settings of the limits.

use std::{fmt, num::NonZeroU32, sync::Arc};

use time::Duration;

use super::{Limit, LimitStore, limit_store::ErasedLimitStore};

/// The limits for attempts at passwords and codes, and the place of their counts. See the
/// [module](crate::throttle) for what is counted.
///
/// | limit | default |
/// | --- | --- |
/// | [`per_account`](Self::per_account) | 10, plus one every 30 seconds |
/// | [`per_device`](Self::per_device) | 10, plus one every 30 seconds |
/// | [`per_address`](Self::per_address) | 30, plus one every 2 seconds |
/// | [`per_session`](Self::per_session) | 10, plus one every 30 seconds |
/// | [`per_user`](Self::per_user) | 40, plus one every 7.5 seconds |
/// | [`per_second_step`](Self::per_second_step) | 10, plus one every 30 minutes |
///
/// # Security
///
/// The limit of an account also applies to its owner, on a device on which the owner has never logged
/// in. Existing sessions are not affected, and neither are devices with a
/// [`DeviceToken`](super::DeviceToken). Without this limit, an attacker with many addresses could try any
/// number of passwords.
///
/// The default allows 2,890 attempts a day at one name. NIST SP 800-63B-4 §3.2.2 allows 100 wrong ones in
/// a row. A limit of 50, plus one per half an hour (`Limit::new(50, …)`), allows fewer in the first day.
#[derive(Clone)]
pub struct Throttle {
    pub(super) account: Option<Limit>,
    pub(super) device: Option<Limit>,
    pub(super) address: Option<Limit>,
    pub(super) session: Option<Limit>,
    pub(super) user: Option<Limit>,
    pub(super) second_step: Option<Limit>,
    pub(super) shared: Option<Arc<dyn ErasedLimitStore>>,
}

/// A limit of so many at once, plus one per so many milliseconds.
const fn limit(at_once: u32, milliseconds: i64) -> Option<Limit> {
    let at_once = NonZeroU32::MIN.saturating_add(at_once - 1);
    Some(Limit::new(at_once, Duration::milliseconds(milliseconds)))
}

impl Throttle {
    /// The default limits, with counts in memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            account: limit(10, 30_000),
            device: limit(10, 30_000),
            address: limit(30, 2_000),
            session: limit(10, 30_000),
            user: limit(40, 7_500),
            second_step: limit(10, 30 * 60_000),
            shared: None,
        }
    }

    /// Sets the limit of a name, and of the user that it finds.
    #[must_use]
    pub fn per_account(self, limit: Limit) -> Self {
        Self { account: Some(limit), ..self }
    }

    /// Sets the limit of a device on which the user has logged in before.
    #[must_use]
    pub fn per_device(self, limit: Limit) -> Self {
        Self { device: Some(limit), ..self }
    }

    /// Counts all devices by the name and the user, and uses no [`DeviceToken`](super::DeviceToken).
    #[must_use]
    pub fn without_devices(self) -> Self {
        Self { device: None, ..self }
    }

    /// Sets the limit of an address. Its networks have a multiple of it.
    #[must_use]
    pub fn per_address(self, limit: Limit) -> Self {
        Self { address: Some(limit), ..self }
    }

    /// Sets the limit of a session whose user is asked for the password again.
    #[must_use]
    pub fn per_session(self, limit: Limit) -> Self {
        Self { session: Some(limit), ..self }
    }

    /// Sets the limit of a user for all sessions together.
    ///
    /// # Security
    ///
    /// It should be a multiple of [`per_session`](Self::per_session). Otherwise the thief of one access
    /// token can keep the owner from changing the password in another session.
    #[must_use]
    pub fn per_user(self, limit: Limit) -> Self {
        Self { user: Some(limit), ..self }
    }

    /// Sets the limit of the codes that are tried for one user in a login's second step
    /// ([`Service::second_step`](crate::service::Service::second_step)). A device on which the user has
    /// logged in, and a session ([`admit_code`](crate::service::Service::admit_code)), have the same limit
    /// for themselves. All sessions of the user together have four times the limit.
    ///
    /// # Security
    ///
    /// Only somebody who has the password can try codes. Such a person can use up this limit. The user
    /// then logs in on a known device, or sets a new password, which ends the attack.
    ///
    /// A code of six digits has 10⁶ values, and three of them are right if the codes of the neighbouring time
    /// steps are accepted too. The default allows 58 in the first day, then 48 a day.
    #[must_use]
    pub fn per_second_step(self, limit: Limit) -> Self {
        Self { second_step: Some(limit), ..self }
    }

    /// Removes the limits by address, for a server behind a proxy that limits addresses. The client's
    /// address then need not be known.
    #[must_use]
    pub fn without_addresses(self) -> Self {
        Self { address: None, ..self }
    }

    /// Also counts in this place, which several processes share.
    #[must_use]
    pub fn shared(self, store: impl LimitStore) -> Self {
        Self { shared: Some(Arc::new(store)), ..self }
    }

    /// Removes all limits, for a server behind a proxy that limits attempts.
    #[must_use]
    pub const fn danger_unlimited() -> Self {
        Self {
            account: None,
            device: None,
            address: None,
            session: None,
            user: None,
            second_step: None,
            shared: None,
        }
    }
}

impl Default for Throttle {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Throttle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttle")
            .field("account", &self.account)
            .field("device", &self.device)
            .field("address", &self.address)
            .field("session", &self.session)
            .field("user", &self.user)
            .field("second_step", &self.second_step)
            .field("is_shared", &self.shared.is_some())
            .finish()
    }
}
