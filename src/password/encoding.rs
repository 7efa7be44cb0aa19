//! Encodings in stored hashes.

use std::ops::RangeInclusive;

use subtle::ConstantTimeEq;

/// The lengths of an output that are accepted, in bytes, as in the PHC string format. A shorter one
/// matches by chance: an empty one matches everything.
const OUTPUT_BYTES: RangeInclusive<usize> = 10..=64;

/// The greatest length of a stored text.
const MAX_TEXT_BYTES: usize = 1024;

/// The salt and the output of a hash.
pub(super) struct Hashed {
    pub(super) salt: Vec<u8>,
    output: Vec<u8>,
}

impl Hashed {
    /// `None` if the output has a length that no hash has.
    pub(super) fn new(salt: Vec<u8>, output: Vec<u8>) -> Option<Self> {
        let is_usable = OUTPUT_BYTES.contains(&output.len()) && salt.len() <= MAX_TEXT_BYTES;
        is_usable.then_some(Self { salt, output })
    }

    /// The length of the output, in bytes.
    pub(super) const fn len(&self) -> usize {
        self.output.len()
    }

    /// Whether this is the output, in constant time.
    pub(super) fn is(&self, output: &[u8]) -> bool {
        bool::from(self.output.ct_eq(output))
    }
}

/// Decodes base64 with or without padding, also in passlib's variant, which has `.` in place of `+`.
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    let text = text.trim_end_matches('=').replace('.', "+");
    base64_simd::STANDARD_NO_PAD.decode_to_vec(text).ok()
}

/// A number in decimal, without a sign.
pub(super) fn decimal(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// The fields of a text between `$` signs, if it has just this number of them.
pub(super) fn fields<const N: usize>(text: &str) -> Option<[&str; N]> {
    text.split('$').collect::<Vec<_>>().try_into().ok()
}
