//! Where a request's token is: in one header (RFC 6750 §2.1) or in one cookie, and never in both.

use http::{HeaderMap, header::AUTHORIZATION};

use super::cookies::{CookieKind, Cookies};
use crate::{axum::refusal::Refusal, token::MAX_TOKEN_BYTES};

/// What carried a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Carrier {
    /// Set by the client's own code: no other page can make a browser send it.
    Header,
    /// Sent by the browser, whoever made it send the request.
    Cookie,
}

/// The text of the access token that came with a request, if one did.
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

/// `Authorization: Bearer`. Another scheme is somebody else's, such as a proxy's `Basic`.
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
