//! Scenarios in the form of `tests/vectors/README.md`, run through the library.

use std::{cell::Cell, collections::BTreeMap, convert::Infallible};

use relatch::{
    Access, Authority, AuthorityBuilder, Binding, BindingMode, Context, KeyRing, MasterKey,
    Purpose, RefreshToken, Rejection, SessionPolicy, Token, User, VerifyError,
    authority::{Decision, Issuance, RefreshError, Refreshed},
    sessions::{ClientPolicy, OnReuse, SessionTable, WhenFull},
    token::{RegisteredClaims, Usage},
    user::{Carried, Counter, Epoch},
};
use serde::{Deserialize, Deserializer, Serialize, de};
use serde_json::{Map, Value, json};
use time::{Duration, OffsetDateTime};

/// The inputs of issuing or verifying a token.
#[derive(Deserialize)]
pub(crate) struct Scenario {
    authority: Settings,
    /// Empty for transitions of sessions.
    #[serde(default)]
    purpose: PurposeName,
    policy: Policy,
    /// Seconds since 1970.
    now: i64,
    context: BTreeMap<String, String>,
    record: Option<Record>,
}

#[derive(Deserialize)]
struct Settings {
    issuer: String,
    audience: String,
    mode: String,
    leeway: i64,
    max_token_bytes: usize,
    keys: Vec<Key>,
    epochs: Vec<FixedEpoch>,
    user_epochs: Vec<String>,
}

#[derive(Deserialize)]
struct Key {
    kid: String,
    master: String,
    until: Option<i64>,
}

#[derive(Deserialize)]
struct FixedEpoch {
    kind: String,
    counter: i64,
}

#[derive(Default, Deserialize)]
struct PurposeName {
    typ: String,
}

/// Times are in seconds.
#[derive(Deserialize)]
struct Policy {
    max_sessions: u32,
    idle: i64,
    absolute: i64,
    grace: i64,
    late_repeat: Option<i64>,
    on_reuse: String,
    when_full: String,
    max_data_bytes: usize,
    named: BTreeMap<String, NamedPolicy>,
}

/// An absent member is that of the policy itself.
#[derive(Deserialize)]
struct NamedPolicy {
    idle: Option<i64>,
    absolute: Option<i64>,
    grace: Option<i64>,
    #[serde(default, deserialize_with = "present")]
    late_repeat: Option<Option<i64>>,
}

#[derive(Clone, Deserialize)]
pub(crate) struct Record {
    id: String,
    secrets: Vec<String>,
    version: i64,
    active: bool,
    #[serde(deserialize_with = "parsed")]
    carried: Option<Carried>,
    epochs: Vec<UserEpoch>,
    lane: i64,
    /// `None` if the member is absent: the record keeps no sessions.
    #[serde(default, deserialize_with = "from_column")]
    sessions: Option<SessionTable>,
}

#[derive(Clone, Deserialize)]
struct UserEpoch {
    kind: String,
    instance: Option<String>,
    counter: i64,
}

impl Scenario {
    /// The authority. Its clock stands at `now`.
    pub(crate) fn authority(&self) -> AuthorityBuilder {
        let Settings { issuer, audience, keys, .. } = &self.authority;
        let mut ring: Option<KeyRing> = None;
        for Key { kid, master, until } in keys {
            let key = MasterKey::from_bytes(kid, &from_hex(master)).unwrap();
            ring = Some(match ring {
                None => KeyRing::new(key),
                Some(ring) => ring.retiring(key, at(until.unwrap())).unwrap(),
            });
        }
        let now = at(self.now);
        let mode = match &*self.authority.mode {
            "key" => BindingMode::Key,
            "stamp_hs256" => BindingMode::StampHs256,
            other => panic!("no mode {other}"),
        };
        let mut builder = Authority::builder(ring.unwrap(), issuer, audience)
            .mode(mode)
            .leeway(Duration::seconds(self.authority.leeway))
            .max_token_bytes(self.authority.max_token_bytes)
            .sessions(self.policy.policy())
            .clock(move || now);
        for FixedEpoch { kind, counter } in &self.authority.epochs {
            builder = builder.epoch(kind, *counter);
        }
        for kind in &self.authority.user_epochs {
            builder = builder.user_epoch(kind);
        }
        builder
    }

    pub(crate) fn record(&self) -> &Record {
        self.record.as_ref().unwrap()
    }

    pub(crate) fn context(&self) -> Context {
        self.context.iter().fold(Context::new(), |context, (kind, value)| context.with(kind, value))
    }

    pub(crate) fn typ(&self) -> &str {
        &self.purpose.typ
    }

