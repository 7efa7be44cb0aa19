//! The report of a store's check of its table.

use std::fmt;

use serde::Serialize;

use super::StoreError;

/// What [`UserStore::check`](super::UserStore::check) found in the database: the problems, with which
/// some call will fail, and warnings. It prints one line for each.
///
/// # Example
///
/// ```
/// use relatch::store::{CheckReport, Finding, Severity};
///
/// let mut report = CheckReport::new();
/// let text = "it is INTEGER, and a version has more than 32 bits: no user can be logged out";
/// report.add(Finding::problem("accounts.token_version", text)
///     .with_sql("ALTER TABLE accounts ALTER COLUMN token_version TYPE BIGINT"));
///
/// assert!(!report.is_ok());
/// assert_eq!(report.findings()[0].severity(), Severity::Problem);
/// assert!(report.to_string().starts_with("problem: accounts.token_version: it is INTEGER"));
/// assert!(report.into_result().is_err());
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[must_use = "a report says what does not work"]
pub struct CheckReport {
    findings: Vec<Finding>,
    /// The kinds of the users' groups in the table's description, if the store knows them.
    #[serde(skip)]
    user_epochs: Option<Vec<String>>,
    #[serde(skip)]
    is_shared: bool,
}

/// One thing that a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    severity: Severity,
    subject: String,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    sql: Option<String>,
}

/// Whether a finding stops the store from working.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Severity {
    /// Everything works, but slower, later or less safely than it could.
    Warning,
    /// Some call will fail, or a revocation may not hold.
    Problem,
}

impl CheckReport {
    /// A report without findings.
    pub const fn new() -> Self {
        Self { findings: Vec::new(), user_epochs: None, is_shared: false }
    }

    /// Adds a finding.
    pub fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// The findings, in the order in which they were found.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether there is no [problem](Severity::Problem). There may be warnings.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.problem().is_none()
    }

    /// The report, if there is no problem: for `?` when the application starts.
    ///
    /// # Errors
    ///
    /// [`StoreError`] of the kind [`Misconfigured`](super::StoreErrorKind::Misconfigured), with the text
    /// of the first problem.
    pub fn into_result(self) -> Result<Self, StoreError> {
        match self.problem() {
            Some(problem) => Err(StoreError::misconfigured(problem.to_string())),
            None => Ok(self),
        }
    }

    fn problem(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.is_problem())
    }

    /// The kinds of groups that the store reads for each user.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn set_user_epochs(&mut self, kinds: Vec<String>) {
        self.user_epochs = Some(kinds);
    }

    pub(crate) fn user_epochs(&self) -> Option<&[String]> {
        self.user_epochs.as_deref()
    }

    /// The database is one for many machines, which notifies them.
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
    /// A [problem](Severity::Problem) of this table or column, with one sentence that says what happens
    /// and why.
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

    /// Sets the SQL that mends it.
    #[must_use]
    pub fn with_sql(mut self, sql: impl Into<String>) -> Self {
        self.sql = Some(sql.into());
        self
    }

    pub(crate) fn is_problem(&self) -> bool {
        self.severity == Severity::Problem
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.severity
    }

    /// The table or column, as `table` or `table.column`, or the part of the database.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// One sentence that says what happens and why. Do not match on it.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The SQL that mends it, if SQL can. It may rewrite or lock the table: read it before you run it.
    #[must_use]
    pub fn sql(&self) -> Option<&str> {
        self.sql.as_deref()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.findings.is_empty() {
            return f.write_str("nothing was found");
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
            Some(sql) => write!(f, " [{sql}]"),
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
