//! Tokens: untrusted text, typed by purpose.

pub(crate) mod claims;
pub(crate) mod compact;
mod options;
pub(crate) mod purpose;
pub(crate) mod validity;

use std::{fmt, marker::PhantomData, mem};

use zeroize::optimization_barrier;

pub use self::{
    claims::{
        names::{REGISTERED_CLAIMS, RESERVED_CLAIMS},
        private::ClaimsError,
        registered::RegisteredClaims,
    },
    options::TokenOptions,
    purpose::{Access, NoClaims, Purpose, Refresh, Usage},
};
pub use crate::clock::MAX_LIFETIME;
use crate::{
    binding::context::Context,
    bytes::base64url,
    token::{claims::payload::Payload, compact::Compact},
};

/// The greatest configurable length of a token, in bytes. Longer text is never parsed.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The text of a token for the purpose `P`, with the context in which it is presented.
///
/// It is not verified: only [`Authority::verify`](crate::Authority::verify) turns it into a
/// [`Verified`](crate::Verified). It is a bearer secret, so its `Debug` output is redacted, it is
/// zeroized on drop, and it is not `Clone`. To make a second one, use the text from
/// [`expose`](Self::expose).
///
/// # Example
///
/// ```
/// use relatch::AccessToken;
///
/// # let header_value = "Bearer eyJhbGciOi…";
/// let text = header_value.strip_prefix("Bearer ").unwrap_or_default();
/// let token = AccessToken::new(text);
/// ```
pub struct Token<P> {
    text: Text,
    context: Context,
    purpose: PhantomData<fn() -> P>,
}

/// An access token without private claims. With private claims `C` the type is
/// `Token<Access<C>>`.
pub type AccessToken = Token<Access>;

/// A refresh token. [`Authority::open_refresh`](crate::Authority::open_refresh) consumes it.
pub type RefreshToken = Token<Refresh>;

impl<P> Token<P> {
    /// A token from received text. Verification checks the text, not this call.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: Text(text.into()), context: Context::new(), purpose: PhantomData }
    }

    /// Sets the context in which the token is presented. It must equal the context at issue.
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.set_context(context);
        self
    }

    /// The text of the token, for the client.
    ///
    /// # Security
    ///
    /// Anyone who has the text can act as the user until it expires or is revoked. Put it only into
    /// an `Authorization` header or an `HttpOnly` cookie, never into a URL, a log or an error. The
    /// exception is a one-time token, which may be in the URL of a link
    /// ([`one_time`](crate::one_time)).
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text.0
    }

    /// The same text in the same context.
    #[cfg(feature = "service")]
    pub(crate) fn again(&self) -> Self {
        Self::new(self.expose()).in_context(self.context.clone())
    }

    pub(crate) fn set_context(&mut self, context: Context) {
        self.context = context;
    }

    /// The text and the context, as presented.
    pub(crate) fn presented(&self) -> (&str, &Context) {
        (&self.text.0, &self.context)
    }

    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// The unverified subject of the token, for routing or for choosing a log. `None` if the text
    /// does not have the form of a token.
    ///
    /// # Security
    ///
    /// Anyone can write any subject here. Never use it to decide what a caller may do or see.
    #[must_use]
    pub fn danger_unverified_subject(&self) -> Option<String> {
        let text = self.expose();
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut payload = base64url::decode(Compact::split(text)?.payload)?;
        let payload = Payload::read(&mut payload, None)?;
        payload.jti_bytes()?;
        Some(payload.subject().to_owned())
    }
}

/// Text that is zeroized on drop, all bytes at once. This takes a tenth of the time of `Zeroizing`,
/// which works byte by byte.
struct Text(String);

impl Drop for Text {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.0).into_bytes();
        bytes.clear();
        bytes.resize(bytes.capacity(), 0);
        optimization_barrier(bytes.as_slice());
    }
}

impl<P> fmt::Debug for Token<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("context", &self.context).finish_non_exhaustive()
    }
}
