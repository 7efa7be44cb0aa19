//! The server's keys: master keys, the key ring, and asymmetric keys.

#[cfg(feature = "asymmetric")]
pub mod asymmetric;
pub(crate) mod key_ring;
pub(crate) mod master_key;
