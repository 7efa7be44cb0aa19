//! The access token of a request: in one header (RFC 6750 §2.1) or in one cookie, never in both.

use http::{HeaderMap, header::AUTHORIZATION};

use super::cookies::{CookieKind, Cookies};
use crate::{axum::refusal::Refusal, token::MAX_TOKEN_BYTES};

/// The carrier of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Set by the client's own code. Another site's page cannot make a browser send it.
    Header,
    /// Sent by the browser, even if another site's page caused the request.
    Cookie,
}

/// The text of the request's access token, and its carrier. `None` if there is no token.
pub(crate) fn access<'h>(
    headers: &'h HeaderMap,
    cookies: Option<&Cookies>,
) -> Result<Option<(Carrier, &'h str)>, Refusal> {
    let cookie = match cookies {
        Some(cookies) => cookies.read(headers, CookieKind::Access)?,
        None => None,
    };
    match (bearer(headers)?, cookie) {
        (Some(_), Some(_)) => Err(Refusal::Ambiguous),
        (Some(token), None) => Ok(Some((Carrier::Header, token))),
        (None, cookie) => Ok(cookie.map(|token| (Carrier::Cookie, token))),
    }
}

/// The token of `Authorization: Bearer`. Other schemes are ignored: a proxy may use `Basic`.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::Ambiguous);
    }
    if value.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::HeaderTooLarge);
    }
    let Ok(text) = value.to_str() else { return Err(Refusal::Ambiguous) };
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    Ok(scheme.eq_ignore_ascii_case("bearer").then(|| token.trim_start_matches(' ')))
}
