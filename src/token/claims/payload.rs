//! The payload of a token: the registered claims, and where the private claims are.

use std::borrow::Cow;

use super::{
    canonical::{self, Pinned},
    general, stamp,
};
use crate::{
    bytes::base64url,
    counter::Counter,
    token::claims::{
        registered::{Audience, RegisteredClaims},
        spans::ClaimSpans,
    },
};

/// A parsed payload: the registered claims, and the text that contains them.
///
/// Reading checks only the form. Do not trust a value before the signature is verified.
#[derive(Clone)]
pub(crate) struct Payload<'t> {
    pub(super) text: Cow<'t, str>,
    pub(super) claims: ClaimSpans,
    /// The claim `stamp`, if the payload ends in it.
    pub(crate) stamp: Option<[u8; 16]>,
    /// Whether the issuer and the audience are the pinned ones.
    pub(crate) is_pinned: bool,
}

impl<'t> Payload<'t> {
    /// Reads a payload. `None` if a registered claim is missing, occurs twice or has a wrong form, or
    /// if this version does not know it. [`jti_bytes`](Self::jti_bytes) checks the form of `jti`.
    ///
    /// A payload that begins with the pinned bytes is read faster.
    ///
    /// The reader may change the bytes.
    #[inline(always)]
    pub(crate) fn read(json: &'t mut [u8], pinned: Option<&Pinned>) -> Option<Self> {
        let (json, stamp) = stamp::take(json);
        match canonical::read(json, pinned) {
            Some((claims, is_pinned)) => {
                let text = Cow::Borrowed(str::from_utf8(json).ok()?);
                Some(Self { text, claims, stamp, is_pinned })
            }
            None => Self::read_any(json, stamp),
        }
    }

    #[cold]
    fn read_any(json: &[u8], stamp: Option<[u8; 16]>) -> Option<Self> {
        let (text, claims) = general::read(str::from_utf8(json).ok()?)?;
        Some(Self { text: Cow::Owned(text), claims, stamp, is_pinned: false })
    }

    /// The same payload, which owns its text.
    #[inline(always)]
    pub(crate) fn into_owned(self) -> Payload<'static> {
        let Self { text, claims, stamp, is_pinned } = self;
        Payload { text: Cow::Owned(text.into_owned()), claims, stamp, is_pinned }
    }

    pub(crate) const fn claims(&self) -> &ClaimSpans {
        &self.claims
    }

    pub(crate) fn issuer(&self) -> &str {
        self.claims.issuer.of(&self.text)
    }

    pub(crate) fn subject(&self) -> &str {
        self.claims.subject.of(&self.text)
    }

    pub(crate) fn audience(&self) -> impl Iterator<Item = &str> {
        self.claims.audience.spans().iter().map(|span| span.of(&self.text))
    }

    /// The bytes before the expiry, if they are the pinned ones and the subject; otherwise 0.
    pub(crate) fn before_expiry(&self) -> usize {
        match &self.claims.audience {
            Audience::One(audience) if self.is_pinned => audience.end() + br#"","exp":"#.len(),
            _ => 0,
        }
    }

    /// The text of `jti`.
    pub(crate) fn jti(&self) -> &str {
        self.claims.jti.of(&self.text)
    }

    /// The decoded `jti`; `None` if its form is wrong.
    pub(crate) fn jti_bytes(&self) -> Option<[u8; 16]> {
        base64url::decode_array(self.jti())
    }

    /// An object with the private claims, if there can be any.
    pub(crate) fn own(&self) -> Option<&str> {
        Some(self.claims.own.of(&self.text)).filter(|own| !own.is_empty())
    }

    #[inline(always)]
    pub(crate) fn into_registered(self) -> RegisteredClaims {
        let ClaimSpans { issuer, subject, audience, exp, iat, jti, ver, session, .. } = self.claims;
        RegisteredClaims {
            text: self.text.into_owned(),
            issuer: Some(issuer),
            subject,
            audience,
            jti: Some(jti),
            exp,
            iat: Some(iat),
            version: i64::try_from(ver).map_or(Counter::INITIAL, Counter::from),
            session_id: session,
        }
    }
}
