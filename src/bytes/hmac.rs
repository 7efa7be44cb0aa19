//! HMAC-SHA-256 (RFC 2104). See [`mac`](super::mac) for the keys that sign on each request.

use hmac::{Hmac, KeyInit};
use sha2::Sha256;
use zeroize::optimization_barrier;

/// HMAC-SHA-256 under a key. A clone is ready to take another message.
pub(crate) type HmacSha256 = Hmac<Sha256>;

/// HMAC-SHA-256 under a derived key.
pub(crate) fn keyed(key: &[u8; 32]) -> HmacSha256 {
    // RFC 2104 pads a short key with zeros to the block length of 64 bytes.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mac = HmacSha256::new((&block).into());
    block.fill(0);
    optimization_barrier(&block);
    mac
}
