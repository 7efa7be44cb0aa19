//! A minimal application: accounts, a clock that tests set, and lookups that are observed.

use std::{
    cell::Cell,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use relatch::{
    Access, Authority, AuthorityBuilder, Binding, MasterKey, NoClaims, Purpose, Reason,
    RefreshToken, SessionTokens, Token, User, Verified, VerifyError,
    authority::{Change, Decision, Entropy, EntropyError, Peeked, RefreshError, Refreshed, Stage},
    sessions::{EventKind, SessionTable},
    token::Usage,
    user::{Carried, Counter, Credential, Epoch, KeyCache},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub(crate) const ISSUER: &str = "https://login.example.com";
pub(crate) const AUDIENCE: &str = "https://api.example.com";
pub(crate) const START: i64 = 4_000_000_000;
pub(crate) const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$Zm9ydHktdGhyZWUgY2hhcmFjdGVycyBvZiBiYXNlNjQ";

/// Waits for no longer than half a minute, so that a test fails and does not hang.
pub(crate) async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    let waited = tokio::time::timeout(std::time::Duration::from_secs(30), wait).await;
    waited.expect("nothing happened for half a minute")
}

/// A row of a users' table.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) id: String,
    pub(crate) password_hash: String,
    pub(crate) version: i64,
    pub(crate) active: bool,
    pub(crate) carried: Option<Carried>,
    pub(crate) tenant: Option<(String, i64)>,
    pub(crate) lane: i64,
    pub(crate) email_lane: i64,
    pub(crate) sessions: SessionTable,
    /// Not a column: a row that is cached in memory has it beside it.
    pub(crate) keys: Option<KeyCache>,
}

pub(crate) fn account(id: &str) -> Account {
    Account {
        id: id.to_owned(),
        password_hash: HASH.to_owned(),
        version: 0,
        active: true,
        carried: None,
        tenant: None,
        lane: 0,
        email_lane: 0,
        sessions: SessionTable::default(),
        keys: None,
    }
}

impl User for Account {
    fn id(&self) -> &str {
        &self.id
    }
    fn binding(&self) -> Binding<'_> {
        Binding::password_hash(&self.password_hash).version(self.version)
    }
    fn is_active(&self) -> bool {
        self.active
    }
    fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }
    fn epochs(&self) -> Vec<Epoch<'_>> {
        self.tenant.iter().map(|(name, epoch)| Epoch::of("tenant", name, *epoch)).collect()
    }
    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.sessions)
    }
    fn key_cache(&self) -> Option<&KeyCache> {
        self.keys.as_ref()
    }
    fn lane(&self, typ: &str) -> Option<Counter> {
        match typ {
            MagicLink::TYP => Some(self.lane.into()),
            EmailChange::TYP => Some(self.email_lane.into()),
            _ => None,
        }
    }
}

impl Account {
    /// The row after a change. The table goes through the column's text, as in a database.
    pub(crate) fn after(&self, change: &Change) -> Self {
        let column = change.sessions().and_then(SessionTable::to_column);
        let lane = |typ, present| change.lane(typ).map_or(present, Counter::get);
        Self {
            version: change.version().get(),
            sessions: SessionTable::from_column(column.as_deref()).unwrap(),
            lane: lane(MagicLink::TYP, self.lane),
            email_lane: lane(EmailChange::TYP, self.email_lane),
            ..self.clone()
        }
    }

    /// The store's statement: stores the change if the row is still the one that was read.
    pub(crate) fn compare_and_set(&mut self, read: &Self, change: &Change) -> bool {
        let columns = |row: &Self| {
            let lanes = (row.lane, row.email_lane);
            (row.version, row.password_hash.clone(), row.sessions.to_column(), lanes)
        };
        let is_unchanged = columns(self) == columns(read);
        if is_unchanged {
            *self = self.after(change);
        }
        is_unchanged
    }

    /// Stores a decision, without a race.
    pub(crate) fn commit<T>(&mut self, decision: Decision<T>) -> T {
        let committed = decision.commit(|change| {
            *self = self.after(change);
            Ok::<_, Infallible>(true)
        });
        committed.unwrap().stored().unwrap()
    }
}

/// A clock that stands still until a test sets it.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(START)))
    }
    pub(crate) fn at(&self, seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(START + seconds).unwrap()
    }
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(START + seconds, Ordering::SeqCst);
    }
}

impl relatch::authority::Clock for TestClock {
    fn now(&self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// Deterministic bytes that never repeat.
#[derive(Default)]
pub(crate) struct TestEntropy(AtomicU64);

impl Entropy for TestEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        bytes.iter_mut().zip(n.to_be_bytes().into_iter().cycle()).for_each(|(b, n)| *b = n);
        Ok(())
    }
}

pub(crate) fn key(kid: &str, byte: u8) -> MasterKey {
    MasterKey::from_bytes(kid, &[byte; 32]).unwrap()
}

