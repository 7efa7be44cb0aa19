#![cfg_attr(feature = "password", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "password"), doc = "Revocable JSON Web Tokens with no denylist.")]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The layers, lowest first; a room uses only rooms on lines above its own, and itself.
//   1. bytes clock entropy counter rejection error
//   2. keys sessions password
//   3. binding
//   4. token user
//   5. authority
//   6. store live
//   7. service
//   8. axum

mod authority;
#[cfg(feature = "axum")]
pub mod axum;
mod binding;
mod bytes;
mod clock;
mod counter;
mod entropy;
mod error;
pub mod keys;
#[cfg(feature = "live")]
pub mod live;
#[cfg(feature = "password")]
pub mod password;
mod rejection;
#[cfg(feature = "service")]
pub mod service;
mod sessions;
#[cfg(feature = "service")]
pub mod store;
mod token;
mod user;

pub use token::one_time;

pub use authority::adoption::Adoption;
pub use authority::decision::{Change, Committed, Decision};
pub use authority::session::Session;
pub use authority::{
    Authority, AuthorityBuilder, BindingMode, Issue, IssueError, Opened, OpenedOnce, Peeked,
    RefreshError, Refreshed, SessionTokens, Used, VerifyError,
};
pub use binding::context::Context;
pub use binding::credential::{Carried, Credential, CredentialError};
pub use binding::fingerprint::Fingerprint;
pub use binding::key_cache::KeyCache;
pub use binding::{Binding, epoch::Epoch};
pub use clock::{Clock, MAX_LIFETIME, SystemClock};
pub use counter::Counter;
pub use entropy::{Entropy, EntropyError, SystemEntropy};
pub use error::{ConfigError, ParseError};
pub use keys::{KeyRing, MasterKey};
pub use rejection::{Reason, Rejection, Stage};
pub use sessions::event::{EventKind, SessionEvent};
pub use sessions::{OnReuse, SessionId, SessionInfo, SessionPolicy, SessionTable, WhenFull};
pub use token::claims::private::ClaimsError;
pub use token::claims::{names::REGISTERED_CLAIMS, registered::Registered};
pub use token::purpose::{Access, NoClaims, Purpose, Refresh, Use};
pub use token::{AccessToken, MAX_TOKEN_BYTES, RefreshToken, Token};
pub use user::{MAX_ID_BYTES, RecordError, User};
