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
    match embedded(address) {
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

/// The IPv4 address that is in an IPv6 one, if there is one: mapped (RFC 4291 §2.5.5.2), translated with
/// the well-known prefix `64:ff9b::/96` (RFC 6052 §2.1), or of 6to4, `2002::/16` (RFC 3056 §2). Otherwise
/// all clients behind a translator would share one limit, and a client of 6to4 would have one more.
fn embedded(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address.to_canonical() else { return address.to_canonical() };
    let of =
        |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)).into();
    match v6.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => of(high, low),
        _ => v6.into(),
    }
}
