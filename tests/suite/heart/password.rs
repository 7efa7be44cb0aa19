//! Password hashing.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as B64};
use relatch::password::{
    MAX_PASSWORD_BYTES, PasswordError, PasswordHasher, PasswordPolicy, PasswordRefusal,
};

/// A PHC string as stored by another program.
fn phc(
    algorithm: Algorithm,
    version: Version,
    m: u32,
    t: u32,
    p: u32,
    names_version: bool,
) -> String {
    let salt = b"sixteen bytes of";
    let mut out = [0; 32];
    let params = Params::new(m, t, p, Some(32)).unwrap();
    Argon2::new(algorithm, version, params).hash_password_into(b"secret", salt, &mut out).unwrap();
    let v = if names_version { format!("v={}$", u32::from(version)) } else { String::new() };
    format!("${}${v}m={m},t={t},p={p}${}${}", algorithm.as_str(), B64.encode(salt), B64.encode(out))
}

#[test]
fn a_new_hash_is_argon2id_at_owasp_s_minimum_with_its_own_salt() {
    let hasher = PasswordHasher::new();
    let (one, two) = (hasher.hash("secret").unwrap(), hasher.hash("secret").unwrap());
    assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
    assert_ne!(one, two);
    let matched = hasher.verify("secret", Some(&one)).unwrap().unwrap();
    assert!(!matched.needs_rehash());
    assert!(!hasher.needs_rehash(&one).unwrap());
    assert_eq!(hasher.verify("Secret", Some(&one)).unwrap(), None);
}

#[test]
fn a_weaker_hash_needs_a_rehash_and_a_stronger_one_does_not() {
    let hasher = PasswordHasher::new();
    for (stored, needs_rehash) in [
        (phc(Algorithm::Argon2id, Version::V0x13, 64, 1, 1, true), true),
        (phc(Algorithm::Argon2id, Version::V0x13, 19_455, 2, 1, true), true),
        (phc(Algorithm::Argon2id, Version::V0x10, 19_456, 2, 1, true), true),
        (phc(Algorithm::Argon2i, Version::V0x13, 64, 3, 2, true), true),
        (phc(Algorithm::Argon2d, Version::V0x13, 64, 3, 4, true), true),
        (phc(Algorithm::Argon2i, Version::V0x10, 64, 3, 1, false), true),
        // Other libraries' defaults: argon2-cffi, and OWASP's other minima.
        (phc(Algorithm::Argon2id, Version::V0x13, 65_536, 3, 4, true), false),
        (phc(Algorithm::Argon2id, Version::V0x13, 47_104, 1, 1, true), false),
        (phc(Algorithm::Argon2id, Version::V0x13, 12_288, 3, 1, true), false),
        (phc(Algorithm::Argon2id, Version::V0x13, 19_456, 3, 1, true), false),
        (phc(Algorithm::Argon2id, Version::V0x13, 19_456, 2, 4, true), false),
    ] {
        let matched = hasher.verify("secret", Some(&stored)).unwrap();
        assert_eq!(matched.map(|matched| matched.needs_rehash()), Some(needs_rehash), "{stored}");
        assert_eq!(hasher.needs_rehash(&stored), Ok(needs_rehash));
        assert_eq!(hasher.verify("other", Some(&stored)).unwrap(), None, "{stored}");
    }
}

#[test]
fn a_floor_replaces_what_is_below_it() {
    let hasher = PasswordHasher::with_cost(19_456, 3, 1).unwrap().rehash_below(19_456, 2).unwrap();
    let of =
        |memory, iterations| phc(Algorithm::Argon2id, Version::V0x13, memory, iterations, 1, true);
    for (memory, iterations, needs_rehash) in [
        (12_288, 4, true),
        (65_536, 1, true),
        (65_536, 2, false),
        (19_456, 2, true),
        (19_456, 3, false),
    ] {
        let stored = of(memory, iterations);
        assert_eq!(hasher.needs_rehash(&stored), Ok(needs_rehash), "{stored}");
    }
    for (memory, iterations) in [(19_457, 1), (1, 4)] {
        let above = PasswordHasher::with_cost(19_456, 3, 1).unwrap();
        assert_eq!(above.rehash_below(memory, iterations).unwrap_err(), PasswordError::Cost);
    }
}

/// `é` as one code point and as two, `ﬁ` as a ligature, digits of full width.
#[test]
fn the_same_text_in_another_form_is_the_same_password() {
    let hasher = PasswordHasher::new();
    let (composed, decomposed) = ("caf\u{e9} \u{fb01}n \u{ff11}", "cafe\u{301} fin 1");
    for (set, typed) in [(composed, decomposed), (decomposed, composed), (composed, composed)] {
        let stored = hasher.hash(set).unwrap();
        let matched = hasher.verify(typed, Some(&stored)).unwrap();
        assert!(matched.is_some_and(|matched| !matched.needs_rehash()), "{set} {typed}");
        assert_eq!(hasher.verify("cafe fin 1", Some(&stored)).unwrap(), None);
    }
}

#[test]
fn a_hash_of_the_text_as_typed_matches_and_needs_a_rehash() {
    let typed = "cafe\u{301} noir";
    let mut out = [0; 32];
    let params = Params::new(19_456, 2, 1, Some(32)).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(typed.as_bytes(), b"sixteen bytes of", &mut out).unwrap();
    let (salt, hash) = (B64.encode("sixteen bytes of"), B64.encode(out));
    let stored = format!("$argon2id$v=19$m=19456,t=2,p=1${salt}${hash}");
    let hasher = PasswordHasher::new();
    let matched = hasher.verify(typed, Some(&stored)).unwrap();
    assert!(matched.is_some_and(|matched| matched.needs_rehash()));
    // The other form is another text to the program that made the hash.
    assert_eq!(hasher.verify("caf\u{e9} noir", Some(&stored)).unwrap(), None);
    assert_eq!(hasher.verify("cafe\u{301} noir!", Some(&stored)).unwrap(), None);
}

