//! Contexts: further values that a token is bound to and does not contain.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use zeroize::Zeroizing;

use crate::binding::fingerprint::Fingerprint;

/// Further values that a token is bound to and does not contain. Each has a kind: the fingerprint
/// of a hardened cookie, a client address, a new e-mail address.
///
/// The same context must be presented with the token
/// ([`Token::in_context`](crate::Token::in_context)). If a value is missing, added or different,
/// the token is rejected, and the rejection does not say which value. Setting a kind again replaces
/// its value.
///
/// # Example
///
/// ```
/// use relatch::Context;
///
/// let context = Context::new().with_email("new@example.com").with("tenant", "acme");
/// # let _ = context;
/// ```
#[derive(Clone, Default)]
pub struct Context(Vec<(String, Zeroizing<Vec<u8>>)>);

impl Context {
    /// The greatest length of a kind or a value, in bytes. A longer or empty one is an error at
    /// issue and matches nothing at verification.
    pub const MAX_BYTES: usize = 4096;

    /// An empty context.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds `value` under `kind`.
    #[must_use]
    pub fn with(mut self, kind: impl Into<String>, value: impl AsRef<[u8]>) -> Self {
        let (kind, value) = (kind.into(), Zeroizing::new(value.as_ref().to_vec()));
        match self.position(&kind) {
            Ok(at) => self.0[at].1 = value,
            Err(at) => self.0.insert(at, (kind, value)),
        }
        self
    }

    /// Adds the value of a hardened cookie, under the kind `fingerprint`.
    #[must_use]
    pub fn with_fingerprint(self, fingerprint: &Fingerprint) -> Self {
        self.with("fingerprint", fingerprint.as_bytes())
    }

    /// Adds the network of the client's address, under the kind `client_address`: the first 24
    /// bits of an IPv4 address, the first 64 bits of an IPv6 address.
    ///
    /// A client that changes networks, as a phone often does, must log in again. So use this for
    /// machines and administrators rather than for all users. For another prefix length use
    /// [`with`](Self::with).
    ///
    /// # Security
    ///
    /// Behind a proxy, use the address that the proxy reports, and trust only the proxy: a client
    /// can send any `X-Forwarded-For`.
    #[must_use]
    pub fn with_client_address(self, address: IpAddr) -> Self {
        self.with("client_address", network(address))
    }

    /// Adds an e-mail address, under the kind `email`. It is compared byte for byte, so normalise
    /// it in the same way both times.
    #[must_use]
    pub fn with_email(self, address: &str) -> Self {
        self.with(EMAIL, address)
    }

    /// The first of these kinds that this context lacks.
    pub(crate) fn lacks(&self, kinds: &[&'static str]) -> Option<&'static str> {
        kinds.iter().copied().find(|kind| self.position(kind).is_err())
    }

    /// The index of a kind, or the index at which to insert it.
    fn position(&self, kind: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(known, _)| known.as_str().cmp(kind))
    }

    /// The kinds and values, sorted by kind.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(kind, value)| (kind.as_str(), value.as_slice()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether no kind or value is empty or too long.
    pub(crate) fn is_sound(&self) -> bool {
        let fits = |bytes: &[u8]| (1..=Self::MAX_BYTES).contains(&bytes.len());
        self.iter().all(|(kind, value)| fits(kind.as_bytes()) && fits(value))
    }
}

/// The kind of [`Context::with_email`].
pub(crate) const EMAIL: &str = "email";

/// The network of the address, as text: `203.0.113.0/24`, `2001:db8:0:1::/64`.
fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(v4) => format!("{}/24", Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8))),
        IpAddr::V6(v6) => format!("{}/64", Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

impl fmt::Debug for Context {
    /// Shows the kinds without their values: a fingerprint is secret, an e-mail address is private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds: Vec<_> = self.iter().map(|(kind, _)| kind).collect();
        f.debug_tuple("Context").field(&kinds).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_sorted_and_unique() {
        let context = Context::new().with("b", "1").with("a", "2").with("b", "3");
        let pairs: Vec<_> = context.iter().collect();
        assert_eq!(pairs, [("a", &b"2"[..]), ("b", b"3")]);
    }

    #[test]
    fn an_address_stands_for_its_network() {
        for (address, expected) in [
            ("203.0.113.77", "203.0.113.0/24"),
            ("::ffff:203.0.113.77", "203.0.113.0/24"),
            ("2001:db8:0:1:aaaa::1", "2001:db8:0:1::/64"),
            ("::1", "::/64"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn an_empty_or_a_huge_value_is_unsound() {
        assert!(Context::new().is_sound());
        assert!(Context::new().with("k", "v").is_sound());
        assert!(!Context::new().with("k", "").is_sound());
        assert!(!Context::new().with("", "v").is_sound());
        assert!(!Context::new().with("k", [0; Context::MAX_BYTES + 1]).is_sound());
    }
}
