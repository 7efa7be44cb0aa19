//! A store under check: what each check writes, reads and compares.

use super::{
    column::{Column, sample},
    found::Nonconformance,
};
use crate::store::{Columns, Row, StoreError, Update, UserKey, UserStore};

pub(super) struct Run<'a, S> {
    /// The user's.
    pub(super) id: &'a str,
    pub(super) login: Option<&'a str>,
    pub(super) has_secret: bool,
    pub(super) store: &'a S,
}

impl<S: UserStore> Run<'_, S> {
    /// Writes all columns of the row, and reads them again.
    pub(super) async fn write(&self, new: &Columns, revokes: bool) -> Result<(), Nonconformance> {
        let old = self.row().await?.columns;
        if !self.set(self.id, &old, new, revokes).await? {
            return Err(Nonconformance::new(
                "`compare_and_set` does not write a row that has not changed: compare with what \
                 `read` returns, and let `NULL` equal `NULL`",
            ));
        }
        match self.differs(new).await? {
            Some(column) => Err(Nonconformance::of(
                column,
                match column {
                    Column::Secret => {
                        "it is not read as it was written: write each column, or, if there is no \
                         place for a secret, refuse it with an error and check with \
                         `Conformance::without_secret`"
                    }
                    _ => {
                        "it is not read as it was written: write each column, and keep text as text"
                    }
                },
            )),
            None => Ok(()),
        }
    }

    /// Sets this column alone to `NULL`, and returns whether it can be.
    pub(super) async fn with_null(&self, column: Column) -> Result<bool, Nonconformance> {
        let mut new = self.sample(3);
        column.copy(&Columns::default(), &mut new);
        let old = self.row().await?.columns;
        match self.set(self.id, &old, &new, false).await {
            // A table may require a version and a hash of each user.
            Err(error)
                if matches!(column, Column::Version | Column::PasswordHash)
                    && !error.is_unreachable() =>
            {
                return Ok(false);
            }
            answer => answer?,
        };
        match self.differs(&new).await? {
            Some(column) => Err(Nonconformance::of(column, "`NULL` cannot be written to it")),
            None => Ok(true),
        }
    }

    pub(super) async fn differs(
        &self,
        expected: &Columns,
    ) -> Result<Option<Column>, Nonconformance> {
        let row = self.row().await?;
        Ok(Column::ALL.into_iter().find(|column| !column.is_same(&row.columns, expected)))
    }

    pub(super) async fn row(&self) -> Result<Row<S::Fields>, Nonconformance> {
        let row = self.store.read(UserKey::Id(self.id)).await?;
        row.ok_or_else(|| Nonconformance::new("`read` does not find the user of the check"))
    }

    pub(super) async fn set(
        &self,
        id: &str,
        old: &Columns,
        new: &Columns,
        revokes: bool,
    ) -> Result<bool, StoreError> {
        let update = Update { id: id.to_owned(), old: old.clone(), new: new.clone(), revokes };
        self.store.compare_and_set(&update).await
    }

    pub(super) fn columns(&self) -> impl Iterator<Item = Column> + use<'_, S> {
        Column::ALL.into_iter().filter(|column| self.has_secret || *column != Column::Secret)
    }

    pub(super) fn sample(&self, number: u32) -> Columns {
        let mut columns = sample(number);
        columns.secret = columns.secret.take().filter(|_| self.has_secret);
        columns
    }

    /// The columns that [`refuses`](Self::refuses) stores, with a minimal difference in this one.
    pub(super) fn other(&self, column: Column) -> Columns {
        column.nearly(&self.sample(5))
    }
}
