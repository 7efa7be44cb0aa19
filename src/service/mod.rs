//! The service: an authority joined with a store of users. An application's routes call it.
//!
//! | route | call |
//! | --- | --- |
//! | sign up | [`Service::hash_password`], the store's `insert` with a [`NewUser`](crate::store::NewUser), [`Service::start_session`] |
//! | log in | [`Service::login`], within the [limits](crate::throttle) of password attempts |
//! | log in, in two steps | [`Service::verify_login`], then [`Service::second_step`] |
//! | each request | [`Service::authenticate`]; before a sensitive operation, [`Service::authenticate_fresh`] |
//! | a fresh access token | [`Service::refresh`] |
//! | "your devices" | [`Service::sessions`], [`Service::log_out`], [`Service::log_out_device`], [`Service::log_out_others`] |
//! | data of a session | at login [`Client::data`]; later [`Service::set_session_data`] |
//! | an administrator's page | [`Service::sessions_of`], [`Service::log_out_device_of`], [`Service::log_out_where_of`], [`Service::set_session_data_of`] |
//! | the password once more, before a sensitive operation | [`Service::reauthenticate`], [`Service::restart_session`] |
//! | a new password | [`Service::change_password`], [`Service::set_password`] |
//! | the secret of a second factor, to which tokens are bound | [`Service::change_secret`], [`Service::set_secret`] |
//! | log out everywhere, disable, delete | [`Service::log_out_everywhere`], [`Service::disable`], [`Service::delete`] |
//! | a revocation endpoint (RFC 7009) | [`Service::revoke`] |
//! | "a login on a new device: was it you?" | [`ServiceBuilder::on_new_device`], [`Service::not_me`] |
//! | links by mail | [`Service::issue`], [`Service::peek`], [`Service::one_time`] |
//! | a WebSocket | [`Service::live`] |
//! | the start of the application | [`Service::check`] |
//! | a decision of your own, made with the authority | [`Service::decide`] |
//! | an old refresh token, while you switch over | [`Service::adopt_session`] |
//! | a change together with your own SQL | `consume_in`, `revoke_in`, `set_password_in` of the SQL stores |
//!
//! The service decides each change on the row of the primary database, and writes it by one
//! compare-and-set. If another change was faster, the service decides again. After a few attempts it
//! locks the row, so another client that changes the row in a loop cannot block the call. Only a refresh
//! takes no lock. Simultaneous calls that decide on the same user share their reads, and a call never
//! uses a read that began before the call. The service hashes passwords off the async threads, a few at
//! a time. If the future of a call is dropped, for example because a client disconnects, a write that
//! has begun is still completed.
//!
//! # Example
//!
//! ```
//! use relatch::{Authority, MasterKey, service::Service, store::{MemoryStore, NewUser}, User};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let key = MasterKey::generate("2026-11")?;
//! let authority = Authority::new(key, "https://login.example.com", "https://api.example.com")?;
//! let users = MemoryStore::new();
//! let service = Service::new(authority, users.clone());
//!
//! let hash = service.hash_password("correct horse battery").await?;
//! users.insert(NewUser::with_password_hash("1", "alice", hash), ());
//!
//! let tokens = service.login("alice", "correct horse battery", "Firefox on Linux").await?;
//! let verified = service.authenticate(tokens.access()).await?;
//! assert_eq!(verified.user().id(), "1");
//!
//! service.log_out_everywhere(verified.user().id()).await?;
//! assert!(service.authenticate(tokens.access()).await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! # Testing your routes
//!
//! [`MemoryStore`](crate::store::MemoryStore) replaces the database. Its
//! [`set_reachable`](crate::store::MemoryStore::set_reachable) simulates an outage. Its
//! [`edit`](crate::store::MemoryStore::edit) changes a row as your own SQL would, for example to
//! damage a column. Its [`set_group`](crate::store::MemoryStore::set_group) puts a user into a group
//! with an epoch. A user
//! [`without_password`](crate::store::NewUser::without_password) and
//! [`start_session`](Service::start_session) need no hashing, which is slow without optimisation
//! ([`password`](crate::password) has the lines for your `Cargo.toml`).
//!
//! There are two clocks. Tokens and sessions use the authority's clock. In a test, pass a closure to
//! [`AuthorityBuilder::clock`](crate::AuthorityBuilder::clock). The cache, live connections and all
//! timeouts use Tokio's clock. In a test, call `tokio::time::pause` and `tokio::time::advance`.
//!
//! # Panics
//!
//! The futures panic outside a Tokio runtime, and in a runtime without its timer.

