//! Recovery codes: generated, stored as digests, used up once each.

use std::collections::HashSet;

use proptest::{collection::vec, prelude::*, sample::Index};
use relatch::recovery_codes::RecoveryCodes;

/// The text left after this code, if it is right.
fn use_up(stored: &str, typed: &str) -> Option<String> {
    RecoveryCodes::use_up(stored, typed).unwrap()
}

#[test]
fn each_code_works_once_and_the_text_then_holds_the_others() {
    let codes = RecoveryCodes::generate().unwrap();
    let shown: Vec<_> = codes.expose().map(str::to_owned).collect();
    assert_eq!((shown.len(), shown.iter().collect::<HashSet<_>>().len()), (10, 10));
    let mut stored = codes.to_column();
    assert_eq!((stored.len(), stored.is_ascii()), (RecoveryCodes::MAX_BYTES, true));
    for (used, code) in shown.iter().enumerate().rev() {
        assert_eq!(RecoveryCodes::remaining(&stored), Ok(used + 1));
        stored = use_up(&stored, code).unwrap();
        for (n, other) in shown.iter().enumerate() {
            assert_eq!(use_up(&stored, other).is_some(), n < used, "{n} of {used}");
        }
    }
    assert_eq!((&*stored, RecoveryCodes::remaining(&stored)), ("", Ok(0)));
}

#[test]
fn neither_the_text_nor_debug_reveals_a_code() {
    let codes = RecoveryCodes::generate().unwrap();
    let (stored, printed) = (codes.to_column(), format!("{codes:?}"));
    for code in codes.expose() {
        for part in code.split('-').chain([&*code.replace('-', "")]) {
            assert!(!printed.contains(part));
            assert!(part.len() == 4 || !stored.contains(part));
        }
        assert_eq!(use_up(&stored, &stored), None);
    }
    assert!(codes.expose().all(|code| code.len() == 29), "six groups of four");
    let others = RecoveryCodes::generate().unwrap();
    assert!(others.expose().all(|code| use_up(&stored, code).is_none()));
}

#[test]
fn a_damaged_text_is_an_error_and_no_wrong_code() {
    let codes = RecoveryCodes::generate().unwrap();
    let (stored, code) = (codes.to_column(), codes.expose().next().unwrap().to_owned());
    let one = stored.split('.').next().unwrap();
    for damaged in [
        &stored[1..],
        &stored[..stored.len() - 1],
        &format!("{stored}."),
        &format!(".{stored}"),
        &format!("{stored}.{one}"),
        "x",
        ".",
        " ",
        "null",
    ] {
        assert!(RecoveryCodes::use_up(damaged, &code).is_err(), "{damaged}");
        assert!(RecoveryCodes::use_up(damaged, "wrong").is_err(), "{damaged}");
        assert!(RecoveryCodes::remaining(damaged).is_err(), "{damaged}");
    }
    assert_eq!(RecoveryCodes::use_up("", &code), Ok(None));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(crate::support::cases(64)))]

    #[test]
    fn a_code_is_read_however_it_is_typed(
        which in any::<Index>(), small in vec(any::<bool>(), 29), spaces in vec(0_usize..3, 29),
    ) {
        let codes = RecoveryCodes::generate().unwrap();
        let shown: Vec<_> = codes.expose().collect();
        let typed: String = which.get(&shown).chars().zip(small.iter().zip(&spaces)).flat_map(
            |(c, (small, spaces))| {
                let c = match (c, small) {
                    ('0', true) => 'o',
                    ('0', false) => 'O',
                    ('1', true) => 'l',
                    ('1', false) => 'I',
                    ('-', true) => '\u{2013}',
                    ('-', false) => ' ',
                    (c, true) => c.to_ascii_lowercase(),
                    (c, false) => c,
                };
                std::iter::repeat_n(' ', *spaces).chain([c])
            },
        ).collect();
        prop_assert!(use_up(&codes.to_column(), &typed).is_some(), "{}", typed);
    }

    #[test]
    fn no_other_text_is_a_code(typed in "\\PC{0,60}", at in 0_usize..29, digit in "[0-9A-HJKMNP-TV-Z]") {
        let codes = RecoveryCodes::generate().unwrap();
        let stored = codes.to_column();
        prop_assert_eq!(use_up(&stored, &typed), None);
        let code = codes.expose().next().unwrap();
        let mut other = code.to_owned();
        other.replace_range(at..=at, &digit);
        // A dash that became a digit makes the code too long.
        prop_assert_eq!(use_up(&stored, &other).is_some(), other == code);
    }

    #[test]
    fn no_stored_text_panics(stored in "[A-Za-z0-9_.-]{0,300}", typed in "\\PC{0,40}") {
        let _ = RecoveryCodes::use_up(&stored, &typed);
        let _ = RecoveryCodes::remaining(&stored);
    }
}
