//! Errors of a store.

use std::{error, fmt, sync::Arc};

use super::Row;

type Source = Arc<dyn error::Error + Send + Sync>;

/// A failure of a store. **It says nothing about the user or the token.** A missing user is not an
/// error: the store then returns `None` or `false`.
///
/// On the web, answer 503 if it is [unreachable](Self::is_unreachable), and 500 otherwise; the client
/// keeps its token. A clone is cheap.
#[derive(Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    what: &'static str,
    source: Option<Source>,
    /// The row, if only its fields cannot be read.
    bare: Option<Arc<Row>>,
}

/// The kind of a store failure. It says who can repair it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The database cannot be reached, is overloaded, or took too long; its disk is full; it
    /// refuses to write. It may answer later.
    Unreachable,
    /// The table or a column differs from the store's description. It stays so until the table or the
    /// description is corrected.
    Misconfigured,
    /// A user's row holds a value that cannot be read. It concerns that user alone. Do not repair it by
    /// overwriting it.
    Damaged,
    /// The store does not implement this.
    Unsupported,
}

impl StoreError {
    /// The database did not answer: [`StoreErrorKind::Unreachable`].
    pub fn unreachable(source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Unreachable, "the users' store is not reachable", source)
    }

    /// The store's table, rights or options do not fit: [`StoreErrorKind::Misconfigured`].
    pub fn misconfigured(source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Self {
        Self::new(StoreErrorKind::Misconfigured, "the users' store is misconfigured", source)
    }

    /// This column of a user's row cannot be read: [`StoreErrorKind::Damaged`].
    pub fn damaged(
        column: &'static str,
        source: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self::new(StoreErrorKind::Damaged, column, source)
    }

    /// The application's own fields of this row cannot be read, and the other columns can:
    /// [`StoreErrorKind::Damaged`]. Calls that need no field, such as every revocation, still work.
    pub fn damaged_fields(
        row: Row,
        source: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self { bare: Some(Arc::new(row)), ..Self::damaged("fields", source) }
    }

    /// The store does not implement this: [`StoreErrorKind::Unsupported`].
    #[must_use]
    pub const fn unsupported(what: &'static str) -> Self {
        Self { kind: StoreErrorKind::Unsupported, what, source: None, bare: None }
    }

    /// The kind of the failure.
    #[must_use]
    pub const fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self.kind, StoreErrorKind::Unreachable)
    }

    /// The row, if it was read and only its fields cannot be.
    pub(crate) fn bare_row(&self) -> Option<&Row> {
        self.bare.as_deref()
    }

    fn new(
        kind: StoreErrorKind,
        what: &'static str,
        source: impl Into<Box<dyn error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, what, source: Some(Arc::from(source.into())), bare: None }
    }
}

impl Row {
    /// The row that a read has found, without the application's fields, which need not be readable.
    pub(crate) fn bare<F>(
        read: Result<Option<Row<F>>, StoreError>,
    ) -> Result<Option<Self>, StoreError> {
        match read {
            Ok(row) => Ok(row.map(|row| row.with_fields(()))),
            Err(error) => error.bare_row().cloned().map(Some).ok_or(error),
        }
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
impl From<crate::error::ConfigError> for StoreError {
    fn from(error: crate::error::ConfigError) -> Self {
        Self::misconfigured(error)
    }
}

impl fmt::Debug for StoreError {
    /// Without the row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreError")
            .field("kind", &self.kind)
            .field("what", &self.what)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            StoreErrorKind::Damaged => {
                write!(f, "the column for `{}` in a user's row cannot be read", self.what)
            }
            _ => f.write_str(self.what),
        }
    }
}

impl error::Error for StoreError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
