//! Same origin: the proof that a request with cookies comes from a page of the same site's.

use http::{
    HeaderMap, HeaderName,
    header::{HOST, ORIGIN, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
    uri::Authority,
};

/// Fetch Metadata (W3C) §2.4.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What is taken for the same origin.
#[derive(Debug)]
pub(super) struct Origins {
    /// Besides the request's own, as browsers write them: `https://app.example.com`.
    pub(super) trusted: Vec<String>,
    /// That of the request's own host: `https` but for development.
    pub(super) scheme: &'static str,
}

/// What a browser says of where a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proof {
    Same,
    Other,
    /// It says nothing: it is an old one, or none.
    Unknown,
}

impl Origins {
    /// `Sec-Fetch-Site` if it came, or else `Origin`: neither can be set by a page's scripts.
    pub(super) fn proof(&self, parts: &Parts) -> Proof {
        let origin = only(&parts.headers, &ORIGIN);
        let is_trusted = |origin: &str| self.trusted.iter().any(|trusted| trusted == origin);
        match (only(&parts.headers, &SEC_FETCH_SITE), origin) {
            (Header::Twice, _) | (_, Header::Twice) => Proof::Other,
            // `none`: not from a page at all, but typed, or a bookmark.
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

/// Whether a request of this kind changes nothing (RFC 9110 §9.2.1), and opens no WebSocket, which
/// browsers let any page do. A proxy that asks for a check leaves `Upgrade` out of what it asks.
pub(super) fn is_safe(parts: &Parts) -> bool {
    let opens = [UPGRADE, SEC_WEBSOCKET_KEY].iter().any(|name| parts.headers.contains_key(name));
    parts.method.is_safe() && !opens
}

/// The host that is asked, with its port if that is said: of HTTP/2's `:authority`, or the header.
pub(super) fn host_of(parts: &Parts) -> Option<&str> {
    match (parts.uri.authority().map(Authority::as_str), only(&parts.headers, &HOST)) {
        (Some(authority), _) => Some(authority),
        (None, Header::Once(host)) => Some(host),
        _ => None,
    }
}

enum Header<'h> {
    Absent,
    Once(&'h str),
    /// Or not even text.
    Twice,
}

fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Header<'h> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Header::Absent,
        (Some(value), None) => value.to_str().map_or(Header::Twice, Header::Once),
        _ => Header::Twice,
    }
}
