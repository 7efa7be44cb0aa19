//! Comparing secrets.

use subtle::{Choice, ConstantTimeEq};

/// Whether two secrets are the same, in a time that does not tell where they differ.
///
/// `N` is a multiple of 8: a word costs what a byte costs.
pub(crate) fn equal<const N: usize>(a: &[u8; N], b: &[u8; N]) -> bool {
    const { assert!(N.is_multiple_of(8), "whole words") };
    let (a, b) = (a.as_chunks::<8>().0, b.as_chunks::<8>().0);
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let same = a.iter().zip(b).map(|(a, b)| word(a).ct_eq(&word(b)));
    same.fold(Choice::from(1), |all, each| all & each).into()
}

/// [`equal`], of any length, which is no secret.
pub(crate) fn equal_slices(a: &[u8], b: &[u8]) -> bool {
    let ((a, rest_a), (b, rest_b)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
    let same = a.iter().zip(b).map(|(a, b)| word(a).ct_eq(&word(b)));
    let same = same.fold(rest_a.ct_eq(rest_b), |all, each| all & each);
    a.len() == b.len() && bool::from(same)
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
