//! Compares relatch with `jsonwebtoken`, under the key of [`Authority::danger_expose_key`].
//! `jsonwebtoken` must accept every token that relatch accepts, with the same claims. A token that it
//! accepts and relatch rejects must break one of relatch's own [rules](Rule), which are implemented
//! here a second time.
//!
//! An input is a header, a line feed and a payload. The target signs them with the right key.

#![no_main]

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Validation, dangerous::insecure_decode_claims,
    get_current_timestamp,
};
use libfuzzer_sys::{Corpus, fuzz_target};
use relatch::{
    Access, Authority, AuthorityBuilder, Context, Reason, Token, Verified,
    token::{REGISTERED_CLAIMS, RESERVED_CLAIMS},
};
use relatch_fuzz::{Account, Claims, Fixed, forge, master_key};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};
use time::{Duration, OffsetDateTime};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Corpus::Reject };
    // Repeated if the second changed meanwhile: `jsonwebtoken` reads the system's clock.
    while !Second::begin().compare(&input[..end], &input[end + 1..]) {}
    Corpus::Keep
});

/// The rules of relatch that `jsonwebtoken` lacks, in the order of relatch's checks.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Rule {
    /// The token is not longer than the authority's cap.
    LengthCap,
    /// The header is that of issued tokens, byte for byte.
    PinnedHeader,
    /// The payload is an object: `jsonwebtoken` also takes an array of values in its own order.
    Object,
    /// No claim occurs twice.
    NothingTwice,
    /// Every registered claim that is always issued is present, each in the form in which it is
    /// issued, and none that this purpose and mode do not issue.
    RegisteredForm,
    /// The `jti` was made for this user and expiry.
    Guard,
    /// The token has expired at its `exp`, not only after it.
    ExclusiveExpiry,
    /// The token was not issued in the future.
    NotFromTheFuture,
    /// The version is the record's.
    Version,
}

impl Rule {
    /// The reasons with which relatch may reject a breach.
    const fn reasons(self) -> &'static [Reason] {
        match self {
            Self::LengthCap => &[Reason::TooLong],
            Self::PinnedHeader => &[Reason::Malformed, Reason::UnknownKey, Reason::WrongType],
            Self::Object | Self::NothingTwice | Self::RegisteredForm => &[Reason::Malformed],
            Self::Guard => &[Reason::Forged],
            Self::ExclusiveExpiry => &[Reason::Expired],
            Self::NotFromTheFuture => &[Reason::NotYetValid],
            Self::Version => &[Reason::RevokedByVersion, Reason::AheadOfRecord],
        }
    }
}

/// A second of the system's clock, and the values that the server issued for it.
struct Second {
    now: u64,
    /// Of a token that is still valid.
    living: Guarded,
    /// Of a token whose `exp` is now.
    ending: Guarded,
}

/// The claims that the guard covers; `jti` has its nonce and the guard itself.
#[derive(Deserialize, PartialEq)]
struct Guarded {
    sub: String,
    exp: u64,
    jti: String,
}

impl Second {
    fn begin() -> Self {
        let now = get_current_timestamp();
        Self { now, ending: issue(now - 1, now), living: issue(now, now + 60) }
    }

    /// `false` if the second ended before both libraries had decided.
    fn compare(&self, header: &[u8], payload: &[u8]) -> bool {
        let (header, payload) = (self.fill(header), self.fill(payload));
        let token = forge::sign(&header, &payload, &SIGNING);
        let theirs = jsonwebtoken::decode::<Value>(&token, &VERIFYING, &VALIDATION);
        let ours = SERVER
            .verify(&Token::<Access<Claims>>::new(&*token), |_| Ok::<_, Infallible>(Some(&*ALICE)));
        if get_current_timestamp() != self.now {
            return false;
        }
        match (theirs, ours) {
            (Err(_), Err(_)) => {}
            (Err(error), Ok(_)) => panic!("jsonwebtoken rejects what relatch accepts: {error}"),
            (Ok(data), ours) => match (ours, self.broken_rule(&token, &header, &payload)) {
                (Ok(session), None) => assert_same_claims(session, data.claims),
                (Ok(_), Some(rule)) => panic!("relatch accepts what breaks its rule {rule:?}"),
                (Err(error), None) => panic!("no rule says why relatch rejects: {error:?}"),
                (Err(error), Some(rule)) => {
                    let known = error.reason().is_some_and(|it| rule.reasons().contains(&it));
                    assert!(known, "relatch rejects for {error:?} what breaks {rule:?}");
                }
            },
        }
        true
    }

