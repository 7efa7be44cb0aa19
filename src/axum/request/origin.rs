//! Proof of origin: whether a page of the same origin made a request.

use http::{
    HeaderMap, HeaderName,
    header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
    uri::Authority,
};

/// Fetch Metadata (W3C) §2.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// The origins that count as the site's own.
#[derive(Debug)]
pub(crate) struct Origins {
    /// Trusted besides the request's own, as browsers write them: `https://app.example.com`.
    pub(crate) trusted: Vec<String>,
    /// The scheme of the site's own origin: `https`, except in development.
    pub(crate) scheme: &'static str,
}

/// Where a request comes from, according to the browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    Same,
    Other,
    /// Neither header is present: an old browser, or another client.
    Unknown,
}

impl Origins {
    /// Reads `Sec-Fetch-Site` if present, otherwise `Origin`. A page's scripts can set neither.
    pub(crate) fn proof(&self, parts: &Parts) -> Proof {
        let origin = only(&parts.headers, &ORIGIN);
        let is_trusted = |origin: &str| self.trusted.iter().any(|trusted| trusted == origin);
        match (only(&parts.headers, &SEC_FETCH_SITE), origin) {
            (Header::Ambiguous, _) | (_, Header::Ambiguous) => Proof::Other,
            // `none`: from no page, but typed by the user or from a bookmark.
            (Header::Once("same-origin" | "none"), _) => Proof::Same,
            (_, Header::Once(origin)) if is_trusted(origin) => Proof::Same,
            (Header::Once(_), _) => Proof::Other,
            (Header::Absent, Header::Once(origin)) => match self.is_own(origin, parts) {
                true => Proof::Same,
                false => Proof::Other,
            },
            (Header::Absent, Header::Absent) => Proof::Unknown,
        }
    }

    fn is_own(&self, origin: &str, parts: &Parts) -> bool {
        let host = origin.strip_prefix(self.scheme).and_then(|rest| rest.strip_prefix("://"));
        host.zip(host_of(parts)).is_some_and(|(theirs, own)| {
            let plain = |host| without_default_port(self.scheme, host);
            plain(theirs).eq_ignore_ascii_case(plain(own))
        })
    }
}

/// The host without its port, if that is the default one of the scheme (RFC 6454 §4, RFC 9110 §4.2.3):
/// proxies add it to `Host`, and browsers leave it out of `Origin`.
fn without_default_port<'h>(scheme: &str, host: &'h str) -> &'h str {
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return host,
    };
    host.strip_suffix(port).unwrap_or(host)
}

/// The origin as browsers write it (RFC 6454 §6.2), without the scheme's default port; `None` for every
/// other text. The scheme is `https`, `http`, or that of an app's own pages, such as `capacitor`. Not
/// accepted are `null`, `file://` and the other schemes whose pages come from anywhere.
pub(crate) fn canonical(text: &str) -> Option<&str> {
    let (scheme, host) = text.split_once("://")?;
    let mut bytes = scheme.bytes();
    let is_scheme = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let in_host =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    let host = without_default_port(scheme, host);
    let is_good = is_scheme
        && !OPAQUE_SCHEMES.contains(&scheme)
        && !host.is_empty()
        && host.bytes().all(in_host);
    is_good.then(|| &text[..scheme.len() + "://".len() + host.len()])
}

/// The schemes of pages that have no origin of their own: any site or file can have them.
const OPAQUE_SCHEMES: [&str; 8] =
    ["about", "blob", "content", "data", "file", "filesystem", "javascript", "view-source"];

/// Whether the browser says that its user navigates to a page from this origin, or from no page (a typed
/// address or a bookmark): not for an image, a frame or a script, not ahead of time, and not from a page
/// of another origin. A page's scripts can set none of these headers.
pub(crate) fn is_own_navigation(parts: &Parts) -> bool {
    let once = |name: &HeaderName| match only(&parts.headers, name) {
        Header::Once(value) => Some(value),
        Header::Absent | Header::Ambiguous => None,
    };
    let is_ahead = PREFETCHES.iter().any(|name| parts.headers.contains_key(*name));
    matches!(once(&SEC_FETCH_SITE), Some("same-origin" | "none"))
        && once(&SEC_FETCH_MODE) == Some("navigate")
        && once(&SEC_FETCH_DEST) == Some("document")
        && !is_ahead
}

/// The headers of a request that is made before the user navigates.
const PREFETCHES: [&str; 3] = ["sec-purpose", "purpose", "x-moz"];

/// Whether the request's method is safe (RFC 9110 §9.2.1) and it opens no WebSocket: browsers let
/// any page open one. A proxy that asks for a check may omit `Upgrade`, so `Sec-WebSocket-Key`
/// counts too.
pub(crate) fn is_safe(parts: &Parts) -> bool {
    let opens = [UPGRADE, SEC_WEBSOCKET_KEY].iter().any(|name| parts.headers.contains_key(name));
    parts.method.is_safe() && !opens
}

/// The request's host, with its port if given: from HTTP/2's `:authority`, or from `Host`.
pub(crate) fn host_of(parts: &Parts) -> Option<&str> {
    match (parts.uri.authority().map(Authority::as_str), only(&parts.headers, &HOST)) {
        (Some(authority), _) => Some(authority),
        (None, Header::Once(host)) => Some(host),
        _ => None,
    }
}

