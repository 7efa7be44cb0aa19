//! The policy of new passwords.

use std::{error, fmt, sync::Arc};

use super::{error::MAX_PASSWORD_BYTES, normal_form::PasswordForms};

/// The rules for new passwords. A login never checks them.
///
/// The default is that of NIST SP 800-63B-4 §3.1.1.2: at least 15 characters, which are counted as code
/// points of the normal form NFKC, and no rules of composition. The greatest length is
/// [`MAX_PASSWORD_BYTES`](super::MAX_PASSWORD_BYTES).
///
/// NIST also requires a comparison with commonly used and compromised passwords. Add it with
/// [`also`](Self::also).
///
/// # Example
///
/// ```
/// use std::{collections::HashSet, fs};
///
/// use relatch::password::PasswordPolicy;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let file = std::env::temp_dir().join(format!("relatch-policy-{}", std::process::id()));
/// # fs::write(&file, "correct horse battery staple\n")?;
/// let breached: HashSet<String> = fs::read_to_string(&file)?.lines().map(str::to_owned).collect();
/// # fs::remove_file(&file)?;
/// let policy = PasswordPolicy::new().also(move |password| match breached.contains(password) {
///     true => Err("this password is known from a breach: choose another one".to_owned()),
///     false => Ok(()),
/// });
/// assert!(policy.check("correct horse battery staple").is_err());
/// assert!(policy.check("short").is_err());
/// assert!(policy.check("tender copper avalanche").is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PasswordPolicy {
    min_chars: usize,
    checks: Vec<Check>,
}

type Check = Arc<dyn Fn(&str) -> Result<(), String> + Send + Sync>;

impl PasswordPolicy {
    /// At least 15 characters, for passwords that are the only factor of a login.
    #[must_use]
    pub const fn new() -> Self {
        Self { min_chars: 15, checks: Vec::new() }
    }

    /// At least 8 characters, for an application in which every login requires a second factor.
    ///
    /// # Security
    ///
    /// NIST allows it only if no user can log in by the password alone.
    #[must_use]
    pub const fn with_second_factor() -> Self {
        Self { min_chars: 8, checks: Vec::new() }
    }

    /// Adds a check, for example against a list of breached passwords. It gets the password in the normal
    /// form NFKC, after the check of its length. If it refuses, its text is shown to the user, so it should
    /// say what to do.
    ///
    /// It may block: [`Service`](../service/struct.Service.html) calls it off the async threads. There it
    /// counts as one of the simultaneous hashes, so set a timeout for a request to another server.
    ///
    /// # Security
    ///
    /// Send no password to another server. Services of breached passwords take the first characters of a
    /// hash (k-anonymity).
    #[must_use]
    pub fn also(
        mut self,
        check: impl Fn(&str) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.checks.push(Arc::new(check));
        self
    }

    /// Checks a new password. [`Service`](../service/struct.Service.html) does so wherever it sets one.
    ///
    /// # Errors
    ///
    /// [`PasswordRefusal`], the first that applies.
    pub fn check(&self, new: &str) -> Result<(), PasswordRefusal> {
        self.ask(&self.forms(new)?)
    }

    /// The forms of a new password, if its length is in range.
    pub(crate) fn forms(&self, new: &str) -> Result<PasswordForms, PasswordRefusal> {
        match PasswordForms::new(new) {
            Some(forms) if forms.normal().chars().count() >= self.min_chars => Ok(forms),
            None if !new.is_empty() => Err(PasswordRefusal::TooLong),
            _ => Err(PasswordRefusal::TooShort { min_chars: self.min_chars }),
        }
    }

    /// Asks the application's own checks.
    pub(crate) fn ask(&self, new: &PasswordForms) -> Result<(), PasswordRefusal> {
        let mut checks = self.checks.iter();
        checks.try_for_each(|check| check(new.normal()).map_err(PasswordRefusal::Refused))
    }
}

impl Default for PasswordPolicy {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for PasswordPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordPolicy")
            .field("min_chars", &self.min_chars)
            .field("checks", &self.checks.len())
            .finish()
    }
}

/// Why a new password was refused. Its text says what to do, and may be shown to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordRefusal {
    /// It has fewer characters than this.
    TooShort {
        /// The least number of characters.
        min_chars: usize,
    },
    /// It is longer than [`MAX_PASSWORD_BYTES`](super::MAX_PASSWORD_BYTES).
    TooLong,
    /// A check of [`PasswordPolicy::also`] refused it, with this text.
    Refused(String),
}

impl fmt::Display for PasswordRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort { min_chars } => {
                write!(f, "choose a password of at least {min_chars} characters")
            }
            Self::TooLong => {
                write!(f, "choose a password of at most {MAX_PASSWORD_BYTES} bytes")
            }
            Self::Refused(text) => f.write_str(text),
        }
    }
}

impl error::Error for PasswordRefusal {}
