//! Fingerprints: a second secret, in a hardened cookie, that a bound token requires.

use std::{fmt, str::FromStr};

use time::Duration;
use zeroize::Zeroizing;

use crate::{
    bytes::base64url,
    entropy::{Entropy, EntropyError, SystemEntropy},
    error::ParseError,
};

/// A random value in a browser's cookie that scripts cannot read. The browser's tokens are bound to
/// it ([`Context::with_fingerprint`](crate::Context::with_fingerprint)).
///
/// A token that leaks through a script or a log is useless without the cookie. This is OWASP's
/// advice against token sidejacking (JSON Web Token Cheat Sheet). OWASP puts a hash of the value
/// into the token; here the value is part of the key derivation, and the token does not reveal it.
///
/// # Security
///
/// Make a new one at each login. It does not help against a script that runs in the page itself,
/// because the browser sends the cookie with that script's requests.
///
/// # Example
///
/// ```
/// use relatch::{
///     AccessToken, Authority, Context, Fingerprint, SessionTokens, User,
///     authority::Change,
/// };
/// use relatch::{Access, NoClaims, Rejection};
/// use time::Duration;
///
/// # fn store(_: &Change) -> Result<bool, std::io::Error> { Ok(true) }
/// /// The tokens, and the `Set-Cookie` header to send with them.
/// fn log_in(
///     authority: &Authority,
///     account: &dyn User,
/// ) -> Result<Option<(SessionTokens, String)>, Box<dyn std::error::Error>> {
///     let fingerprint = Fingerprint::generate()?;
///     let issue = authority.issue::<Access>(account, &NoClaims {});
///     let issue = issue.context(Context::new().with_fingerprint(&fingerprint));
///     let tokens = issue.start_session("Firefox on Linux")?.commit(store)?;
///     let cookie = fingerprint.expose_set_cookie(Duration::days(90));
///     Ok(tokens.stored().map(|tokens| (tokens, cookie.to_string())))
/// }
///
/// /// A token as it arrives, with the value of the cookie that arrived with it.
/// fn arrived(text: &str, cookie: Option<&str>) -> AccessToken {
///     let token = AccessToken::new(text);
///     match cookie.and_then(|value| value.parse::<Fingerprint>().ok()) {
///         Some(fingerprint) => token.in_context(Context::new().with_fingerprint(&fingerprint)),
///         None => token, // verification rejects it if it is bound
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Fingerprint(Zeroizing<[u8; 32]>);

impl Fingerprint {
    /// The cookie's name. Browsers accept a cookie with the prefix `__Host-` only over TLS, for the
    /// whole site and from the host itself (RFC 6265bis §4.1.3.2).
    pub const COOKIE: &str = "__Host-Fgp";

    /// A new fingerprint of 32 random bytes.
    ///
    /// # Errors
    ///
    /// [`EntropyError`] if the operating system returns no random bytes.
    pub fn generate() -> Result<Self, EntropyError> {
        let mut bytes = Zeroizing::new([0; 32]);
        SystemEntropy.fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The cookie's value: 43 characters of base64url.
    #[must_use]
    pub fn expose(&self) -> Zeroizing<String> {
        Zeroizing::new(base64url::encode(&*self.0))
    }

    /// The value of the `Set-Cookie` header. `max_age`, in whole seconds, is the lifetime of the
    /// cookie, for example the session's absolute lifetime.
    #[must_use]
    pub fn expose_set_cookie(&self, max_age: Duration) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{}={}; Max-Age={}; Path=/; Secure; HttpOnly; SameSite=Strict",
            Self::COOKIE,
            *self.expose(),
            max_age.whole_seconds().max(0)
        ))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = ParseError;

    /// Parses the value of the received cookie.
    fn from_str(value: &str) -> Result<Self, Self::Err> {
        base64url::decode_array(value)
            .map(|bytes| Self(Zeroizing::new(bytes)))
            .ok_or(ParseError::new("the cookie's value is not a fingerprint"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_survives_its_cookie() {
        let one = Fingerprint::generate().unwrap();
        let back: Fingerprint = one.expose().parse().unwrap();
        assert_eq!(back.0, one.0);
        assert_ne!(Fingerprint::generate().unwrap().0, one.0);
        for bad in ["", "AAAA", &one.expose()[1..], &format!("{}=", *one.expose())] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_cookie_is_hardened() {
        let fingerprint = Fingerprint(Zeroizing::new([0; 32]));
        let zeros = "A".repeat(43);
        assert_eq!(
            *fingerprint.expose_set_cookie(Duration::minutes(1)),
            format!("__Host-Fgp={zeros}; Max-Age=60; Path=/; Secure; HttpOnly; SameSite=Strict")
        );
        assert!(fingerprint.expose_set_cookie(-Duration::MINUTE).contains("Max-Age=0;"));
    }
}
