//! Constant-time comparison of secrets.

use subtle::ConstantTimeEq;

/// Whether two secrets are equal. The time does not depend on where they differ.
///
/// `N` is a multiple of 8.
pub(crate) fn equal<const N: usize>(a: &[u8; N], b: &[u8; N]) -> bool {
    const { assert!(N.is_multiple_of(8), "whole words") };
    equal_slices(a, b)
}

/// [`equal`] for slices of any length. The length is not secret.
#[inline]
pub(crate) fn equal_slices(a: &[u8], b: &[u8]) -> bool {
    let ((words_a, rest_a), (words_b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    // Collect the differences without a branch and compare only the result with `subtle`, whose
    // barrier for each word would take longer than the words.
    let words = words_a
        .iter()
        .zip(words_b)
        .fold(0, |different, (a, b)| different | (u64::from_ne_bytes(*a) ^ u64::from_ne_bytes(*b)));
    let rest = rest_a.iter().zip(rest_b).fold(0, |different, (a, b)| different | (a ^ b));
    a.len() == b.len() && bool::from((words | u64::from(rest)).ct_eq(&0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_counts() {
        let secret = [0x5a; 16];
        assert!(equal(&secret, &secret.clone()));
        for bit in 0..128 {
            let mut other = secret;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!equal(&secret, &other), "{bit}");
            assert!(!equal_slices(&secret, &other), "{bit}");
        }
        for len in 0..16 {
            assert!(equal_slices(&secret[..len], &[0x5a; 16][..len]));
            assert!(!equal_slices(&secret[..len], &secret));
        }
    }
}
