//! The rows of users, made from the cells of a result.

use super::{
    Failure, Fault,
    place::{
        ACTIVE, CARRIED, FIELDS, GROUPS, ID, IS_DELETED, LANES, LOGIN, PASSWORD_HASH, SECRET,
        SESSIONS, VERSION,
    },
    users_table::{Names, ReadFields},
};
use crate::store::{Columns, Row, StoreError, UserEpoch};

/// A row of a result, by the positions of its columns.
pub(super) trait Cells: Send + Sync + 'static {
    fn text(&self, at: usize) -> sqlx::Result<Option<String>>;
    fn integer(&self, at: usize) -> sqlx::Result<Option<i64>>;
}

/// Makes rows.
pub(super) struct Rows<F> {
    pub(super) names: Names,
    pub(super) read: ReadFields<F>,
}

impl<F> Rows<F> {
    /// The row of the one user that a read has found.
    pub(super) fn only<C: Cells>(
        &self,
        rows: Result<Vec<C>, Failure>,
    ) -> Result<Option<Row<F>>, StoreError> {
        let rows = match rows {
            Err(failure) if failure.fault == Fault::Value => return Ok(None),
            rows => rows?,
        };
        match &*rows {
            [] => Ok(None),
            [row] => self.row(row).map(Some),
            _ => Err(StoreError::misconfigured(
                "two users have the same id or login: the column must be unique",
            )),
        }
    }

    fn row<C: Cells>(&self, cells: &C) -> Result<Row<F>, StoreError> {
        let text = |column, at| cells.text(at).map_err(|error| damaged(column, &error));
        let integer = |column, at| cells.integer(at).map_err(|error| damaged(column, &error));
        let columns = Columns {
            version: integer("version", VERSION)?,
            password_hash: text("password_hash", PASSWORD_HASH)?,
            secret: text("secret", SECRET)?,
            carried: text("carried", CARRIED)?,
            sessions: text("sessions", SESSIONS)?,
            lanes: text("lanes", LANES)?,
        };
        let id = text("id", ID)?.ok_or_else(|| StoreError::damaged("id", "it is NULL"))?;
        let id = self.names.shown_id(id);
        if self.names.id(&id).is_none() {
            return Err(StoreError::damaged("id", "it is not in the canonical form of its type"));
        }
        let mut row = Row::new(id, columns, ());
        row.is_active = match self.names.active {
            Some(_) => flag("active", text("active", ACTIVE)?)?,
            None => true,
        };
        if flag("is_deleted", text("is_deleted", IS_DELETED)?)? {
            return Err(StoreError::damaged("is_deleted", "it is set in a row that is read"));
        }
        row.login = match self.names.login_is_id() {
            true => Some(row.id.clone()),
            // Nothing depends on it: one that is no text is none.
            false => cells.text(LOGIN).ok().flatten(),
        };
        for (group, at) in self.names.groups.iter().zip((GROUPS..).step_by(2)) {
            let (instance, counter) = (text("epochs", at)?, integer("epochs", at + 1)?);
            if instance.is_some() && counter.is_none() {
                // Without its counter, tokens from before its bumps would be valid again.
                let text = format!("the user's group of the kind {} has no row", group.kind);
                return Err(StoreError::damaged("epochs", text));
            }
            row.epochs.push(UserEpoch::new(group.kind.clone(), instance, counter));
        }
        match self.fields(cells) {
            Ok(fields) => Ok(row.with_fields(fields)),
            Err(error) => Err(StoreError::damaged_fields(row, error)),
        }
    }

    /// The application's own fields; or why they cannot be read.
    fn fields<C: Cells>(&self, cells: &C) -> Result<F, String> {
        let json = cells.text(FIELDS).map_err(|error| error.to_string())?;
        (self.read)(json.as_deref().unwrap_or("null")).map_err(|error| {
            // The error's own text may quote a field.
            let (kind, at) = (error.classify(), error.column());
            format!("their JSON cannot be parsed as their type: {kind:?} at byte {at}")
        })
    }
}

/// A flag, where `NULL` is no.
fn flag(column: &'static str, value: Option<String>) -> Result<bool, StoreError> {
    match value.as_deref() {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(StoreError::damaged(column, "it is none of NULL, 0, 1, false and true")),
    }
}

fn damaged(column: &'static str, error: &sqlx::Error) -> StoreError {
    StoreError::damaged(column, error.to_string())
}
