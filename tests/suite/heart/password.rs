//! Password hashing.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD as B64};
use relatch::password::{MAX_PASSWORD_BYTES, PasswordError, PasswordHasher};

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
fn hashes_with_other_parameters_verify_and_need_a_rehash() {
    let hasher = PasswordHasher::new();
    for stored in [
        phc(Algorithm::Argon2id, Version::V0x13, 64, 1, 1, true),
        phc(Algorithm::Argon2id, Version::V0x13, 19_456, 3, 1, true),
        phc(Algorithm::Argon2id, Version::V0x10, 19_456, 2, 1, true),
        phc(Algorithm::Argon2i, Version::V0x13, 64, 3, 2, true),
        phc(Algorithm::Argon2d, Version::V0x13, 64, 3, 4, true),
        phc(Algorithm::Argon2i, Version::V0x10, 64, 3, 1, false),
    ] {
        let matched = hasher.verify("secret", Some(&stored)).unwrap();
        assert!(matched.is_some_and(|matched| matched.needs_rehash()), "{stored}");
        assert!(hasher.needs_rehash(&stored).unwrap());
        assert_eq!(hasher.verify("other", Some(&stored)).unwrap(), None, "{stored}");
    }
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
    for bad in [String::new(), format!("{longest}x"), "x".repeat(10 << 20)] {
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