    /// The first rule that this token breaks.
    fn broken_rule(&self, token: &str, header: &[u8], payload: &[u8]) -> Option<Rule> {
        if token.len() > AuthorityBuilder::DEFAULT_TOKEN_CAP {
            return Some(Rule::LengthCap);
        }
        if header != PINNED_HEADER {
            return Some(Rule::PinnedHeader);
        }
        let Ok(members) = serde_json::from_slice::<Members>(payload) else {
            return Some(Rule::Object);
        };
        if members.has_one_twice() {
            return Some(Rule::NothingTwice);
        }
        let Some(claims) = RegisteredClaims::read(&members, payload) else {
            return Some(Rule::RegisteredForm);
        };
        if claims.guarded != self.living && claims.guarded != self.ending {
            return Some(Rule::Guard);
        }
        if claims.guarded.exp == self.now {
            return Some(Rule::ExclusiveExpiry);
        }
        if claims.iat > self.now {
            return Some(Rule::NotFromTheFuture);
        }
        (claims.ver != VERSION).then_some(Rule::Version)
    }

    /// Replaces the placeholders: `@` is now, `$` and `#` are the `exp` and `jti` of a valid token, `%`
    /// is the `jti` of one that expires now.
    fn fill(&self, template: &[u8]) -> Vec<u8> {
        let [now, exp] = [self.now, self.living.exp].map(|seconds| seconds.to_string());
        forge::fill(template, |byte| match byte {
            b'@' => Some(&now),
            b'$' => Some(&exp),
            b'#' => Some(&self.living.jti),
            b'%' => Some(&self.ending.jti),
            _ => None,
        })
    }
}

/// An object's members in order, each value as written.
struct Members(Vec<(String, Box<RawValue>)>);

impl Members {
    fn has_one_twice(&self) -> bool {
        let names: HashSet<_> = self.0.iter().map(|(name, _)| name).collect();
        names.len() < self.0.len()
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;

        impl<'de> Visitor<'de> for Collect {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Collect)
    }
}

/// The claims that are always issued and that rules read.
#[derive(Deserialize)]
struct RegisteredClaims {
    #[serde(flatten)]
    guarded: Guarded,
    iat: u64,
    ver: u64,
}

impl RegisteredClaims {
    /// `None` where [`Rule::RegisteredForm`] is broken.
    fn read(members: &Members, payload: &[u8]) -> Option<Self> {
        let in_form = members.0.iter().all(|(name, value)| is_in_form(name, value.get()));
        // `jsonwebtoken` requires `iss` and `aud` as well.
        serde_json::from_slice(payload).ok().filter(|_| in_form)
    }
}

fn is_in_form(name: &str, json: &str) -> bool {
    let value = || serde_json::from_str::<Value>(json).unwrap_or_default();
    let is_up_to = |max| value().as_u64().is_some_and(|number| number <= max);
    match name {
        "iss" | "sub" => value().is_string(),
        "aud" => {
            value().is_string()
                || value().as_array().is_some_and(|all| all.iter().all(Value::is_string))
        }
        "exp" | "iat" => is_up_to(END_OF_9999),
        "ver" => is_up_to(MAX_COUNTER),
        "jti" => value()
            .as_str()
            .is_some_and(|jti| URL_SAFE_NO_PAD.decode(jti).is_ok_and(|bytes| bytes.len() == 16)),
        "epochs" => serde_json::from_str::<Members>(json).is_ok_and(|epochs| {
            epochs.0.len() <= MAX_EPOCHS
                && !epochs.has_one_twice()
                && epochs.0.iter().all(|(_, count)| is_in_form("ver", count.get()))
        }),
        other => !REGISTERED_CLAIMS.contains(&other) && !RESERVED_CLAIMS.contains(&other),
    }
}

