//! The outcome of a write whose answer was lost, as the row shows it.

use crate::store::{Columns, Row, Update};

/// What the row shows of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Written,
    /// Not written so far: the write may be run again.
    NotWritten,
    /// The row was changed by others, or cannot be read.
    Unknown,
}

/// The effect of a write on its row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Effect<'a> {
    Set(&'a Update),
    Deleted,
    /// At least this version, and no sessions.
    LoggedOut {
        at_least: i64,
    },
    /// Also inactive.
    Disabled {
        at_least: i64,
    },
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
        let written = match (*self, row) {
            (Self::Inserted { .. }, None) => false,
            (Self::Deleted, row) => row.is_none(),
            (Self::LoggedOut { at_least }, Some(row)) => row.is_logged_out(at_least),
            (Self::Disabled { at_least }, Some(row)) => {
                row.is_logged_out(at_least) && !row.is_active
            }
            (Self::LoggedOut { .. } | Self::Disabled { .. }, None) => false,
            (Self::Inserted { id, columns }, Some(row)) => {
                row.id == id
                    && row.columns.version >= columns.version
                    && row.columns.password_hash == columns.password_hash
                    && row.columns.secret == columns.secret
            }
            (Self::Set(update), Some(row)) if row.columns == *update.before() => false,
            (Self::Set(update), Some(row)) if row.columns == *update.after() => true,
            (Self::Enabled { version, .. }, Some(row)) if row.columns.version == version => false,
            (Self::Enabled { at_least, .. }, Some(row))
                if row.is_active && row.columns.version >= Some(at_least) =>
            {
                true
            }
            (Self::Set(_) | Self::Enabled { .. }, _) => return Outcome::Unknown,
        };
        if written { Outcome::Written } else { Outcome::NotWritten }
    }
}

impl<F> Row<F> {
    fn is_logged_out(&self, at_least: i64) -> bool {
        self.columns.version >= Some(at_least) && self.columns.sessions.is_none()
    }
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
        let out = Effect::LoggedOut { at_least };
        let disabled = Effect::Disabled { at_least };
        let enabled = Effect::Enabled { version: Some(3), at_least };
        let inserted = Effect::Inserted { id: "1", columns: &old.columns };
        let none = None::<Row>;
        for (effect, row, outcome) in [
            (Effect::Set(&update), Some(new.clone()), Written),
            (Effect::Set(&update), Some(old.clone()), NotWritten),
            (Effect::Set(&update), Some(row(2, None)), Unknown),
            (Effect::Set(&update), none.clone(), Unknown),
            (Effect::Deleted, none.clone(), Written),
            (Effect::Deleted, Some(old.clone()), NotWritten),
            (out, Some(row(5, None)), Written),
            (out, Some(row(6, None)), Written),
            (out, Some(row(4, None)), NotWritten),
            (out, Some(row(5, Some("a"))), NotWritten),
            (out, none.clone(), NotWritten),
            (disabled, Some(inactive(5)), Written),
            (disabled, Some(row(5, None)), NotWritten),
            (disabled, none.clone(), NotWritten),
            (enabled, Some(row(5, None)), Written),
            (enabled, Some(inactive(3)), NotWritten),
            // Disabled again since, or never enabled: by others.
            (enabled, Some(inactive(6)), Unknown),
            (enabled, none.clone(), Unknown),
            (inserted, Some(old.clone()), Written),
            (inserted, Some(Row { id: "2".into(), ..old.clone() }), NotWritten),
            (inserted, Some(row(0, None)), NotWritten),
            (inserted, none, NotWritten),
        ] {
            assert_eq!(effect.outcome(row.as_ref()), outcome, "{effect:?} {row:?}");
        }
    }
}
