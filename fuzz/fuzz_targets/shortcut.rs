//! Compares the reader of canonical payloads with the general reader: they must always agree. A
//! payload with a leading blank is the same JSON, but not canonical, so the general reader takes it.
//! Both payloads are signed with the right key, and every observable result must be the same.
//!
//! An input is a digit, which chooses the [`Case`] of the token, and a payload.

#![no_main]

use std::{
    collections::BTreeMap, convert::Infallible, fmt::Debug, marker::PhantomData, sync::LazyLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, crypto, dangerous::insecure_decode_claims};
use libfuzzer_sys::{Corpus, fuzz_target};
use relatch::{
    Access, Authority, BindingMode, Context, Purpose, RefreshToken, Rejection, Token, VerifyError,
    authority::{Change, Decision, RefreshError, Refreshed},
    sessions::SessionId,
    token::{MAX_TOKEN_BYTES, RegisteredClaims, Usage},
    user::Counter,
};
use relatch_fuzz::{Account, Claims, Fixed, forge, master_key};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};

fuzz_target!(|input: &[u8]| -> Corpus {
    let Some((digit, template)) = input.split_first() else { return Corpus::Reject };
    let case = &CASES[usize::from(digit.wrapping_sub(b'0')) % CASES.len()];
    let blank_in_front = [b" ", template].concat();
    let texts = [template, &blank_in_front].map(|template| {
        let payload = case.fill(template);
        forge::sign(&case.header, &payload, &case.key)
    });
    if texts.iter().any(|text| text.len() > MAX_TOKEN_BYTES) {
        return Corpus::Reject;
    }
    case.compare(&texts);
    Corpus::Keep
});

/// The purpose and mode of a token, and the values that the server issued for it.
struct Case {
    kind: Kind,
    header: Vec<u8>,
    key: EncodingKey,
    genuine: Genuine,
}

#[derive(Clone, Copy)]
enum Kind {
    Access(BindingMode),
    Link(BindingMode),
    Refresh,
}

/// The claims that an input cannot know.
#[derive(Deserialize)]
struct Genuine {
    iat: u64,
    exp: u64,
    jti: String,
}

impl Case {
    /// A genuine token, whose signature proves that the key is the right one.
    fn new(kind: Kind, key: &[u8], genuine: &str) -> Self {
        let mut parts = genuine.split('.').map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
        let (header, payload) = (parts.next().unwrap(), parts.next().unwrap());
        let key = EncodingKey::from_secret(key);
        assert_eq!(forge::sign(&header, &payload, &key), genuine);
        Self { kind, header, key, genuine: insecure_decode_claims(genuine).unwrap() }
    }

