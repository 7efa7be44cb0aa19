//! Bindings of tokens: credentials, contexts, and the keys derived from them.

pub(crate) mod context;
pub(crate) mod credential;
pub(crate) mod derivation;
pub(crate) mod fingerprint;
pub(crate) mod key_cache;
