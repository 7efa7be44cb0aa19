//! An issued token verifies against the same record, with the same claims. If one of the things it is
//! bound to changes, it is rejected with the reason of that thing.

#![no_main]

use std::{collections::BTreeMap, convert::Infallible};

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary, Unstructured},
    fuzz_target,
};
use relatch::{
    Access, Authority, BindingMode, Context, IssueError, Purpose, Reason, Token, VerifyError,
    token::{
        MAX_LIFETIME, MAX_TOKEN_BYTES, REGISTERED_CLAIMS, RESERVED_CLAIMS, RegisteredClaims, Usage,
    },
    user::{Carried, Credential, MAX_ID_BYTES, RecordError},
};
use relatch_fuzz::{Account, Claims, Fixed, TENANT, master_key};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

fuzz_target!(|input: (Change, Tampering, World)| {
    let (change, tampering, world) = input;
    let text = match world.issue() {
        Ok(text) => text,
        Err(IssueError::TooLong { .. }) => return,
        Err(error) => return assert!(!world.is_fit(), "not issued: {error:?}"),
    };
    assert!(world.is_fit(), "issued, and should not have been");

    let (claims, registered) = world.verify(&text).expect("a genuine token was rejected");
    assert_eq!(claims, world.claims());
    assert_eq!(registered.subject(), world.id);
    assert_eq!(registered.version().get(), world.version);
    assert_eq!(registered.issued_at(), Some(world.issued_at()));
    assert_eq!(registered.expires_at(), world.expires_at());

    let last_moment = World { now: world.expires_at() - Duration::NANOSECOND, ..world.clone() };
    assert!(last_moment.verify(&text).is_ok(), "a genuine token was rejected before its end");
    let rehashed = world.rehashed();
    assert!(rehashed.verify(&text).is_ok(), "a rehash logged out");
    assert_eq!(rehashed.derive(), world.derive());

    if let Some((other, reason)) = change.apply(&world) {
        let error = other.verify(&text).expect_err("an invalid token was verified");
        assert_eq!(error.reason(), Some(reason));
        assert_eq!(other.derive() != world.derive(), change.is_derived_from());
    }

    let tampered = tampering.apply(&text);
    if tampered != text {
        let error = world.verify(&tampered).expect_err("a tampered token was verified");
        assert!(error.reason().is_some(), "{error:?}");
    }
});

/// One thing that a token is bound to.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Change {
    MasterKey,
    SigningKey,
    Kid,
    Mode(Mode),
    Purpose,
    Issuer,
    Audience,
    Realm,
    UserGone,
    UserDisabled,
    UserId,
    Secret,
    SecretAdded,
    SecretRemoved,
    SecretsSwapped,
    SecretsBorder,
    SecretsGone,
    SecretAfterRehash,
    VersionBumped,
    VersionLost,
    Lane,
    Tenant,
    TenantCounter,
    ContextAdded,
    ContextRemoved,
    ContextKind,
    ContextValue,
    ContextBorder,
    Expired,
    NotYetValid,
}

