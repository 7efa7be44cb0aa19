//! The client that a session is started for.

use crate::{binding::context::Context, sessions::NewSession};

/// The client that a session is started for: the session that it is to have, and the context that
/// its tokens are bound to. A string, which is the label in the list of the user's devices, or a
/// [`NewSession`] converts into a client without a context.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) session: NewSession,
    pub(super) context: Context,
}

impl Client {
    /// A client with this session, or with a session of this label.
    pub fn new(session: impl Into<NewSession>) -> Self {
        Self { session: session.into(), context: Context::new() }
    }

    /// Binds the client's tokens to this context, which it must present with each token:
    /// [`Token::in_context`](crate::Token::in_context).
    #[must_use]
    pub fn in_context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }
}

impl<S: Into<NewSession>> From<S> for Client {
    fn from(session: S) -> Self {
        Self::new(session)
    }
}
