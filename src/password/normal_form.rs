//! The forms in which a password is hashed.

use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

use super::error::MAX_PASSWORD_BYTES;

/// A password that can be hashed: in the normal form NFKC (Unicode Standard Annex #15), and as it was
/// typed. Devices type the same text in different forms, for example `é` as one code point or two (NIST
/// SP 800-63B-4 §3.1.1.2).
#[derive(Clone)]
pub(crate) struct PasswordForms {
    normal: Zeroizing<String>,
    /// As typed, if it is not in the normal form.
    typed: Option<Zeroizing<String>>,
}

impl PasswordForms {
    /// `None` if a form is empty or longer than [`MAX_PASSWORD_BYTES`].
    pub(crate) fn new(typed: &str) -> Option<Self> {
        if !(1..=MAX_PASSWORD_BYTES).contains(&typed.len()) {
            return None;
        }
        if typed.is_ascii() {
            return Some(Self { normal: Zeroizing::new(typed.to_owned()), typed: None });
        }
        // Of the full length at once: a growing string would leave copies in memory.
        let mut normal = Zeroizing::new(String::with_capacity(MAX_PASSWORD_BYTES));
        for char in typed.nfkc() {
            if normal.len() + char.len_utf8() > MAX_PASSWORD_BYTES {
                return None;
            }
            normal.push(char);
        }
        let typed = (*normal != typed).then(|| Zeroizing::new(typed.to_owned()));
        Some(Self { normal, typed })
    }

    pub(super) fn normal(&self) -> &str {
        &self.normal
    }

    pub(super) fn typed(&self) -> Option<&str> {
        self.typed.as_deref().map(String::as_str)
    }
}