    /// A token with these private claims. An empty `audience` is the authority's own.
    pub(crate) fn issue(
        &self,
        authority: &Authority,
        lifetime: Duration,
        audience: &[String],
        own: &Own,
    ) -> String {
        let issue = match self.typ() {
            "at+jwt" => Self::issue_for::<Access<Own>>,
            "reset+jwt" => Self::issue_for::<Reset>,
            "invite+jwt" => Self::issue_for::<Invite>,
            "admin+jwt" => Self::issue_for::<Admin>,
            "partner+jwt" => Self::issue_for::<Partner>,
            other => panic!("no purpose {other}"),
        };
        issue(self, authority, lifetime, audience, own)
    }

    /// The library's verdict on the token, in the form of a case's `expect`.
    pub(crate) fn verdict(&self, token: &str) -> Value {
        match self.typ() {
            "at+jwt" => self.verdict_for::<Access<Own>>(token),
            "reset+jwt" => self.verdict_for::<Reset>(token),
            "invite+jwt" => self.verdict_for::<Invite>(token),
            "admin+jwt" => self.verdict_for::<Admin>(token),
            "partner+jwt" => self.verdict_for::<Partner>(token),
            "rt+jwt" => self.verdict_for_refresh(token),
            other => panic!("no purpose {other}"),
        }
    }

    fn issue_for<P: Purpose>(
        &self,
        authority: &Authority,
        lifetime: Duration,
        audience: &[String],
        own: &Own,
    ) -> String {
        let own = serde_json::from_value(Value::Object(own.clone())).unwrap();
        let issue = self.drafted::<P>(authority, lifetime, audience, &own);
        issue.sign().unwrap().expose().to_owned()
    }

    /// A login, which changes the record's sessions. Returns an access token of the session, issued
    /// as by [`issue`](Self::issue), and the text of the table.
    pub(crate) fn log_in(
        &mut self,
        authority: &Authority,
        lifetime: Duration,
        audience: &[String],
        own: &Own,
    ) -> (String, Option<String>) {
        let draft = self.drafted::<Access<Own>>(authority, lifetime, audience, own);
        let login = draft.start_session("").unwrap();
        let mut sessions = None;
        let Ok(tokens) = login.commit(|change| {
            sessions = change.sessions().cloned();
            Ok::<_, Infallible>(true)
        });
        let table = sessions.as_ref().and_then(SessionTable::to_column);
        self.record.as_mut().unwrap().sessions = sessions;
        (tokens.stored().unwrap().access().expose().to_owned(), table)
    }

