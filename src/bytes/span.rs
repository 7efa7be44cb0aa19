//! Places in a text: so that what is read of it is not copied piece by piece.

use std::ops::Range;

/// Where a piece of a text stands, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) const EMPTY: Self = Self { start: 0, end: 0 };

    pub(crate) fn new(start: usize, end: usize) -> Self {
        // No text is nearly as long: a token is capped.
        let at = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { start: at(start), end: at(end) }
    }

    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The piece; nothing of a text that has none there.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }

    /// The piece, of text that may not be UTF-8.
    pub(crate) fn of_bytes(self, text: &[u8]) -> &[u8] {
        text.get(self.range()).unwrap_or_default()
    }

    /// Adds a piece to a text.
    pub(crate) fn push(text: &mut String, piece: &str) -> Self {
        let start = text.len();
        text.push_str(piece);
        Self::new(start, text.len())
    }
}
