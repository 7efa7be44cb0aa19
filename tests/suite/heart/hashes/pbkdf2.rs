//! PBKDF2.

use relatch::password::{HashVerifier, PasswordError, Pbkdf2};

use super::{PASSWORD, check_unsupported, check_vectors};

const DJANGO: &str = "pbkdf2_sha256$1000$seasalt2$vVHZGEs7v6quz+ZQJ3YUviKmZHPrpr5OATMMKlICjVY=";

#[test]
fn hashes_of_other_implementations_verify() {
    check_vectors(
        &Pbkdf2::sha256(1000).unwrap(),
        &[
            // Django 5.2.19, PBKDF2PasswordHasher.
            (PASSWORD, DJANGO),
            // The documentation of passlib, "PBKDF2 Hashes".
            (
                "password",
                "$pbkdf2-sha256$6400$0ZrzXitFSGltTQnBWOsdAw$Y11AchqV4b0sUisdZd0Xr97KWoymNE0LNNrnEgY4H9M",
            ),
            // passlib 1.7.4.
            (
                PASSWORD,
                "$pbkdf2-sha256$1000$9n4P4XxPCcEYo5SytjbG2A$NVFrAoN5qj68ISyWIZhkJ4HReJ9SGkSiUEXPMSa/dfw",
            ),
            (
                PASSWORD,
                "$pbkdf2-sha512$1000$vPc.R4jx/r937l0LwVjLWQ$7Nob7omXyjA2B4UhOj6baf1dFDX85kH.oAYI98u4dqa1dYJp.GNQ76dD2Qvj.2uq4Sw.CK/Kqctl3pJrO4J6zg",
            ),
            // The crate `pbkdf2` 0.13.0 of Rust, src/phc.rs.
            (
                "passwordPASSWORDpassword",
                "$pbkdf2-sha256$i=4096,l=40$c2FsdFNBTFRzYWx0U0FMVHNhbHRTQUxUc2FsdFNBTFRzYWx0$NIyJ28vTKy8y2BS4EW6EzysXNH68GAAYHE4qH7jdU+HGNVGMfaxH6Q",
            ),
        ],
    );
}

#[test]
fn the_work_for_others_is_of_either_digest() {
    for verifier in [Pbkdf2::sha256(1000), Pbkdf2::sha512(1000)] {
        let verifier = verifier.unwrap();
        verifier.work(PASSWORD);
        assert_eq!(verifier.verify(PASSWORD, DJANGO), Ok(true));
    }
}

#[test]
fn other_texts_are_refused_and_absurd_costs_do_no_work() {
    let two_blocks = "$pbkdf2-sha256$i=5000001,l=40$c2FsdFNBTFRzYWx0U0FMVHNhbHRTQUxUc2FsdFNBTFRzYWx0$NIyJ28vTKy8y2BS4EW6EzysXNH68GAAYHE4qH7jdU+HGNVGMfaxH6Q";
    check_unsupported(
        &Pbkdf2::sha256(1000).unwrap(),
        &[
            &DJANGO.replace("$1000$", "$0$"),
            &DJANGO.replace("$1000$", "$10000001$"),
            &DJANGO.replace("$1000$", "$4294967295$"),
            two_blocks,
        ],
        &[
            "",
            "!",
            &DJANGO.replace("$1000$", "$4294967296$"),
            &DJANGO.replace("$1000$", "$+1000$"),
            &DJANGO.replace("$1000$", "$-1$"),
            &DJANGO.replace("$1000$", "$$"),
            &DJANGO.replace("sha256", "sha1"),
            &DJANGO.replace("seasalt2$", ""),
            &format!("{DJANGO}$"),
            "pbkdf2_sha256$1000$seasalt2$",
            "pbkdf2_sha256$1000$seasalt2$vVHZGEs7v6qu",
            "pbkdf2_sha256$1000$seasalt2$vVHZGEs7v6quz é",
            &format!("pbkdf2_sha256$1000$seasalt2${}", "A".repeat(88)),
            &format!("pbkdf2_sha256$1000${}$vVHZGEs7v6quz+ZQJ3YUvg", "x".repeat(2000)),
            &format!("pbkdf2_sha256$1000$seasalt2${}", "A".repeat(4 << 20)),
            &two_blocks.replace("i=5000001", "n=1000"),
            &two_blocks.replace("i=5000001,l=40", "i=1000,l=41"),
            &two_blocks.replace("i=5000001,l=40", "l=40,i=1000"),
            &two_blocks.replace("i=5000001,l=40", "i=1000,l=40,x=1"),
        ],
    );
}

#[test]
fn the_iterations_have_a_range() {
    for iterations in [0, 10_000_001, u32::MAX] {
        assert_eq!(Pbkdf2::sha256(iterations).unwrap_err(), PasswordError::Cost);
        assert_eq!(Pbkdf2::sha512(iterations).unwrap_err(), PasswordError::Cost);
    }
    assert!(Pbkdf2::sha256(10_000_000).is_ok());
}
