//! Keys of the server: master keys, the ring that holds them, and asymmetric keys for stamp mode.

pub(crate) mod error;
#[cfg(feature = "asymmetric")]
mod jwk_set;
pub(crate) mod key_ring;
pub(crate) mod master_key;
#[cfg(feature = "asymmetric")]
pub(crate) mod signing_key;
#[cfg(feature = "asymmetric")]
pub(crate) mod verifying_key;

#[cfg(feature = "asymmetric")]
pub use jsonwebtoken::{
    Algorithm,
    jwk::{Jwk, JwkSet},
};

pub use self::{error::KeyError, key_ring::KeyRing, master_key::MasterKey};
#[cfg(feature = "asymmetric")]
pub use self::{jwk_set::read_jwk_set, signing_key::SigningKey, verifying_key::VerifyingKey};
