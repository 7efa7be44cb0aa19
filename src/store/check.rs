//! The report of a store's check of its table.

use std::fmt;

use serde::Serialize;

use super::StoreError;

/// The findings of [`UserStore::check`](super::UserStore::check): problems and warnings. It prints one
/// line for each.
///
/// # Example
///
/// ```
/// use relatch::store::{CheckReport, Finding, Severity};
///
/// let mut report = CheckReport::new();
/// let text = "its type is INTEGER, and a version has more than 32 bits, so log_out_everywhere fails";
/// report.add(Finding::problem("accounts.token_version", text)
///     .with_sql("ALTER TABLE accounts ALTER COLUMN token_version TYPE BIGINT"));
///
/// assert!(!report.is_ok());
/// assert_eq!(report.findings()[0].severity(), Severity::Problem);
/// assert!(report.to_string().starts_with("problem: accounts.token_version: its type is INTEGER"));
/// assert!(report.into_result().is_err());
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[must_use = "the report lists the problems of the database"]
pub struct CheckReport {
    findings: Vec<Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<MigrationPhase>,
    /// The names of the users' epochs in the table's description, if the store knows them.
    #[serde(skip)]
    user_epochs: Option<Vec<String>>,
    #[serde(skip)]
    #[cfg_attr(
        not(any(feature = "postgres", feature = "cache")),
        expect(dead_code, reason = "without them nobody says so, and nobody asks")
    )]
    is_shared: bool,
}

/// A problem or a warning of a [`CheckReport`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    severity: Severity,
    subject: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<String>,
}

/// How severe a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Everything works, but slower, later or less safely than it could.
    Warning,
    /// Some calls will fail, or a revocation may not hold. Do not serve requests.
    Problem,
}

/// How far the migration of the users' table is, as `check` finds it. The guide's page
/// [Switching over](crate::guide::switching_over) has the order of the phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MigrationPhase {
    /// Columns are missing. Beside code that does not know relatch, run `migrate_columns`; otherwise run
    /// `migrate`.
    Begun,
    /// All columns are there, and a row that is inserted without a version keeps `NULL`, the initial
    /// version. Code that does not know relatch can run beside. When it no longer runs, run `migrate`.
    Columns,
    /// A row that is inserted without a version gets its first one from the database.
    Complete,
}

impl CheckReport {
    /// A report without findings.
    pub const fn new() -> Self {
        Self { findings: Vec::new(), phase: None, user_epochs: None, is_shared: false }
    }

    /// The phase of the migration of the users' table; `None` if the store has no such phases, or if the
    /// table does not exist or is a view.
    #[must_use]
    pub const fn phase(&self) -> Option<MigrationPhase> {
        self.phase
    }

    /// Sets the phase of the migration of the users' table.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) const fn set_phase(&mut self, phase: Option<MigrationPhase>) {
        self.phase = phase;
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The findings, in the order of the checks.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether there is no [problem](Severity::Problem). There may be warnings.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problem().is_none()
    }

    /// Returns the report if it has no problem, and an error otherwise. Call it when the application
    /// starts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the kind [`Misconfigured`](super::StoreErrorKind::Misconfigured). Its `source` is
    /// the first problem; `{error:?}` prints both.
    pub fn into_result(self) -> Result<Self, StoreError> {
        match self.problem() {
            Some(problem) => Err(StoreError::misconfigured(problem.to_string())),
            None => Ok(self),
        }
    }

    fn problem(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_problem())
    }

    /// Sets the names of the epochs that the store reads for each user.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn set_user_epochs(&mut self, kinds: Vec<String>) {
        self.user_epochs = Some(kinds);
    }

    pub(crate) fn user_epochs(&self) -> Option<&[String]> {
        self.user_epochs.as_deref()
    }

    /// Notes that the database serves and notifies several machines.
    #[cfg(feature = "postgres")]
    pub(crate) const fn set_shared(&mut self) {
        self.is_shared = true;
    }

    #[cfg(feature = "cache")]
    pub(crate) const fn is_shared(&self) -> bool {
        self.is_shared
    }
}

impl Finding {
    /// A [problem](Severity::Problem) of this table or column. The text is one sentence: what happens,
    /// why, and what to do.
    #[must_use]
    pub fn problem(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Severity::Problem, subject.into(), text.into())
    }

    /// A [warning](Severity::Warning) about this table or column.
    #[must_use]
    pub fn warning(subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self::new(Severity::Warning, subject.into(), text.into())
    }

    const fn new(severity: Severity, subject: String, text: String) -> Self {
        Self { severity, subject, text, sql: None }
    }

    /// Sets the SQL that corrects it.
    #[must_use]
    pub fn with_sql(mut self, sql: impl Into<String>) -> Self {
        self.sql = Some(sql.into());
        self
    }

    pub(crate) fn is_problem(&self) -> bool {
        self.severity == Severity::Problem
    }

    /// Whether it is a problem or a warning.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The table or column, as `table` or `table.column`, or the part of the database.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// One sentence: what happens, why, and what to do. Do not match on it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SQL that corrects it, if SQL can. It may rewrite or lock the table: read it before you run it.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        self.sql.as_deref()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return f.write_str("no findings");
        }
        for (at, finding) in self.findings.iter().enumerate() {
            let line = if at == 0 { "" } else { "\n" };
            write!(f, "{line}{}: {finding}", finding.severity)?;
        }
        Ok(())
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.text)?;
        match &self.sql {
            Some(sql) => write!(f, " (SQL: {sql})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}
