//! The text of the sessions table: one line of JSON in one canonical form.
//!
//! ```json
//! {"format":1,"generation":1800000000000,"sessions":[
//!   {"slot":0,"generation":1800000000000,"seq":7,
//!    "tag":"mPyv0D4lmxs","started_at":1800000000,"last_seen":1800006300,
//!    "label":"Firefox on Linux"}]}
//! ```
//!
//! (without the white space). Optional members come after `last_seen`: `repeated`, `strict`,
//! `ends_at`, `data` and `policy`. Only this form is read, so the text of a table that was read is
//! the text that was stored, and a compare-and-set can rely on it.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Label, MAX_LABEL_BYTES, SessionData, SessionPolicy, SessionTable, SessionTag, Slot,
    policy::is_policy_name, table::Marks,
};
use crate::{clock::MAX_NUMERIC_DATE, error::ParseError};

/// The greatest length of text that is searched for its format number.
const MAX_EXPLAINED_BYTES: usize = 1 << 20;

/// The number of this format.
const FORMAT: u64 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    format: u64,
    generation: u64,
    sessions: Vec<Session>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Session {
    slot: u32,
    generation: u64,
    seq: u64,
    tag: String,
    started_at: i64,
    last_seen: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    repeated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    label: String,
}

impl SessionTable {
    /// The greatest length of [`to_column`](Self::to_column)'s text, in bytes, for a policy with
    /// `max_sessions` and `max_data_bytes`. With 128 bytes of data, the default, it is 555 for one
    /// session, 8,016 for 16, the default, and 31,920 for 64. A typical session without data takes
    /// about 145 bytes.
    #[must_use]
    pub const fn max_bytes(max_sessions: u32, max_data_bytes: usize) -> usize {
        // The longest numbers, and a label that consists of quotes.
        const FRAME: usize = r#"{"format":1,"generation":9223372036854775807,"sessions":[]}"#.len();
        const EACH: usize = r#"{"slot":63,"generation":9223372036854775807,"seq":9223372036854775807,"tag":"mPyv0D4lmxs","started_at":253402300799,"last_seen":253402300799,"repeated":true,"strict":true,"ends_at":253402300799,"data":,"policy":"","label":""},"#
            .len()
            + SessionPolicy::MAX_NAME_BYTES
            + 2 * MAX_LABEL_BYTES;
        let sessions = max_sessions as usize;
        let short_numbers = if sessions < 10 { sessions } else { 10 };
        let each = EACH.saturating_add(max_data_bytes);
        // The last session has no comma.
        (FRAME - 1 - short_numbers).saturating_add(each.saturating_mul(sessions))
    }

    /// Reads the column: text that [`to_column`](Self::to_column) wrote, or `NULL` for a user who
    /// never had a session.
    ///
    /// # Errors
    ///
    /// [`ParseError`] for every other text. Let it be a failure of the lookup: it says nothing of
    /// the token that was presented, and storing another table in its place would lose what it
    /// holds.
    pub fn from_column(column: Option<&str>) -> Result<Self, ParseError> {
        column.map_or(Ok(Self::default()), Self::read)
    }

    /// The text to store: one line of JSON, in a column of type `TEXT`, not `JSONB`. `None` means
    /// `NULL`, only for a user who never had a session.
    ///
    /// For a table that was read, this is the text that was read, byte for byte. A compare-and-set
    /// compares the column with it.
    #[must_use]
    pub fn to_column(&self) -> Option<String> {
        (self.generation > 0).then(|| self.write()).flatten()
    }

    fn write(&self) -> Option<String> {
        let sessions = self.slots.iter().map(Session::of).collect();
        let table = Table { format: FORMAT, generation: self.generation, sessions };
        serde_json::to_string(&table).ok()
    }

    fn read(text: &str) -> Result<Self, ParseError> {
        if text.len() > Self::max_bytes(SessionPolicy::MAX_SESSIONS, SessionData::MAX_BYTES) {
            return Err(explain(text));
        }
        let table: Table = serde_json::from_str(text).map_err(|_| explain(text))?;
        if table.format != FORMAT {
            return Err(explain(text));
        }
        let generation = table.generation;
        let slots: Option<Vec<_>> = table.sessions.into_iter().map(Session::into_slot).collect();
        let mut slots = slots.ok_or(MALFORMED)?;
        // Caches keep tables for long.
        slots.shrink_to_fit();
        let table = Self { generation, slots };
        match table.is_sound() && table.to_column().as_deref() == Some(text) {
            true => Ok(table),
            false => Err(MALFORMED),
        }
    }

