//! Cookies: names, attributes, reading and writing.

use http::{HeaderMap, HeaderValue, header::COOKIE};
use time::Duration;

use crate::axum::refusal::Refusal;

/// The maximum length of all `Cookie` headers together, in bytes.
const MAX_COOKIE_BYTES: usize = 16 * 1024;

/// The settings of the cookies that carry tokens.
///
/// | cookie | holds | attributes |
/// | --- | --- | --- |
/// | `__Host-access` | the access token | `HttpOnly`, `Secure`, `SameSite=Lax`, `Path=/`, `Max-Age` until it expires |
/// | `__Secure-refresh` | the refresh token | `HttpOnly`, `Secure`, `SameSite=Strict`, its path, `Max-Age` until the session's end |
/// | `__Host-device` | the [device token](crate::throttle::DeviceToken), which survives a logout | `HttpOnly`, `Secure`, `SameSite=Strict`, `Path=/`, `Max-Age` of a year from the last login |
/// | `__Host-second-step` | the token of a [pending login](crate::one_time::SecondStep), until its second step | `HttpOnly`, `Secure`, `SameSite=Strict`, `Path=/`, `Max-Age` of 5 minutes |
///
/// Scripts cannot read them, and browsers do not send them over plain HTTP (RFC 6265bis §4.1). A
/// request with the same cookie of a token twice is refused; two device cookies count as none. A browser
/// keeps the device of the user who logged in last.
///
/// # Security
///
/// Another host of the same domain can set a `__Secure-` cookie for the whole domain. So it can
/// plant a refresh token of its own account, but it can neither read nor replace an existing one.
/// Next to an existing cookie, a planted one prevents the refresh of the session. Do not give
/// subdomains of a login's domain to third parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    name: String,
    path: String,
    access: SameSite,
    development: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SameSite {
    Lax,
    Strict,
}

/// The cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieKind {
    Access,
    Refresh,
    Device,
    SecondStep,
}

impl Cookies {
    /// The cookies above, with the path `/auth` for the refresh token.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: String::new(),
            path: "/auth".into(),
            access: SameSite::Lax,
            development: false,
        }
    }

    /// Sets the path of the refresh token's cookie. Mount refresh and logout under this path, and
    /// as little else as possible. It begins with a `/` and does not end with one.
    #[must_use]
    pub fn refresh_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Adds a name to the names of the cookies, as in `__Host-NAME-access`: for several
    /// applications on one host. It consists of ASCII letters and digits.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets `SameSite=Strict` for the access token. A user who follows a link from another site
    /// then arrives without a login.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.access = SameSite::Strict;
        self
    }

    /// Sets cookies for development on plain `http://localhost` only. They are named `insecure-…`,
    /// and have neither `Secure` nor the prefixes, which browsers reject without TLS. A warning is
    /// logged at the start, and requests for any other host are answered with 500 (`127.0.0.1` and
    /// `[::1]` count as `localhost`).
    #[must_use]
    pub const fn danger_plain_localhost(mut self) -> Self {
        self.development = true;
        self
    }

    pub(crate) const fn is_development(&self) -> bool {
        self.development
    }

    /// Whether the name and the path are valid in a header.
    pub(crate) fn is_valid(&self) -> bool {
        let in_path = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b',';
        self.name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && self.path.starts_with('/')
            && (self.path.len() == 1 || !self.path.ends_with('/'))
            && self.path.bytes().all(in_path)
    }

    /// The value of this cookie. `None` if it is absent or empty.
    pub(crate) fn read<'h>(
        &self,
        headers: &'h HeaderMap,
        kind: CookieKind,
    ) -> Result<Option<&'h str>, Refusal> {
        let all = headers.get_all(COOKIE);
        if all.iter().map(HeaderValue::len).sum::<usize>() > MAX_COOKIE_BYTES {
            return Err(Refusal::HeaderTooLarge);
        }
        let name = self.name_of(kind);
        let pairs = all.iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
        let mut values = pairs.filter_map(|pair| {
            let rest = pair.trim_ascii().strip_prefix(name.as_bytes())?;
            rest.strip_prefix(b"=")
        });
        let Some(value) = values.next() else { return Ok(None) };
        if values.next().is_some() {
            return Err(Refusal::Ambiguous);
        }
        // A value that is not UTF-8 counts as empty, like that of a deleted cookie.
        Ok(Some(str::from_utf8(value).unwrap_or_default()).filter(|value| !value.is_empty()))
    }

    /// The `Set-Cookie` for a token with this remaining lifetime, in whole seconds.
    pub(crate) fn set(
        &self,
        kind: CookieKind,
        value: &str,
        max_age: Duration,
    ) -> Option<HeaderValue> {
        let (name, path, same_site) = match kind {
            CookieKind::Access => (self.name_of(kind), "/", self.access),
            CookieKind::Refresh => (self.name_of(kind), &*self.path, SameSite::Strict),
            CookieKind::Device | CookieKind::SecondStep => {
                (self.name_of(kind), "/", SameSite::Strict)
            }
        };
        let secure = if self.development { "" } else { " Secure;" };
        let max_age = max_age.whole_seconds().max(0);
        let mut header = HeaderValue::try_from(format!(
            "{name}={value}; Max-Age={max_age}; Path={path};{secure} HttpOnly; SameSite={same_site:?}"
        ))
        .ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// Whether browsers accept a cookie with this value (RFC 6265bis §5.7).
    pub(crate) fn fits(&self, kind: CookieKind, value: &str) -> bool {
        self.name_of(kind).len() + value.len() <= 4096
    }

    /// The `Set-Cookie` that deletes the cookie.
    pub(crate) fn delete(&self, kind: CookieKind) -> Option<HeaderValue> {
        self.set(kind, "", Duration::ZERO)
    }

    fn name_of(&self, kind: CookieKind) -> String {
        let (prefix, what) = match kind {
            CookieKind::Access => ("__Host-", "access"),
            CookieKind::Refresh => ("__Secure-", "refresh"),
            CookieKind::Device => ("__Host-", "device"),
            CookieKind::SecondStep => ("__Host-", "second-step"),
        };
        let prefix = if self.development { "insecure-" } else { prefix };
        match &*self.name {
            "" => format!("{prefix}{what}"),
            name => format!("{prefix}{name}-{what}"),
        }
    }
}

impl Default for Cookies {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_read_by_its_whole_name_and_once() {
        let read = |text: &'static [u8]| {
            let headers = HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(text).unwrap())]);
            let value = Cookies::new().read(&headers, CookieKind::Refresh).map_err(|_| ());
            value.map(|value| value.map(str::to_owned))
        };
        for none in
            [&b""[..], b"x=1", b"__Secure-refresh", b"__Secure-refresh=", b"__secure-refresh=t"]
        {
            assert_eq!(read(none), Ok(None));
        }
        assert_eq!(read(b"a=b;__Secure-refresh=t=u ;\xff"), Ok(Some("t=u".into())));
        assert_eq!(read(b"__Secure-refresh=t; __Secure-refresh="), Err(()));
    }
}
