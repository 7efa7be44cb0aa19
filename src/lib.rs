#![cfg_attr(feature = "password", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "password"), doc = "Revocable JSON Web Tokens with no denylist.")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The layers, lowest first. A module uses only itself and the modules on lines above its own.
//   1. bytes clock entropy counter rejection error
//   2. keys sessions password
//   3. binding
//   4. token user one_time
//   5. authority
//   6. store live
//   7. service
//   8. axum

pub mod authority;
#[cfg(feature = "axum")]
pub mod axum;
mod binding;
mod bytes;
mod clock;
mod counter;
mod entropy;
mod error;
pub mod guide;
pub mod keys;
#[cfg(feature = "live")]
pub mod live;
pub mod one_time;
#[cfg(feature = "password")]
pub mod password;
mod rejection;
#[cfg(feature = "service")]
pub mod service;
pub mod sessions;
#[cfg(feature = "service")]
pub mod store;
pub mod token;
pub mod user;

pub use authority::{
    Authority, AuthorityBuilder, BindingMode, IssueError, SessionTokens, Verified, VerifyError,
};
pub use binding::{Binding, context::Context, fingerprint::Fingerprint};
pub use error::{ConfigError, ParseError};
pub use keys::{KeyRing, MasterKey};
pub use rejection::{Reason, Rejection};
pub use sessions::SessionPolicy;
pub use token::{
    AccessToken, RefreshToken, Token,
    purpose::{Access, NoClaims, Purpose},
};
pub use user::User;
