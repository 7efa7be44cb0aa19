//! The client that a session is started for.

use crate::binding::context::Context;

/// The client that a session is started for: its label in the list of the user's devices, and the
/// context that its tokens are bound to. A string converts into a client with that label.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) label: String,
    pub(super) context: Context,
}

impl Client {
    /// A client with this label, for example from its `User-Agent`. Control and invisible characters
    /// are removed, and it is cut at 64 bytes.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), context: Context::new() }
    }

    /// Binds the client's tokens to this context, which it must present with each token:
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
