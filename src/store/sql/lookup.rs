//! Look-ups of users by their ids, alone and of many in one statement.

use std::sync::Arc;

use tokio::time::Instant;

use super::{
    Cells, Driver, Engine, Failure, Param,
    batch::{Lookup, WithIds},
    capacity::Kind,
    place::ID,
    statements::Statement,
    users_table::IdType,
};
use crate::store::UserKey;

impl<D: Driver, F: Send + Sync + 'static> Lookup for Engine<D, F> {
    type Row = D::Row;

    async fn one(&self, id: &str, until: Instant) -> Result<Vec<D::Row>, Failure> {
        let slot = self.driver().capacity().enter(Kind::Read, until).await?;
        self.rows(UserKey::Id(id), &slot, until).await
    }

    /// Ignores a row with another id that the column's type or collation treats as equal.
    async fn many(
        &self,
        ids: &[String],
        until: Instant,
    ) -> Result<Option<WithIds<D::Row>>, Failure> {
        let array = array(self.names().id_type, ids);
        let greatest = i64::try_from(ids.len()).unwrap_or(i64::MAX).saturating_add(1);
        let params = [Param::Text(Some(&array)), Param::Integer(Some(greatest))];
        let slot = self.driver().capacity().enter(Kind::Read, until).await?;
        let rows = self.fetch(Statement::ReadByIds, &params, &slot, until).await?;
        let is_whole = rows.len() <= ids.len();
        let with_id = rows.into_iter().filter_map(|row| {
            let id = row.text(ID).ok().flatten()?;
            Some((self.names().shown_id(id), row))
        });
        Ok(is_whole.then(|| with_id.collect()))
    }
}

/// The ids as the text of an array (PostgreSQL's manual, 8.15.6).
fn array(id_type: IdType, ids: &[String]) -> String {
    let mut array = "{".to_owned();
    for (at, id) in ids.iter().enumerate() {
        array.push_str(if at == 0 { "\"" } else { ",\"" });
        match id_type {
            // The backslash of the bytes' form is escaped.
            IdType::UuidBytes => {
                array.push_str(r"\\x");
                array.extend(id.chars().filter(|c| *c != '-'));
            }
            IdType::Text | IdType::Integer | IdType::Uuid => {
                for c in id.chars() {
                    if matches!(c, '"' | '\\') {
                        array.push('\\');
                    }
                    array.push(c);
                }
            }
        }
        array.push('"');
    }
    array.push('}');
    array
}

impl<C: Cells> Cells for Arc<C> {
    fn text(&self, at: usize) -> sqlx::Result<Option<String>> {
        C::text(self, at)
    }

    fn integer(&self, at: usize) -> sqlx::Result<Option<i64>> {
        C::integer(self, at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_id_is_quoted() {
        let ids = ["", "NULL", "a,b", "\"}", "\\", "é "].map(str::to_owned);
        let expected = r#"{"","NULL","a,b","\"}","\\","é "}"#;
        assert_eq!(array(IdType::Text, &ids), expected);
        let uuid = ["67e55044-10b1-426f-9247-bb680e5fe0c8".to_owned()];
        let expected = r#"{"\\x67e5504410b1426f9247bb680e5fe0c8"}"#;
        assert_eq!(array(IdType::UuidBytes, &uuid), expected);
    }
}
