//! bcrypt.

use relatch::password::{Bcrypt, HashVerifier, PasswordError};

use super::{PASSWORD, check_unsupported, check_vectors};

fn bcrypt() -> Bcrypt {
    Bcrypt::new(4).unwrap()
}

#[test]
fn hashes_of_other_implementations_verify() {
    let long = "0123456789".repeat(8);
    check_vectors(
        &bcrypt(),
        &[
            // The PHP manual, page "password_verify".
            ("rasmuslerdorf", "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq"),
            // jBCrypt, test/org/mindrot/jbcrypt/TestBCrypt.java.
            ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
            // The package `bcrypt` 5.0.0 of Python.
            (PASSWORD, "$2a$04$he8Odk4t5LMQEQGz8cCioO2wVdBCTDFhxy/JGPmHq4Q.dYMm89i5e"),
            (PASSWORD, "$2b$04$PXwSEFlZn.7oqK3kyjAiZuhEG2iAxOqkQCwoHrrBnsTIbD4/t3vFy"),
            (
                "pässwörd mit ümläuten",
                "$2b$04$4Iw6DmTXT6AlCiX.cTkScuBJqZn2icSbxKAvQa7emhMrcpluPo0Xe",
            ),
            // Django 5.2.19: BCryptPasswordHasher, BCryptSHA256PasswordHasher.
            (PASSWORD, "bcrypt$$2b$04$lv9GjdppxbwBGf1OIeW11.tCqcz4RlvpNpc2oluifzdLRZL7Pn83K"),
            (
                PASSWORD,
                "bcrypt_sha256$$2b$04$WzXG2te4FZdPuQpFWtIVKu49.sJM1slFTkPfDiuI8zlHJEyXOfFJC",
            ),
            (&long, "bcrypt_sha256$$2b$04$ieHuDXV46YZZgs8YZeOXGuON/UZ3uJLHsIYKOmHIdNW8cMdo2t56G"),
        ],
    );
}

#[test]
fn a_plain_hash_reads_72_bytes_and_django_s_reads_all() {
    let long = "0123456789".repeat(8);
    // Of the first 72 bytes, by the package `bcrypt` 5.0.0 of Python.
    let plain = "$2b$04$8eJTfQwYMNWlX/TUxQaxoOES3kJXzzcNMNRvMGF/cBEHhyGCiyjSi";
    for same in [&long[..72], &long[..73], &long, &format!("{}other", &long[..72])] {
        assert_eq!(bcrypt().verify(same, plain), Ok(true), "{same}");
    }
    assert_eq!(bcrypt().verify(&long[..71], plain), Ok(false));
    let django = "bcrypt_sha256$$2b$04$ieHuDXV46YZZgs8YZeOXGuON/UZ3uJLHsIYKOmHIdNW8cMdo2t56G";
    assert_eq!(bcrypt().verify(&format!("{}other", &long[..72]), django), Ok(false));
}

/// bcrypt repeats the key and its final NUL, so these have the same hash as "abc".
#[test]
fn a_password_with_a_nul_matches_no_hash() {
    let stored = "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i";
    for password in ["abc\0", "abc\0abc", "abc\0abc\0abc"] {
        assert_eq!(bcrypt().verify(password, stored), Ok(false), "{password:?}");
    }
}

/// Some libraries wrote salts whose last character has bits that are not read (passlib documentation,
/// "bcrypt", section "Padding").
#[test]
fn unread_bits_of_the_salt_are_ignored() {
    let stored = "$2b$04$PXwSEFlZn.7oqK3kyjAiZuhEG2iAxOqkQCwoHrrBnsTIbD4/t3vFy";
    let odd = stored.replace("iZuh", "iZvh");
    assert_ne!(odd, stored);
    assert_eq!(bcrypt().verify(PASSWORD, &odd), Ok(true));
}

#[test]
fn other_texts_are_refused_and_absurd_costs_do_no_work() {
    let good = "$2b$04$PXwSEFlZn.7oqK3kyjAiZuhEG2iAxOqkQCwoHrrBnsTIbD4/t3vFy";
    check_unsupported(
        &bcrypt(),
        &[
            &good.replace("$04$", "$17$"),
            &good.replace("$04$", "$31$"),
            &good.replace("$04$", "$99$"),
            &good.replace("$04$", "$03$"),
        ],
        &[
            "",
            "!",
            "$2b$",
            &good.replace("$2b$", "$2x$"),
            &good.replace("$2b$", "$2$"),
            &good.replace("$04$", "$4$"),
            &good.replace("$04$", "$+4$"),
            &good[..59],
            &format!("{good}y"),
            &format!("{}é", &good[..58]),
            &format!("{}=", &good[..59]),
            &format!("bcrypt_sha512${good}"),
            &format!(" {good}"),
            "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo",
        ],
    );
}

#[test]
fn the_cost_has_a_range() {
    assert!(Bcrypt::new(4).is_ok() && Bcrypt::new(16).is_ok());
    for cost in [0, 3, 17, 31, u32::MAX] {
        assert_eq!(Bcrypt::new(cost).unwrap_err(), PasswordError::Cost);
    }
}