impl Change {
    /// The changed world, and its reason for rejecting the token; `None` if there is nothing to change.
    fn apply(self, world: &World) -> Option<(World, Reason)> {
        let mut other = world.clone();
        let is_eddsa = world.token_mode() == Mode::EdDsa;
        // With EdDSA the key used before the lookup is not derived from the master key.
        let forged = |or| if is_eddsa { or } else { Reason::Forged };
        let unbound = match world.token_mode() {
            Mode::Key => Reason::BadSignature,
            Mode::StampHs256 | Mode::EdDsa => Reason::RevokedByStamp,
        };
        let reason = match self {
            Self::MasterKey => {
                other.master[0] ^= 1;
                forged(Reason::RevokedByStamp)
            }
            Self::SigningKey => {
                other.ed25519[0] ^= 1;
                is_eddsa.then_some(Reason::Forged)?
            }
            Self::Kid => {
                rename(&mut other.kid);
                Reason::UnknownKey
            }
            Self::Mode(mode) => {
                other.mode = mode;
                match (world.token_mode(), other.token_mode()) {
                    (before, after) if before == after => return None,
                    (Mode::EdDsa, _) | (_, Mode::EdDsa) => Reason::WrongAlgorithm,
                    _ => Reason::Malformed,
                }
            }
            Self::Purpose => {
                other.single_use = !world.single_use;
                Reason::WrongType
            }
            Self::Issuer => {
                rename(&mut other.issuer);
                forged(Reason::WrongIssuer)
            }
            Self::Audience => {
                rename(&mut other.audience);
                Reason::WrongAudience
            }
            Self::Realm => {
                other.realm = world.realm.checked_add(1)?;
                unbound
            }
            Self::UserGone => {
                other.is_gone = true;
                Reason::UnknownUser
            }
            Self::UserDisabled => {
                other.is_disabled = true;
                Reason::InactiveUser
            }
            Self::UserId => {
                rename(&mut other.id);
                Reason::UserMismatch
            }
            Self::Secret => {
                *other.secrets.last_mut()?.last_mut()? ^= 1;
                unbound
            }
            Self::SecretAdded => {
                other.secrets.push(vec![0]);
                unbound
            }
            Self::SecretRemoved => {
                other.secrets.pop();
                (!other.secrets.is_empty()).then_some(unbound)?
            }
            Self::SecretsSwapped => {
                other.secrets.reverse();
                (other.secrets != world.secrets).then_some(unbound)?
            }
            Self::SecretsBorder => {
                let [first, second, ..] = &mut *other.secrets else { return None };
                second.insert(0, first.pop()?);
                (!first.is_empty()).then_some(unbound)?
            }
            Self::SecretsGone => {
                other.secrets.clear();
                Reason::NoCredential
            }
            Self::SecretAfterRehash => {
                other = world.rehashed();
                *other.secrets.last_mut()?.last_mut()? ^= 1;
                unbound
            }
            Self::VersionBumped => {
                other.version = world.version.checked_add(1)?;
                Reason::RevokedByVersion
            }
            Self::VersionLost => {
                other.version = world.version.checked_sub(1).filter(|version| *version >= 0)?;
                Reason::AheadOfRecord
            }
            Self::Lane => {
                other.lane = world.lane.checked_add(1)?;
                world.single_use.then_some(Reason::RevokedByLane)?
            }
            Self::Tenant => {
                rename(&mut other.tenant);
                unbound
            }
            Self::TenantCounter => {
                other.tenant_counter = world.tenant_counter.checked_add(1)?;
                unbound
            }
            Self::ContextAdded => {
                let longer = world.context.keys().map(String::as_str).collect::<String>() + "x";
                other.context.insert(longer, vec![0]);
                unbound
            }
            Self::ContextRemoved => {
                other.context.pop_first()?;
                unbound
            }
            Self::ContextKind => {
                let (mut kind, value) = other.context.pop_first()?;
                rename(&mut kind);
                other.context.insert(kind, value);
                unbound
            }
            Self::ContextValue => {
                *other.context.first_entry()?.get_mut().last_mut()? ^= 1;
                unbound
            }
            Self::ContextBorder => {
                let (mut kind, mut value) = other.context.pop_first()?;
                value.splice(..0, kind.pop()?.to_string().into_bytes());
                other.context.insert(kind, value);
                unbound
            }
            Self::Expired => {
                other.now = world.expires_at();
                Reason::Expired
            }
            Self::NotYetValid => {
                other.now = world.issued_at() - Duration::NANOSECOND;
                Reason::NotYetValid
            }
        };
        Some((other, reason))
    }

    /// Whether it is an input of the derivation. Some inputs are also compared separately, for the log,
    /// so a rejection alone does not show that they are derived.
    const fn is_derived_from(self) -> bool {
        !matches!(
            self,
            Self::SigningKey
                | Self::Kid
                | Self::Mode(_)
                | Self::Audience
                | Self::UserGone
                | Self::UserDisabled
                | Self::Expired
                | Self::NotYetValid
        )
    }
}

/// Another text, of the same length if possible: the length is bound separately.
fn rename(text: &mut String) {
    let last = text.pop();
    text.push(if last == Some('x') { 'y' } else { 'x' });
}

