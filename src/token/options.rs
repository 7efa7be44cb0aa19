//! The options of a token that is to be issued.

use time::Duration;

/// The lifetime and the audience of a token that is to be issued. What is not set has its default.
///
/// For [`Issuance::options`](crate::authority::Issuance::options) by hand. In a service, for
/// `ServiceBuilder::access_options`, which makes them for each access token, and for the tokens of links.
///
/// # Example
///
/// ```
/// use relatch::token::TokenOptions;
/// use time::Duration;
///
/// let options = TokenOptions::new()
///     .lifetime(Duration::minutes(2))
///     .audience("https://api.example.com")
///     .audience("https://files.example.com");
/// # assert_ne!(options, TokenOptions::new());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct TokenOptions {
    pub(crate) lifetime: Option<Duration>,
    pub(crate) audience: Vec<String>,
}

impl TokenOptions {
    /// The defaults.
    pub const fn new() -> Self {
        Self { lifetime: None, audience: Vec::new() }
    }

    /// Sets the token's lifetime: 1 second to [`MAX_LIFETIME`](super::MAX_LIFETIME). A fraction of a
    /// second is dropped. An access token never outlives its session. Default: that of the purpose, or
    /// else of the authority.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Sets the token's audience, in place of the authority's. Each further call adds one. The authority
    /// itself accepts the token only if the authority's audience is among them.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }
}
