//! Registered claims: their names, and their values in a verified token.

use std::fmt;

use time::OffsetDateTime;

use crate::{bytes::span::Span, clock::numeric_date, counter::Counter, sessions::SessionId};

/// The registered claims of a verified token (RFC 7519 §4.1).
///
/// A claim is `None` if a plain token, accepted during an adoption, does not have it.
#[derive(Clone)]
pub struct RegisteredClaims {
    /// The text that the spans refer to, usually the whole payload.
    pub(crate) text: String,
    pub(crate) issuer: Option<Span>,
    pub(crate) subject: Span,
    pub(crate) audience: Audience,
    pub(crate) exp: u64,
    pub(crate) iat: Option<u64>,
    pub(crate) jti: Option<Span>,
    pub(crate) version: Counter,
    pub(crate) session_id: Option<SessionId>,
}

impl RegisteredClaims {
    /// `iss`: the issuer.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.map(|span| span.of(&self.text))
    }

    /// `sub`: the user's id.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.of(&self.text)
    }

    /// `aud`: one or more audiences, including this authority's.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.audience.spans().iter().map(|span| span.of(&self.text))
    }

    /// `exp`: the first second at which the token is no longer valid.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        numeric_date(self.exp)
    }

    /// `iat`: the time of issue, in whole seconds.
    #[must_use]
    pub fn issued_at(&self) -> Option<OffsetDateTime> {
        self.iat.map(numeric_date)
    }

    /// `jti`: the token's id, for logs. It is not secret.
    #[must_use]
    pub fn jti(&self) -> Option<&str> {
        self.jti.map(|span| span.of(&self.text))
    }

    /// `ver`: the user's version, the same in the token and in the record.
    #[must_use]
    pub const fn version(&self) -> Counter {
        self.version
    }

    /// `sid`: the session of the token, if it has one.
    #[must_use]
    pub const fn session_id(&self) -> Option<SessionId> {
        self.session_id
    }
}

/// Compares the values, not the text.
impl PartialEq for RegisteredClaims {
    fn eq(&self, other: &Self) -> bool {
        self.issuer() == other.issuer()
            && self.subject() == other.subject()
            && self.audience().eq(other.audience())
            && self.exp == other.exp
            && self.iat == other.iat
            && self.jti() == other.jti()
            && self.version == other.version
            && self.session_id == other.session_id
    }
}

impl Eq for RegisteredClaims {}

impl fmt::Debug for RegisteredClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisteredClaims")
            .field("subject", &self.subject())
            .field("jti", &self.jti())
            .field("expires_at", &self.expires_at())
            .field("version", &self.version)
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

/// The `aud` claim (RFC 7519 §4.1.3): one string or an array of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Audience {
    One(Span),
    Several(Vec<Span>),
}

impl Audience {
    pub(crate) fn spans(&self) -> &[Span] {
        match self {
            Self::One(span) => std::slice::from_ref(span),
            Self::Several(spans) => spans,
        }
    }
}
