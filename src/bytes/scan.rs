//! A fast scanner for JSON in the form that relatch and `serde_json` write: no white space, no
//! escapes, few members, whole numbers.
//!
//! It answers only "yes" or "not sure"; then a parser decides. Every parser reads a text that the
//! scanner accepts in the same way.

use memchr::memchr2;

use crate::bytes::span::Span;

pub(crate) struct Scan<'a> {
    json: &'a [u8],
    /// The current position, in bytes.
    pub(crate) at: usize,
}

/// The greatest nesting depth of a value.
const MAX_DEPTH: u32 = 16;

/// The greatest number of members of an object whose names must be distinct.
const MAX_NAMES: usize = 16;

impl<'a> Scan<'a> {
    pub(crate) fn new(json: &'a [u8]) -> Option<Self> {
        // Refuse control characters: inside a string they are errors, outside they are white space.
        let least = json.iter().fold(u8::MAX, |least, byte| least.min(*byte));
        (least >= b' ').then_some(Self { json, at: 0 })
    }

    pub(crate) const fn is_at_end(&self) -> bool {
        self.at == self.json.len()
    }

    pub(crate) fn bytes(&self, span: Span) -> &'a [u8] {
        span.of_bytes(self.json)
    }

    #[inline(always)]
    pub(crate) fn skip(&mut self, literal: &[u8]) -> Option<()> {
        self.json.get(self.at..)?.starts_with(literal).then(|| self.at += literal.len())
    }

    /// The text between `opening` and the closing quote.
    #[inline(always)]
    pub(crate) fn text(&mut self, opening: &[u8]) -> Option<Span> {
        self.skip(opening)?;
        let rest = self.json.get(self.at..)?;
        let len = memchr2(b'"', b'\\', rest)?;
        let span = Span::new(self.at, self.at + len);
        self.at += len + 1;
        (rest[len] == b'"').then_some(span)
    }

    /// The digits after `opening`.
    #[inline(always)]
    pub(crate) fn number(&mut self, opening: &[u8], max: u64) -> Option<u64> {
        self.skip(opening)?;
        let rest = self.json.get(self.at..)?;
        let mut number = 0_u64;
        let mut len = 0;
        for digit in rest {
            let value = digit.wrapping_sub(b'0');
            if value > 9 {
                break;
            }
            number = number.wrapping_mul(10).wrapping_add(u64::from(value));
            len += 1;
        }
        self.at += len;
        let digits = &rest[..len];
        let is_plain = matches!(digits, [b'0'] | [b'1'..=b'9', ..]);
        // Nineteen digits always fit into 64 bits.
        (is_plain && digits.len() <= 19 && number <= max).then_some(number)
    }

    /// Members after `opening` and up to the brace: each name once, and none that `is_reserved`.
    /// `value` scans the value behind each colon.
    pub(crate) fn members(
        &mut self,
        opening: &[u8],
        is_reserved: impl Fn(&[u8]) -> bool,
        value: impl Fn(&mut Self) -> Option<()>,
    ) -> Option<()> {
        let mut names = [&b""[..]; MAX_NAMES];
        let mut known = 0;
        self.list(opening, b"}", |scan| {
            let name = scan.text(b"\"")?;
            let name = scan.bytes(name);
            if names[..known].contains(&name) || is_reserved(name) {
                return None;
            }
            *names.get_mut(known)? = name;
            known += 1;
            scan.skip(b":")?;
            value(scan)
        })
    }

    /// Any value.
    pub(crate) fn value(&mut self) -> Option<()> {
        self.value_within(MAX_DEPTH)
    }

    fn value_within(&mut self, depth: u32) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match self.json.get(self.at)? {
            b'"' => self.text(b"\"").map(drop),
            b'0'..=b'9' => self.number(b"", u64::MAX).map(drop),
            b't' => self.skip(b"true"),
            b'f' => self.skip(b"false"),
            b'n' => self.skip(b"null"),
            b'[' => self.list(b"[", b"]", |scan| scan.value_within(depth)),
            b'{' => self.list(b"{", b"}", |scan| {
                scan.text(b"\"")?;
                scan.skip(b":")?;
                scan.value_within(depth)
            }),
            _ => None,
        }
    }

    /// One or more items between `opening` and `closing`.
    fn list(
        &mut self,
        opening: &[u8],
        closing: &[u8],
        mut item: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.skip(opening)?;
        loop {
            item(self)?;
            if self.skip(closing).is_some() {
                return Some(());
            }
            self.skip(b",")?;
        }
    }
}
