//! Errors in the setup of an application.

use std::{error, fmt};

/// An error in the application's setup. It is logged, and the client gets a 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misconfigured {
    /// There is no [`Web`](super::Web) in the request: its layer is missing.
    NoLayer,
    /// The layer's `Web` has other type parameters than the extractor.
    OtherTypes {
        /// The extractor's fields and claims.
        wanted: &'static str,
        /// The layer's fields and claims.
        found: &'static str,
    },
    /// An access token is too long for a cookie: browsers would drop it.
    LongCookie,
    /// The client's address is unknown, and password attempts are counted by address.
    NoClientAddress,
    /// Tokens should be set as cookies, and the `Web` has no cookies.
    NoCookies,
    /// Cookies for development are used on a host other than `localhost`.
    NotLocalhost,
}

impl fmt::Display for Misconfigured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLayer => f.write_str(
                "relatch's layer is missing: add `.layer(web.layer())` to the router, after the routes",
            ),
            Self::OtherTypes { wanted, found } => write!(
                f,
                "a handler uses the types (fields, claims) {wanted}, and the layer's Web has \
                 {found}: name both in the handler, as in `Authenticated<Profile, Role>`"
            ),
            Self::LongCookie => f.write_str(
                "an access token is longer than the 4096 bytes that browsers accept for a cookie: \
                 give it fewer claims",
            ),
            Self::NoClientAddress => f.write_str(
                "the client's address is unknown: set `WebBuilder::client_address`; for the peer's \
                 address, serve with `into_make_service_with_connect_info::<SocketAddr>()`",
            ),
            Self::NoCookies => f.write_str(
                "tokens should be set as cookies, and the Web has none: call `WebBuilder::cookies`",
            ),
            Self::NotLocalhost => f.write_str(
                "cookies for development are used on a host other than localhost: remove \
                 `Cookies::danger_plain_localhost` and serve over TLS",
            ),
        }
    }
}

impl error::Error for Misconfigured {}
