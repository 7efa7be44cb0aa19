#![cfg_attr(feature = "password", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "password"), doc = "Revocable JSON Web Tokens with no denylist.")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adoption;
mod application;
#[cfg(feature = "asymmetric")]
pub mod asymmetric;
mod authority;
mod claims;
mod context;
mod counter;
mod credential;
mod derivation;
mod environment;
mod jws;
mod key_ring;
#[cfg(feature = "live")]
pub mod live;
#[cfg(feature = "password")]
pub mod password;
mod payload;
mod purpose;
mod rejection;
mod secret;
mod session;
mod token;
mod user;

pub use adoption::Adoption;
pub use application::ClaimsError;
pub use authority::{
    Authority, AuthorityBuilder, BindingMode, ConfigError, Issue, IssueError, MAX_LIFETIME, Opened,
};
pub use claims::{REGISTERED_CLAIMS, Registered};
pub use context::Context;
pub use counter::Counter;
pub use credential::{Carried, Credential, CredentialError};
pub use environment::{Clock, Entropy, EntropyError, SystemClock, SystemEntropy};
pub use key_ring::{KeyRing, KeyRingError};
pub use purpose::{Access, NoClaims, Purpose};
pub use rejection::{Reason, Rejection, Stage, VerifyError};
pub use secret::{MasterKey, SecretError};
pub use session::Session;
pub use token::{AccessToken, MAX_TOKEN_BYTES, Token};
pub use user::{Binding, Epoch, MAX_ID_BYTES, RecordError, User};
