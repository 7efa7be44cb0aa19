//! Errors that several modules share: an invalid setting, and text that cannot be parsed.

use std::{borrow::Cow, error, fmt};

/// A setting that is out of its range, or in conflict with another setting.
///
/// A builder returns it for the first such setting. The text says which values are valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    setting: &'static str,
    text: Cow<'static, str>,
}

impl ConfigError {
    pub(crate) fn new(setting: &'static str, text: impl Into<Cow<'static, str>>) -> Self {
        Self { setting, text: text.into() }
    }

    /// The name of the setting: that of the method that sets it.
    #[must_use]
    pub const fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl error::Error for ConfigError {}

/// Text that cannot be parsed as the expected value: a session's id, a fingerprint, a stored column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    text: &'static str,
    is_unknown_format: bool,
}

impl ParseError {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self { text, is_unknown_format: false }
    }

    pub(crate) const fn unknown_format(text: &'static str) -> Self {
        Self { text, is_unknown_format: true }
    }

    /// Whether the text is in the format of a later release, which this release does not know.
    #[must_use]
    pub const fn is_unknown_format(&self) -> bool {
        self.is_unknown_format
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text)
    }
}

impl error::Error for ParseError {}
