//! The operations whose instructions `instructions.py` counts. Clock, randomness and keys are fixed, so
//! every run executes the same instructions.
//!
//! `instructions verify 300` runs one operation 300 times; `instructions` lists the operations.

use std::{convert::Infallible, env, hint::black_box};

use relatch::{
    Access, Authority, AuthorityBuilder, Binding, BindingMode, MasterKey, Reason, RefreshToken,
    Token, User,
    authority::{Entropy, EntropyError, Refreshed},
    sessions::SessionTable,
    user::{Credential, KeyCache},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256, block_api::compress256};
use time::OffsetDateTime;

/// An operation's name, and the function that prepares it.
type Operation = (&'static str, fn() -> Run);
/// Runs an operation once.
type Run = Box<dyn FnMut()>;

/// The recorded operations.
const OPERATIONS: [Operation; 19] = [
    ("verify", || verified(authority(), Account::new(), &[])),
    ("verify_cached", || verified(authority(), Account::caching(), &[])),
    ("verify_stamp", || verified(stamping(), Account::new(), &[])),
    ("verify_session", || verified(authority(), Account::new(), &DEVICES)),
    ("forged", || rejected(builder(OTHER_KEY, NOW), Reason::Forged)),
    ("wrong_header", || rejected(builder(("k2", 1), NOW), Reason::UnknownKey)),
    ("expired", || rejected(builder(KEY, NOW - 3600), Reason::Expired)),
    ("issue", issued),
    ("refresh", refreshed),
    // Rejections of a genuine token, unexpired: instructions.py compares each group.
    ("missing", || refused(authority(), &Account::new(), None)),
    ("bad_signature", || bad_signature(Account::new())),
    ("bad_signature_cached", || bad_signature(Account::caching())),
    ("revoked", || refused(authority(), &Account::new(), Some(Account::bumped()))),
    ("inactive", || refused(authority(), &Account::new(), Some(Account::inactive()))),
    ("missing_stamp", || refused(stamping(), &Account::new(), None)),
    ("revoked_stamp", || refused(stamping(), &Account::new(), Some(Account::other_password()))),
    ("inactive_stamp", || refused(stamping(), &Account::new(), Some(Account::inactive()))),
    ("refresh_missing", || refresh_refused(false)),
    ("refresh_bad_signature", || refresh_refused(true)),
];

/// Operations with a known number of SHA-256 blocks, which calibrate the count.
const KNOWN: [Operation; 3] =
    [("one_block", compressed::<1>), ("two_blocks", compressed::<2>), ("sixteen_blocks", hashed)];

const NOW: i64 = 1_800_000_000;
/// A `kid`, and the byte that the key repeats.
const KEY: (&str, u8) = ("k1", 1);
const OTHER_KEY: (&str, u8) = ("k1", 2);
const USER_ID: &str = "018f3c5e-7a0b-7c1d-9e2f-a3b4c5d6e7f8";
const DEVICES: [&str; 3] = ["phone", "laptop", "tablet"];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match &arguments[..] {
        [] => OPERATIONS.iter().for_each(|(name, _)| println!("{name}")),
        [wanted, count] => {
            let count: u32 = count.parse().expect("a count");
            let mut all = OPERATIONS.iter().chain(&KNOWN);
            let (_, prepare) = all.find(|(name, _)| name == wanted).expect("an operation");
            let mut run = prepare();
            (0..count).for_each(|_| run());
        }
        _ => panic!("usage: instructions [OPERATION COUNT]"),
    }
}

/// Verifies a token of the last of these devices, or one without a session if there is none.
fn verified(builder: AuthorityBuilder, mut user: Account, devices: &[&str]) -> Run {
    let authority = builder.build().unwrap();
    let mut text = issue(&authority, &user);
    for device in devices {
        (text, _) = log_in(&authority, &mut user, device);
    }
    Box::new(move || {
        let token = Token::<Access<Claims>>::new(black_box(&*text));
        let session = authority.verify(&token, |_| Ok::<_, Infallible>(Some(&user)));
        drop(black_box(session.unwrap()));
    })
}

/// Rejects a token of this other authority.
fn rejected(issuer: AuthorityBuilder, reason: Reason) -> Run {
    let authority = authority().build().unwrap();
    let text = issue(&issuer.build().unwrap(), &Account::new());
    Box::new(move || {
        let token = Token::<Access<Claims>>::new(black_box(&*text));
        let session = authority.verify(&token, |_| Ok::<Option<Account>, Infallible>(None));
        assert_eq!(session.unwrap_err().reason(), Some(reason));
    })
}

/// Rejects a token of `issued_for` on this record, under the same authority.
fn refused(builder: AuthorityBuilder, issued_for: &Account, found: Option<Account>) -> Run {
    let authority = builder.build().unwrap();
    let text = issue(&authority, issued_for);
    refuse(authority, text, found)
}

/// Rejects a genuine token with a broken signature, after the record verified the token as it was.
fn bad_signature(user: Account) -> Run {
    let authority = authority().build().unwrap();
    let text = issue(&authority, &user);
    let token = Token::<Access<Claims>>::new(&*text);
    let verified = authority.verify(&token, |_| Ok::<_, Infallible>(Some(&user)));
    drop(verified.unwrap());
    refuse(authority, with_broken_signature(&text), Some(user))
}

fn refuse(authority: Authority, text: String, found: Option<Account>) -> Run {
    Box::new(move || {
        let token = Token::<Access<Claims>>::new(black_box(&*text));
        let verified = authority.verify(&token, |_| Ok::<_, Infallible>(found.as_ref()));
        assert!(black_box(verified).is_err());
    })
}

