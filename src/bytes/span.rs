//! Spans of text, so that values read from a text need not be copied.

use std::ops::Range;

/// The position of a piece of text, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(crate) const EMPTY: Self = Self { start: 0, end: 0 };

    pub(crate) fn new(start: usize, end: usize) -> Self {
        // The position always fits: the length of a token is limited.
        let at = |bytes| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { start: at(start), end: at(end) }
    }

    /// The same piece of a text that begins `by` bytes earlier.
    pub(crate) fn moved(self, by: usize) -> Self {
        Self::new(self.start as usize + by, self.end as usize + by)
    }

    pub(crate) const fn end(self) -> usize {
        self.end as usize
    }

    const fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }

    /// The piece of `text`; empty if `text` is too short.
    pub(crate) fn of(self, text: &str) -> &str {
        text.get(self.range()).unwrap_or_default()
    }

    /// The piece of a text that may not be UTF-8.
    pub(crate) fn of_bytes(self, text: &[u8]) -> &[u8] {
        text.get(self.range()).unwrap_or_default()
    }

    /// Appends a piece to a text and returns its span.
    pub(crate) fn push(text: &mut String, piece: &str) -> Self {
        let start = text.len();
        text.push_str(piece);
        Self::new(start, text.len())
    }
}
