//! The number of heap allocations per operation: no more than its result needs.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::convert::Infallible;

use allocation_counter::measure;
use relatch::{
    Access, Authority, Binding, BindingMode, MasterKey, Reason, Token, User, VerifyError,
    password::{Bcrypt, PasswordHasher},
    service::{CachePolicy, Service},
    sessions::SessionTable,
    store::{MemoryStore, NewUser},
    user::{Credential, KeyCache},
};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

#[derive(Serialize, Deserialize)]
struct Claims {
    role: String,
    tenant: u64,
}

struct Account {
    credential: Credential,
    version: i64,
    sessions: SessionTable,
    keys: Option<KeyCache>,
}

impl User for Account {
    fn id(&self) -> &str {
        "6c84fb90-12c4-11e1-840d-7b25c5ee775a"
    }
    fn binding(&self) -> Binding<'_> {
        Binding::credential(&self.credential).version(self.version)
    }
    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }
    fn key_cache(&self) -> Option<&KeyCache> {
        self.keys.as_ref()
    }
}

fn account() -> Account {
    let credential = Credential::from_password_hash("$argon2id$…").unwrap();
    Account { credential, version: 3, sessions: SessionTable::default(), keys: None }
}

fn authority(mode: BindingMode, byte: u8) -> Authority {
    let key = MasterKey::from_bytes("2026-11", &[byte; 32]).unwrap();
    Authority::builder(key, "https://login.example.com", "https://api.example.com")
        .mode(mode)
        .build()
        .unwrap()
}

fn issue(authority: &Authority, user: &Account) -> Token<Access<Claims>> {
    let claims = Claims { role: "editor".to_owned(), tenant: 7 };
    authority.issue(user, &claims).sign().unwrap()
}

/// The allocations of a verification, including the drop of its result, and its outcome.
fn verifying(
    authority: &Authority,
    token: &Token<Access<Claims>>,
    user: &Account,
) -> (u64, Option<Reason>) {
    // Computes what is computed on first use.
    let verify = || authority.verify(token, |_| Ok::<_, Infallible>(Some(user)));
    let _first = verify();
    let mut reason = None;
    let counted = measure(|| {
        reason = match verify() {
            Ok(_) => None,
            Err(VerifyError::Rejected(rejection)) => Some(rejection.reason()),
            Err(error) => panic!("{error}"),
        }
    });
    (counted.count_total, reason)
}

/// The payload's text, and the one `String` of the private claims.
#[test]
fn a_session_takes_as_many_as_it_owns() {
    let user = account();
    for mode in [BindingMode::Key, BindingMode::StampHs256] {
        let authority = authority(mode, 7);
        assert_eq!(verifying(&authority, &issue(&authority, &user), &user), (2, None));
    }
    let cached = Account { keys: Some(KeyCache::default()), ..account() };
    let authority = authority(BindingMode::Key, 7);
    assert_eq!(verifying(&authority, &issue(&authority, &cached), &cached), (2, None));
}

#[test]
fn the_slot_of_a_session_takes_none() {
    let authority = authority(BindingMode::Key, 7);
    let mut user = account();
    let claims = Claims { role: "editor".to_owned(), tenant: 7 };
    let started = authority.issue::<Access<Claims>>(&user, &claims).start_session("a phone");
    let mut sessions = SessionTable::default();
    let committed = started.unwrap().commit(|change| {
        sessions = change.sessions().cloned().unwrap();
        Ok::<_, Infallible>(true)
    });
    let relatch::authority::Committed::Stored(tokens) = committed.unwrap() else {
        panic!("it is stored")
    };
    user.sessions = sessions;
    let token = Token::new(tokens.access().expose());
    assert_eq!(verifying(&authority, &token, &user), (2, None));
}

#[test]
fn a_rejection_before_the_lookup_takes_none() {
    let (user, ours) = (account(), authority(BindingMode::Key, 7));
    let genuine = issue(&ours, &user);

    let forged = issue(&authority(BindingMode::Key, 8), &user);
    assert_eq!(verifying(&ours, &forged, &user), (0, Some(Reason::Forged)));

    let (_, rest) = genuine.expose().split_once('.').unwrap();
    // `{"alg":"none","kid":"2026-11","typ":"at+jwt"}`
    let header = "eyJhbGciOiJub25lIiwia2lkIjoiMjAyNi0xMSIsInR5cCI6ImF0K2p3dCJ9";
    let unsigned = Token::new(format!("{header}.{rest}"));
    assert_eq!(verifying(&ours, &unsigned, &user), (0, Some(Reason::WrongAlgorithm)));

    let key = MasterKey::from_bytes("2026-11", &[7; 32]).unwrap();
    let later = Authority::builder(key, "https://login.example.com", "https://api.example.com")
        .clock(|| OffsetDateTime::now_utc() + Duration::days(1))
        .build()
        .unwrap();
    assert_eq!(verifying(&later, &genuine, &user), (0, Some(Reason::Expired)));
}

#[test]
fn a_revoked_token_takes_its_payload_alone() {
    let authority = authority(BindingMode::Key, 7);
    let mut user = account();
    let token = issue(&authority, &user);
    user.version += 1;
    assert_eq!(verifying(&authority, &token, &user), (1, Some(Reason::RevokedByVersion)));
}

/// The payload, the token, and the `String` of the private claims, which are read back.
#[test]
fn an_issue_takes_three() {
    let (user, authority) = (account(), authority(BindingMode::Key, 7));
    let claims = Claims { role: "editor".to_owned(), tenant: 7 };
    let _first = issue(&authority, &user);
    let counted = measure(|| {
        let _token = authority.issue::<Access<Claims>>(&user, &claims).sign().unwrap();
    });
    assert_eq!(counted.count_total, 3);
}

