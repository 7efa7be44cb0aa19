//! The columns as values, and samples for them.

use crate::store::Columns;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Version,
    PasswordHash,
    Secret,
    Carried,
    Sessions,
    Lanes,
}

impl Column {
    pub(super) const ALL: [Self; 6] = [
        Self::Version,
        Self::PasswordHash,
        Self::Secret,
        Self::Carried,
        Self::Sessions,
        Self::Lanes,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::PasswordHash => "password_hash",
            Self::Secret => "secret",
            Self::Carried => "carried",
            Self::Sessions => "sessions",
            Self::Lanes => "lanes",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|column| column.name() == name)
    }

    pub(super) fn copy(self, from: &Columns, to: &mut Columns) {
        match self {
            Self::Version => to.version = from.version,
            Self::PasswordHash => to.password_hash.clone_from(&from.password_hash),
            Self::Secret => to.secret.clone_from(&from.secret),
            Self::Carried => to.carried.clone_from(&from.carried),
            Self::Sessions => to.sessions.clone_from(&from.sessions),
            Self::Lanes => to.lanes.clone_from(&from.lanes),
        }
    }

    pub(super) fn is_same(self, a: &Columns, b: &Columns) -> bool {
        let mut copy = a.clone();
        self.copy(b, &mut copy);
        copy == *a
    }

    /// The columns with a minimal difference in this one: the case of letters, which a collation may
    /// ignore.
    pub(super) fn nearly(self, columns: &Columns) -> Columns {
        let mut near = columns.clone();
        let swap = |text: &mut Option<String>| {
            *text = text.as_deref().map(|text| text.chars().map(other_case).collect());
        };
        match self {
            Self::Version => near.version = near.version.map(|version| version + 1),
            Self::PasswordHash => swap(&mut near.password_hash),
            Self::Secret => swap(&mut near.secret),
            Self::Carried => swap(&mut near.carried),
            Self::Sessions => swap(&mut near.sessions),
            Self::Lanes => swap(&mut near.lanes),
        }
        near
    }
}

pub(super) const fn other_case(c: char) -> char {
    match c.is_ascii_uppercase() {
        true => c.to_ascii_lowercase(),
        false => c.to_ascii_uppercase(),
    }
}

/// A value for each column, of its usual form and length; a different one for each number.
pub(super) fn sample(number: u32) -> Columns {
    let mut columns = Columns::default();
    let version = 1_800_000_000_000 + i64::from(number);
    columns.version = Some(version);
    columns.password_hash =
        Some(format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0${number:a>43}"));
    columns.secret = Some(format!("{number:b>43}"));
    // Base64 of 64 bytes: its last character has four bits to spare, which are zero.
    columns.carried = Some(format!("{number:c>85}A"));
    columns.sessions = Some(format!(
        r#"{{"format":1,"generation":{version},"sessions":[{{"slot":0,"generation":{version},"seq":1,"tag":"mPyv0D4lmxs","started_at":1800000000,"last_seen":1800000000,"label":"Zoë’s \"phone\""}}]}}"#
    ));
    columns.lanes = Some(format!(r#"{{"email+jwt":{version},"magic+jwt":9223372036854775807}}"#));
    columns
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{sessions::SessionTable, store::Lanes};

    #[test]
    fn the_values_are_such_as_are_stored() {
        for number in [0, 7, u32::MAX] {
            let columns = sample(number);
            assert!(SessionTable::from_column(columns.sessions.as_deref()).is_ok());
            assert!(Lanes::from_column(columns.lanes.as_deref()).is_ok());
            assert!(columns.carried.as_deref().unwrap().parse::<crate::user::Carried>().is_ok());
            for column in Column::ALL {
                assert!(!column.is_same(&columns, &sample(number / 2 + 1)), "{column:?}");
                assert!(!column.is_same(&columns, &column.nearly(&columns)), "{column:?}");
                assert!(!column.is_same(&columns, &Columns::default()), "{column:?}");
            }
        }
    }
}
