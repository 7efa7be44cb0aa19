//! The library, as the model calls it: real tokens, with a clock and randomness set by the model. Each
//! call is made once and its answer kept, because the answer never changes.

use std::{cell::Cell, collections::BTreeMap, convert::Infallible, sync::Arc};

use relatch::{
    Access, AccessToken, Authority, MasterKey, NoClaims, Purpose, RefreshToken, SessionTokens,
    Token,
    authority::{Committed, Decision, Entropy, EntropyError, Refreshed},
    sessions::{EventKind, NewSession, SessionData, SessionEvent, SessionId, SessionInfo},
    token::Usage,
};
use time::OffsetDateTime;

use crate::{
    configuration::Configuration,
    memo::{Interned, Memo},
    store::{Account, Row, TENANT, Update},
};

pub(crate) type RowId = u32;
pub(crate) type TokenId = u32;
pub(crate) type UpdateId = u32;

/// Seconds since the start of the model.
pub(crate) type Instant = i16;

/// A request that the library decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    LogIn,
    Refresh(TokenId),
    LogOut(SessionId),
    /// By the access token of the device that stays.
    LogOutOthers(TokenId),
    /// The same, for a session verified before, against another row than the decision's.
    LogOutOthersLate(Verified),
    /// By the access token of the device.
    Restart(TokenId),
    RestartLate(Verified),
    /// By a refresh token.
    Revoke(TokenId),
    /// By the access token of the device that stays; the new password is stored with it.
    ChangePassword(TokenId),
    LogOutEverywhere,
    UseLink,
    /// By a link, in an application that forgets to store the new password: the version alone must
    /// invalidate the link.
    ResetPassword,
}

/// An access token, with the row and the time of its verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Verified {
    pub(crate) access: TokenId,
    pub(crate) row: RowId,
    pub(crate) at: Instant,
}

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Refused,
    /// The compare-and-set failed, and nothing was handed out.
    Lost,
    Decided(Decided),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    pub(crate) update: Option<UpdateId>,
    pub(crate) tokens: Option<Tokens>,
    pub(crate) event: Option<Event>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub(crate) session: SessionId,
    pub(crate) access: TokenId,
    pub(crate) refresh: TokenId,
    /// Whether other randomness gives the same refresh token and another access token.
    pub(crate) is_derived: bool,
    pub(crate) evicted: Option<SessionId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) kind: EventKind,
    pub(crate) session: SessionId,
    pub(crate) presented: u64,
    pub(crate) ended: usize,
}

/// The size of the sessions' column: its length, and the number of its sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) bytes: usize,
    pub(crate) sessions: usize,
}

/// A session in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: SessionId,
    pub(crate) started_at: Instant,
    pub(crate) last_seen: Instant,
    /// Whether its label, data, policy and fixed end are those of its login.
    pub(crate) is_as_begun: bool,
}

/// A link that can be used once.
pub(crate) struct Link;

impl Purpose for Link {
    type Claims = NoClaims;
    const TYP: &'static str = "link+jwt";
    const USAGE: Usage = Usage::OnceByLane;
}

/// A link to set a new password.
struct Reset;

impl Purpose for Reset {
    type Claims = NoClaims;
    const TYP: &'static str = "reset+jwt";
    const USAGE: Usage = Usage::OnceByCredential;
}

pub(crate) struct Library {
    bounds: Configuration,
    authority: Authority,
    rows: Interned<Row>,
    tokens: Interned<String>,
    updates: Interned<Update>,
    accounts: Memo<RowId, Arc<Account>>,
    outcomes: Memo<(Call, RowId, Instant, bool), Outcome>,
    /// The most frequent outcomes, under a key that is quick to hash.
    presented: Memo<(TokenId, RowId, Instant), Outcome>,
    accepted: Memo<(TokenId, RowId, Instant), bool>,
    listed: Memo<(RowId, Instant), Arc<[Listed]>>,
    written: Memo<(RowId, RowId, UpdateId), Option<RowId>>,
    sizes: Memo<RowId, Size>,
    link: String,
    reset: String,
    plain: TokenId,
}

