//! The kernel: settings, keys, issuing and verification, shared by all calls of the authority.

pub(crate) mod core;
pub(crate) mod kind;
pub(crate) mod mint;
pub(crate) mod own_token;
pub(crate) mod per_type;
pub(crate) mod pinned;
pub(crate) mod record;
pub(crate) mod settings;
