//! scrypt.

use relatch::password::{HashVerifier, PasswordError, Scrypt};

use super::{PASSWORD, check_unsupported, check_vectors};

const PASSLIB: &str =
    "$scrypt$ln=10,r=8,p=1$a00JYey911qLsVYKwfh/7w$6yVeAOYMxakvN0y6lsqxQNxeeCkjW7Hc2Sg7mGRN9h0";
const DJANGO: &str = "scrypt$1024$seasalt2$8$5$ndLNbnzoOB8VPGcrDWboOqvJnggeLUVze+q0WEP6X6vUFWx0XgY4pX4RNes9M1wqi9qnLUptWQQQSaMbVxA6MA==";

#[test]
fn hashes_of_other_implementations_verify() {
    let verifier = Scrypt::new(10, 8, 1).unwrap();
    check_vectors(
        &verifier,
        &[
            // Django 5.2.19, ScryptPasswordHasher.
            (PASSWORD, DJANGO),
            // passlib 1.7.4.
            (PASSWORD, PASSLIB),
            (
                PASSWORD,
                "$scrypt$ln=10,r=4,p=2$jFHqvZeyNkaodQ7hnLN2Lg$DWlVyzU2MANEjQPsQitPn1Jc/etA0DC70intipbb86A",
            ),
        ],
    );
    // The documentation of passlib, "scrypt".
    let dear =
        "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E";
    assert_eq!(verifier.verify("password", dear), Ok(true));
    verifier.work(PASSWORD);
}

#[test]
fn other_texts_are_refused_and_absurd_costs_do_no_work() {
    let with = |params| PASSLIB.replace("ln=10,r=8,p=1", params);
    check_unsupported(
        &Scrypt::new(10, 8, 1).unwrap(),
        &[
            &with("ln=0,r=8,p=1"),
            &with("ln=10,r=0,p=1"),
            &with("ln=10,r=8,p=0"),
            &with("ln=19,r=8,p=1"),
            &with("ln=17,r=8,p=9"),
            &with("ln=1,r=1,p=1025"),
            &with("ln=63,r=1,p=1"),
            &with("ln=64,r=1,p=1"),
            &with("ln=4294967295,r=4294967295,p=4294967295"),
            &with("ln=1,r=65536,p=65536"),
            &DJANGO.replace("$1024$", "$1$"),
            &DJANGO.replace("$1024$", "$2147483648$"),
        ],
        &[
            "",
            "!",
            &with("r=8,ln=10,p=1"),
            &with("ln=10,r=8"),
            &with("ln=10,r=8,p=1,x=1"),
            &with("ln=+10,r=8,p=1"),
            &with("ln=4294967296,r=8,p=1"),
            &PASSLIB[..PASSLIB.len() - 32],
            &format!("{PASSLIB}$"),
            &DJANGO.replace("$1024$", "$1000$"),
            &DJANGO.replace("$1024$", "$0$"),
            &DJANGO.replace("$8$5$", "$8$"),
            "scrypt$1024$seasalt2$8$5$",
            "$7$C6..../....SodiumChloride$kBGj9fHznVYFQMEn/qDCfrDevf9YDtcDdKvEqHJLV8D",
        ],
    );
}

#[test]
fn the_cost_has_a_range() {
    for (log_n, r, p) in [(1, 1, 1), (14, 8, 5), (17, 8, 1), (17, 8, 8), (18, 8, 4), (21, 1, 4)] {
        assert!(Scrypt::new(log_n, r, p).is_ok(), "{log_n} {r} {p}");
    }
    for (log_n, r, p) in
        [(0, 8, 1), (10, 0, 1), (10, 8, 0), (19, 8, 1), (17, 8, 9), (1, 32, 33), (255, 1, 1)]
    {
        assert_eq!(Scrypt::new(log_n, r, p).unwrap_err(), PasswordError::Cost, "{log_n} {r} {p}");
    }
}