impl Library {
    pub(crate) fn new(configuration: &Configuration) -> Self {
        let key = MasterKey::from_bytes("k1", &[1; 32]).unwrap();
        let authority = Authority::builder(key, "https://login.example.com", "api")
            .mode(configuration.mode)
            .sessions(configuration.policy())
            .user_epoch(TENANT)
            .clock(clock)
            .entropy(Salted)
            .build()
            .unwrap();
        set_clock(configuration.start());
        let tokens = Interned::new();
        let alice = Account::read(Row::NEW);
        let plain = authority.issue_for_user(&alice).unwrap();
        let link = authority.issue::<Link>(&alice, &NoClaims {}).sign().unwrap();
        let reset = authority.issue::<Reset>(&alice, &NoClaims {}).sign().unwrap();
        let plain = tokens.id(plain.expose().to_owned());
        Self {
            bounds: *configuration,
            authority,
            rows: Interned::new(),
            tokens,
            updates: Interned::new(),
            accounts: Memo::new(),
            outcomes: Memo::new(),
            presented: Memo::new(),
            accepted: Memo::new(),
            listed: Memo::new(),
            written: Memo::new(),
            sizes: Memo::new(),
            link: link.expose().to_owned(),
            reset: reset.expose().to_owned(),
            plain,
        }
    }

    /// An access token without a session, issued at the start.
    pub(crate) const fn plain_token(&self) -> TokenId {
        self.plain
    }

    pub(crate) fn row_id(&self, row: Row) -> RowId {
        self.rows.id(row)
    }

    pub(crate) fn row(&self, id: RowId) -> Arc<Row> {
        self.rows.get(id)
    }

