//! The networks that an address counts as.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A network of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Network {
    /// Its first address.
    pub(super) address: IpAddr,
    /// The length of the prefix, in bits.
    pub(super) width: u8,
    /// How many times as many attempts as one address it may make.
    pub(super) times: u16,
}

/// The networks of this address, the smallest first. A network of twice the addresses has less than
/// twice the limit, as most of its addresses are unused.
pub(super) fn networks(address: IpAddr) -> Vec<Network> {
    match address.to_canonical() {
        IpAddr::V4(address) => [(32, 1), (24, 8)]
            .map(|(width, times)| {
                let bits = address.to_bits() & (u32::MAX << (32 - width));
                Network { address: Ipv4Addr::from_bits(bits).into(), width: width as u8, times }
            })
            .to_vec(),
        IpAddr::V6(address) => [(64, 1), (56, 4), (48, 16)]
            .map(|(width, times)| {
                let bits = address.to_bits() & (u128::MAX << (128 - width));
                Network { address: Ipv6Addr::from_bits(bits).into(), width: width as u8, times }
            })
            .to_vec(),
    }
}
