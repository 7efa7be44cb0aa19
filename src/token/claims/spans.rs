//! Registered claims as spans of the payload's text.

use crate::{bytes::span::Span, sessions::SessionId, token::claims::registered::Audience};

/// The registered claims of a payload: numbers, and the spans of texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimSpans {
    pub(super) issuer: Span,
    pub(super) subject: Span,
    pub(super) audience: Audience,
    pub(crate) exp: u64,
    pub(crate) iat: u64,
    pub(super) jti: Span,
    pub(crate) ver: u64,
    pub(crate) session: Option<SessionId>,
    pub(crate) seq: Option<u64>,
    pub(crate) lane: Option<u64>,
    /// An object with the private claims, with or without the registered ones; empty if there are
    /// no private claims.
    pub(super) own: Span,
}
