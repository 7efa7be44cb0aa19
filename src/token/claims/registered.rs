//! Registered claims: those of a verified token, and the names that are relatch's.

use std::fmt;

use time::OffsetDateTime;

use crate::{bytes::span::Span, clock::numeric_date, counter::Counter, sessions::SessionId};

/// The registered claims of a verified token (RFC 7519 §4.1).
///
/// What a plain token accepted during an adoption does not carry is `None`.
#[derive(Clone)]
pub struct Registered {
    /// In which the spans are: the whole payload, mostly.
    pub(crate) text: String,
    pub(crate) issuer: Option<Span>,
    pub(crate) subject: Span,
    pub(crate) audience: Audience,
    pub(crate) exp: u64,
    pub(crate) iat: Option<u64>,
    pub(crate) token_id: Option<Span>,
    pub(crate) version: Counter,
    pub(crate) session_id: Option<SessionId>,
}

impl Registered {
    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.issuer.map(|span| span.of(&self.text))
    }

    /// `sub`: the user's id.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.subject.of(&self.text)
    }

    /// `aud`: one or more audiences, this authority's among them.
    pub fn audience(&self) -> impl Iterator<Item = &str> {
        self.audience.spans().iter().map(|span| span.of(&self.text))
    }

    /// `exp`: the first instant, in whole seconds, at which the token is dead.
    #[must_use]
    pub fn expires_at(&self) -> OffsetDateTime {
        numeric_date(self.exp)
    }

    /// `iat`, in whole seconds.
    #[must_use]
    pub fn issued_at(&self) -> Option<OffsetDateTime> {
        self.iat.map(numeric_date)
    }

    /// `jti`: names the token in a log without being it.
    #[must_use]
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.map(|span| span.of(&self.text))
    }

    /// `ver`: the user's version, in the token and in the record.
    #[must_use]
    pub const fn version(&self) -> Counter {
        self.version
    }

    /// `sid`: the user's session that the token belongs to, if it is of one.
    #[must_use]
    pub const fn session_id(&self) -> Option<SessionId> {
        self.session_id
    }
}

/// By what they say, however that was written.
impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        self.issuer() == other.issuer()
            && self.subject() == other.subject()
            && self.audience().eq(other.audience())
            && self.exp == other.exp
            && self.iat == other.iat
            && self.token_id() == other.token_id()
            && self.version == other.version
            && self.session_id == other.session_id
    }
}

impl Eq for Registered {}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered")
            .field("subject", &self.subject())
            .field("token_id", &self.token_id())
            .field("expires_at", &self.expires_at())
            .field("version", &self.version)
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

/// `aud` (RFC 7519 §4.1.3): one string, or an array of them.
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
