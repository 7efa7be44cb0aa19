//! What a token is bound to, and what is derived from it.

pub(crate) mod context;
pub(crate) mod credential;
pub(crate) mod derivation;
pub(crate) mod fingerprint;
pub(crate) mod key_cache;