    /// Whether the invariants of the transitions hold.
    fn is_sound(&self) -> bool {
        let times = 0..=i64::try_from(MAX_NUMERIC_DATE).unwrap_or(i64::MAX);
        let each = self.slots.iter().all(|slot| {
            slot.number < SessionPolicy::MAX_SESSIONS
                && (1..=self.generation).contains(&slot.generation)
                && is_count(slot.seq)
                && times.contains(&slot.started_at)
                && times.contains(&slot.last_seen)
                && slot.ends_at.is_none_or(|end| times.contains(&end))
                && slot.policy.as_deref().is_none_or(is_policy_name)
        });
        let is_sorted = self.slots.is_sorted_by(|a, b| a.number < b.number);
        let mut generations: Vec<_> = self.slots.iter().map(|slot| slot.generation).collect();
        generations.sort_unstable();
        let are_unique = generations.is_sorted_by(|a, b| a < b);
        is_count(self.generation) && each && is_sorted && are_unique
    }
}

impl Session {
    fn of(slot: &Slot) -> Self {
        Self {
            slot: slot.number,
            generation: slot.generation,
            seq: slot.seq,
            tag: slot.tag.to_text(),
            started_at: slot.started_at,
            last_seen: slot.last_seen,
            repeated: slot.marks.repeated.then_some(true),
            strict: slot.marks.strict.then_some(true),
            ends_at: slot.ends_at,
            data: slot.data.as_ref().map(SessionData::to_raw),
            policy: slot.policy.clone(),
            label: slot.label.as_str().to_owned(),
        }
    }

    fn into_slot(self) -> Option<Slot> {
        // What is not canonical, such as a `false`, is found in the text.
        let marks = Marks { repeated: self.repeated.is_some(), strict: self.strict.is_some() };
        let data = match self.data {
            Some(json) => Some(SessionData::stored(json)?),
            None => None,
        };
        Some(Slot {
            number: self.slot,
            generation: self.generation,
            seq: self.seq,
            tag: SessionTag::from_text(&self.tag)?,
            started_at: self.started_at,
            last_seen: self.last_seen,
            marks,
            ends_at: self.ends_at,
            data,
            policy: self.policy,
            label: Label::stored(self.label)?,
        })
    }
}

fn is_count(count: u64) -> bool {
    i64::try_from(count).is_ok()
}

/// Reads only the format number, because a later format may have other members.
fn explain(text: &str) -> ParseError {
    #[derive(Deserialize)]
    struct Numbered {
        format: u64,
    }
    // serde also reads a struct from an array of its members' values.
    let is_object = text.trim_start().starts_with('{') && text.len() <= MAX_EXPLAINED_BYTES;
    if !is_object {
        return MALFORMED;
    }
    match serde_json::from_str(text) {
        Ok(Numbered { format }) if format != FORMAT && is_count(format) => UNKNOWN_FORMAT,
        _ => MALFORMED,
    }
}

const MALFORMED: ParseError = ParseError::new(
    "the stored sessions are damaged: set the column to NULL and bump the user's version, which \
     logs the user out everywhere",
);

