//! Framing: a list of pieces as bytes, each with its length in front.
//!
//! A piece is `u32(length) ‖ bytes`, big-endian, so two different lists never give the same bytes.

use sha2::digest::Update;

/// Writes one piece: `u32(length) ‖ bytes`.
pub(crate) fn piece(sink: &mut impl Update, bytes: &[u8]) {
    nested(sink, bytes.len());
    sink.update(bytes);
}

/// Writes the length of a piece that is itself a frame. Its content follows.
pub(crate) fn nested(sink: &mut impl Update, len: usize) {
    // Every input has a bound of its own, far below 4 GiB.
    sink.update(&u32::try_from(len).unwrap_or(u32::MAX).to_be_bytes());
}

/// The length of a piece with `len` bytes of content.
pub(crate) const fn piece_len(len: usize) -> usize {
    4 + len
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[derive(Default)]
    pub(crate) struct Bytes(pub(crate) Vec<u8>);

    impl Update for Bytes {
        fn update(&mut self, data: &[u8]) {
            self.0.extend_from_slice(data);
        }
    }

    pub(crate) fn frame(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Bytes::default();
        pieces.iter().for_each(|p| piece(&mut out, p));
        out.0
    }

    proptest! {
        #[test]
        fn distinct_inputs_give_distinct_frames(
            a in vec(vec(any::<u8>(), 0..6), 0..5),
            b in vec(vec(any::<u8>(), 0..6), 0..5),
        ) {
            prop_assert_eq!(a == b, frame(&a) == frame(&b));
        }

        /// The classic mistake: bytes that move from one field to its neighbour.
        #[test]
        fn moving_a_border_changes_the_frame(text in vec(any::<u8>(), 2..20), x in 0_usize..20, y in 0_usize..20) {
            let (x, y) = (x % text.len(), y % text.len());
            prop_assume!(x != y);
            let split = |at: usize| frame(&[text[..at].to_vec(), text[at..].to_vec()]);
            prop_assert_ne!(split(x), split(y));
        }
    }
}
