//! What every call of the authority goes through.

pub(crate) mod core;
pub(crate) mod kind;
pub(crate) mod mint;
pub(crate) mod own_token;
pub(crate) mod per_type;
pub(crate) mod pinned;
pub(crate) mod record;
pub(crate) mod settings;
