//! Cookies: names, attributes, reading and writing.

use http::{HeaderMap, HeaderValue, header::COOKIE};
use time::Duration;

use crate::axum::refusal::Refusal;

/// The maximum length of all `Cookie` headers together, in bytes.
const MAX_COOKIE_BYTES: usize = 16 * 1024;

/// The longest name and value of a cookie together that browsers accept, in bytes.
const MAX_PAIR_BYTES: usize = 4096;

/// The greatest number of refresh cookies of different values in one request.
const MAX_REFRESH_COOKIES: usize = 4;

/// The greatest number of former paths.
const MAX_FORMER_PATHS: usize = 8;

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
/// request with two access cookies is refused; two device cookies count as none. A browser
/// keeps the device of the user who logged in last.
///
/// The first two have no `Max-Age` in a session whose policy has
/// [session cookies](crate::SessionPolicy::session_cookies): browsers discard them when they are closed.
///
/// A request can have several refresh cookies, such as one that an earlier release set for another
/// [path](Self::former_refresh_path). Up to 4 are tried, and the valid one is used. If those of
/// several sessions are valid, the request is refused. It is also refused if one is valid and another one,
/// of another user, is rejected for a reason that is not [final](crate::Reason::is_final).
///
/// # Security
///
/// Another host of the same domain can set a `__Secure-` cookie for the whole domain. So it can
/// plant a refresh token of its own account, but it can neither read nor replace an existing one.
/// Next to a cookie of a session that may be alive, a planted one prevents the refresh of that session, and
/// never replaces it. Do not give subdomains of a login's domain to third parties.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cookies {
    name: String,
    path: String,
    former_paths: Vec<String>,
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
            former_paths: Vec::new(),
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

    /// Names a path that [`refresh_path`](Self::refresh_path) had in an earlier release. Each response
    /// that sets or deletes the refresh token's cookie also deletes the one with this path. Call it once
    /// for each former path, for at most 8, and keep it until all sessions of that release have ended.
    ///
    /// A browser keeps the old cookie beside the new one, and sends both where both paths match. The
    /// session goes on without this setting too. But the old cookie of an ended session stays in the
    /// browser, and if no current cookie is sent, an old one of the same session counts as reuse.
    #[must_use]
    pub fn former_refresh_path(mut self, path: impl Into<String>) -> Self {
        self.former_paths.push(path.into());
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

    /// Whether the name and the paths are valid in a header, and no former path is the present one.
    pub(crate) fn is_valid(&self) -> bool {
        self.name.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && is_path(&self.path)
            && self.former_paths.len() <= MAX_FORMER_PATHS
            && self.former_paths.iter().all(|path| is_path(path) && *path != self.path)
    }

    /// The value of this cookie. `None` if it is absent or empty; refused if it is there twice.
    pub(crate) fn read<'h>(
        &self,
        headers: &'h HeaderMap,
        kind: CookieKind,
    ) -> Result<Option<&'h str>, Refusal> {
        let name = self.name_of(kind);
        let mut values = values(headers, &name)?;
        let Some(value) = values.next() else { return Ok(None) };
        match values.next() {
            Some(_) => Err(Refusal::Ambiguous),
            None => Ok(Some(value).filter(|value| !value.is_empty())),
        }
    }

    /// The different values of the refresh token's cookies, without empty ones. More than four are
    /// refused.
    pub(crate) fn read_refresh<'h>(&self, headers: &'h HeaderMap) -> Result<Vec<&'h str>, Refusal> {
        let mut found = Vec::new();
        for value in values(headers, &self.name_of(CookieKind::Refresh))? {
            if !value.is_empty() && !found.contains(&value) {
                found.push(value);
            }
            if found.len() > MAX_REFRESH_COOKIES {
                return Err(Refusal::Ambiguous);
            }
        }
        Ok(found)
    }

    /// The `Set-Cookie` for a token with this remaining lifetime, in whole seconds; without one, the browser
    /// keeps the cookie until it is closed.
    pub(crate) fn set(
        &self,
        kind: CookieKind,
        value: &str,
        max_age: Option<Duration>,
    ) -> Option<HeaderValue> {
        let path = match kind {
            CookieKind::Refresh => &*self.path,
            CookieKind::Access | CookieKind::Device | CookieKind::SecondStep => "/",
        };
        self.set_at(path, kind, value, max_age)
    }

    fn set_at(
        &self,
        path: &str,
        kind: CookieKind,
        value: &str,
        max_age: Option<Duration>,
    ) -> Option<HeaderValue> {
        let name = self.name_of(kind);
        let same_site = match kind {
            CookieKind::Access => self.access,
            CookieKind::Refresh | CookieKind::Device | CookieKind::SecondStep => SameSite::Strict,
        };
        let secure = if self.development { "" } else { " Secure;" };
        let max_age = max_age.map(|time| format!(" Max-Age={};", time.whole_seconds().max(0)));
        let max_age = max_age.unwrap_or_default();
        let mut header = HeaderValue::try_from(format!(
            "{name}={value};{max_age} Path={path};{secure} HttpOnly; SameSite={same_site:?}"
        ))
        .ok()?;
        header.set_sensitive(true);
        Some(header)
    }

    /// The longest value of this cookie that browsers accept, in bytes (RFC 6265bis §5.7).
    pub(crate) fn max_bytes(&self, kind: CookieKind) -> usize {
        MAX_PAIR_BYTES.saturating_sub(self.name_of(kind).len())
    }

    /// The `Set-Cookie` that deletes the cookie.
    pub(crate) fn delete(&self, kind: CookieKind) -> Option<HeaderValue> {
        self.set(kind, "", Some(Duration::ZERO))
    }

    /// Each `Set-Cookie` that deletes a refresh token of a former path.
    pub(crate) fn delete_former(&self) -> impl Iterator<Item = HeaderValue> {
        self.former_paths
            .iter()
            .filter_map(|path| self.set_at(path, CookieKind::Refresh, "", Some(Duration::ZERO)))
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

fn is_path(path: &str) -> bool {
    let in_path = |byte: u8| byte.is_ascii_graphic() && byte != b';' && byte != b',';
    path.starts_with('/') && (path.len() == 1 || !path.ends_with('/')) && path.bytes().all(in_path)
}

/// The values of the cookies of this name, in the order of the request. A value that is not UTF-8 counts
/// as empty, like that of a deleted cookie.
fn values<'h>(
    headers: &'h HeaderMap,
    name: &str,
) -> Result<impl Iterator<Item = &'h str>, Refusal> {
    let all = headers.get_all(COOKIE);
    if all.iter().map(HeaderValue::len).sum::<usize>() > MAX_COOKIE_BYTES {
        return Err(Refusal::HeaderTooLarge);
    }
    let pairs = all.iter().flat_map(|header| header.as_bytes().split(|byte| *byte == b';'));
    Ok(pairs.filter_map(move |pair| {
        let value = pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
        Some(str::from_utf8(value).unwrap_or_default())
    }))
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
        let headers = |text: &'static [u8]| {
            HeaderMap::from_iter([(COOKIE, HeaderValue::from_bytes(text).unwrap())])
        };
        let read = |text: &'static [u8]| {
            let headers = headers(text);
            let value = Cookies::new().read(&headers, CookieKind::Access).map_err(|_| ());
            value.map(|value| value.map(str::to_owned))
        };
        for none in [&b""[..], b"x=1", b"__Host-access", b"__Host-access=", b"__host-access=t"] {
            assert_eq!(read(none), Ok(None));
        }
        assert_eq!(read(b"a=b;__Host-access=t=u ;\xff"), Ok(Some("t=u".into())));
        assert_eq!(read(b"__Host-access=t; __Host-access="), Err(()));
        let read = |text: &'static [u8]| {
            let headers = headers(text);
            let values = Cookies::new().read_refresh(&headers).map_err(|_| ());
            values.map(|values| values.join(" "))
        };
        let name = "__Secure-refresh";
        assert_eq!(read(b""), Ok(String::new()));
        let text =
            b"__Secure-refresh=a; x=y; __Secure-refresh=; __Secure-refresh=b;__Secure-refresh=a";
        assert_eq!(read(text), Ok("a b".into()), "{name}");
        let many = "abcde".chars().map(|value| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(read(many.join("; ").leak().as_bytes()), Err(()));
    }
}
