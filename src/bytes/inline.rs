//! Secret bytes in a buffer that is usually on the stack.

use sha2::digest::Update;
use zeroize::{Zeroizing, optimization_barrier};

/// Secret bytes, built by appending. Up to [`STACK_BYTES`] are on the stack, more on the heap. They are
/// zeroized on drop.
#[allow(clippy::large_enum_variant, reason = "the large variant is the common one")]
pub(crate) enum InlineBytes {
    Stack { bytes: [u8; STACK_BYTES], len: usize },
    Heap(Zeroizing<Vec<u8>>),
}

/// The capacity on the stack: enough for most bodies of a derivation.
const STACK_BYTES: usize = 256;

impl InlineBytes {
    /// An empty buffer for `len` bytes. More can be appended, but can then leave copies that are not
    /// zeroized.
    pub(crate) fn with_capacity(len: usize) -> Self {
        match len {
            ..=STACK_BYTES => Self::Stack { bytes: [0; STACK_BYTES], len: 0 },
            _ => Self::Heap(Zeroizing::new(Vec::with_capacity(len))),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Stack { bytes, len } => &bytes[..*len],
            Self::Heap(bytes) => bytes,
        }
    }
}

impl Update for InlineBytes {
    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Heap(bytes) => bytes.extend_from_slice(data),
            Self::Stack { bytes, len } => match bytes.get_mut(*len..*len + data.len()) {
                Some(free) => {
                    free.copy_from_slice(data);
                    *len += data.len();
                }
                None => *self = Self::Heap(Zeroizing::new([self.as_slice(), data].concat())),
            },
        }
    }
}

impl Drop for InlineBytes {
    fn drop(&mut self) {
        if let Self::Stack { bytes, .. } = self {
            bytes.fill(0);
            optimization_barrier(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kept_in_order_on_the_stack_and_on_the_heap() {
        for capacity in [0, 1, STACK_BYTES, STACK_BYTES + 1, 1000] {
            for piece in [1, 7, STACK_BYTES] {
                let mut bytes = InlineBytes::with_capacity(capacity);
                let all: Vec<u8> = (0..=250).cycle().take(1024).collect();
                all.chunks(piece).for_each(|piece| bytes.update(piece));
                assert_eq!(bytes.as_slice(), all, "{capacity} {piece}");
            }
        }
    }
}