    /// The size of the sessions' column.
    pub(crate) fn size(&self, row: RowId) -> Size {
        self.sizes.get(row, || {
            let row = self.row(row);
            let column = row.sessions.as_deref().unwrap_or_default();
            // A label or data cannot have this text: its quotes would be escaped.
            Size { bytes: column.len(), sessions: column.matches(r#"{"slot":"#).count() }
        })
    }

    /// The row after an update decided on the row that was read; `None` if the store's compare-and-set
    /// fails.
    pub(crate) fn store(&self, row: RowId, read: RowId, update: UpdateId) -> Option<RowId> {
        self.written.get((row, read, update), || {
            let after = self.row(row).compare_and_set(&self.row(read), &self.updates.get(update));
            after.map(|row| self.row_id(row))
        })
    }

    /// Presents a refresh token to a row without concurrent changes.
    pub(crate) fn present(&self, token: TokenId, row: RowId, now: Instant) -> Outcome {
        self.presented.get((token, row, now), || self.decide(Call::Refresh(token), row, now, true))
    }

    /// Whether an access token is accepted.
    pub(crate) fn accepts(&self, token: TokenId, row: RowId, now: Instant) -> bool {
        self.accepted.get((token, row, now), || {
            set_clock(now);
            self.verify(token, &self.account(row)).is_some()
        })
    }

    /// The list of the user's sessions.
    pub(crate) fn list(&self, row: RowId, now: Instant) -> Arc<[Listed]> {
        self.listed.get((row, now), || {
            set_clock(now);
            let listed = self.authority.sessions(&*self.account(row)).unwrap_or_default();
            listed.iter().map(|info| self.listed(info)).collect()
        })
    }

    fn listed(&self, info: &SessionInfo) -> Listed {
        let Configuration { client, ends_at, .. } = self.bounds;
        let since = |at: OffsetDateTime| {
            Instant::try_from(at.unix_timestamp() - BEGINNING).unwrap_or(Instant::MAX)
        };
        let is_cut = LABEL.starts_with(info.label()) && info.label().len() == MAX_LABEL_BYTES;
        let is_as_begun = is_cut
            && info.data() == Some(&data())
            && info.policy() == client
            && info.ends_at().map(since) == ends_at;
        let (started_at, last_seen) = (since(info.started_at()), since(info.last_seen()));
        Listed { id: info.id(), started_at, last_seen, is_as_begun }
    }

    /// The outcome of a request decided on this row at this time, whose change the store then writes
    /// or refuses.
    pub(crate) fn decide(&self, call: Call, row: RowId, now: Instant, is_written: bool) -> Outcome {
        self.outcomes.get((call, row, now, is_written), || {
            set_clock(now);
            let once = self.decide_with(0, call, row, is_written);
            let again = self.decide_with(1, call, row, is_written);
            let (Outcome::Decided(mut decided), Outcome::Decided(again)) = (once, again) else {
                return once;
            };
            if let (Some(tokens), Some(again)) = (&mut decided.tokens, again.tokens) {
                tokens.is_derived =
                    tokens.refresh == again.refresh && tokens.access != again.access;
            }
            Outcome::Decided(decided)
        })
    }

    fn decide_with(&self, salt: u8, call: Call, row: RowId, is_written: bool) -> Outcome {
        SALT.set(salt);
        let decided = match call {
            Call::LogIn => self.log_in(row, is_written),
            Call::Refresh(token) => self.refresh(token, row, is_written),
            Call::LogOut(id) => self.log_out(id, row, is_written),
            Call::LogOutOthers(access) => self.log_out_others(access, row, is_written),
            Call::LogOutOthersLate(verified) => self.log_out_others_late(verified, row, is_written),
            Call::Restart(access) => self.restart(access, row, is_written),
            Call::RestartLate(verified) => self.restart_late(verified, row, is_written),
            Call::Revoke(token) => self.revoke(token, row, is_written),
            Call::ChangePassword(access) => self.change_password(access, row, is_written),
            Call::LogOutEverywhere => self.log_out_everywhere(row, is_written),
            Call::UseLink => self.use_link(row, is_written),
            Call::ResetPassword => self.reset_password(row, is_written),
        };
        decided.unwrap_or(Outcome::Refused)
    }

    fn log_in(&self, row: RowId, is_written: bool) -> Option<Outcome> {
        let mut session = NewSession::new(LABEL).data(data());
        if let Some(client) = self.bounds.client {
            session = session.policy(client);
        }
        if let Some(end) = self.bounds.ends_at {
            session = session.ends_at(instant(end));
        }
        let decision = self.authority.start_session(&*self.account(row), session).ok()?;
        Some(self.commit(decision, None, is_written, |tokens| (Some(tokens), None)))
    }

    fn refresh(&self, token: TokenId, row: RowId, is_written: bool) -> Option<Outcome> {
        let token = RefreshToken::new(self.tokens.get(token).as_str());
        let opened = self.authority.open_refresh(token).ok()?;
        let decision = opened.refresh(&*self.account(row)).ok()?;
        Some(self.commit(decision, None, is_written, |refreshed: Refreshed| {
            let event = refreshed.event().map(Event::of);
            (refreshed.into_tokens().ok(), event)
        }))
    }

    fn log_out(&self, session: SessionId, row: RowId, is_written: bool) -> Option<Outcome> {
        let decision = self.authority.log_out(&*self.account(row), session).ok()?;
        Some(self.commit(decision, None, is_written, |_| (None, None)))
    }

    fn log_out_others(&self, access: TokenId, row: RowId, is_written: bool) -> Option<Outcome> {
        let account = self.account(row);
        let session = self.verify(access, &account)?;
        let decision = self
            .authority
            .issue::<Access>(session.user(), &NoClaims {})
            .log_out_others(&session)
            .ok()?;
        Some(self.commit(decision, None, is_written, |tokens| (Some(tokens), None)))
    }

    fn log_out_others_late(
        &self,
        verified: Verified,
        row: RowId,
        is_written: bool,
    ) -> Option<Outcome> {
        let read = self.account(verified.row);
        let session = self.verify_before(verified, &read)?;
        let account = self.account(row);
        let issue = self.authority.issue::<Access>(&*account, &NoClaims {});
        let decision = issue.log_out_others(&session).ok()?;
        Some(self.commit(decision, None, is_written, |tokens| (Some(tokens), None)))
    }

    fn restart(&self, access: TokenId, row: RowId, is_written: bool) -> Option<Outcome> {
        let account = self.account(row);
        let session = self.verify(access, &account)?;
        let issue = self.authority.issue::<Access>(session.user(), &NoClaims {});
        let decision = issue.restart_session(&session).ok()?;
        Some(self.commit(decision, None, is_written, |tokens| (Some(tokens), None)))
    }

    fn restart_late(&self, verified: Verified, row: RowId, is_written: bool) -> Option<Outcome> {
        let read = self.account(verified.row);
        let session = self.verify_before(verified, &read)?;
        let account = self.account(row);
        let issue = self.authority.issue::<Access>(&*account, &NoClaims {});
        let decision = issue.restart_session(&session).ok()?;
        Some(self.commit(decision, None, is_written, |tokens| (Some(tokens), None)))
    }

    fn revoke(&self, token: TokenId, row: RowId, is_written: bool) -> Option<Outcome> {
        let token = RefreshToken::new(self.tokens.get(token).as_str());
        let opened = self.authority.open_refresh(token).ok()?;
        let decision = opened.log_out(&*self.account(row)).ok()?;
        Some(self.commit(decision, None, is_written, |_| (None, None)))
    }

    fn change_password(&self, access: TokenId, row: RowId, is_written: bool) -> Option<Outcome> {
        let account = self.account(row);
        let session = self.verify(access, &account)?;
        let changed = self.row(row).change_password();
        let password = Some(changed.password);
        let decision = {
            let changed = Account::read(changed);
            self.authority.issue::<Access>(&changed, &NoClaims {}).change_password(&session).ok()?
        };
        Some(self.commit(decision, password, is_written, |tokens| (Some(tokens), None)))
    }

    fn log_out_everywhere(&self, row: RowId, is_written: bool) -> Option<Outcome> {
        let decision = self.authority.log_out_everywhere(&*self.account(row)).ok()?;
        Some(self.commit(decision, None, is_written, |_| (None, None)))
    }

    fn use_link(&self, row: RowId, is_written: bool) -> Option<Outcome> {
        let opened = self.authority.open_once(Token::<Link>::new(self.link.as_str())).ok()?;
        let decision = opened.consume(&*self.account(row)).ok()?;
        Some(self.commit(decision, None, is_written, |_| (None, None)))
    }

    fn reset_password(&self, row: RowId, is_written: bool) -> Option<Outcome> {
        let opened = self.authority.open_once(Token::<Reset>::new(self.reset.as_str())).ok()?;
        let decision = opened.consume(&*self.account(row)).ok()?;
        Some(self.commit(decision, None, is_written, |_| (None, None)))
    }

    fn verify<'a>(
        &self,
        access: TokenId,
        account: &'a Account,
    ) -> Option<relatch::Verified<&'a Account>> {
        let token = AccessToken::new(self.tokens.get(access).as_str());
        self.authority.verify(&token, |_| Ok::<_, Infallible>(Some(account))).ok()
    }

