#![cfg_attr(feature = "password", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "password"), doc = "Revocable JSON Web Tokens with no denylist.")]
#![cfg_attr(
    all(feature = "axum", feature = "password"),
    doc = "
# Where things are

- [`service`]: start here. It joins an authority with a [`store`] of users: login, requests, devices,
  links. [`axum`] connects it with HTTP, and [`live`] ends open connections on revocation.
- [`authority`]: the same without I/O, for your own database or web framework.
- [`user`], [`sessions`], [`token`], [`keys`], [`one_time`], [`password`] and [`recovery_codes`]: the
  parts.
- [`guide`]: one page per subject."
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The layers, lowest first. A module uses only itself and modules on lines above its own.
//   1. bytes clock entropy counter rejection error
//   2. keys sessions password throttle recovery_codes
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
pub mod recovery_codes;
mod rejection;
#[cfg(feature = "service")]
pub mod service;
pub mod sessions;
#[cfg(feature = "service")]
pub mod store;
#[cfg(feature = "service")]
pub mod throttle;
pub mod token;
pub mod user;

#[doc(inline)]
pub use authority::{
    Authority, AuthorityBuilder, BindingMode, IssueError, SessionTokens, Verified, VerifyError,
};
pub use binding::{Binding, context::Context, fingerprint::Fingerprint};
pub use error::{ConfigError, ParseError};
#[doc(inline)]
pub use keys::{KeyRing, MasterKey};
pub use rejection::{Reason, Rejection};
#[doc(inline)]
pub use sessions::SessionPolicy;
#[doc(inline)]
pub use token::{
    AccessToken, RefreshToken, Token,
    purpose::{Access, NoClaims, Purpose},
};
#[doc(inline)]
pub use user::User;
