//! Proof of origin: whether a page of the same origin made a request.

use http::{
    HeaderMap, HeaderName,
    header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
    uri::Authority,
};

/// Fetch Metadata (W3C) §2.4.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

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
        host.zip(host_of(parts)).is_some_and(|(theirs, own)| theirs.eq_ignore_ascii_case(own))
    }
}

/// Whether this is an origin as browsers write it (RFC 6454 §6.2). `null` is not: any site can have
/// it.
pub(crate) fn is_origin(text: &str) -> bool {
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let in_host =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte);
    host.is_some_and(|host| !host.is_empty() && host.bytes().all(in_host))
}

/// Whether the browser says that another site caused this request.
pub(crate) fn is_cross_site(parts: &Parts) -> bool {
    matches!(only(&parts.headers, &SEC_FETCH_SITE), Header::Once("cross-site"))
}

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
