//! A user's counters for one-time purposes, all in one column.

use std::collections::BTreeMap;

use crate::{counter::Counter, error::ParseError};

/// A user's counters by the JOSE `typ` of their purposes: one column of the user's row.
///
/// The text is one line of JSON in one canonical form, `{"email+jwt":17,"magic+jwt":18}`, sorted by
/// `typ`. A purpose that is missing has [`Counter::INITIAL`], so the column can be added to a live
/// table as `NULL`, and a new purpose needs no migration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lanes(BTreeMap<String, i64>);

impl Lanes {
    /// The greatest length of the text that is read, in bytes.
    pub const MAX_BYTES: usize = 16 << 10;

    /// Reads the column: text that [`to_column`](Self::to_column) gave, or `NULL`.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for every other text. Treat it as a failure of the lookup: with other counters in
    /// its place, links would work twice.
    pub fn from_column(column: Option<&str>) -> Result<Self, ParseError> {
        let Some(text) = column else { return Ok(Self::default()) };
        if text.len() > Self::MAX_BYTES {
            return Err(MALFORMED);
        }
        let lanes = Self(serde_json::from_str(text).map_err(|_| MALFORMED)?);
        // One form only, so that a compare-and-set can compare text.
        match lanes.to_column().as_deref() == Some(text) && lanes.0.values().all(|lane| *lane >= 0)
        {
            true => Ok(lanes),
            false => Err(MALFORMED),
        }
    }

    /// The text to store, in a column of type `TEXT`, not `JSONB`. It is `None`, for `NULL`, only as long
    /// as no counter has moved.
    #[must_use]
    pub fn to_column(&self) -> Option<String> {
        (!self.0.is_empty()).then(|| serde_json::to_string(&self.0).ok()).flatten()
    }

    /// The counter of the purpose with this `typ`.
    #[must_use]
    pub fn get(&self, typ: &str) -> Counter {
        self.0.get(typ).copied().into()
    }

    /// Moves the counter of the purpose with this `typ`.
    pub fn set(&mut self, typ: impl Into<String>, counter: Counter) {
        self.0.insert(typ.into(), counter.get());
    }
}

const MALFORMED: ParseError =
    ParseError::new("the column of lanes is not in the form in which it was written");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_that_is_read_is_the_text_that_was_written() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.to_column(), None);
        assert_eq!(lanes.get("magic+jwt"), Counter::INITIAL);
        lanes.set("magic+jwt", 18.into());
        lanes.set("email+jwt", 17.into());
        let text = lanes.to_column().unwrap();
        assert_eq!(text, r#"{"email+jwt":17,"magic+jwt":18}"#);
        assert_eq!(Lanes::from_column(Some(&text)).unwrap(), lanes);
        assert_eq!(lanes.get("magic+jwt"), 18.into());
    }

    #[test]
    fn no_other_text_is_read() {
        for text in
            ["", "{}", "[]", "{\"b\":1,\"a\":2}", "{\"a\": 1}", "{\"a\":1,\"a\":1}", "{\"a\":-1}"]
        {
            assert!(Lanes::from_column(Some(text)).is_err(), "{text}");
        }
        let long = format!("{{\"{}\":1}}", "a".repeat(Lanes::MAX_BYTES));
        assert!(Lanes::from_column(Some(&long)).is_err());
    }
}
