//! The text of the sessions table: one line of JSON in one canonical form.
//!
//! ```json
//! {"format":1,"generation":1800000000000,"sessions":[
//!   {"slot":0,"generation":1800000000000,"seq":7,
//!    "started_at":1800000000,"last_seen":1800006300,"label":"Firefox on Linux"}]}
//! ```
//!
//! (without the white space). Only this form is read, so the text of a table that was read is the
//! text that was stored, and a compare-and-set can rely on it.

use std::{error, fmt};

use serde::{Deserialize, Serialize};

use super::{Label, MAX_LABEL_BYTES, MAX_SLOTS, SessionTable, Slot};
use crate::token::claims::registered::MAX_NUMERIC_DATE;

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
    started_at: i64,
    last_seen: i64,
    label: String,
}

impl SessionTable {
    /// The greatest length of [`to_column`](Self::to_column)'s text, in bytes, for a policy with
    /// `max_sessions`: 4,235 for the default of 16, 320 for one, 16,763 for 64. A typical table
    /// takes about half of that per session.
    #[must_use]
    pub const fn max_bytes(max_sessions: u32) -> usize {
        // The longest numbers, and a label that consists of quotes.
        const FRAME: usize = r#"{"format":1,"generation":9223372036854775807,"sessions":[]}"#.len();
        const EACH: usize = r#"{"slot":63,"generation":9223372036854775807,"seq":9223372036854775807,"started_at":253402300799,"last_seen":253402300799,"label":""}"#
            .len()
            + 2 * MAX_LABEL_BYTES;
        FRAME + max_sessions as usize * (EACH + 1)
    }

    /// Reads the column: text that [`to_column`](Self::to_column) wrote, or `NULL` for a user who
    /// never had a session.
    ///
    /// # Errors
    ///
    /// [`TableError`] for every other text. Treat it as a failure of the lookup: it says nothing
    /// about the presented token, and storing another table in its place would lose the sessions in
    /// it.
    pub fn from_column(column: Option<&str>) -> Result<Self, TableError> {
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
        let sessions = self.slots.iter().map(|slot| Session {
            slot: slot.number,
            generation: slot.generation,
            seq: slot.seq,
            started_at: slot.started_at,
            last_seen: slot.last_seen,
            label: slot.label.as_str().to_owned(),
        });
        let table =
            Table { format: FORMAT, generation: self.generation, sessions: sessions.collect() };
        serde_json::to_string(&table).ok()
    }

    fn read(text: &str) -> Result<Self, TableError> {
        if text.len() > Self::max_bytes(MAX_SLOTS) {
            return Err(explain(text));
        }
        let table: Table = serde_json::from_str(text).map_err(|_| explain(text))?;
        if table.format != FORMAT {
            return Err(explain(text));
        }
        let generation = table.generation;
        let slots: Option<_> = table.sessions.into_iter().map(Session::into_slot).collect();
        let table = Self { generation, slots: slots.ok_or(TableError::Malformed)? };
        match table.is_sound() && table.to_column().as_deref() == Some(text) {
            true => Ok(table),
            false => Err(TableError::Malformed),
        }
    }

    /// Whether the invariants of the transitions hold.
    fn is_sound(&self) -> bool {
        let times = 0..=i64::try_from(MAX_NUMERIC_DATE).unwrap_or(i64::MAX);
        let each = self.slots.iter().all(|slot| {
            slot.number < MAX_SLOTS
                && (1..=self.generation).contains(&slot.generation)
                && is_count(slot.seq)
                && times.contains(&slot.started_at)
                && times.contains(&slot.last_seen)
        });
        let is_sorted = self.slots.is_sorted_by(|a, b| a.number < b.number);
        let mut generations: Vec<_> = self.slots.iter().map(|slot| slot.generation).collect();
        generations.sort_unstable();
        let are_unique = generations.is_sorted_by(|a, b| a < b);
        is_count(self.generation) && each && is_sorted && are_unique
    }
}

impl Session {
    fn into_slot(self) -> Option<Slot> {
        Some(Slot {
            number: self.slot,
            generation: self.generation,
            seq: self.seq,
            started_at: self.started_at,
            last_seen: self.last_seen,
            label: Label::stored(self.label)?,
        })
    }
}

fn is_count(count: u64) -> bool {
    i64::try_from(count).is_ok()
}

/// Reads only the format number, because a later format may have other members.
fn explain(text: &str) -> TableError {
    #[derive(Deserialize)]
    struct Numbered {
        format: u64,
    }
    // serde also reads a struct from an array of its members' values.
    let is_object = text.trim_start().starts_with('{') && text.len() <= MAX_EXPLAINED_BYTES;
    if !is_object {
        return TableError::Malformed;
    }
    match serde_json::from_str(text) {
        Ok(Numbered { format }) if format != FORMAT && is_count(format) => {
            TableError::UnknownFormat
        }
        _ => TableError::Malformed,
    }
}

/// Why a column is not a sessions table. Such a column lets no token in and is never overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// The text is not in relatch's form: it is damaged, or was edited by hand.
    Malformed,
    /// The text has another format number: a later release wrote it.
    UnknownFormat,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => {
                "the stored sessions are damaged: set the column to NULL and bump the user's \
                 version, which logs the user out everywhere"
            }
            Self::UnknownFormat => {
                "the stored sessions are of a format that this release does not know: a later one \
                 wrote them"
            }
        })
    }
}

impl error::Error for TableError {}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;

    const ONE: &str = r#"{"format":1,"generation":9,"sessions":[{"slot":3,"generation":8,"seq":2,"started_at":100,"last_seen":160,"label":"a \"b\" é"}]}"#;

    fn read(text: &str) -> Result<SessionTable, TableError> {
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
        for text in [ONE, empty] {
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
            assert_eq!(read(&text), Err(TableError::Malformed), "{text:.200}");
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
            assert_eq!(read(&text), Err(TableError::UnknownFormat), "{text}");
        }
    }

    #[test]
    fn the_bound_is_reached_and_no_more() {
        let full = |slots: u32| SessionTable {
            generation: i64::MAX.unsigned_abs(),
            slots: (0..slots)
                .map(|number| Slot {
                    number,
                    generation: i64::MAX.unsigned_abs() - u64::from(number),
                    seq: i64::MAX.unsigned_abs(),
                    started_at: 253_402_300_799,
                    last_seen: 253_402_300_799,
                    label: Label::clean(&"\"".repeat(100)),
                })
                .collect(),
        };
        for (slots, bytes) in [(1, 320), (16, 4_235), (64, 16_763)] {
            let text = full(slots).to_column().unwrap();
            assert!(text.len() <= SessionTable::max_bytes(slots));
            assert_eq!(SessionTable::max_bytes(slots), bytes);
            assert!(text.len() + 20 > SessionTable::max_bytes(slots), "{slots}: {}", text.len());
            assert_eq!(read(&text).unwrap(), full(slots));
        }
    }

    proptest! {
        #[test]
        fn any_table_survives_its_text(
            slots in btree_map(0..MAX_SLOTS, (any::<u32>(), 0..=i64::MAX, 0..=253_402_300_799_i64, ".*"), 0..8),
        ) {
            let slots: Vec<Slot> = slots.into_iter().enumerate().map(|(i, (number, (gap, seq, at, label)))| Slot {
                number,
                generation: 1 + i as u64 * (1 << 33) + u64::from(gap),
                seq: seq.unsigned_abs(),
                started_at: at,
                last_seen: at / 2,
                label: Label::clean(&label),
            }).collect();
            let table = SessionTable { generation: 1 << 62, slots };
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
}
