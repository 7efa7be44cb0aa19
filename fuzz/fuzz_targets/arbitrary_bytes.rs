//! Only genuine tokens are accepted, and a token that was not issued costs no lookup.
//!
//! The seeds are tokens of the servers below, and near misses.

#![no_main]

use std::sync::LazyLock;

use jsonwebtoken::{EncodingKey, Header, dangerous::insecure_decode_claims};
use libfuzzer_sys::fuzz_target;
use relatch::{Access, Authority, BindingMode, Token, User, authority::Adoption};
use relatch_fuzz::{Account, Claims, Fixed, master_key};
use serde::Deserialize;
use serde_json::json;
use time::{Duration, OffsetDateTime};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    SERVERS.iter().for_each(|server| server.check(&text));
});

struct Server {
    authority: Authority,
    issued: Vec<Issued>,
}

#[derive(Clone)]
struct Issued {
    text: String,
    guarded: Option<Guarded>,
    fate: Fate,
}

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Good,
    Revoked,
    Expired,
}

/// The claims that the guard of key mode covers; `jti` has its nonce and the guard itself.
#[derive(Clone, Deserialize, PartialEq)]
struct Guarded {
    sub: String,
    exp: u64,
    jti: String,
}

impl Server {
    fn check(&self, text: &str) {
        let token: Token<Access<Claims>> = Token::new(text);
        let is_good = self.issued.iter().any(|it| it.fate == Fate::Good && it.text == text);
        let Ok(opened) = self.authority.open(&token) else {
            assert!(!is_good, "a genuine token did not reach the lookup");
            return;
        };
        assert!(self.may_be_looked_up(text), "a text that was not issued reached the lookup");
        let user = USERS.iter().find(|user| user.id() == opened.user_id());
        assert_eq!(opened.verify(user).is_ok(), is_good, "an invalid token was verified");
    }

    /// In key mode only the guard is checked before the lookup: claims that it does not cover may have
    /// been changed.
    fn may_be_looked_up(&self, text: &str) -> bool {
        let guarded = insecure_decode_claims(text).ok();
        let mut live = self.issued.iter().filter(|it| it.fate != Fate::Expired);
        live.any(|it| it.text == text || (it.guarded.is_some() && it.guarded == guarded))
    }
}

static SERVERS: LazyLock<Vec<Server>> = LazyLock::new(|| {
    let mode = |mode| {
        let authority = authority(mode, NOW, None);
        let issued = FATES.map(|fate| issue(mode, fate)).to_vec();
        Server { authority, issued }
    };
    let mut adopting = mode(BindingMode::Key);
    adopting.authority = authority(BindingMode::Key, NOW, Some(adoption()));
    adopting.issued.extend(FATES.map(plain));
    let servers = vec![
        mode(BindingMode::Key),
        mode(BindingMode::StampHs256),
        mode(BindingMode::StampAsymmetric),
        adopting,
    ];
    for Issued { text, .. } in servers.iter().flat_map(|server| &server.issued) {
        assert!(SEEDS.contains(&text.as_str()), "none of the seeds is this genuine token: {text}");
    }
    servers
});

/// Alice's token is valid. A later version has revoked Bob's.
static USERS: LazyLock<[Account; 2]> =
    LazyLock::new(|| [Account::new("alice", VERSION), Account::new("bob", VERSION + 1)]);

fn issue(mode: BindingMode, fate: Fate) -> Issued {
    let (id, issued_at) = match fate {
        Fate::Good => ("alice", NOW),
        Fate::Revoked => ("bob", NOW),
        Fate::Expired => ("alice", NOW - LIFETIME),
    };
    let (user, claims) = (Account::new(id, VERSION), own_claims());
    let authority = authority(mode, issued_at, None);
    let token = authority.issue::<Access<Claims>>(&user, &claims).lifetime(LIFETIME).sign();
    let text = token.unwrap().expose().to_owned();
    let guarded = (mode == BindingMode::Key).then(|| insecure_decode_claims(&text).unwrap());
    Issued { text, guarded, fate }
}

/// A token from before the adoption.
fn plain(fate: Fate) -> Issued {
    let (id, exp) = match fate {
        Fate::Good => ("alice", NOW + LIFETIME),
        Fate::Revoked => ("bob", NOW + LIFETIME),
        Fate::Expired => ("alice", NOW),
    };
    let claims = json!({ "sub": id, "exp": exp.unix_timestamp(), "role": "admin" });
    let key = EncodingKey::from_secret(LEGACY_SECRET).unwrap();
    let text = jsonwebtoken::encode(&Header::default(), &claims, &key).unwrap();
    Issued { text, guarded: None, fate }
}

fn authority(mode: BindingMode, now: OffsetDateTime, adoption: Option<Adoption>) -> Authority {
    let builder = Authority::builder(master_key("k", &[7; 32], &[8; 32]), "issuer", "audience")
        .mode(mode)
        .clock(move || now)
        .entropy(Fixed([9; 16]));
    adoption.into_iter().fold(builder, |builder, it| builder.adopt(it)).build().unwrap()
}

fn adoption() -> Adoption {
    Adoption::hs256(LEGACY_SECRET, VERSION, NOW + LIFETIME * 2)
}

fn own_claims() -> Claims {
    Claims::from_iter([("role".to_owned(), "admin".into())])
}

const FATES: [Fate; 3] = [Fate::Good, Fate::Revoked, Fate::Expired];
const VERSION: i64 = 3;
const NOW: OffsetDateTime = OffsetDateTime::UNIX_EPOCH.saturating_add(Duration::days(20_000));
const LIFETIME: Duration = Duration::minutes(15);
const LEGACY_SECRET: &[u8] = b"the secret of before";

const SEEDS: [&str; 12] = [
    include_str!("../seeds/arbitrary_bytes/key_good"),
    include_str!("../seeds/arbitrary_bytes/key_revoked"),
    include_str!("../seeds/arbitrary_bytes/key_expired"),
    include_str!("../seeds/arbitrary_bytes/stamp_good"),
    include_str!("../seeds/arbitrary_bytes/stamp_revoked"),
    include_str!("../seeds/arbitrary_bytes/stamp_expired"),
    include_str!("../seeds/arbitrary_bytes/eddsa_good"),
    include_str!("../seeds/arbitrary_bytes/eddsa_revoked"),
    include_str!("../seeds/arbitrary_bytes/eddsa_expired"),
    include_str!("../seeds/arbitrary_bytes/plain_good"),
    include_str!("../seeds/arbitrary_bytes/plain_revoked"),
    include_str!("../seeds/arbitrary_bytes/plain_expired"),
];
