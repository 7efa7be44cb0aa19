//! Tokens: untrusted text with a purpose.

pub(crate) mod claims;
pub(crate) mod compact;
pub mod one_time;
pub(crate) mod purpose;
pub(crate) mod validity;

use std::{fmt, marker::PhantomData, mem};

use zeroize::optimization_barrier;

use crate::{
    binding::context::Context,
    bytes::base64url,
    token::{
        claims::payload::Payload,
        purpose::{Access, Refresh},
    },
};

/// The greatest length of a token in bytes that can be configured: longer text is never looked at.
pub const MAX_TOKEN_BYTES: usize = 64 * 1024;

/// The text of a token for the purpose `P`, and the context in which it is presented.
///
/// Nothing about it is known to be true: only [`Authority::verify`](crate::Authority::verify)
/// makes a [`Session`](crate::Session) of it. It is a bearer secret, so it prints as redacted, is
/// zeroized on drop and is not cloned by accident: for a second one, take
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

/// An access token without claims of the application's own. With claims `C` it is
/// `Token<Access<C>>`.
pub type AccessToken = Token<Access>;

/// A refresh token. Presenting it to
/// [`Authority::open_refresh`](crate::Authority::open_refresh) gives it away.
pub type RefreshToken = Token<Refresh>;

impl<P> Token<P> {
    /// Takes text as it arrived, whatever it is: it is checked when it is verified.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: Text(text.into()), context: Context::new(), purpose: PhantomData }
    }

    /// Presents the token in this context, which must be the one that it was issued in.
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.set_context(context);
        self
    }

    /// The text, to be handed to its user.
    ///
    /// # Security
    ///
    /// Whoever has it is the user until it expires or is revoked: it belongs into an
    /// `Authorization` header or an `HttpOnly` cookie, never into a URL, a log or an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text.0
    }

    pub(crate) fn set_context(&mut self, context: Context) {
        self.context = context;
    }

    /// The text and the context, as they arrived.
    pub(crate) fn presented(&self) -> (&str, &Context) {
        (&self.text.0, &self.context)
    }

    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// The subject that the token claims, unverified: for routing, or for choosing a log's
    /// destination. `None` if the text is not even in the form of a token.
    ///
    /// # Security
    ///
    /// Anyone can write any subject here. Never decide by it what a caller may do or see.
    #[must_use]
    pub fn danger_unverified_subject(&self) -> Option<String> {
        let text = self.expose();
        if text.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let mut payload = base64url::decode(compact::Compact::split(text)?.payload)?;
        let payload = Payload::read(&mut payload)?;
        payload.jti()?;
        Some(payload.subject().to_owned())
    }
}

/// Text that is wiped when it is dropped: at once, which takes a tenth of what `Zeroizing` does byte
/// by byte.
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