fn assert_same_claims(session: Verified<&Account, Claims>, theirs: Value) {
    let (_, own, registered) = session.into_parts();
    let Value::Object(mut theirs) = theirs else { panic!("{theirs} is no object") };
    let audience: Vec<_> = registered.audience().collect();
    let claimed = match &theirs["aud"] {
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        one => Vec::from_iter(one.as_str()),
    };
    assert_eq!(audience, claimed);
    assert_eq!(registered.issuer(), theirs["iss"].as_str());
    assert_eq!(Some(registered.subject()), theirs["sub"].as_str());
    assert_eq!(registered.jti(), theirs["jti"].as_str());
    assert_eq!(Some(registered.expires_at().unix_timestamp()), theirs["exp"].as_i64());
    assert_eq!(registered.issued_at().map(OffsetDateTime::unix_timestamp), theirs["iat"].as_i64());
    assert_eq!(Some(registered.version().get()), theirs["ver"].as_i64());
    theirs.retain(|name, _| !REGISTERED_CLAIMS.contains(&name.as_str()));
    assert_eq!(own, theirs);
}

fn issue(at: u64, exp: u64) -> Guarded {
    CLOCK.store(at, Relaxed);
    let claims = Claims::new();
    let lifetime = Duration::seconds((exp - at).cast_signed());
    let token = SERVER.issue::<Access<Claims>>(&*ALICE, &claims).lifetime(lifetime).sign();
    insecure_decode_claims(token.unwrap().expose()).unwrap()
}

static ALICE: LazyLock<Account> = LazyLock::new(|| Account::new("alice", VERSION.cast_signed()));

/// The server's clock. `jsonwebtoken` always reads the system's.
static CLOCK: AtomicU64 = AtomicU64::new(0);

static SERVER: LazyLock<Authority> = LazyLock::new(|| {
    Authority::builder(master_key("k", &[7; 32], &[8; 32]), ISSUER, AUDIENCE)
        .clock(|| OffsetDateTime::UNIX_EPOCH + Duration::seconds(CLOCK.load(Relaxed).cast_signed()))
        .entropy(Fixed([9; 16]))
        .build()
        .unwrap()
});

static SIGNING: LazyLock<EncodingKey> =
    LazyLock::new(|| EncodingKey::from_secret(&alices_key()).unwrap());
static VERIFYING: LazyLock<DecodingKey> =
    LazyLock::new(|| DecodingKey::from_secret(&alices_key()).unwrap());

fn alices_key() -> [u8; 32] {
    *SERVER.danger_expose_key::<Access<Claims>>(&*ALICE, &Context::new()).unwrap()
}

static VALIDATION: LazyLock<Validation> = LazyLock::new(|| {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.leeway = 0;
    validation.set_issuer(&[ISSUER]);
    validation.set_audience(&[AUDIENCE]);
    validation.set_required_spec_claims(&["iss", "sub", "aud", "exp"]);
    validation
});

const ISSUER: &str = "issuer";
const AUDIENCE: &str = "audience";
const VERSION: u64 = 3;
const PINNED_HEADER: &[u8] = br#"{"alg":"HS256","kid":"k","typ":"at+jwt"}"#;
const END_OF_9999: u64 = 253_402_300_799;
const MAX_COUNTER: u64 = i64::MAX.unsigned_abs();
const MAX_EPOCHS: usize = 16;
