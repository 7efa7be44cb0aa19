//! The names that private claims must not use, and the maximum number of epochs in a token.

/// The names of the registered claims: those of RFC 7519 §4.1 and relatch's own. Private claims must
/// not use them.
pub const REGISTERED_CLAIMS: [&str; 13] = [
    "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "ver", "epochs", "sid", "seq", "lane", "stamp",
];

/// The names of the reserved claims: standard claims that a later release may write, with the meaning
/// that their standards give them. Private claims must not use them, and a token of relatch that has
/// one is rejected. An adopted plain token can have them.
pub const RESERVED_CLAIMS: [&str; 13] = [
    "client_id",
    "scope",
    "auth_time",
    "acr",
    "amr",
    "act",
    "cnf",
    "may_act",
    "authorization_details",
    "azp",
    "nonce",
    "sub_id",
    "events",
];

pub(crate) fn is_registered(name: &[u8]) -> bool {
    REGISTERED_CLAIMS.iter().any(|registered| registered.as_bytes() == name)
}

pub(crate) fn is_reserved(name: &[u8]) -> bool {
    RESERVED_CLAIMS.iter().any(|reserved| reserved.as_bytes() == name)
}

/// Whether a private claim must not use the name.
pub(crate) fn is_taken(name: &[u8]) -> bool {
    is_registered(name) || is_reserved(name)
}

/// The maximum number of outer epochs of an authority.
pub(crate) const MAX_EPOCHS: usize = 16;