mod access;
mod admin;
mod adoption;
mod authenticate;
mod builder;
#[cfg(feature = "cache")]
mod cache;
mod check;
mod client;
mod devices;
mod error;
mod events;
mod found;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod in_transaction;
mod logged_in;
mod login;
mod new_device;
mod not_me;
mod one_time;
mod passwords;
mod reauthenticate;
mod records;
mod refresh;
mod revoke;
mod second_step;
mod secret;
mod shared_reads;
mod throttling;
mod to_the_end;
mod transact;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod uncommitted;

use std::{fmt, sync::Arc};

#[cfg(feature = "cache")]
pub use self::cache::CachePolicy;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use self::uncommitted::Uncommitted;
pub use self::{
    builder::ServiceBuilder,
    client::Client,
    error::{LoginRefusal, ServiceError},
    new_device::NewDevice,
    not_me::ReportedLogin,
    one_time::{Issuance, OneTime},
    second_step::{PendingLogin, VerifiedLogin},
};
use self::{events::Events, new_device::OnNewDevice, passwords::Passwords, records::Records};
use crate::{
    authority::{Authority, CurrentAuthority},
    sessions::SessionInfo,
    store::{Changes, Listening, StoredUser},
    throttle::Counters,
    token::{TokenOptions, purpose::NoClaims},
};

/// An authority joined with a store of users. A clone is cheap and refers to the same service. Make
/// one per process: the cache of a second service does not see what the first one changes.
///
/// `F` is the type of the further fields that the application reads from a user's row
/// ([`StoredUser::fields`](crate::store::StoredUser::fields)), `C` that of the private claims of its
/// access tokens (RFC 7519 §4.3).
pub struct Service<F = (), C = NoClaims>(Arc<Inner<F, C>>);

struct Inner<F, C> {
    authority: CurrentAuthority,
    records: Arc<Records<F>>,
    passwords: Passwords,
    counters: Counters,
    claims: Claims<F, C>,
    access_options: AccessOptions<F>,
    events: Events,
    on_new_device: Option<OnNewDevice<F>>,
    listening: Listening,
}

type Claims<F, C> = Box<dyn Fn(&StoredUser<F>, Option<&SessionInfo>) -> C + Send + Sync>;

/// The options of access tokens.
type AccessOptions<F> = Claims<F, TokenOptions>;

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// The current authority.
    pub fn authority(&self) -> Authority {
        self.0.authority.get()
    }

    #[cfg(feature = "axum")]
    pub(crate) fn store_timeout(&self) -> std::time::Duration {
        self.0.records.store_timeout()
    }

    /// Replaces the authority, for example after [`Authority::with_keys`], in this service, its clones,
    /// its [`live`](Self::live) connections and its webs (`relatch::axum::Web`). Calls that have begun
    /// are completed with the previous authority, or decided again.
    ///
    /// Each open live connection looks its user up at once, so that a removed key or an increased epoch
    /// ends it.
    pub fn replace_authority(&self, authority: Authority) {
        self.0.authority.replace(authority);
        self.0.records.revocations.publish_all();
    }

    /// The handle by which this service is notified of changes that were not made through it.
    pub fn changes(&self) -> Changes {
        Changes::new(Arc::clone(&self.0.records) as _, self.0.listening.clone())
    }
}

impl<F, C> Clone for Service<F, C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F, C> fmt::Debug for Service<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("authority", &self.0.authority).finish_non_exhaustive()
    }
}
