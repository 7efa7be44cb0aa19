//! The client that a session is started for.

use crate::binding::context::Context;

/// The client that a session is started for: what it is called in the list of the user's devices,
/// and what its tokens are additionally bound to. A text alone is a label.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) label: String,
    pub(super) context: Context,
}

impl Client {
    /// A client of this name, such as its `User-Agent` tells: it is cleaned of control and invisible
    /// characters, and cut at 64 bytes.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), context: Context::new() }
    }

    /// Binds the client's tokens to this context, which it must present with each of them:
    /// [`Token::in_context`](crate::Token::in_context).
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }
}

impl From<&str> for Client {
    fn from(label: &str) -> Self {
        Self::new(label)
    }
}

impl From<String> for Client {
    fn from(label: String) -> Self {
        Self::new(label)
    }
}
