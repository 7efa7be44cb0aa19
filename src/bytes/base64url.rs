//! base64url without padding (RFC 4648 §5, RFC 7515 §2), strict.

use std::mem::MaybeUninit;

use base64_simd::{AsOut, URL_SAFE_NO_PAD};

/// Encodes bytes.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// [`encode`] for 16 bytes.
pub(crate) fn encode_16<'b>(bytes: &[u8; 16], buffer: &'b mut [u8; encoded_len(16)]) -> &'b str {
    URL_SAFE_NO_PAD.encode_as_str(bytes, buffer.as_mut_slice().as_out())
}

/// Appends the encoding of `bytes` to a text.
pub(crate) fn append(text: &mut String, bytes: &[u8]) {
    URL_SAFE_NO_PAD.encode_append(bytes, text);
}

/// Decodes only canonical base64url: no padding, no white space, no non-zero bits at the end.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

/// [`decode`] into a buffer; also `None` if the buffer is too small.
pub(crate) fn decode_into<'b>(
    text: &str,
    buffer: &'b mut [MaybeUninit<u8>],
) -> Option<&'b mut [u8]> {
    if decoded_len(text.len()) > buffer.len() {
        return None;
    }
    URL_SAFE_NO_PAD.decode(text.as_bytes(), buffer.as_out()).ok()
}

/// A buffer for decoded bytes. Up to [`USUAL_BYTES`] are decoded without an allocation.
pub(crate) struct Buffer {
    stack: [MaybeUninit<u8>; USUAL_BYTES],
    heap: Vec<u8>,
}

/// A length that most payloads fit into, in bytes.
const USUAL_BYTES: usize = 1024;

impl Buffer {
    #[inline(always)]
    pub(crate) const fn new() -> Self {
        Self { stack: [const { MaybeUninit::uninit() }; _], heap: Vec::new() }
    }

    /// [`decode`] into this buffer.
    #[inline(always)]
    pub(crate) fn decode(&mut self, text: &str) -> Option<&mut [u8]> {
        if decoded_len(text.len()) <= USUAL_BYTES {
            return decode_into(text, &mut self.stack);
        }
        self.heap = decode(text)?;
        Some(&mut self.heap)
    }
}

/// [`decode`] for text of exactly `N` bytes.
pub(crate) fn decode_array<const N: usize>(text: impl AsRef<[u8]>) -> Option<[u8; N]> {
    let text = text.as_ref();
    let mut bytes = [0; N];
    if text.len() != encoded_len(N) {
        return None;
    }
    let len = URL_SAFE_NO_PAD.decode(text, bytes.as_mut_slice().as_out()).ok()?.len();
    (len == N).then_some(bytes)
}

/// The encoded length of `bytes` bytes, in characters.
pub(crate) const fn encoded_len(bytes: usize) -> usize {
    (bytes * 4).div_ceil(3)
}

/// The decoded length of `characters` characters, in bytes.
pub(crate) const fn decoded_len(characters: usize) -> usize {
    characters * 3 / 4
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    #[test]
    fn base64url_is_canonical() {
        assert_eq!(decode("QQ").as_deref(), Some(&b"A"[..]));
        for stray in ["QR", "QQ=", "QQ==", "Q", " QQ", "QQ\n", "Q+", "Q/", "Qé"] {
            assert_eq!(decode(stray), None, "{stray}");
        }
        assert_eq!(decode_array::<2>("QQ"), None);
        assert_eq!(decode_array::<1>("QQ"), Some([b'A']));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes_and_has_one_form(bytes in vec(any::<u8>(), 0..80), flip in any::<(usize, u8)>()) {
            let text = encode(&bytes);
            prop_assert_eq!(text.len(), encoded_len(bytes.len()));
            prop_assert_eq!(decode(&text), Some(bytes.clone()));
            if !text.is_empty() {
                let mut other = text.clone().into_bytes();
                let at = flip.0 % other.len();
                other[at] ^= 1 << (flip.1 % 7);
                let other = String::from_utf8(other).unwrap();
                prop_assert_ne!(decode(&other), Some(bytes));
            }
        }
    }
}
