//! The address of a request's client.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderName, request::Parts};

/// Where the address of a request's client is to be had: attempts to log in are counted by it.
///
/// # Example
///
/// ```
/// use std::net::SocketAddr;
///
/// use axum::extract::ConnectInfo;
/// use relatch::axum::ClientAddress;
///
/// // Served directly, by `into_make_service_with_connect_info::<SocketAddr>()`.
/// let peer = ClientAddress::from_extension(|peer: &ConnectInfo<SocketAddr>| peer.ip());
/// // Behind one proxy.
/// let proxied = ClientAddress::forwarded_for(1);
/// ```
#[derive(Clone)]
pub struct ClientAddress(Arc<Find>);

type Find = dyn Fn(&Parts) -> Option<IpAddr> + Send + Sync;

impl ClientAddress {
    /// The address that this function finds.
    pub fn from_fn(find: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }

    /// The address in a request's extension of the type `T`.
    pub fn from_extension<T: Send + Sync + 'static>(
        address: impl Fn(&T) -> IpAddr + Send + Sync + 'static,
    ) -> Self {
        Self::from_fn(move |parts| parts.extensions.get().map(&address))
    }

    /// The address in `X-Forwarded-For` before this many proxies of your own, counted from the end:
    /// 1 for the one that the only proxy wrote. Behind none, 0, nothing is found.
    ///
    /// # Security
    ///
    /// What stands before those is the client's own word. The server must be reached through the
    /// proxies alone.
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

/// Some proxies write a port as well, and an IPv6 address in brackets.
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
