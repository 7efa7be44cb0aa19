//! Names of claims, and how many epochs a token can carry.

/// The names that an application's claims may not use: those of RFC 7519 §4.1 and relatch's own.
pub const REGISTERED_CLAIMS: [&str; 13] = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "ver", "epochs", "sid", "seq", "lane", "stamp",
];

pub(crate) fn is_registered(name: &[u8]) -> bool {
    // None is longer, and most of the applications' are.
    name.len() <= 6 && REGISTERED_CLAIMS.iter().any(|registered| registered.as_bytes() == name)
}

/// How many outer epochs an authority can have.
pub(crate) const MAX_EPOCHS: usize = 16;