    /// Verifies at an earlier time, against the row of that time.
    fn verify_before<'a>(
        &self,
        verified: Verified,
        read: &'a Account,
    ) -> Option<relatch::Verified<&'a Account>> {
        let now = NOW.get();
        set_clock(verified.at);
        let session = self.verify(verified.access, read);
        set_clock(now);
        session
    }

    fn commit<T>(
        &self,
        decision: Decision<T>,
        password: Option<u8>,
        is_written: bool,
        read: impl FnOnce(T) -> (Option<SessionTokens>, Option<Event>),
    ) -> Outcome {
        let mut update = None;
        let outcome = decision.commit(|change| {
            if is_written {
                update = Some(self.updates.id(Update::of(change, password)));
            }
            Ok::<_, Infallible>(is_written)
        });
        let Ok(Committed::Stored(outcome)) = outcome else { return Outcome::Lost };
        let (tokens, event) = read(outcome);
        let tokens = tokens.map(|tokens| self.tokens(tokens));
        Outcome::Decided(Decided { update, tokens, event })
    }

    fn tokens(&self, tokens: SessionTokens) -> Tokens {
        Tokens {
            session: tokens.session().id(),
            evicted: tokens.evicted().map(relatch::sessions::SessionInfo::id),
            access: self.tokens.id(tokens.access().expose().to_owned()),
            refresh: self.tokens.id(tokens.refresh().expose().to_owned()),
            is_derived: true,
        }
    }

    fn account(&self, row: RowId) -> Arc<Account> {
        self.accounts.get(row, || Arc::new(Account::read((*self.row(row)).clone())))
    }
}

impl Event {
    fn of(event: &SessionEvent) -> Self {
        Self {
            kind: event.kind(),
            session: event.session_id(),
            presented: event.presented_seq(),
            ended: event.ended_sessions(),
        }
    }
}

/// The longest label in bytes of the column: each character is escaped.
const LABEL: &str = const {
    match str::from_utf8(&[b'"'; 100]) {
        Ok(label) => label,
        Err(_) => panic!(),
    }
};

const MAX_LABEL_BYTES: usize = 64;

/// Data of the greatest length.
fn data() -> SessionData {
    SessionData::new(&BTreeMap::from([("tenant", "abc")])).unwrap()
}

thread_local! {
    static NOW: Cell<Instant> = const { Cell::new(0) };
    static SALT: Cell<u8> = const { Cell::new(0) };
}

/// The start of the model.
const BEGINNING: i64 = 4_000_000_000;

pub(crate) fn instant(at: Instant) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(BEGINNING + i64::from(at)).unwrap()
}

fn set_clock(now: Instant) {
    NOW.set(now);
}

fn clock() -> OffsetDateTime {
    instant(NOW.get())
}

/// Bytes that depend on the request and the salt only.
struct Salted;

impl Entropy for Salted {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), EntropyError> {
        bytes.fill(SALT.get());
        Ok(())
    }
}
