//! The text that marks a device on which a user has logged in.

use std::fmt;

use zeroize::Zeroizing;

/// The text that marks a device on which a user has logged in, after OWASP's
/// [device cookies](https://owasp.org/www-community/Slow_Down_Online_Guessing_Attacks_with_Device_Cookies).
///
/// A login with a genuine one, for the name of that user, has a limit of its own. So an attacker who uses
/// up the limit of the name does not keep the owner from logging in. The token is authenticated under the master
/// key ([format](crate::guide::format#device-tokens)), and is not stored.
///
/// # Security
///
/// It gives no access. It survives a new password and log-out everywhere, and ends with its master key; a
/// cookie with it ends after a year, and each login renews it under the current key. A thief of it can try
/// passwords of this one user while the limit of the name is used up, within the limit of the device.
/// Whoever has known the password can have several, each with a limit of its own, and a thief of the master
/// key can make any number: then only the limits of addresses remain.
#[derive(Clone)]
pub struct DeviceToken(Zeroizing<String>);

impl DeviceToken {
    /// A token that a client has sent. Any text is accepted here; one that is not genuine has no effect.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The text, for the client alone: at most 384 characters of base64url.
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