/// Rejects a genuine refresh token with a broken signature.
fn refresh_refused(is_found: bool) -> Run {
    let authority = authority().build().unwrap();
    let (mut user, claims) = (Account::new(), Claims::new());
    let (_, text) = log_in(&authority, &mut user, "phone");
    let text = with_broken_signature(&text);
    Box::new(move || {
        let opened = authority.open_refresh(RefreshToken::new(black_box(&*text))).unwrap();
        if black_box(is_found) {
            let issuance = authority.issue::<Access<Claims>>(&user, &claims);
            assert!(black_box(issuance.refresh(&opened)).is_err());
        } else {
            black_box(opened.unknown_user());
        }
    })
}

/// Another first character of the signature, which decodes too.
fn with_broken_signature(text: &str) -> String {
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}

fn issued() -> Run {
    let authority = authority().build().unwrap();
    let (user, claims) = (Account::new(), Claims::new());
    Box::new(move || {
        let token = authority.issue::<Access<Claims>>(black_box(&user), &claims).sign();
        drop(black_box(token.unwrap()));
    })
}

/// Refreshes the session of the last device, without a store.
fn refreshed() -> Run {
    let authority = authority().build().unwrap();
    let (mut user, claims) = (Account::new(), Claims::new());
    let [.., (_, text)] = DEVICES.map(|device| log_in(&authority, &mut user, device));
    Box::new(move || {
        let opened = authority.open_refresh(RefreshToken::new(black_box(&*text))).unwrap();
        let decision = authority.issue::<Access<Claims>>(&user, &claims).refresh(&opened).unwrap();
        let committed = decision.commit(|change| {
            black_box(change);
            Ok::<_, Infallible>(true)
        });
        let Some(Refreshed::Rotated(tokens)) = committed.unwrap().stored() else {
            panic!("not rotated");
        };
        drop(black_box(tokens));
    })
}

/// This many blocks in one call of the compression function.
fn compressed<const BLOCKS: usize>() -> Run {
    let mut state = [0; 8];
    Box::new(move || compress256(&mut state, black_box(&[[7; 64]; BLOCKS])))
}

/// Sixteen blocks in calls of several sizes: 1000 bytes, and at least 9 bytes of padding
/// (FIPS 180-4 §5.1.1).
fn hashed() -> Run {
    Box::new(|| {
        let mut hash = Sha256::new();
        for bytes in [10, 190, 1, 500, 299] {
            hash.update(&black_box([7; 500])[..bytes]);
        }
        black_box(hash.finalize());
    })
}

#[derive(Serialize, Deserialize)]
struct Claims {
    role: String,
    tenant: u64,
}

impl Claims {
    fn new() -> Self {
        Self { role: "admin".to_owned(), tenant: 42 }
    }
}

struct Account {
    credential: Credential,
    version: i64,
    is_active: bool,
    sessions: SessionTable,
    keys: Option<KeyCache>,
}

impl Account {
    fn new() -> Self {
        let credential =
            Credential::from_password_hash("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA");
        Self {
            credential: credential.unwrap(),
            version: 1_790_000_000_000,
            is_active: true,
            sessions: SessionTable::default(),
            keys: None,
        }
    }

    fn bumped() -> Self {
        let account = Self::new();
        Self { version: account.version + 1, ..account }
    }

    fn inactive() -> Self {
        Self { is_active: false, ..Self::new() }
    }

    fn other_password() -> Self {
        Self {
            credential: Credential::from_password_hash(
                "$argon2id$v=19$m=19456,t=2,p=1$c2FsdB$aGFzaB",
            )
            .unwrap(),
            ..Self::new()
        }
    }

    fn caching() -> Self {
        Self { keys: Some(KeyCache::default()), ..Self::new() }
    }
}

impl User for Account {
    fn id(&self) -> &str {
        USER_ID
    }
    fn binding(&self) -> Binding<'_> {
        Binding::credential(&self.credential).version(self.version)
    }
    fn is_active(&self) -> bool {
        self.is_active
    }
    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }
    fn key_cache(&self) -> Option<&KeyCache> {
        self.keys.as_ref()
    }
}

struct FixedEntropy;

impl Entropy for FixedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(0xa5);
        Ok(())
    }
}

fn authority() -> AuthorityBuilder {
    builder(KEY, NOW)
}

fn stamping() -> AuthorityBuilder {
    authority().mode(BindingMode::StampHs256)
}

fn builder((kid, byte): (&str, u8), now: i64) -> AuthorityBuilder {
    let key = MasterKey::from_bytes(kid, &[byte; 32]).unwrap();
    Authority::builder(key, "https://login.example.com", "https://api.example.com")
        .clock(move || OffsetDateTime::from_unix_timestamp(now).unwrap())
        .entropy(FixedEntropy)
}

fn issue(authority: &Authority, user: &Account) -> String {
    let token = authority.issue::<Access<Claims>>(user, &Claims::new()).sign();
    token.unwrap().expose().to_owned()
}

/// The texts of the access token and the refresh token.
fn log_in(authority: &Authority, user: &mut Account, device: &str) -> (String, String) {
    let claims = Claims::new();
    let decision = authority.issue::<Access<Claims>>(user, &claims).start_session(device).unwrap();
    let mut stored = None;
    let committed = decision.commit(|change| {
        stored = change.sessions().cloned();
        Ok::<_, Infallible>(true)
    });
    user.sessions = stored.unwrap();
    let (access, refresh) = committed.unwrap().stored().unwrap().into_parts();
    (access.expose().to_owned(), refresh.expose().to_owned())
}
