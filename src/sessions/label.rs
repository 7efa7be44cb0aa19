//! Labels: the names of sessions' devices.

/// Text that is safe to store and to list: of bounded length, without control characters, invisible
/// characters or changes of the writing direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Label(String);

/// The greatest length of a label, in bytes.
pub(crate) const MAX_LABEL_BYTES: usize = 64;

impl Label {
    pub(crate) fn clean(text: &str) -> Self {
        let mut clean = String::with_capacity(MAX_LABEL_BYTES);
        let mut is_space_due = false;
        for c in text.chars().filter(|c| !is_invisible(*c)) {
            if c.is_control() || c.is_whitespace() {
                is_space_due = !clean.is_empty();
                continue;
            }
            let needed = c.len_utf8() + usize::from(is_space_due);
            if clean.len() + needed > MAX_LABEL_BYTES {
                break;
            }
            if is_space_due {
                clean.push(' ');
                is_space_due = false;
            }
            clean.push(c);
        }
        Self(clean)
    }

    /// A stored label. An older release may have cleaned it by other rules.
    pub(crate) fn stored(text: String) -> Option<Self> {
        let is_fit = text.len() <= MAX_LABEL_BYTES && !text.chars().any(char::is_control);
        is_fit.then_some(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Invisible format characters, which can make one text look like another.
const fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clean(text: &str) -> String {
        Label::clean(text).0
    }

    #[test]
    fn a_label_is_one_line_of_visible_text() {
        assert_eq!(clean("Firefox on Linux"), "Firefox on Linux");
        assert_eq!(clean("  a\t\r\n b\u{0} c\u{2028}d  "), "a b c d");
        assert_eq!(clean("\u{202e}xoferiF\u{200b}"), "xoferiF");
        assert_eq!(clean("Ana’s Téléphone 📱"), "Ana’s Téléphone 📱");
        assert_eq!(clean("\u{1b}[31mred"), "[31mred");
        assert_eq!(clean(" \n\u{feff} "), "");
    }

    #[test]
    fn a_long_label_is_cut_between_characters() {
        assert_eq!(clean(&"x".repeat(100)), "x".repeat(64));
        assert_eq!(clean(&"é".repeat(100)), "é".repeat(32));
        assert_eq!(clean(&format!("{}é", "x".repeat(63))), "x".repeat(63));
        assert_eq!(clean(&format!("{} y", "x".repeat(63))), "x".repeat(63));
    }

    proptest! {
        #[test]
        fn cleaning_again_changes_nothing(text in "\\PC*|.*") {
            let once = Label::clean(&text);
            prop_assert_eq!(Label::clean(&once.0), once);
        }

        #[test]
        fn a_label_keeps_its_bounds(text in ".*") {
            let label = clean(&text);
            prop_assert!(label.len() <= MAX_LABEL_BYTES);
            prop_assert_eq!(label.trim(), &label);
            prop_assert!(!label.chars().any(|c| c.is_control() || is_invisible(c)));
        }
    }
}
