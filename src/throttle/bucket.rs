//! Buckets: the counters, which a keyed hash chooses.

use std::net::IpAddr;

use hmac::Mac as _;
use unicode_normalization::UnicodeNormalization as _;

use super::{Limit, network::Network};
use crate::bytes::{
    frame,
    hmac::{HmacSha256, keyed},
};

/// The number of a counter. Without the master key it does not reveal what is counted.
///
/// There are at most 6 × 2²⁰ buckets, whatever names an attacker invents. Two names rarely share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u32);

impl Bucket {
    /// The number, less than 2²³.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A bucket, and the limit that applies to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// The bucket.
    pub bucket: Bucket,
    /// Its limit.
    pub limit: Limit,
}

/// The things that are counted. Each kind has buckets of its own.
#[derive(Clone, Copy)]
enum Kind {
    Account,
    Address,
    Device,
    Session,
    User,
    SecondStep,
}

/// The number of buckets of a kind, as a power of 2.
const BITS: u32 = 20;

/// The key that chooses buckets.
pub(super) struct Buckets(HmacSha256);

impl Buckets {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        Self(keyed(key))
    }

    /// The bucket of a name.
    pub(super) fn name(&self, name: &str) -> Bucket {
        self.of(Kind::Account, &[b"name", normal(name).as_bytes()])
    }

    pub(super) fn id(&self, id: &str) -> Bucket {
        self.of(Kind::Account, &[b"id", id.as_bytes()])
    }

    /// The bucket of the id that is made up for a name without a user.
    pub(super) fn made_up_id(&self, name: &str) -> Bucket {
        self.of(Kind::Account, &[b"no id", normal(name).as_bytes()])
    }

    pub(super) fn network(&self, network: Network) -> Bucket {
        let bits = match network.address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        self.of(Kind::Address, &[&[network.width], &bits.octets()])
    }

    pub(super) fn device(&self, user_id: &str, device: &[u8; 16]) -> Bucket {
        self.of(Kind::Device, &[device, user_id.as_bytes()])
    }

    pub(super) fn session(&self, user_id: &str, session: &str) -> Bucket {
        self.of(Kind::Session, &[user_id.as_bytes(), session.as_bytes()])
    }

    pub(super) fn user(&self, user_id: &str) -> Bucket {
        self.of(Kind::User, &[user_id.as_bytes()])
    }

    /// The bucket of a user's second steps, or of those on one of the user's devices.
    pub(super) fn second_step(&self, user_id: &str, device: Option<&[u8; 16]>) -> Bucket {
        match device {
            Some(device) => self.of(Kind::SecondStep, &[b"device", device, user_id.as_bytes()]),
            None => self.of(Kind::SecondStep, &[b"user", user_id.as_bytes()]),
        }
    }

    /// The bucket of the codes that are given in a session.
    pub(super) fn code(&self, user_id: &str, session: &str) -> Bucket {
        self.of(Kind::SecondStep, &[b"session", user_id.as_bytes(), session.as_bytes()])
    }

    /// The bucket of the codes that are given in all sessions of a user.
    pub(super) fn codes(&self, user_id: &str) -> Bucket {
        self.of(Kind::SecondStep, &[b"sessions", user_id.as_bytes()])
    }

    fn of(&self, kind: Kind, pieces: &[&[u8]]) -> Bucket {
        let mut mac = self.0.clone();
        mac.update(&[kind as u8]);
        for piece in pieces {
            frame::piece(&mut mac, piece);
        }
        let [a, b, c, d, ..] = <[u8; 32]>::from(mac.finalize().into_bytes());
        let hash = u32::from_be_bytes([a, b, c, d]) & ((1 << BITS) - 1);
        Bucket((kind as u32) << BITS | hash)
    }
}

/// The name as it is counted: NFKC, trimmed, lower case.
fn normal(name: &str) -> String {
    let folded: String = name.nfkc().collect();
    folded.trim().to_lowercase()
}
