//! The names of registered claims, and the maximum number of epochs in a token.

/// The names that private claims must not use: those of RFC 7519 §4.1 and relatch's own.
pub const REGISTERED_CLAIMS: [&str; 13] = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "ver", "epochs", "sid", "seq", "lane", "stamp",
];

pub(crate) fn is_registered(name: &[u8]) -> bool {
    // No registered name is longer, and most private names are.
    name.len() <= 6 && REGISTERED_CLAIMS.iter().any(|registered| registered.as_bytes() == name)
}

/// The maximum number of outer epochs of an authority.
pub(crate) const MAX_EPOCHS: usize = 16;
