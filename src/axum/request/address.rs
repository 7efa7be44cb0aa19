//! The address of a request's client.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderName, request::Parts};

/// The source of the client's address. Login attempts are counted by this address.
///
/// # Example
///
/// ```
/// use std::net::SocketAddr;
///
/// use axum::extract::ConnectInfo;
/// use relatch::axum::ClientAddress;
///
/// // Without a proxy, served with `into_make_service_with_connect_info::<SocketAddr>()`.
/// let peer = ClientAddress::from_extension(|peer: &ConnectInfo<SocketAddr>| peer.ip());
/// // Behind one proxy.
/// let proxied = ClientAddress::forwarded_for(1);
/// ```
#[derive(Clone)]
pub struct ClientAddress(Arc<Find>);

type Find = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

impl ClientAddress {
    /// Uses the address that this function returns.
    pub fn from_fn(find: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// Uses the address in a request's extension of type `T`.
    pub fn from_extension<T: Send + Sync + 'static>(
        address: impl Fn(&T) -> IpAddr + Send + Sync + 'static,
    ) -> Self {
        Self::from_fn(move |parts| parts.extensions.get().map(&address))
    }

    /// Uses the `X-Forwarded-For` entry at this position from the end, where `proxies` is the
    /// number of your own proxies: 1 is the entry that a single proxy wrote. 0 finds no address.
    ///
    /// # Security
    ///
    /// The client controls all earlier entries. The server must be reachable through the proxies
    /// only.
    #[must_use]
    pub fn forwarded_for(proxies: usize) -> Self {
        Self::from_fn(move |parts| {
            let headers = parts.headers.get_all(FORWARDED_FOR);
            let entries: Vec<_> = headers
                .iter()
                .flat_map(|header| header.as_bytes().split(|byte| *byte == b','))
                .collect();
            let at = entries.len().checked_sub(proxies)?;
            address(str::from_utf8(entries.get(at)?).ok()?.trim())
        })
    }

    pub(crate) fn of(&self, parts: &Parts) -> Option<IpAddr> {
        (self.0)(parts)
    }
}

/// Parses an entry. Some proxies also write a port, or an IPv6 address in brackets.
fn address(entry: &str) -> Option<IpAddr> {
    let bare = || entry.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    let with_port = || entry.parse::<SocketAddr>().ok().map(|peer| peer.ip());
    entry.parse().ok().or_else(with_port).or_else(bare)
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl fmt::Debug for ClientAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAddress").finish_non_exhaustive()
    }
}