    fn drafted<'a, P: Purpose>(
        &'a self,
        authority: &'a Authority,
        lifetime: Duration,
        audience: &[String],
        own: &'a P::Claims,
    ) -> Issuance<'a, P> {
        let issue = authority.issue::<P>(self.record(), own);
        audience.iter().fold(issue.lifetime(lifetime).context(self.context()), Issuance::audience)
    }

    /// A refresh with this token, and whether the record was looked up.
    pub(crate) fn refresh(&self, token: &str) -> (Result<Decision<Refreshed>, RefreshError>, bool) {
        let authority = self.authority().build().unwrap();
        match authority.open_refresh(RefreshToken::new(token).in_context(self.context())) {
            Ok(opened) => (opened.refresh(self.record()), true),
            Err(rejection) => (Err(rejection.into()), false),
        }
    }

    fn verdict_for<P: Purpose>(&self, token: &str) -> Value {
        let authority = self.authority().build().unwrap();
        let token: Token<P> = Token::new(token).in_context(self.context());
        let asked = Cell::new(false);
        let verified = authority.peek(&token, |_| {
            asked.set(true);
            Ok::<_, Infallible>(self.record.clone())
        });
        let lookup = asked.get();
        match verified {
            Ok(peeked) => {
                let claims = shown(peeked.claims(), peeked.registered());
                json!({ "verdict": "accepted", "claims": claims, "lookup": lookup })
            }
            Err(VerifyError::Rejected(rejection)) => with_lookup(rejected(&rejection), lookup),
            Err(VerifyError::Record(_)) => json!({ "verdict": "unfit_record", "lookup": lookup }),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn verdict_for_refresh(&self, token: &str) -> Value {
        match self.refresh(token) {
            (Err(RefreshError::Rejected(rejection)), lookup) => {
                with_lookup(rejected(&rejection), lookup)
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn rejected(rejection: &Rejection) -> Value {
    let (stage, reason) = (rejection.stage().as_str(), rejection.reason().as_str());
    json!({ "verdict": "rejected", "stage": stage, "reason": reason })
}

fn with_lookup(mut said: Value, lookup: bool) -> Value {
    said["lookup"] = json!(lookup);
    said
}

impl Policy {
    fn policy(&self) -> SessionPolicy {
        let policy = SessionPolicy::new()
            .max_sessions(self.max_sessions)
            .max_data_bytes(self.max_data_bytes)
            .late_repeat(Duration::seconds(self.late_repeat.unwrap_or(0)))
            .idle_lifetime(Duration::seconds(self.idle))
            .absolute_lifetime(Duration::seconds(self.absolute))
            .grace(Duration::seconds(self.grace))
            .on_reuse(match &*self.on_reuse {
                "session" => OnReuse::EndSession,
                "all" => OnReuse::EndAllSessions,
                other => panic!("no on_reuse {other}"),
            })
            .when_full(match &*self.when_full {
                "evict" => WhenFull::EvictLeastRecentlyUsed,
                "refuse" => WhenFull::Refuse,
                other => panic!("no when_full {other}"),
            });
        let named = self.named.iter();
        named.fold(policy, |policy, (name, named)| policy.named(name, named.policy()))
    }
}

impl NamedPolicy {
    fn policy(&self) -> ClientPolicy {
        let set =
            |policy, seconds: Option<i64>, set: fn(ClientPolicy, Duration) -> ClientPolicy| {
                seconds.map_or(policy, |seconds| set(policy, Duration::seconds(seconds)))
            };
        let policy = set(ClientPolicy::new(), self.idle, ClientPolicy::idle_lifetime);
        let policy = set(policy, self.absolute, ClientPolicy::absolute_lifetime);
        let policy = set(policy, self.grace, ClientPolicy::grace);
        let late_repeat = self.late_repeat.map(|bound| bound.unwrap_or(0));
        set(policy, late_repeat, ClientPolicy::late_repeat)
    }
}

/// The claims of a token, as the JSON object in which they were issued.
fn shown<C: Serialize>(own: &C, registered: &RegisteredClaims) -> Value {
    let audience: Vec<&str> = registered.audience().collect();
    let mut claims = json!({
        "iss": registered.issuer(),
        "sub": registered.subject(),
        "aud": match &*audience {
            [one] => json!(one),
            several => json!(several),
        },
        "exp": registered.expires_at().unix_timestamp(),
        "iat": registered.issued_at().map(OffsetDateTime::unix_timestamp),
        "jti": registered.jti(),
        "ver": registered.version().get(),
    });
    if let Some(session) = registered.session_id() {
        claims["sid"] = json!(session.to_string());
    }
    let own = serde_json::to_value(own).unwrap();
    claims.as_object_mut().unwrap().extend(own.as_object().unwrap().clone());
    claims
}

impl Record {
    pub(crate) fn version(&self) -> Counter {
        self.version.into()
    }
}

impl User for Record {
    fn id(&self) -> &str {
        &self.id
    }
    fn binding(&self) -> Binding<'_> {
        Binding::secrets(&self.secrets).version(self.version)
    }
    fn is_active(&self) -> bool {
        self.active
    }
    fn carried(&self) -> Option<&Carried> {
        self.carried.as_ref()
    }
    fn epochs(&self) -> Vec<Epoch<'_>> {
        self.epochs.iter().map(UserEpoch::epoch).collect()
    }
    fn lane(&self, _: &str) -> Option<Counter> {
        Some(self.lane.into())
    }
    fn sessions(&self) -> Option<&SessionTable> {
        self.sessions.as_ref()
    }
}

impl UserEpoch {
    fn epoch(&self) -> Epoch<'_> {
        match &self.instance {
            Some(instance) => Epoch::of(&self.kind, instance, self.counter),
            None => Epoch::new(&self.kind, self.counter),
        }
    }
}

/// Any private claims.
pub(crate) type Own = Map<String, Value>;

pub(crate) struct Reset;

impl Purpose for Reset {
    type Claims = Own;
    const TYP: &'static str = "reset+jwt";
    const USAGE: Usage = Usage::OnceByLane;
}

pub(crate) struct Invite;

impl Purpose for Invite {
    type Claims = Own;
    const TYP: &'static str = "invite+jwt";
}

/// A purpose whose `strings` are not empty.
pub(crate) struct Admin;

impl Purpose for Admin {
    type Claims = Role;
    const TYP: &'static str = "admin+jwt";
}

/// A purpose whose tokens have the mode of the authority.
pub(crate) struct Partner;

impl Purpose for Partner {
    type Claims = Own;
    const TYP: &'static str = "partner+jwt";
    const USAGE: Usage = Usage::OnceByLane;
    const PORTABLE: bool = true;
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Role {
    role: String,
    #[serde(flatten)]
    others: Own,
}

pub(crate) fn at(seconds: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds).unwrap()
}

pub(crate) fn from_hex(text: &str) -> Vec<u8> {
    assert!(text.len().is_multiple_of(2), "{text}");
    let byte = |i| u8::from_str_radix(&text[i..i + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}

fn from_column<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SessionTable>, D::Error> {
    let column = Option::<String>::deserialize(deserializer)?;
    SessionTable::from_column(column.as_deref()).map(Some).map_err(de::Error::custom)
}

/// The value of a member that is not absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<i64>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Carried>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(de::Error::custom)).transpose()
}
