//! The outcome of a write whose answer was lost, as the row shows it.

use crate::store::{Columns, Row, Update, UserKey};

/// What the row shows of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With the version that the row has now.
    Written(Option<i64>),
    /// Not written so far: the write may be run again.
    NotWritten,
    /// The row was changed by others, or cannot be read.
    Unknown,
}

/// The row that shows whether a write was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Witness<'a> {
    pub(super) key: UserKey<'a>,
    pub(super) effect: Effect<'a>,
}

/// The effect of a write on its row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect<'a> {
    Set(&'a Update),
    Deleted,
    /// Active, from this version to at least that one.
    Enabled {
        version: Option<i64>,
        at_least: i64,
    },
    Inserted {
        id: &'a str,
        columns: &'a Columns,
    },
}

impl Effect<'_> {
    /// Compares with the row as it is now: `None` if there is none.
    pub(super) fn outcome<F>(&self, row: Option<&Row<F>>) -> Outcome {
        let is_written = match (*self, row) {
            (Self::Deleted, row) => row.is_none(),
            (Self::Inserted { .. }, None) => false,
            (Self::Inserted { id, columns }, Some(row)) => {
                row.id == id
                    && row.columns.version >= columns.version
                    && row.columns.password_hash == columns.password_hash
                    && row.columns.secret == columns.secret
            }
            (Self::Set(update), Some(row)) if row.columns == *update.before() => false,
            (Self::Set(update), Some(row)) if row.columns == *update.after() => {
                if !is_unique(update) {
                    return Outcome::Unknown;
                }
                true
            }
            (Self::Enabled { version, .. }, Some(row)) if row.columns.version == version => false,
            (Self::Enabled { at_least, .. }, Some(row))
                if row.is_active && row.columns.version >= Some(at_least) =>
            {
                true
            }
            (Self::Set(_) | Self::Enabled { .. }, _) => return Outcome::Unknown,
        };
        match is_written {
            true => Outcome::Written(row.and_then(|row| row.columns.version)),
            false => Outcome::NotWritten,
        }
    }
}

/// Whether no other call writes the same. Two calls that use the same link both raise the same counter,
/// and only one of them may succeed.
fn is_unique(update: &Update) -> bool {
    let (before, after) = (update.before(), update.after());
    before.password_hash != after.password_hash
        || before.secret != after.secret
        || before.carried != after.carried
        || before.sessions != after.sessions
}

#[cfg(test)]
mod tests {
    use super::{Outcome::*, *};

    fn row(version: i64, sessions: Option<&str>) -> Row {
        let mut columns = Columns::default();
        columns.version = Some(version);
        columns.sessions = sessions.map(str::to_owned);
        Row::new("1", columns, ())
    }

    fn inactive(version: i64) -> Row {
        Row { is_active: false, ..row(version, None) }
    }

    #[test]
    fn a_row_shows_what_was_written() {
        let (old, new) = (row(1, Some("a")), row(2, Some("b")));
        let update = Update {
            id: "1".into(),
            old: old.columns.clone(),
            new: new.columns.clone(),
            revokes: false,
        };
        let at_least = 5;
        let enabled = Effect::Enabled { version: Some(3), at_least };
        let inserted = Effect::Inserted { id: "1", columns: &old.columns };
        let none = None::<Row>;
        // The link's counter alone: another call may have raised it.
        let mut used = old.clone();
        used.columns.lanes = Some("1".to_owned());
        let link = Update { new: used.columns.clone(), ..update.clone() };
        for (effect, row, outcome) in [
            (Effect::Set(&update), Some(new.clone()), Written(Some(2))),
            (Effect::Set(&update), Some(old.clone()), NotWritten),
            (Effect::Set(&update), Some(row(2, None)), Unknown),
            (Effect::Set(&update), none.clone(), Unknown),
            (Effect::Set(&link), Some(used), Unknown),
            (Effect::Set(&link), Some(old.clone()), NotWritten),
            (Effect::Deleted, none.clone(), Written(None)),
            (Effect::Deleted, Some(old.clone()), NotWritten),
            (enabled, Some(row(6, None)), Written(Some(6))),
            (enabled, Some(inactive(3)), NotWritten),
            // Disabled again since, or never enabled: by others.
            (enabled, Some(inactive(6)), Unknown),
            (enabled, none.clone(), Unknown),
            (inserted, Some(old.clone()), Written(Some(1))),
            (inserted, Some(Row { id: "2".into(), ..old.clone() }), NotWritten),
            (inserted, Some(row(0, None)), NotWritten),
            (inserted, none, NotWritten),
        ] {
            assert_eq!(effect.outcome(row.as_ref()), outcome, "{effect:?} {row:?}");
        }
    }
}
