//! Limits for attempts at passwords and codes: the counters, their settings, and a place that processes
//! share.
//!
//! A [`Throttle`] is a setting of the service
//! ([`ServiceBuilder::throttle`](crate::service::ServiceBuilder::throttle)). The service counts each
//! attempt before it hashes the password, so a refused attempt costs no hash:
//!
//! | attempt | counted by |
//! | --- | --- |
//! | login | the client's address; the name; the id of the user that the store finds for this name |
//! | login with a valid [device token](DeviceToken) of that user | the client's address; the device |
//! | the password of a logged-in user | the session; more loosely the user |
//! | the code of a login's second step | the client's address; the user |
//! | the same with a valid device token of that user | the client's address; the device |
//! | a code of a logged-in user | the session; the user |
//!
//! The service knows the address and the device token if the caller sets them
//! ([`Client::address`](crate::service::Client::address),
//! [`Client::device`](crate::service::Client::device)). The web layer sets both.
//!
//! Each counter has a [`Limit`]. Correct passwords count too. A refused attempt takes nothing from any
//! counter, except that a refusal by the user's id or by the device comes after the address and the name
//! were counted.
//!
//! # Names
//!
//! A name counts in Unicode's normalization form NFKC, without spaces around it and in lower case. The
//! store may take further spellings for one name, for example under a collation that ignores accents. So
//! the id that the store finds counts as well. For a name that it does not find, an id is made up, and
//! the service does the same work. If the store finds one user by several such names, the common limit
//! shows that there is this user.
//!
//! # Addresses
//!
//! An attacker has many addresses: a customer's IPv6 connection has a /56 or a /48. So an address counts
//! as itself and as its networks, each with a greater limit:
//!
//! | network | limit |
//! | --- | --- |
//! | IPv4 /32, IPv6 /64 | [`per_address`](Throttle::per_address) |
//! | IPv6 /56 | 4 times that |
//! | IPv4 /24 | 8 times that |
//! | IPv6 /48 | 16 times that |
//!
//! An IPv4 address in an IPv6 one counts as the IPv4 address: mapped (`::ffff:192.0.2.1`), translated
//! (`64:ff9b::192.0.2.1`), or of 6to4 (`2002:c000:201::1`). The guide's page
//! [Throttling](crate::guide::throttling) has the number of attempts that these limits allow.
//!
//! # Where the counts are
//!
//! By default the counts are in memory, of each process for itself. With [`Throttle::shared`] they are
//! also in a [`LimitStore`], which several processes share: for example a table
//! (`SqliteStore::limits`, `PostgresStore::limits`). The counts in memory come first. So a flood of
//! attempts costs the store at most as many statements as the limits in memory allow. If the store fails
//! or does not answer within half a second, the counts in memory decide alone, and the failure is logged.
//!
//! Both have a fixed number of counters, and a keyed hash chooses the counter. So an attacker cannot
//! choose whose counter a name shares, and the counters of invented names replace no others.

mod bucket;
mod counters;
mod device_token;
#[cfg(test)]
mod figures;
mod limit;
mod limit_store;
mod memory;
mod network;
mod settings;

pub(crate) use self::counters::{Counters, TooManyAttempts};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub(crate) use self::limit::SKEW;
pub use self::{
    bucket::{Bucket, Count},
    device_token::DeviceToken,
    limit::Limit,
    limit_store::{LimitStore, Taken},
    settings::Throttle,
};