/// One change of a token's text.
#[derive(Arbitrary, Clone, Copy, Debug)]
enum Tampering {
    Replace(u16, #[arbitrary(with = any_character)] char),
    Insert(u16, #[arbitrary(with = any_character)] char),
    Append(#[arbitrary(with = any_character)] char),
    Remove(u16),
}

impl Tampering {
    fn apply(self, text: &str) -> String {
        let mut characters: Vec<char> = text.chars().collect();
        let len = characters.len();
        match self {
            Self::Replace(at, by) => characters[usize::from(at) % len] = by,
            Self::Insert(at, what) => characters.insert(usize::from(at) % len, what),
            Self::Append(what) => characters.push(what),
            Self::Remove(at) => drop(characters.remove(usize::from(at) % len)),
        }
        characters.into_iter().collect()
    }
}

/// A character of tokens, or one that a lax decoder accepts or skips.
fn any_character(bytes: &mut Unstructured<'_>) -> arbitrary::Result<char> {
    let characters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.+/= \n";
    bytes.choose(characters).copied().map(char::from)
}

/// A server, a user's record, and the inputs of the token.
#[derive(Arbitrary, Clone, Debug)]
struct World {
    mode: Mode,
    master: [u8; 32],
    ed25519: [u8; 32],
    #[arbitrary(value = "k".to_owned())]
    kid: String,
    #[arbitrary(value = "issuer".to_owned())]
    issuer: String,
    #[arbitrary(value = "audience".to_owned())]
    audience: String,
    realm: u32,
    #[arbitrary(with = any_instant)]
    now: OffsetDateTime,
    nonce: [u8; 16],

    id: String,
    secrets: Vec<Vec<u8>>,
    #[arbitrary(default)]
    carried: Option<Carried>,
    version: i64,
    lane: i64,
    tenant: String,
    tenant_counter: i64,
    is_disabled: bool,
    #[arbitrary(default)]
    is_gone: bool,

    single_use: bool,
    #[arbitrary(with = any_lifetime)]
    lifetime: Duration,
    context: BTreeMap<String, Vec<u8>>,
    claims: BTreeMap<String, Claim>,
}

#[derive(Arbitrary, Clone, Copy, Debug, PartialEq)]
enum Mode {
    Key,
    StampHs256,
    EdDsa,
}

#[derive(Arbitrary, Clone, Debug)]
enum Claim {
    Null,
    Flag(bool),
    Signed(i64),
    Unsigned(u64),
    Text(String),
    List(Vec<i64>),
    Object(BTreeMap<String, String>),
}

impl From<Claim> for Value {
    fn from(claim: Claim) -> Self {
        match claim {
            Claim::Null => Self::Null,
            Claim::Flag(flag) => flag.into(),
            Claim::Signed(number) => number.into(),
            Claim::Unsigned(number) => number.into(),
            Claim::Text(text) => text.into(),
            Claim::List(list) => list.into(),
            Claim::Object(members) => members.into_iter().collect(),
        }
    }
}

fn any_instant(bytes: &mut Unstructured<'_>) -> arbitrary::Result<OffsetDateTime> {
    let seconds = Duration::seconds(bytes.arbitrary::<u32>()?.into());
    let part = Duration::nanoseconds(bytes.int_in_range(0..=999_999_999)?);
    Ok(OffsetDateTime::UNIX_EPOCH + seconds + part)
}

/// Within the bounds, or one second beyond either end.
fn any_lifetime(bytes: &mut Unstructured<'_>) -> arbitrary::Result<Duration> {
    bytes.int_in_range(0..=MAX_LIFETIME.whole_seconds() + 1).map(Duration::seconds)
}

struct SingleUse;

impl Purpose for SingleUse {
    type Claims = Claims;
    const TYP: &'static str = "single-use+jwt";
    const USAGE: Usage = Usage::OnceByLane;
}

/// Calls a method for the world's purpose, which is a type.
macro_rules! by_purpose {
    ($world:ident.$method:ident($($argument:expr)?)) => {
        match $world.single_use {
            true => $world.$method::<SingleUse>($($argument)?),
            false => $world.$method::<Access<Claims>>($($argument)?),
        }
    };
}

type Verified = Result<(Claims, RegisteredClaims), VerifyError<Infallible>>;
/// A key, and the stamp of an access token.
type Derived = Result<([u8; 32], String), RecordError>;

impl World {
    /// The mode of the tokens: single-use tokens are not portable.
    fn token_mode(&self) -> Mode {
        if self.single_use { Mode::Key } else { self.mode }
    }

    fn issue(&self) -> Result<String, IssueError> {
        by_purpose!(self.issue_for())
    }

    fn verify(&self, text: &str) -> Verified {
        by_purpose!(self.verify_for(text))
    }

    fn derive(&self) -> Derived {
        by_purpose!(self.derive_for())
    }

    fn issue_for<P: Purpose<Claims = Claims>>(&self) -> Result<String, IssueError> {
        let (account, claims) = (self.account(), self.claims());
        let authority = self.authority();
        let issue = authority.issue::<P>(&account, &claims).lifetime(self.lifetime);
        Ok(issue.context(self.context()).sign()?.expose().to_owned())
    }

    fn verify_for<P: Purpose<Claims = Claims>>(&self, text: &str) -> Verified {
        let token = Token::<P>::new(text).in_context(self.context());
        let account = (!self.is_gone).then(|| self.account());
        let peeked = self.authority().peek(&token, |_| Ok(account))?;
        Ok((peeked.claims().clone(), peeked.registered().clone()))
    }

    fn derive_for<P: Purpose>(&self) -> Derived {
        let (authority, account, context) = (self.authority(), self.account(), self.context());
        let unfit = |error| match error {
            IssueError::Record(error) => error,
            other => panic!("not the record: {other:?}"),
        };
        let key = authority.danger_expose_key::<P>(&account, &context).map_err(unfit)?;
        let (header, payload) = ("header", r#"{"sub":"alice""#);
        let stamp =
            authority.danger_expose_stamp::<Access<Claims>>(&account, &context, header, payload);
        let stamp = stamp.map_err(unfit)?;
        Ok((*key, stamp))
    }

    fn authority(&self) -> Authority {
        let key = master_key(&self.kid, &self.master, &self.ed25519);
        let now = self.now;
        Authority::builder(key, &*self.issuer, &*self.audience)
            .mode(match self.mode {
                Mode::Key => BindingMode::Key,
                Mode::StampHs256 => BindingMode::StampHs256,
                Mode::EdDsa => BindingMode::StampAsymmetric,
            })
            .epoch("realm", self.realm)
            .user_epoch(TENANT)
            .max_token_bytes(MAX_TOKEN_BYTES)
            .clock(move || now)
            .entropy(Fixed(self.nonce))
            .build()
            .expect("settings that are in bounds")
    }

    fn account(&self) -> Account {
        Account {
            id: self.id.clone(),
            secrets: self.secrets.clone(),
            version: self.version,
            lane: self.lane,
            tenant: Some((self.tenant.clone(), self.tenant_counter)),
            carried: self.carried.clone(),
            disabled: self.is_disabled,
            ..Account::default()
        }
    }

    fn context(&self) -> Context {
        self.context.iter().fold(Context::new(), |context, (kind, value)| context.with(kind, value))
    }

    fn claims(&self) -> Claims {
        self.claims.iter().map(|(name, claim)| (name.clone(), claim.clone().into())).collect()
    }

    fn issued_at(&self) -> OffsetDateTime {
        self.now - Duration::nanoseconds(self.now.nanosecond().into())
    }

    fn expires_at(&self) -> OffsetDateTime {
        self.issued_at() + self.lifetime
    }

    /// The same password hashed again, with the tokens carried over.
    fn rehashed(&self) -> Self {
        let mut other = self.clone();
        other.secrets[0].push(0);
        let [old, new] = [self, &other].map(|it| Credential::from_secrets(&it.secrets).unwrap());
        other.carried = Some(Carried::rehash(None, &old, &new));
        other
    }

    /// Whether a token can be issued.
    fn is_fit(&self) -> bool {
        let lane = if self.single_use { self.lane } else { 0 };
        !self.is_disabled
            && (1..=MAX_ID_BYTES).contains(&self.id.len())
            && !self.secrets.is_empty()
            && self.secrets.iter().all(|secret| !secret.is_empty())
            && [self.version, self.tenant_counter, lane].iter().all(|counter| *counter >= 0)
            && (Duration::SECOND..=MAX_LIFETIME).contains(&self.lifetime)
            && self.context.iter().all(|(kind, value)| {
                [kind.len(), value.len()].iter().all(|len| (1..=Context::MAX_BYTES).contains(len))
            })
            && !self.claims.keys().any(|name| {
                REGISTERED_CLAIMS.contains(&name.as_str())
                    || RESERVED_CLAIMS.contains(&name.as_str())
            })
    }
}
