//! HMAC-SHA-256 (RFC 2104), and HS256 with it (RFC 7518 §3.2).

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::optimization_barrier;

/// HMAC-SHA-256 under a key. A clone is ready to take another message.
pub(crate) type HmacSha256 = Hmac<Sha256>;

/// HS256 under a derived key.
pub(crate) fn hs256(key: &[u8; 32]) -> HmacSha256 {
    // RFC 2104 pads a short key with zeros to the block length of 64 bytes.
    let mut block = [0; 64];
    block[..32].copy_from_slice(key);
    let mac = HmacSha256::new((&block).into());
    block.fill(0);
    optimization_barrier(&block);
    mac
}

/// The HS256 signature over a signing input.
pub(crate) fn sign(mac: HmacSha256, signing_input: impl AsRef<[u8]>) -> [u8; 32] {
    mac.chain_update(signing_input).finalize().into_bytes().into()
}
