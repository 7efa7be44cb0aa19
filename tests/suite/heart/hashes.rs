//! Stored hashes of other kinds than argon2.

use std::sync::{Arc, Mutex};

use relatch::password::{HashVerifier, MAX_PASSWORD_BYTES, PasswordError, PasswordHasher};

#[cfg(feature = "bcrypt")]
mod bcrypt;
#[cfg(feature = "pbkdf2")]
mod pbkdf2;
#[cfg(feature = "scrypt")]
mod scrypt;

const PASSWORD: &str = "correct horse battery staple";

/// A kind of hashes that notes its work.
#[derive(Clone)]
struct Noted(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl HashVerifier for Noted {
    fn recognises(&self, stored: &str) -> bool {
        stored.starts_with(self.0)
    }

    fn verify(&self, password: &str, stored: &str) -> Result<bool, PasswordError> {
        match stored.strip_prefix(self.0) {
            Some("$damaged") => Err(PasswordError::UnsupportedHash),
            rest => {
                self.1.lock().unwrap().push(self.0);
                Ok(rest.and_then(|rest| rest.strip_prefix('$')) == Some(password))
            }
        }
    }

    fn work(&self, _: &str) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[test]
fn each_verification_does_the_work_of_every_kind_once() {
    let work = Arc::default();
    let (one, two) = (Noted("one", Arc::clone(&work)), Noted("two", Arc::clone(&work)));
    let hasher = PasswordHasher::new().also_verifies(one).also_verifies(two);
    let argon2 = hasher.hash(PASSWORD).unwrap();
    let weak = "$argon2id$v=19$m=64,t=1,p=1$c2l4dGVlbiBieXRlcyBvZg$AAAAAAAAAAAAAAAAAAAAAA";
    let expensive = "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNo";
    let (of_one, of_two) = (format!("one${PASSWORD}"), format!("two${PASSWORD}"));
    let unsupported = Err(PasswordError::UnsupportedHash);
    for (stored, expected) in [
        (None, Ok(false)),
        (Some(argon2.as_str()), Ok(true)),
        (Some(weak), Ok(false)),
        (Some(&*of_one), Ok(true)),
        (Some(&*of_two), Ok(true)),
        (Some("one$other"), Ok(false)),
        (Some("one$damaged"), unsupported),
        (Some("two$damaged"), unsupported),
        (Some("three$"), unsupported),
        (Some(expensive), unsupported),
        (Some(""), unsupported),
    ] {
        let outcome = hasher.verify(PASSWORD, stored).map(|matched| matched.is_some());
        assert_eq!(outcome, expected, "{stored:?}");
        let mut done = std::mem::take(&mut *work.lock().unwrap());
        done.sort_unstable();
        assert_eq!(done, ["one", "two"], "{stored:?}");
    }
    for unhashable in ["", &*"x".repeat(MAX_PASSWORD_BYTES + 1)] {
        for stored in [None, Some(argon2.as_str()), Some("one$"), Some("three$")] {
            assert_eq!(hasher.verify(unhashable, stored), Ok(None));
            let done = std::mem::take(&mut *work.lock().unwrap());
            assert_eq!(done, ["one", "two"], "{stored:?}");
        }
    }
}

#[test]
fn a_hash_of_another_kind_asks_for_a_rehash() {
    let hasher = PasswordHasher::new().also_verifies(Noted("one", Arc::default()));
    assert_eq!(hasher.needs_rehash("one$"), Ok(true));
    assert_eq!(hasher.needs_rehash("two$"), Err(PasswordError::UnsupportedHash));
    let matched = hasher.verify(PASSWORD, Some(&format!("one${PASSWORD}"))).unwrap();
    assert!(matched.is_some_and(|matched| matched.needs_rehash()));
    assert!(!hasher.clone().needs_rehash(&hasher.hash(PASSWORD).unwrap()).unwrap());
}

/// Each stored hash is of [`PASSWORD`] or of the password beside it, and of no other.
#[cfg(any(feature = "bcrypt", feature = "pbkdf2", feature = "scrypt"))]
fn check_vectors(verifier: &impl HashVerifier, vectors: &[(&str, &str)]) {
    for (password, stored) in vectors {
        assert!(verifier.recognises(stored), "{stored}");
        assert_eq!(verifier.verify(password, stored), Ok(true), "{stored}");
        for other in ["", &password[1..], &format!("{password}x")] {
            assert_eq!(verifier.verify(other, stored), Ok(false), "{other:?} {stored}");
        }
    }
}

#[cfg(any(feature = "bcrypt", feature = "pbkdf2", feature = "scrypt"))]
fn check_unsupported(verifier: &impl HashVerifier, recognised: &[&str], unrecognised: &[&str]) {
    for stored in recognised.iter().chain(unrecognised) {
        assert_eq!(verifier.recognises(stored), recognised.contains(stored), "{stored}");
        let outcome = verifier.verify(PASSWORD, stored);
        assert_eq!(outcome, Err(PasswordError::UnsupportedHash), "{stored}");
    }
}