enum Header<'h> {
    Absent,
    Once(&'h str),
    /// Present more than once, or not text.
    Ambiguous,
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Header<'h> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(value), None) => value.to_str().map_or(Header::Ambiguous, Header::Once),
        _ => Header::Ambiguous,
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_a_browser_says_is_same_other_or_unknown() {
        let origins = Origins { trusted: vec!["https://b.example".into()], scheme: "https" };
        let proof = |headers: &[(&str, &str)]| {
            let request =
                headers.iter().fold(Request::post("/"), |r, (name, value)| r.header(*name, *value));
            origins.proof(&request.header("host", "a.example").body(()).unwrap().into_parts().0)
        };
        assert_eq!(proof(&[]), Proof::Unknown);
        let same: [&[(&str, &str)]; 4] = [
            &[("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("sec-fetch-site", "cross-site"), ("origin", "https://b.example")],
            &[("origin", "https://a.example")],
        ];
        for headers in same {
            assert_eq!(proof(headers), Proof::Same, "{headers:?}");
        }
        let same: [(&str, &str); 4] = [
            ("https://a.example", "a.example:443"),
            ("https://a.example:443", "A.example"),
            ("https://[::1]", "[::1]:443"),
            ("https://a.example:8443", "a.example:8443"),
        ];
        for (origin, host) in same {
            let request = Request::post("/").header("origin", origin).header("host", host);
            let request = request.body(()).unwrap().into_parts().0;
            assert_eq!(origins.proof(&request), Proof::Same, "{origin} {host}");
        }
        for (origin, host) in [
            ("https://a.example", "a.example:80"),
            ("https://a.example:8443", "a.example"),
            ("https://a.example", "a.example:4430"),
            ("https://a.example", "a.example:443:443"),
        ] {
            let request = Request::post("/").header("origin", origin).header("host", host);
            let request = request.body(()).unwrap().into_parts().0;
            assert_eq!(origins.proof(&request), Proof::Other, "{origin} {host}");
        }
        let other: [&[(&str, &str)]; 5] = [
            &[("sec-fetch-site", "same-site"), ("origin", "https://a.example")],
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
            &[("origin", "http://a.example")],
            &[("origin", "https//a.example")],
            &[("origin", "null")],
        ];
        for headers in other {
            assert_eq!(proof(headers), Proof::Other, "{headers:?}");
        }
    }

    #[test]
    fn a_navigation_is_one_of_the_users_and_of_this_origin() {
        let is_own = |headers: &[(&str, &str)]| {
            let start = Request::get("/").header("sec-fetch-mode", "navigate");
            let request = headers.iter().fold(start, |r, (name, value)| r.header(*name, *value));
            is_own_navigation(&request.body(()).unwrap().into_parts().0)
        };
        let (site, page) = ("sec-fetch-site", ("sec-fetch-dest", "document"));
        assert!(is_own(&[(site, "same-origin"), page]) && is_own(&[(site, "none"), page]));
        let other: [&[(&str, &str)]; 10] = [
            &[],
            &[(site, "same-origin")],
            &[page],
            &[(site, "same-site"), page],
            &[(site, "cross-site"), page],
            &[(site, "same-origin"), (site, "same-origin"), page],
            &[(site, "same-origin"), ("sec-fetch-dest", "iframe")],
            &[(site, "same-origin"), ("sec-fetch-dest", "image")],
            &[(site, "same-origin"), page, ("sec-fetch-mode", "no-cors")],
            &[(site, "same-origin"), page, ("sec-purpose", "prefetch;prerender")],
        ];
        for headers in other {
            assert!(!is_own(headers), "{headers:?}");
        }
    }

    #[test]
    fn an_origin_is_written_in_one_way() {
        for (text, expected) in [
            ("https://app.example.com", Some("https://app.example.com")),
            ("https://app.example.com:443", Some("https://app.example.com")),
            ("http://localhost:80", Some("http://localhost")),
            ("http://localhost:443", Some("http://localhost:443")),
            ("capacitor://localhost", Some("capacitor://localhost")),
            ("ionic://localhost", Some("ionic://localhost")),
            ("chrome-extension://abcdefgh", Some("chrome-extension://abcdefgh")),
            ("tauri://localhost", Some("tauri://localhost")),
            ("null", None),
            ("*", None),
            ("file://", None),
            ("file://localhost", None),
            ("data://x", None),
            ("blob://x", None),
            ("content://com.example", None),
            ("javascript://x", None),
            ("capacitor://", None),
            ("://localhost", None),
            ("1a://localhost", None),
            ("https://:443", None),
            ("https://a.example/", None),
            ("https://A.example", None),
            ("HTTPS://a.example", None),
            ("a.example", None),
            ("https://*.example.com", None),
            ("https://user@a.example", None),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
    }

    #[test]
    fn a_websocket_is_not_safe_however_it_is_told() {
        let is_safe_ = |method: &str, header: &str| {
            let request = Request::builder().method(method).header(header, "x");
            is_safe(&request.body(()).unwrap().into_parts().0)
        };
        assert!(is_safe_("GET", "accept") && is_safe_("HEAD", "accept"));
        for (method, header) in [
            ("GET", "upgrade"),
            ("GET", "sec-websocket-key"),
            // Over HTTP/2 (RFC 8441 §4).
            ("CONNECT", "accept"),
            ("POST", "accept"),
            ("get", "accept"),
        ] {
            assert!(!is_safe_(method, header), "{method} {header}");
        }
    }
}
