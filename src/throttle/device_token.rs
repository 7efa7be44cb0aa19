//! The text that marks a device on which a user has logged in.

use std::fmt;

use time::Duration;
use zeroize::Zeroizing;

/// The text that marks a device on which a user has logged in, after OWASP's
/// [device cookies](https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
///
/// A login with a valid one, for the name of that user, has a limit of its own. So an attacker who uses
/// up the limit of the name does not keep the owner from logging in. After a login without a
/// valid one, the user can get a [notice](crate::service::ServiceBuilder::on_new_device). The token is
/// authenticated under the master key ([format](crate::guide::format#device-tokens)), and is not stored.
///
/// # Security
///
/// It gives no access. It expires after [a year](Self::LIFETIME); each login renews it. It survives a new
/// password and a logout everywhere. It ends with its master key. All tokens of a user end when the user
/// reports a device by a [`NotMe`](crate::one_time::NotMe) link, and when a second factor is set up, replaced or
/// removed ([`change_secret`](crate::service::Service::change_secret)). While the limit of
/// the name is used up, a thief of the token can still try passwords of this one user, within the limit of
/// the device. Anybody who has known the password can have several tokens, each with a limit of its own. A
/// thief of the master key can make any number: then only the limits of addresses remain.
#[derive(Clone)]
pub struct DeviceToken(Zeroizing<String>);

impl DeviceToken {
    /// The time for which a token is valid: 365 days.
    pub const LIFETIME: Duration = Duration::days(365);

    /// A token that a client has sent. Any text is accepted here; one that is not valid has no effect.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the client alone: at most 404 characters of base64url.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceToken([redacted])")
    }
}
