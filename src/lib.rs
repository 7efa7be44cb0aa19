#![cfg_attr(feature = "password", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "password"), doc = "Revocable JSON Web Tokens with no denylist.")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod adoption;
mod application;
#[cfg(feature = "asymmetric")]
pub mod asymmetric;
mod authority;
#[cfg(feature = "axum")]
pub mod axum;
mod claims;
mod constant_time;
mod context;
mod counter;
mod credential;
mod decision;
mod derivation;
mod environment;
mod event;
mod fingerprint;
mod jws;
mod key_cache;
mod key_ring;
#[cfg(feature = "live")]
pub mod live;
pub mod one_time;
#[cfg(feature = "password")]
pub mod password;
mod payload;
mod purpose;
mod rejection;
mod scan;
mod secret;
#[cfg(feature = "service")]
pub mod service;
mod session;
mod slots;
mod span;
#[cfg(feature = "service")]
pub mod store;
mod token;
mod user;

pub use adoption::Adoption;
pub use application::ClaimsError;
pub use authority::{
    Authority, AuthorityBuilder, BindingMode, ConfigError, Issue, IssueError, MAX_LIFETIME, Opened,
    OpenedOnce, Peeked, RefreshError, Refreshed, SessionTokens, Used,
};
pub use claims::{REGISTERED_CLAIMS, Registered};
pub use context::Context;
pub use counter::Counter;
pub use credential::{Carried, Credential, CredentialError};
pub use decision::{Change, Committed, Decision};
pub use environment::{Clock, Entropy, EntropyError, SystemClock, SystemEntropy};
pub use event::{EventKind, SessionEvent};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use key_cache::KeyCache;
pub use key_ring::{KeyRing, KeyRingError};
pub use purpose::{Access, NoClaims, Purpose, Refresh, Use};
pub use rejection::{Reason, Rejection, Stage, VerifyError};
pub use secret::{MasterKey, SecretError};
pub use session::Session;
pub use slots::{
    OnReuse, PolicyError, SessionId, SessionIdError, SessionInfo, SessionPolicy, SessionTable,
    TableError, WhenFull,
};
pub use token::{AccessToken, MAX_TOKEN_BYTES, RefreshToken, Token};
pub use user::{Binding, Epoch, MAX_ID_BYTES, RecordError, User};