const UNKNOWN_FORMAT: ParseError = ParseError::unknown_format(
    "the stored sessions are of a format that this release does not know: a later one wrote them",
);

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, option, prelude::*};
    use serde_json::json;

    use super::*;

    const ONE: &str = r#"{"format":1,"generation":9,"sessions":[{"slot":3,"generation":8,"seq":2,"tag":"mPyv0D4lmxs","started_at":100,"last_seen":160,"label":"a \"b\" é"}]}"#;

    /// With all that a session can have.
    const FULL: &str = r#"{"format":1,"generation":9,"sessions":[{"slot":0,"generation":7,"seq":3,"tag":"AAAAAAAAAAA","started_at":1,"last_seen":2,"strict":true,"label":""},{"slot":3,"generation":8,"seq":2,"tag":"mPyv0D4lmxs","started_at":100,"last_seen":160,"repeated":true,"strict":true,"ends_at":300,"data":{"b":"\u00e9 \" x","b":1e9},"policy":"Phone-1_.","label":"a \"b\" é"}]}"#;

    fn read(text: &str) -> Result<SessionTable, ParseError> {
        SessionTable::from_column(Some(text))
    }

    #[test]
    fn null_is_a_user_without_sessions() {
        let table = SessionTable::from_column(None).unwrap();
        assert_eq!(table, SessionTable::default());
        assert_eq!(table.to_column(), None);
    }

    #[test]
    fn what_was_stored_reads_back_byte_for_byte() {
        let empty = r#"{"format":1,"generation":9,"sessions":[]}"#;
        for text in [ONE, FULL, empty] {
            assert_eq!(read(text).unwrap().to_column().as_deref(), Some(text));
        }
    }

    /// What counts as invisible may change with a release; what is stored stays as it is.
    #[test]
    fn a_label_that_would_be_cleaned_otherwise_today_is_kept() {
        for label in [" é", "\u{202e}é", "a  b"] {
            let text = ONE.replace("é", label);
            assert_eq!(read(&text).unwrap().to_column(), Some(text));
        }
    }

    #[test]
    fn every_other_text_is_refused() {
        let swap = |from: &str, to: &str| {
            assert!(ONE.contains(from), "{from}");
            ONE.replacen(from, to, 1)
        };
        let swap_in_full = |from: &str, to: &str| {
            assert!(FULL.contains(from), "{from}");
            FULL.replacen(from, to, 1)
        };
        let one = &ONE[ONE.find("[{").unwrap() + 1..ONE.len() - 2];
        let damaged = [
            String::new(),
            "null".into(),
            "[]".into(),
            "{}".into(),
            ONE[1..].into(),
            ONE[..ONE.len() - 1].into(),
            format!(" {ONE}"),
            format!("{ONE}\n"),
            format!("{ONE}{ONE}"),
            swap(":", ": "),
            swap(r#""format":1,"generation":9"#, r#""generation":9,"format":1"#),
            swap(r#""format":1"#, r#""format":1,"format":1"#),
            swap(r#""format":1"#, r#""format":1,"more":1"#),
            swap(r#""format":1"#, r#""format":"1""#),
            swap(r#""format":1"#, r#""format":1.0"#),
            swap(r#""format":1"#, r#""format":9223372036854775808"#),
            swap(r#""generation":9"#, r#""generation":0"#),
            swap(r#""generation":9"#, r#""generation":7"#),
            swap(r#""generation":9"#, r#""generation":-1"#),
            swap(r#""generation":9"#, r#""generation":9223372036854775808"#),
            swap(r#""generation":8"#, r#""generation":0"#),
            swap(r#""slot":3"#, r#""slot":64"#),
            swap(r#""slot":3"#, r#""slot":03"#),
            swap(r#""seq":2"#, r#""seq":9223372036854775808"#),
            swap(r#""seq":2"#, r#""seq":null"#),
            swap(r#""started_at":100"#, r#""started_at":-1"#),
            swap(r#""last_seen":160"#, r#""last_seen":253402300800"#),
            swap(r#","label":"a \"b\" é""#, ""),
            swap(r#","tag":"mPyv0D4lmxs""#, ""),
            swap("mPyv0D4lmxs", "mPyv0D4lmx"),
            swap("mPyv0D4lmxs", "mPyv0D4lmxt"),
            swap("mPyv0D4lmxs", "mPyv0D4lmxs="),
            swap("mPyv0D4lmxs", "mPyv0D4lmx+"),
            swap("mPyv0D4lmxs", ""),
            swap_in_full(r#""repeated":true"#, r#""repeated":false"#),
            swap_in_full(r#""repeated":true"#, r#""repeated":null"#),
            swap_in_full(r#""repeated":true,"strict":true"#, r#""strict":true,"repeated":true"#),
            swap_in_full(r#""strict":true,"ends_at""#, r#""strict":false,"ends_at""#),
            swap_in_full(r#""ends_at":300"#, r#""ends_at":-1"#),
            swap_in_full(r#""ends_at":300"#, r#""ends_at":253402300800"#),
            swap_in_full(r#""ends_at":300"#, r#""ends_at":null"#),
            swap_in_full(r#""strict":true,"ends_at":300"#, r#""ends_at":300,"strict":true"#),
            swap_in_full(r#""data":{"#, r#""data":{ "#),
            swap_in_full(r#""data":{"#, r#""data": {"#),
            swap_in_full(r#":1e9}"#, r#":1e9 }"#),
            swap_in_full(r#":1e9}"#, r#":1e}"#),
            swap_in_full(r#"{"b":"\u00e9 \" x","b":1e9}"#, "[]"),
            swap_in_full(r#"{"b":"\u00e9 \" x","b":1e9}"#, "null"),
            swap_in_full(r#"{"b":"\u00e9 \" x","b":1e9}"#, r#""{}""#),
            swap_in_full("1e9", &format!("\"{}\"", "x".repeat(512))),
            swap_in_full("Phone-1_.", ""),
            swap_in_full("Phone-1_.", "a b"),
            swap_in_full("Phone-1_.", "abcdefghijklmnopq"),
            swap_in_full(r#""policy":"Phone-1_.""#, r#""policy":null"#),
            swap("é", "\\u00e9"),
            swap("é", "\\n"),
            swap("é", "\u{85}"),
            swap("é", &"x".repeat(60)),
            ONE.replace(one, &format!("{one},{one}")),
            ONE.replace(one, &format!("{one},{}", one.replace(r#""slot":3"#, r#""slot":2"#))),
            ONE.replace(one, &format!("{one},{}", one.replace(r#""slot":3"#, r#""slot":4"#))),
            format!("{ONE}{}", " ".repeat(1 << 20)),
            "[".repeat(100_000),
        ];
        for text in damaged {
            assert_eq!(read(&text), Err(MALFORMED), "{text:.200}");
        }
    }

    #[test]
    fn a_later_format_is_told_from_a_damaged_one() {
        for text in [
            r#"{"format":2}"#.to_owned(),
            format!("{{\"format\":2,\"more\":\"{}\"}}", "x".repeat(1 << 16)),
            r#"{"format":2,"anything":[{"else":null}]}"#.to_owned(),
            ONE.replace(r#""format":1"#, r#""format":2"#),
            ONE.replace(r#""format":1"#, r#""format":0"#),
        ] {
            assert_eq!(read(&text), Err(UNKNOWN_FORMAT), "{text}");
        }
    }

    /// A slot whose text is as long as can be.
    fn longest(number: u32, data: usize) -> Slot {
        Slot {
            number,
            generation: i64::MAX.unsigned_abs() - u64::from(number),
            seq: i64::MAX.unsigned_abs(),
            tag: SessionTag([255; 8]),
            started_at: 253_402_300_799,
            last_seen: 253_402_300_799,
            marks: Marks { repeated: true, strict: true },
            ends_at: Some(253_402_300_799),
            data: Some(SessionData::new(&json!({ "a": "x".repeat(data - 8) })).unwrap()),
            policy: Some("x".repeat(16)),
            label: Label::clean(&"\"".repeat(100)),
        }
    }

    #[test]
    fn the_bound_is_reached_and_no_more() {
        let generation = i64::MAX.unsigned_abs();
        for (slots, data, bytes) in
            [(1, 128, 555), (16, 128, 8_016), (64, 128, 31_920), (64, 512, 56_496)]
        {
            let slots: Vec<_> = (0..slots).map(|number| longest(number, data)).collect();
            let count = u32::try_from(slots.len()).unwrap();
            let table = SessionTable { generation, slots };
            let text = table.to_column().unwrap();
            assert_eq!(text.len(), bytes);
            assert_eq!(SessionTable::max_bytes(count, data), bytes);
            assert_eq!(read(&text).unwrap(), table);
        }
    }

    proptest! {
        #[test]
        fn any_table_survives_its_text(
            slots in btree_map(0..SessionPolicy::MAX_SESSIONS, slot(), 0..8),
        ) {
            let slots = slots.into_iter().enumerate().map(|(i, (number, slot))| Slot {
                number,
                generation: 1 + i as u64 * (1 << 33) + slot.generation,
                ..slot
            });
            let table = SessionTable { generation: 1 << 62, slots: slots.collect() };
            let text = table.to_column().unwrap();
            prop_assert_eq!(read(&text), Ok(table));
        }

        #[test]
        fn arbitrary_text_never_panics(text in ".*") {
            if let Ok(table) = read(&text) {
                prop_assert_eq!(table.to_column(), Some(text));
            }
        }
    }

    fn slot() -> impl Strategy<Value = Slot> {
        let marks = (any::<bool>(), any::<bool>());
        let time = || 0..=253_402_300_799_i64;
        let data = option::of(btree_map(".{0,5}", ".{0,9}", 0..4));
        let policy = option::of("[A-Za-z0-9_.-]{1,16}");
        let parts = (any::<u32>(), 0..=i64::MAX, any::<[u8; 8]>(), time(), time(), marks);
        (parts, option::of(time()), data, policy, ".*").prop_map(
            |(parts, ends_at, data, policy, label)| {
                let (generation, seq, tag, started_at, last_seen, (repeated, strict)) = parts;
                Slot {
                    number: 0,
                    generation: generation.into(),
                    seq: seq.unsigned_abs(),
                    tag: SessionTag(tag),
                    started_at,
                    last_seen,
                    marks: Marks { repeated, strict },
                    ends_at,
                    data: data.map(|data| SessionData::new(&data).unwrap()),
                    policy,
                    label: Label::clean(&label),
                }
            },
        )
    }
}
