//! Secret bytes in a buffer that is usually in place.

use sha2::digest::Update;
use zeroize::{Zeroizing, optimization_barrier};

/// Secret bytes, built by appending. Up to `N` are in place, more on the heap. They are zeroized on drop.
#[allow(clippy::large_enum_variant, reason = "the large variant is the common one")]
pub(crate) enum InlineBytes<const N: usize> {
    Inline { bytes: [u8; N], len: usize },
    Heap(Zeroizing<Vec<u8>>),
}

impl<const N: usize> InlineBytes<N> {
    /// An empty buffer for `len` bytes. More can be appended, but can then leave copies that are not
    /// zeroized.
    pub(crate) fn with_capacity(len: usize) -> Self {
        match len <= N {
            true => Self::Inline { bytes: [0; N], len: 0 },
            false => Self::Heap(Zeroizing::new(Vec::with_capacity(len))),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { bytes, len } => &bytes[..*len],
            Self::Heap(bytes) => bytes,
        }
    }
}

impl<const N: usize> From<&[u8]> for InlineBytes<N> {
    fn from(bytes: &[u8]) -> Self {
        let mut new = Self::with_capacity(bytes.len());
        new.update(bytes);
        new
    }
}

impl<const N: usize> Update for InlineBytes<N> {
    fn update(&mut self, data: &[u8]) {
        match self {
            Self::Heap(bytes) => bytes.extend_from_slice(data),
            Self::Inline { bytes, len } => match bytes.get_mut(*len..*len + data.len()) {
                Some(free) => {
                    free.copy_from_slice(data);
                    *len += data.len();
                }
                None => *self = Self::Heap(Zeroizing::new([self.as_slice(), data].concat())),
            },
        }
    }
}

impl<const N: usize> Drop for InlineBytes<N> {
    fn drop(&mut self) {
        if let Self::Inline { bytes, .. } = self {
            bytes.fill(0);
            optimization_barrier(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 256;

    #[test]
    fn bytes_are_kept_in_order_in_place_and_on_the_heap() {
        for capacity in [0, 1, N, N + 1, 1000] {
            for piece in [1, 7, N] {
                let mut bytes = InlineBytes::<N>::with_capacity(capacity);
                let all: Vec<u8> = (0..=250).cycle().take(1024).collect();
                all.chunks(piece).for_each(|piece| bytes.update(piece));
                assert_eq!(bytes.as_slice(), all, "{capacity} {piece}");
            }
        }
    }
}
