//! Text that is usually stored without an allocation.

/// Immutable text: up to [`INLINE_BYTES`] are in place, more on the heap.
pub(crate) enum Text {
    Inline { bytes: Aligned, len: u8 },
    Heap(Box<str>),
}

/// Aligned for words: `from_utf8` checks ASCII by words, and byte by byte up to the first whole word.
#[repr(align(8))]
pub(crate) struct Aligned([u8; INLINE_BYTES]);

/// The capacity in place: enough for a UUID, 36 bytes, or a ULID, 26 bytes.
const INLINE_BYTES: usize = 40;

impl Text {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Inline { bytes, len } => &bytes.0[..usize::from(*len)],
            Self::Heap(text) => text.as_bytes(),
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        match self {
            // Always whole text, so the default never occurs.
            Self::Inline { .. } => str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Self::Heap(text) => text,
        }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut bytes = [0; INLINE_BYTES];
        match (bytes.get_mut(..text.len()), u8::try_from(text.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(text.as_bytes());
                Self::Inline { bytes: Aligned(bytes), len }
            }
            _ => Self::Heap(text.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_is_kept() {
        for len in [0, 1, INLINE_BYTES - 1, INLINE_BYTES, INLINE_BYTES + 1, 300] {
            for letter in ["a", "é", "📱"] {
                let text = letter.repeat(len);
                assert_eq!(Text::from(text.as_str()).as_str(), text);
            }
        }
    }
}
