//! HMAC-SHA-256 (RFC 2104) under keys of 32 bytes, over the compression function of `sha2`.
//!
//! `hmac` buffers each message, and hashes a key anew for each user. Here a key is kept as the states
//! behind its padded blocks, and the end of a message is built in the blocks that are hashed. The
//! tests compare the two.

use sha2::block_api::compress256;
use zeroize::{Zeroizing, optimization_barrier};

/// The bytes that SHA-256 compresses at once (FIPS 180-4 §6.2).
pub(crate) const BLOCK: usize = 64;

/// The bytes that the padding takes at least: a set bit and the message's length (FIPS 180-4 §5.1.1).
const MIN_PADDING: usize = 9;

/// The longest end of a message, for two blocks with the padding.
const MAX_END: usize = 2 * BLOCK - MIN_PADDING;

/// The hash value of SHA-256 between two blocks.
type State = [u32; 8];

/// The initial hash value (FIPS 180-4 §5.3.3).
const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// A key, ready to sign messages. It is zeroized on drop.
pub(crate) struct MacKey {
    /// Behind the block `key ⊕ ipad`, and behind the beginning that all messages have.
    inner: State,
    /// The number of these blocks.
    blocks: usize,
    /// Behind the block `key ⊕ opad`.
    outer: State,
}

impl MacKey {
    #[inline]
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        // RFC 2104 pads a short key with zeros to the length of a block.
        let mut blocks = [[0x36; BLOCK], [0x5c; BLOCK]];
        for block in &mut blocks {
            block.iter_mut().zip(key).for_each(|(padded, byte)| *padded ^= byte);
        }
        let mut new = Self { inner: INITIAL, blocks: 1, outer: INITIAL };
        compress256(&mut new.inner, &blocks[..1]);
        compress256(&mut new.outer, &blocks[1..]);
        blocks = [[0; BLOCK]; 2];
        optimization_barrier(&blocks);
        new
    }

    /// The key for messages that begin with these blocks. It signs the rest of such a message.
    pub(crate) fn after(&self, beginning: &[[u8; BLOCK]]) -> Self {
        let mut inner = self.inner;
        compress256(&mut inner, beginning);
        Self { inner, blocks: self.blocks + beginning.len(), outer: self.outer }
    }

    /// The authentication code of a message.
    #[inline]
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut state = self.inner;
        let (blocks, end) = message.as_chunks();
        if !blocks.is_empty() {
            compress256(&mut state, blocks);
        }
        self.finish(state, self.blocks + blocks.len(), [end])
    }

    /// [`sign`](Self::sign) for a message in pieces. Up to [`MAX_END`] bytes are not allocated.
    #[inline]
    pub(crate) fn sign_pieces<const N: usize>(&self, pieces: [&[u8]; N]) -> [u8; 32] {
        match pieces.iter().map(|piece| piece.len()).sum() {
            ..=MAX_END => self.finish(self.inner, self.blocks, pieces),
            _ => self.sign(&Zeroizing::new(pieces.concat())),
        }
    }

    /// The code of a message of which `blocks` blocks, with that of the key, are hashed to `state`, and
    /// whose end is at most [`MAX_END`] bytes in these pieces.
    #[inline]
    fn finish<const N: usize>(
        &self,
        mut state: State,
        blocks: usize,
        pieces: [&[u8]; N],
    ) -> [u8; 32] {
        let mut end = [[0; BLOCK]; 2];
        let mut len = 0;
        for piece in pieces {
            end.as_flattened_mut()[len..len + piece.len()].copy_from_slice(piece);
            len += piece.len();
        }
        end.as_flattened_mut()[len] = 0x80;
        let last = (len + MIN_PADDING - 1) / BLOCK;
        end[last][BLOCK - 8..].copy_from_slice(&bits(blocks, len));
        compress256(&mut state, &end[..=last]);

        // The outer hash takes that digest and its padding: one block.
        end[0][..32].copy_from_slice(&bytes(state));
        end[0][32] = 0x80;
        end[0][33..BLOCK - 8].fill(0);
        end[0][BLOCK - 8..].copy_from_slice(&bits(1, 32));
        state = self.outer;
        compress256(&mut state, &end[..1]);
        end = [[0; BLOCK]; 2];
        optimization_barrier(&end);
        bytes(state)
    }
}

impl Drop for MacKey {
    #[inline]
    fn drop(&mut self) {
        (self.inner, self.outer) = ([0; 8], [0; 8]);
        optimization_barrier(self);
    }
}

/// The length of a message of whole blocks and further bytes, in bits, as the padding has it.
#[inline]
const fn bits(blocks: usize, bytes: usize) -> [u8; 8] {
    (8 * (blocks * BLOCK + bytes) as u64).to_be_bytes()
}

#[inline]
fn bytes(state: State) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (four, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
        *four = word.to_be_bytes();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use hmac::{KeyInit, Mac};

    use super::*;
    use crate::bytes::hmac::HmacSha256;

    fn genuine(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
        let mac = HmacSha256::new_from_slice(key).unwrap();
        mac.chain_update(message).finalize().into_bytes().into()
    }

    #[test]
    fn it_is_hmac_at_every_length_and_every_split() {
        let message: Vec<u8> = (0..=250).cycle().take(400).collect();
        let bytes = std::array::from_fn(|i| 7 * i as u8);
        let key = MacKey::new(&bytes);
        for len in 0..=message.len() {
            let message = &message[..len];
            let genuine = genuine(&bytes, message);
            assert_eq!(key.sign(message), genuine, "{len}");
            for (head, tail) in (0..=len).map(|at| message.split_at(at)) {
                assert_eq!(key.sign_pieces([head, tail]), genuine, "{len}: {}", head.len());
                assert_eq!(key.sign_pieces([b"", head, b"", tail]), genuine, "{len}");
            }
        }
    }

    #[test]
    fn it_is_hmac_under_any_key() {
        for bit in 0..256 {
            let bytes = std::array::from_fn(|i| if i == bit / 8 { 1 << (bit % 8) } else { 0 });
            assert_eq!(MacKey::new(&bytes).sign(b"message"), genuine(&bytes, b"message"), "{bit}");
        }
    }
}