#[test]
fn a_policy_counts_characters_of_the_normal_form() {
    let too_short = |min_chars| Err(PasswordRefusal::TooShort { min_chars });
    for (policy, least) in [
        (PasswordPolicy::new(), 15),
        (PasswordPolicy::default(), 15),
        (PasswordPolicy::with_second_factor(), 8),
    ] {
        assert_eq!(policy.check(&"a".repeat(least)), Ok(()));
        assert_eq!(policy.check(&"\u{1f600}".repeat(least)), Ok(()));
        assert_eq!(policy.check(&"e\u{301}".repeat(least)), Ok(()));
        for short in ["", &"a".repeat(least - 1), &"e\u{301}".repeat(least - 1)] {
            assert_eq!(policy.check(short), too_short(least), "{short}");
        }
        assert_eq!(policy.check(&"a".repeat(1024)), Ok(()));
        assert_eq!(policy.check(&"a".repeat(1025)), Err(PasswordRefusal::TooLong));
        // This code point becomes eighteen.
        assert_eq!(policy.check(&"\u{fdfa}".repeat(100)), Err(PasswordRefusal::TooLong));
    }
}

#[test]
fn the_checks_of_a_policy_get_the_normal_form_in_turn() {
    let policy = PasswordPolicy::new()
        .also(|password| match password.contains("caf\u{e9}") {
            true => Err("no coffee".to_owned()),
            false => Ok(()),
        })
        .also(|_| Err("nothing at all".to_owned()));
    let refused = |text: &str| Err(PasswordRefusal::Refused(text.to_owned()));
    assert_eq!(policy.check("cafe\u{301} and more text"), refused("no coffee"));
    assert_eq!(policy.check("some tea and more text"), refused("nothing at all"));
    assert_eq!(policy.check("short"), Err(PasswordRefusal::TooShort { min_chars: 15 }));
    assert_eq!(policy.check("some tea and more text").unwrap_err().to_string(), "nothing at all");
}

#[test]
fn a_raised_cost_asks_for_a_rehash_once() {
    let stored = PasswordHasher::new().hash("secret").unwrap();
    let raised = PasswordHasher::with_cost(20_000, 2, 1).unwrap();
    assert!(raised.verify("secret", Some(&stored)).unwrap().unwrap().needs_rehash());
    let stored = raised.hash("secret").unwrap();
    assert!(!raised.verify("secret", Some(&stored)).unwrap().unwrap().needs_rehash());
}

#[test]
fn a_cost_below_owasp_s_is_refused() {
    for (m, t) in [(47_104, 1), (19_456, 2), (12_288, 3), (9_216, 4), (7_168, 5)] {
        assert!(PasswordHasher::with_cost(m, t, 1).is_ok());
        assert!(PasswordHasher::with_cost(m + 1, t + 1, 2).is_ok());
        assert_eq!(PasswordHasher::with_cost(m - 1, t, 1).unwrap_err(), PasswordError::Cost);
    }
    for (m, t, p) in [
        (64, 1, 1),
        (7_167, 100, 1),
        (1 << 21, 2, 1),
        (19_456, 216, 1),
        (19_456, 2, 65),
        (19_456, 2, 0),
    ] {
        assert_eq!(
            PasswordHasher::with_cost(m, t, p).unwrap_err(),
            PasswordError::Cost,
            "{m} {t} {p}"
        );
    }
}

#[test]
fn an_unknown_user_never_matches() {
    assert_eq!(PasswordHasher::new().verify("secret", None).unwrap(), None);
}

#[test]
fn lengths_are_capped() {
    let hasher = PasswordHasher::new();
    let longest = "é".repeat(MAX_PASSWORD_BYTES / 2);
    let stored = hasher.hash(&longest).unwrap();
    assert!(hasher.verify(&longest, Some(&stored)).unwrap().is_some());
    let grows = "\u{fdfa}".repeat(MAX_PASSWORD_BYTES / 3);
    for bad in [String::new(), format!("{longest}x"), "x".repeat(10 << 20), grows] {
        assert_eq!(hasher.hash(&bad).unwrap_err(), PasswordError::Length);
        assert_eq!(hasher.verify(&bad, Some(&stored)).unwrap(), None);
        assert_eq!(hasher.verify(&bad, None).unwrap(), None);
    }
}

#[test]
fn a_stored_text_that_is_no_argon2_hash_is_an_error_and_not_a_mismatch() {
    let hasher = PasswordHasher::new();
    let good = hasher.hash("secret").unwrap();
    for stored in [
        "",
        "!",
        "secret",
        "$argon2id$",
        "$2b$12$eImiTXuWVxfM37uY4JANjQ.eImiTXuWVxfM37uY4JANjQ",
        "$argon2x$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ",
        "$argon2id$v=18$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNo",
        "$argon2id$v=19$m=64,t=4294967295,p=1$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNo",
        &format!("{good}$"),
        &good.replace("m=", "n="),
    ] {
        let error = hasher.verify("secret", Some(stored)).unwrap_err();
        assert_eq!(error, PasswordError::UnsupportedHash, "{stored}");
        assert_eq!(hasher.needs_rehash(stored).unwrap_err(), PasswordError::UnsupportedHash);
    }
}