/// The record, which holds its id and its derived key; its login; its sessions, and the label of the
/// one. The cache's own memory grows now and then.
#[test]
fn a_cached_user_takes_two_and_those_of_its_sessions() {
    const USERS: usize = 1000;
    let (authority, store) = (authority(BindingMode::Key, 7), MemoryStore::<()>::new());
    let policy = CachePolicy::new(Duration::HOUR, 2 * USERS).unwrap();
    let service = Service::builder(authority, store.clone()).cache(policy).build();
    let ids: Vec<_> = (0..USERS).map(|n| format!("{n:08x}-12c4-11e1-840d-7b25c5ee775a")).collect();
    for id in &ids {
        assert!(store.insert(NewUser::without_password(id, id).unwrap(), ()));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let mut tokens = Vec::new();
    runtime.block_on(async {
        for id in &ids {
            let (access, _) = service.start_session(id, "a phone").await.unwrap().into_parts();
            tokens.push(access);
        }
    });
    let counted = measure(|| {
        runtime.block_on(async {
            for token in &tokens {
                drop(service.authenticate(token).await.unwrap());
            }
        });
    });
    let least = 4 * USERS as i64;
    assert!((least..least + 50).contains(&counted.count_current), "{counted:?}");
}

/// The time of a verification must not depend on what is stored. A new hasher has no memory yet, so its
/// first hash allocates it.
#[test]
fn each_verification_does_the_work_of_one_argon2_hash() {
    const KIB: u64 = 1024;
    let verify = |password: &str, stored: Option<&str>| {
        let hasher =
            PasswordHasher::new().also_verifies(relatch::password::Bcrypt::new(4).unwrap());
        let counted = measure(|| {
            let _ = hasher.verify(password, stored);
        });
        counted.bytes_max / KIB
    };
    let bcrypt = "$2b$04$PXwSEFlZn.7oqK3kyjAiZuhEG2iAxOqkQCwoHrrBnsTIbD4/t3vFy";
    let too_dear = "$argon2id$v=19$m=4294967295,t=1,p=1$c29tZXNhbHRzb21l$aGFzaGhhc2hoYXNo";
    for stored in [None, Some(bcrypt), Some(too_dear), Some("!"), Some(""), Some("other$hash")] {
        for password in ["correct horse battery staple", "wrong", "", &"x".repeat(2000)] {
            let memory = verify(password, stored);
            assert!((19_456..19_500).contains(&memory), "{stored:?}: {memory} KiB");
        }
    }
}

/// If argon2's memory were allocated for each hash, allocators would keep many times what is in
/// use.
#[test]
fn a_password_is_hashed_in_the_memory_of_the_one_before() {
    const KIB: u64 = 1024;
    let hasher = PasswordHasher::new();
    let mut hash = String::new();
    let first = measure(|| hash = hasher.hash("secret").unwrap());
    assert!((19_456..19_470).contains(&(first.bytes_max / KIB)), "{first:?}");

    let check = |password: &str, stored: Option<&str>| {
        let mut is_right = false;
        let counted = measure(|| is_right = hasher.verify(password, stored).unwrap().is_some());
        (is_right, counted.bytes_total / KIB, counted.bytes_current / KIB as i64)
    };
    let stored_with = |memory, iterations, lanes| {
        let other = PasswordHasher::with_cost(memory, iterations, lanes).unwrap();
        other.hash("secret").unwrap()
    };
    let dearer = stored_with(47_104, 1, 2);
    let cheaper = stored_with(7_168, 5, 3);
    let too_dear = stored_with(47_108, 1, 1);

    assert!(matches!(check("secret", Some(&hash)), (true, ..4, _)));
    assert!(matches!(check("wrong", Some(&hash)), (false, ..4, _)));
    assert!(matches!(check("secret", None), (false, ..4, _)));
    assert!(matches!(check("secret", Some(&cheaper)), (true, ..4, _)));
    assert!(measure(|| drop(hasher.clone().hash("secret"))).bytes_total < 4 * KIB);

    // Larger memory replaces the kept memory; memory above the limit is not kept.
    let (is_right, taken, kept) = check("secret", Some(&dearer));
    assert!(is_right && taken >= 47_104 && kept < 47_104 - 19_000, "{taken} {kept}");
    assert!(matches!(check("secret", Some(&dearer)), (true, ..4, _)));
    let (is_right, taken, kept) = check("secret", Some(&too_dear));
    assert!(is_right && taken >= 47_108 && kept < 4, "{taken} {kept}");
    assert!(matches!(check("secret", Some(&hash)), (true, ..4, _)));
}

/// A hash of argon2id takes 19 MiB. Each verification takes as much, so that its time does not show
/// whether there is a user, or of which kind the stored hash is.
#[test]
fn each_password_takes_the_memory_of_argon2() {
    let bcrypt = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";
    for stored in [None, Some("!"), Some(bcrypt)] {
        for kinds in [0, 1] {
            let bcrypts = (0..kinds).map(|_| Bcrypt::new(4).unwrap());
            let hasher = bcrypts.fold(PasswordHasher::new(), PasswordHasher::also_verifies);
            let counted = measure(|| {
                let matched = hasher.verify("a wrong password", stored);
                assert!(!matches!(matched, Ok(Some(_))));
            });
            assert!(counted.bytes_max >= 19 << 20, "{stored:?}: {}", counted.bytes_max);
        }
    }
}
