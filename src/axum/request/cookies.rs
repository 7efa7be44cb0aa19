//! Cookies: their names, attributes and how they are read.

use http::{HeaderMap, HeaderValue, header::COOKIE};
use time::Duration;

use crate::axum::refusal::Refusal;

/// How many bytes of `Cookie` headers are looked at.
const MAX_COOKIE_BYTES: usize = 16 * 1024;

/// How tokens travel in cookies.
///
/// | cookie | holds | attributes |
/// | --- | --- | --- |
/// | `__Host-access` | the access token | `HttpOnly`, `Secure`, `SameSite=Lax`, `Path=/`, `Max-Age` until it expires |
/// | `__Secure-refresh` | the refresh token | `HttpOnly`, `Secure`, `SameSite=Strict`, its path, `Max-Age` until the session's end |
///
/// No script reads them, and none is sent over plain HTTP (RFC 6265bis §4.1). A cookie that comes
/// twice is refused.
///
/// # Security
///
/// Another host of the same domain can set a `__Secure-` cookie for the whole domain, and so plant
/// a refresh token of its own account, though not read or replace one; beside one that is there it
/// keeps the session from being refreshed. Do not hand out subdomains to strangers beside a login.
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

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieKind {
    Access,
    Refresh,
}

impl Cookies {
    /// The cookies above, the refresh token's limited to the path `/auth`.
    #[must_use]
    pub fn new() -> Self {
        Self {
            name: String::new(),
            path: "/auth".into(),
            access: SameSite::Lax,
            development: false,
        }
    }

    /// Limits the refresh token to this path and what lies under it: where refresh and logout are
    /// mounted, and as little else as may be. It begins with a `/` and does not end with one.
    #[must_use]
    pub fn refresh_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Puts a name into the cookies', as `__Host-NAME-access`: for several applications on one host.
    /// ASCII letters and digits.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sends the access token with `SameSite=Strict`: who follows a link from elsewhere arrives logged
    /// out.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.access = SameSite::Strict;
        self
    }

    /// For development on plain `http://localhost` alone: cookies named `insecure-…`, without `Secure`
    /// and without prefixes, which browsers refuse there. It says so at the start, and requests for
    /// any other host are answered 500 (`127.0.0.1` and `[::1]` count as `localhost`).
    #[must_use]
    pub const fn danger_plain_localhost(mut self) -> Self {
        self.development = true;
        self
    }

    pub(crate) const fn is_development(&self) -> bool {
        self.development
    }

    /// Whether its texts can stand in a header.
    pub(crate) fn is_valid(&self) -> bool {
        let in_path = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b',';
        self.name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && self.path.starts_with('/')
            && (self.path.len() == 1 || !self.path.ends_with('/'))
            && self.path.bytes().all(in_path)
    }

    /// The value of this cookie as it came, if it came once.
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
        // What is no text is no token: as empty as that of a cookie that was deleted.
        Ok(Some(str::from_utf8(value).unwrap_or_default()).filter(|value| !value.is_empty()))
    }

    /// The `Set-Cookie` of a token that lives for so long, in whole seconds.
    pub(crate) fn set(
        &self,
        kind: CookieKind,
        value: &str,
        max_age: Duration,
    ) -> Option<HeaderValue> {
        let (name, path, same_site) = match kind {
            CookieKind::Access => (self.name_of(kind), "/", self.access),
            CookieKind::Refresh => (self.name_of(kind), &*self.path, SameSite::Strict),
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

    /// Whether browsers keep a cookie with this value (RFC 6265bis §5.7).
    pub(crate) fn fits(&self, kind: CookieKind, value: &str) -> bool {
        self.name_of(kind).len() + value.len() <= 4096
    }

    /// The `Set-Cookie` that deletes it.
    pub(crate) fn delete(&self, kind: CookieKind) -> Option<HeaderValue> {
        self.set(kind, "", Duration::ZERO)
    }

    fn name_of(&self, kind: CookieKind) -> String {
        let (prefix, what) = match kind {
            CookieKind::Access => ("__Host-", "access"),
            CookieKind::Refresh => ("__Secure-", "refresh"),
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