    /// `@`, `$` and `#` are the `iat`, `exp` and `jti` of a valid token, and `~` is the `sid` of a live
    /// session. `%` is the stamp over what is in front of the last claim `stamp`.
    fn fill(&self, template: &[u8]) -> Vec<u8> {
        let [iat, exp] = [self.genuine.iat, self.genuine.exp].map(|seconds| seconds.to_string());
        let payload = forge::fill(template, |byte| match byte {
            b'@' => Some(&iat),
            b'$' => Some(&exp),
            b'#' => Some(&self.genuine.jti),
            b'~' => Some(&ALICE.sid),
            _ => None,
        });
        let before = str::from_utf8(&payload).ok();
        let before = before.and_then(|text| text.rsplit_once(r#","stamp":"#));
        let stamp = before.map(|(before, _)| self.stamp(before)).unwrap_or_default();
        forge::fill(&payload, |byte| (byte == b'%').then_some(&*stamp))
    }

    fn stamp(&self, payload: &str) -> String {
        let (context, header) = (Context::new(), URL_SAFE_NO_PAD.encode(&self.header));
        let authority = authority(BindingMode::StampHs256);
        authority.danger_expose_stamp::<Access>(&ALICE.account, &context, &header, payload).unwrap()
    }

    fn compare(&self, texts: &[String; 2]) {
        match self.kind {
            Kind::Refresh => assert_same(texts, refresh),
            Kind::Access(mode) => {
                assert_same(texts, |text| verify::<Exact>(mode, text));
                assert_same(texts, |text| verify::<Typed>(mode, text));
                assert_same(texts, |text| verify::<Claims>(mode, text));
            }
            Kind::Link(mode) => {
                assert_same(texts, |text| peek::<Exact>(mode, text));
                assert_same(texts, |text| peek::<Typed>(mode, text));
                assert_same(texts, |text| consume::<Exact>(mode, text));
                assert_same(texts, |text| consume::<Claims>(mode, text));
            }
        }
    }
}

fn assert_same<T: PartialEq + Debug>(
    [payload, blank_in_front]: &[String; 2],
    see: impl Fn(&str) -> T,
) {
    assert_eq!(see(payload), see(blank_in_front), "the scan, then the general reader");
}

/// Every observable result for a token.
#[derive(Debug, PartialEq)]
struct Seen<C> {
    /// The user and the expiry, before the lookup.
    opened: Result<(String, OffsetDateTime), Rejection>,
    looked_up: Option<String>,
    verdict: Result<(Told, C), Rejection>,
}

/// The value of each accessor of [`RegisteredClaims`].
#[derive(Debug, PartialEq)]
struct Told {
    issuer: Option<String>,
    subject: String,
    audience: Vec<String>,
    expires_at: OffsetDateTime,
    issued_at: Option<OffsetDateTime>,
    jti: Option<String>,
    version: Counter,
    session_id: Option<SessionId>,
    debug: String,
}

impl Told {
    fn of(registered: &RegisteredClaims) -> Self {
        Self {
            issuer: registered.issuer().map(str::to_owned),
            subject: registered.subject().to_owned(),
            audience: registered.audience().map(str::to_owned).collect(),
            expires_at: registered.expires_at(),
            issued_at: registered.issued_at(),
            jti: registered.jti().map(str::to_owned),
            version: registered.version(),
            session_id: registered.session_id(),
            debug: format!("{registered:?}"),
        }
    }
}

fn verify<C: Serialize + DeserializeOwned>(mode: BindingMode, text: &str) -> Seen<C> {
    let (authority, token) = (authority(mode), Token::<Access<C>>::new(text));
    let opened = authority.open(&token);
    let opened = opened.map(|it| (it.user_id().to_owned(), it.expires_at()));
    let mut looked_up = None;
    let session = authority.verify(&token, |id| {
        looked_up = Some(id.to_owned());
        Ok::<_, Infallible>(Some(&ALICE.account))
    });
    let verdict = rejected(session).map(|session| {
        assert_eq!(session.session_id(), session.registered().session_id());
        let (_, own, registered) = session.into_parts();
        (Told::of(&registered), own)
    });
    Seen { opened, looked_up, verdict }
}

fn peek<C: Serialize + DeserializeOwned + Clone>(mode: BindingMode, text: &str) -> Seen<C> {
    let (authority, mut looked_up) = (authority(mode), None);
    let opened = authority.open_once(Token::<Link<C>>::new(text));
    let opened = opened.map(|it| (it.user_id().to_owned(), it.expires_at()));
    let peeked = authority.peek(&Token::<Link<C>>::new(text), |id| {
        looked_up = Some(id.to_owned());
        Ok::<_, Infallible>(Some(&ALICE.account))
    });
    let verdict = rejected(peeked);
    let verdict = verdict.map(|it| (Told::of(it.registered()), it.claims().clone()));
    Seen { opened, looked_up, verdict }
}

/// The outcome of using a link, and what it stores.
fn consume<C: Serialize + DeserializeOwned + Clone>(
    mode: BindingMode,
    text: &str,
) -> Result<(Told, C, Stored), Rejection> {
    let opened = authority(mode).open_once(Token::<Link<C>>::new(text))?;
    let decision = rejected(opened.consume(&ALICE.account))?;
    let (used, stored) = settle(decision);
    Ok((Told::of(used.registered()), used.claims().clone(), stored))
}

/// The outcome of presenting a refresh token, and what it stores: the new tokens, or the report.
fn refresh(text: &str) -> Result<(String, OffsetDateTime, Vec<String>, Stored), Rejection> {
    let opened = authority(BindingMode::Key).open_refresh(RefreshToken::new(text))?;
    let (user_id, expires_at) = (opened.user_id().to_owned(), opened.expires_at());
    let decision = match opened.refresh(&ALICE.account) {
        Err(RefreshError::Rejected(rejection)) => return Err(rejection),
        other => other.unwrap(),
    };
    let (outcome, stored) = settle(decision);
    let mut told = vec![format!("{:?}", outcome.event())];
    if let Refreshed::Rotated(tokens) | Refreshed::Repeated(tokens, _) = outcome {
        told.push(tokens.access().expose().to_owned());
        told.push(tokens.refresh().expose().to_owned());
    }
    Ok((user_id, expires_at, told, stored))
}

/// The version, the lane and the sessions of the record after a change.
type Stored = Option<(Counter, Option<Counter>, String)>;

fn settle<T>(decision: Decision<T>) -> (T, Stored) {
    let columns = |change: &Change| {
        let sessions = change.sessions().and_then(|table| table.to_column());
        (change.version(), change.lane(LINK_TYP), sessions.unwrap_or_default())
    };
    let stored = decision.change().map(columns);
    let committed = decision.commit(|_| Ok::<_, Infallible>(true)).unwrap();
    (committed.stored().unwrap(), stored)
}

fn rejected<T, E: Debug>(outcome: Result<T, VerifyError<E>>) -> Result<T, Rejection> {
    outcome.map_err(|error| match error {
        VerifyError::Rejected(rejection) => rejection,
        other => panic!("the record is at fault: {other:?}"),
    })
}

/// A link that works once.
struct Link<C>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for Link<C> {
    type Claims = C;
    const TYP: &'static str = LINK_TYP;
    const USAGE: Usage = Usage::OnceByLane;
}

const LINK_TYP: &str = "link+jwt";

/// Private claims, as the text that their type reads.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
struct Exact(Box<RawValue>);

impl PartialEq for Exact {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

/// Private claims of a fixed form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Typed {
    role: Option<String>,
    #[serde(default)]
    n: Vec<i64>,
    deep: Option<BTreeMap<String, Typed>>,
}

/// A record with one live session.
struct Alice {
    account: Account,
    sid: String,
    refresh: String,
}

static ALICE: LazyLock<Alice> = LazyLock::new(|| {
    let account = Account { lane: 5, ..Account::new("alice", VERSION) };
    let decision = authority(BindingMode::Key).start_session(&account, "phone").unwrap();
    let account = account.after(decision.change().unwrap());
    let (tokens, _) = settle(decision);
    let (sid, refresh) = (tokens.session().id().to_string(), tokens.refresh().expose().to_owned());
    Alice { account, sid, refresh }
});

static CASES: LazyLock<[Case; 5]> = LazyLock::new(|| {
    [
        issued::<Access<Claims>>(Kind::Access(BindingMode::Key), BindingMode::Key),
        issued::<Access<Claims>>(Kind::Access(BindingMode::StampHs256), BindingMode::StampHs256),
        issued::<Link<Claims>>(Kind::Link(BindingMode::Key), BindingMode::Key),
        issued::<Link<Claims>>(Kind::Link(BindingMode::StampHs256), BindingMode::StampHs256),
        Case::new(Kind::Refresh, &refresh_key(), &ALICE.refresh),
    ]
});

fn issued<P: Purpose<Claims = Claims>>(kind: Kind, mode: BindingMode) -> Case {
    let (authority, user) = (authority(mode), &ALICE.account);
    let token = authority.issue::<P>(user, &Claims::new()).sign().unwrap();
    let key = match P::PORTABLE && mode != BindingMode::Key {
        false => authority.danger_expose_key::<P>(user, &Context::new()).unwrap().to_vec(),
        true => subkey("server", P::TYP),
    };
    Case::new(kind, &key, token.expose())
}

/// The key of refresh tokens, which no call exposes: derived as in `src/guide/format.md`.
fn refresh_key() -> Vec<u8> {
    let credential = Sha256::digest(frame(&[b"relatch/1 credential", b"hash"]));
    let version = VERSION.to_be_bytes();
    let body = [&credential[..], &version, &frame(&[b"alice", b"", b"", b""])].concat();
    hmac(&subkey("key", "rt+jwt"), &body)
}

fn subkey(label: &str, typ: &str) -> Vec<u8> {
    let label = format!("relatch/1 {label}");
    hmac(&MASTER, &frame(&[label.as_bytes(), typ.as_bytes(), ISSUER.as_bytes()]))
}

fn frame(pieces: &[&[u8]]) -> Vec<u8> {
    let len = |piece: &[u8]| u32::try_from(piece.len()).unwrap().to_be_bytes();
    pieces.iter().flat_map(|piece| [&len(piece), *piece].concat()).collect()
}

fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mac = crypto::sign(message, &EncodingKey::from_secret(key), Algorithm::HS256).unwrap();
    URL_SAFE_NO_PAD.decode(mac).unwrap()
}

static SERVERS: LazyLock<[Authority; 2]> = LazyLock::new(|| {
    [BindingMode::Key, BindingMode::StampHs256].map(|mode| {
        Authority::builder(master_key("k", &MASTER, &[8; 32]), ISSUER, "audience")
            .mode(mode)
            .max_token_bytes(MAX_TOKEN_BYTES)
            .clock(|| OffsetDateTime::UNIX_EPOCH + Duration::seconds(NOW))
            .entropy(Fixed([9; 16]))
            .build()
            .unwrap()
    })
});

fn authority(mode: BindingMode) -> &'static Authority {
    &SERVERS[usize::from(mode != BindingMode::Key)]
}

const MASTER: [u8; 32] = [7; 32];
const ISSUER: &str = "issuer";
const VERSION: i64 = 3;
const NOW: i64 = 1_800_000_000;
