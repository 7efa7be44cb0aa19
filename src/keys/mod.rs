//! The server's keys.

#[cfg(feature = "asymmetric")]
pub mod asymmetric;
pub(crate) mod key_ring;
pub(crate) mod master_key;
