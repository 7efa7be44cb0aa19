//! Errors in the setup of an application.

use std::{error, fmt};

/// What an application has not set up: its log says so, and its clients get 500.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misconfigured {
    /// No layer put a [`Web`](super::Web) into the request.
    NoLayer,
    /// The layer's `Web` is of other types than the extractor's.
    OtherTypes {
        /// The fields and claims that the extractor is of.
        wanted: &'static str,
        /// Those of the layer's.
        found: &'static str,
    },
    /// An access token is too long for a cookie, so that browsers drop it.
    LongCookie,
    /// The address of a request's client is not known, which attempts are counted by.
    NoClientAddress,
    /// Tokens were to be set as cookies, and the `Web` has none.
    NoCookies,
    /// Cookies for development came to be used on a host that is not `localhost`.
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
                "a handler asks for a Web or a session of (fields, claims) {wanted}, and the layer's \
                 are {found}: name both, as in `Authenticated<Profile, Role>`"
            ),
            Self::LongCookie => f.write_str(
                "an access token is longer than the 4096 bytes that browsers take for a cookie: let \
                 it carry fewer claims",
            ),
            Self::NoClientAddress => f.write_str(
                "the client's address is not known: set `WebBuilder::client_address`, and for the \
                 peer's own serve with `into_make_service_with_connect_info::<SocketAddr>()`",
            ),
            Self::NoCookies => f.write_str(
                "tokens were to be set as cookies, and none are set up: `WebBuilder::cookies`",
            ),
            Self::NotLocalhost => f.write_str(
                "cookies for development are used on a host that is not localhost: leave out \
                 `Cookies::danger_plain_localhost` and serve over TLS",
            ),
        }
    }
}

impl error::Error for Misconfigured {}
