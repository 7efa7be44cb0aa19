//! Registered claims: their names, and their values in a verified token.

use std::fmt;

use time::OffsetDateTime;

use crate::{
    bytes::span::{Audience, Span},
    counter::Counter,
    sessions::SessionId,
};

/// The names that private claims must not use: those of RFC 7519 §4.1 and relatch's own.
pub const REGISTERED_CLAIMS: [&str; 13] = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "ver", "epochs", "sid", "seq", "lane", "stamp",
];

pub(crate) fn is_registered(name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    // No registered name is longer, and most private names are.
    name.len() <= 6 && REGISTERED_CLAIMS.iter().any(|registered| registered.as_bytes() == name)
}

/// The registered claims of a verified token (RFC 7519 §4.1).
///
/// A claim is `None` if a plain token, accepted during an adoption, does not have it.
#[derive(Clone)]
pub struct Registered {
    /// The text that the spans refer to, usually the whole payload.
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
    pub fn token_id(&self) -> Option<&str> {
        self.token_id.map(|span| span.of(&self.text))
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

/// The greatest accepted NumericDate (RFC 7519 §2): the end of the year 9999.
pub(crate) const MAX_NUMERIC_DATE: u64 = 253_402_300_799;

/// The time of a NumericDate, at most the end of the year 9999.
pub(crate) fn numeric_date(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds.min(MAX_NUMERIC_DATE)).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