pub(crate) fn builder(clock: &TestClock) -> AuthorityBuilder {
    Authority::builder(key("k1", 1), ISSUER, AUDIENCE)
        .clock(clock.clone())
        .entropy(TestEntropy::default())
}

pub(crate) fn authority() -> (Authority, TestClock) {
    let clock = TestClock::new();
    (builder(&clock).build().unwrap(), clock)
}

/// Private claims.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Role {
    pub(crate) role: String,
}

pub(crate) fn role(role: &str) -> Role {
    Role { role: role.to_owned() }
}

/// Used once, by its lane.
pub(crate) type MagicLink = relatch::one_time::MagicLink;

/// Used once, because its use changes the password.
pub(crate) type Reset = relatch::one_time::PasswordReset;

/// An application's purpose, with its own lane.
#[derive(Debug)]
pub(crate) struct EmailChange;

impl Purpose for EmailChange {
    type Claims = NoClaims;
    const TYP: &'static str = "email+jwt";
    const USAGE: Usage = Usage::OnceByLane;
}

/// A purpose that shares only its claims with access tokens.
#[derive(Debug)]
pub(crate) struct Download;

impl Purpose for Download {
    type Claims = NoClaims;
    const TYP: &'static str = "download+jwt";
}

pub(crate) type Verification<P> =
    Result<Verified<Account, <P as Purpose>::Claims>, VerifyError<Infallible>>;

/// Verifies against this record, regardless of its id.
pub(crate) fn verify<P: Purpose>(
    authority: &Authority,
    token: &Token<P>,
    user: &Account,
) -> Verification<P> {
    authority.verify(token, |_| Ok(Some(user.clone())))
}

/// Peeks at a one-time token, against this record.
pub(crate) fn peek<P: Purpose>(
    authority: &Authority,
    token: &Token<P>,
    user: &Account,
) -> Result<Peeked<Account, P::Claims>, VerifyError<Infallible>> {
    authority.peek(token, |_| Ok(Some(user.clone())))
}

/// The stage and reason of a rejection, and whether the lookup was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) stage: Stage,
    pub(crate) reason: Reason,
    pub(crate) looked_up: bool,
}

/// The refusal of this text as an access token of this user; `None` if it is accepted.
pub(crate) fn refusal(authority: &Authority, text: &str, user: &Account) -> Option<Refusal> {
    let looked_up = Cell::new(false);
    let token = Token::<Access>::new(text);
    let outcome = authority.verify(&token, |_| {
        looked_up.set(true);
        Ok::<_, Infallible>(Some(user.clone()))
    });
    match outcome {
        Ok(_) => None,
        Err(VerifyError::Rejected(rejection)) => Some(Refusal {
            stage: rejection.stage(),
            reason: rejection.reason(),
            looked_up: looked_up.get(),
        }),
        Err(other) => panic!("not a rejection: {other:?}"),
    }
}

/// The same text, as a thief or a second tab presents it.
pub(crate) fn copy<P>(token: &Token<P>) -> Token<P> {
    Token::new(token.expose())
}

/// Presents this refresh token, and stores the decision.
pub(crate) fn present(
    authority: &Authority,
    user: &mut Account,
    token: RefreshToken,
) -> Result<Refreshed, RefreshError> {
    let opened = authority.open_refresh(token)?;
    Ok(user.commit(opened.refresh(&user.clone())?))
}

/// The outcome of a refresh: `rotated`, `repeated` or `reused`, the kind of its event, and its tokens.
pub(crate) fn refresh_outcome(
    authority: &Authority,
    user: &mut Account,
    token: &RefreshToken,
) -> (&'static str, Option<EventKind>, Option<SessionTokens>) {
    let refreshed = present(authority, user, copy(token)).unwrap();
    let event = refreshed.event().map(|event| event.kind());
    match refreshed {
        Refreshed::Rotated(tokens) => ("rotated", event, Some(tokens)),
        Refreshed::Repeated(tokens, _) => ("repeated", event, Some(tokens)),
        Refreshed::Reused(_) => ("reused", event, None),
        other => panic!("{other:?}"),
    }
}

/// The reason why this refresh token is refused.
pub(crate) fn refresh_reason(authority: &Authority, user: &Account, token: RefreshToken) -> Reason {
    match present(authority, &mut user.clone(), token) {
        Err(RefreshError::Rejected(rejection)) => rejection.reason(),
        other => panic!("not a rejection: {other:?}"),
    }
}

/// A rehash at login: another hash of the same password.
pub(crate) fn rehashed(user: &Account) -> Account {
    let new_hash = format!("{}+", user.password_hash);
    let [old, new] =
        [&user.password_hash, &new_hash].map(|hash| Credential::from_password_hash(hash).unwrap());
    let carried = Some(Carried::rehash(user.carried.as_ref(), &old, &new));
    Account { password_hash: new_hash, carried, ..user.clone() }
}

pub(crate) fn reason<S, E>(outcome: Result<S, VerifyError<E>>) -> Reason {
    outcome.err().and_then(|error| error.reason()).expect("a rejection")
}
