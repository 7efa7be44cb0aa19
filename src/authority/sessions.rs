//! Sessions: starting, listing and ending them. Each is a decision, which the application stores.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::Authority;
use super::issue::{Issue, IssueError};
use super::kernel::{kind::Kind, mint::Draft, record::Record};
use crate::{
    authority::{
        decision::{Change, Decision},
        session::Session,
    },
    binding::context::Context,
    clock::{MAX_NUMERIC_DATE, to_numeric_date},
    rejection::{Reason, Rejection, Stage},
    sessions::{Label, SessionId, SessionInfo, SessionTable, Slot, Started},
    token::{
        RefreshToken, Token,
        purpose::{Access, NoClaims},
    },
    user::{RecordError, User, count, following},
};

impl Authority {
    /// Starts a session: at login, in place of [`issue_for_user`](Self::issue_for_user) where a
    /// single device is to be logged out, or stays logged in for longer than an access token
    /// lives.
    ///
    /// `label` is what the device is called in a list, such as the `User-Agent` tells: it is
    /// cleaned of control and invisible characters, and cut at 64 bytes.
    ///
    /// # Security
    ///
    /// As with [`issue_for_user`](Self::issue_for_user), pass the very record whose password was
    /// verified. Where the login rehashes, pass that record with the new hash and the carry, and
    /// store them with the change.
    ///
    /// # Errors
    ///
    /// [`IssueError`], above all [`SessionsFull`](IssueError::SessionsFull) where the policy
    /// refuses, and a [`RecordError::Sessions`] for a record that keeps no sessions.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{Authority, Change, Committed, SessionTokens, User};
    ///
    /// # fn store(_: &impl User, _: &Change) -> Result<bool, std::io::Error> { Ok(true) }
    /// fn log_in(
    ///     authority: &Authority,
    ///     account: &impl User,
    /// ) -> Result<Committed<SessionTokens>, Box<dyn std::error::Error>> {
    ///     let decision = authority.start_session(account, "Firefox on Linux")?;
    ///     Ok(decision.commit(|change| store(account, change))?)
    /// }
    /// ```
    pub fn start_session(
        &self,
        user: &dyn User,
        label: &str,
    ) -> Result<Decision<SessionTokens>, IssueError> {
        self.issue::<Access>(user, &NoClaims {}).start_session(label)
    }

    /// The user's sessions that are alive, the one that was used last first.
    ///
    /// A bump of the version by the application's own SQL takes them out as well, if it follows the
    /// rule of [`Counter::next`](crate::Counter::next) on a clock that is not behind. What dies in
    /// another way stays in this list, and in its slot, until it runs out: with an epoch, with a
    /// key, with a password that is changed by SQL. There, set the column to `NULL` in that
    /// statement (never alone: that is no logout), or commit [`log_out_everywhere`](Self::log_out_everywhere) with it.
    ///
    /// # Errors
    ///
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn sessions(&self, user: &dyn User) -> Result<Vec<SessionInfo>, RecordError> {
        let policy = &self.settings.sessions;
        let mut sessions: Vec<_> = table(user)?.live(version(user)?, policy, self.now()).collect();
        sessions.sort_by_key(|slot| std::cmp::Reverse((slot.last_seen, slot.generation)));
        Ok(sessions.into_iter().map(|slot| SessionInfo::of(slot, policy)).collect())
    }

    /// This session as [`sessions`](Self::sessions) lists it, on the record that it was verified on:
    /// `None` if its token is of no session, or of one that is no longer listed.
    ///
    /// Its [`started_at`](SessionInfo::started_at) is when the user last authenticated on this
    /// device: at login, or since then by [`restart_session`](Self::restart_session). What asks for
    /// "within the last ten minutes" compares that.
    ///
    /// # Errors
    ///
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn session_info<U: User, C>(
        &self,
        session: &Session<U, C>,
    ) -> Result<Option<SessionInfo>, RecordError> {
        let Some(own) = session.id() else { return Ok(None) };
        let (user, policy) = (session.user(), &self.settings.sessions);
        let mut live = table(user)?.live(version(user)?, policy, self.now());
        Ok(live.find(|slot| slot.id() == own).map(|slot| SessionInfo::of(slot, policy)))
    }

    /// Logs one device out: this one, by its token's
    /// [`session_id`](crate::Registered::session_id), or that one, by an id out of the list.
    /// The outcome tells whether there was such a session.
    ///
    /// # Errors
    ///
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn log_out(
        &self,
        user: &dyn User,
        session: SessionId,
    ) -> Result<Decision<bool>, RecordError> {
        let ended = self.end(user, |slot| slot.id() == session)?;
        Ok(ended.map(|ended| ended > 0))
    }

    /// Logs out every device for which `is_out` says so, out of those that are listed. The outcome
    /// tells how many these are.
    ///
    /// # Errors
    ///
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    ///
    /// # Example
    ///
    /// ```
    /// # use relatch::{Authority, Decision, RecordError, User};
    /// use time::{Duration, OffsetDateTime};
    ///
    /// fn log_out_the_old(authority: &Authority, user: &dyn User) -> Result<Decision<usize>, RecordError> {
    ///     let start = OffsetDateTime::now_utc() - Duration::days(30);
    ///     authority.revoke_where(user, |session| session.started_at() < start)
    /// }
    /// ```
    pub fn revoke_where(
        &self,
        user: &dyn User,
        mut is_out: impl FnMut(&SessionInfo) -> bool,
    ) -> Result<Decision<usize>, RecordError> {
        let (version, policy, now) = (version(user)?, self.settings.sessions, self.now());
        self.end(user, |slot| {
            slot.is_alive(version, &policy, now) && is_out(&SessionInfo::of(slot, &policy))
        })
    }

    /// Logs all devices out but that of this session, which stays alive with fresh tokens.
    ///
    /// The version moves, and the kept session begins anew under its old label and start, in the
    /// context in which its token was presented: **every token of the user but those in the
    /// outcome is dead**, copies of the caller's own too, and tokens without a session.
    ///
    /// # Security
    ///
    /// - It is decided on the record that the session was verified on ([`Session::user`]): let the
    ///   store compare with that very record. Where it was changed meanwhile, verify the token
    ///   again: what changed may have been a revocation of this session.
    /// - It hands a refresh token to whoever holds an access token. Ask for the password first, as
    ///   for a password change, so that the thief of an access token gains nothing by it.
    /// - Live connections of the caller's own end as well: they open again with the fresh token.
    ///
    /// # Errors
    ///
    /// [`IssueError`], above all [`NoSession`](IssueError::NoSession) if the session's token was
    /// issued without one, and [`SessionOver`](IssueError::SessionOver) if it has expired since it
    /// was verified, or is of another authority.
    pub fn log_out_others<U: User, C>(
        &self,
        session: &Session<U, C>,
    ) -> Result<Decision<SessionTokens>, IssueError> {
        self.issue::<Access>(session.user(), &NoClaims {}).log_out_others(session)
    }

    /// [`log_out_others`](Self::log_out_others) with a new password: `changed` is the record that
    /// the session was verified on, with the new hash, which is to be stored with the change. The
    /// store compares with the record as it was.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_others`](Self::log_out_others), and
    /// [`SameCredential`](IssueError::SameCredential) for a record without another hash.
    ///
    /// # Example
    ///
    /// ```
    /// # use std::io;
    /// # use relatch::{Authority, Binding, Change, Committed, Session, SessionTokens, User};
    /// # #[derive(Clone)]
    /// # struct Account { password_hash: String }
    /// # impl User for Account {
    /// #     fn id(&self) -> &str { "alice" }
    /// #     fn binding(&self) -> Binding<'_> { Binding::password_hash(&self.password_hash) }
    /// # }
    /// # fn store(read: &Account, new: &Account, change: &Change) -> io::Result<bool> { Ok(true) }
    /// fn change_password(
    ///     authority: &Authority,
    ///     session: &Session<Account>,
    ///     password_hash: String,
    /// ) -> Result<Committed<SessionTokens>, Box<dyn std::error::Error>> {
    ///     let read = session.user();
    ///     let new = Account { password_hash, ..read.clone() }; // and no carry
    ///     let decision = authority.change_password(session, &new)?;
    ///     // `UPDATE … SET password_hash = new … WHERE password_hash = read …`
    ///     Ok(decision.commit(|change| store(read, &new, change))?)
    /// }
    /// ```
    pub fn change_password<U: User, C>(
        &self,
        session: &Session<U, C>,
        changed: &dyn User,
    ) -> Result<Decision<SessionTokens>, IssueError> {
        self.issue::<Access>(changed, &NoClaims {}).change_password(session)
    }

    /// Starts this session anew, after its user has authenticated once more: it ends, with every token
    /// of it, and another one begins now in its place, under its label and in the context in which its
    /// token was presented. Other devices stay logged in.
    ///
    /// So [`started_at`](SessionInfo::started_at) says when the user last authenticated, the absolute
    /// lifetime begins anew, and no copy of an older token shares what the user has just proven.
    ///
    /// # Security
    ///
    /// - **Ask for the password, the passkey or the code first.** It gives a session at its beginning,
    ///   with a refresh token, to whoever holds an access token.
    /// - As with [`log_out_others`](Self::log_out_others), it is decided on the record that the session
    ///   was verified on, and live connections of the old session end.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_others`](Self::log_out_others).
    pub fn restart_session<U: User, C>(
        &self,
        session: &Session<U, C>,
    ) -> Result<Decision<SessionTokens>, IssueError> {
        self.issue::<Access>(session.user(), &NoClaims {}).restart_session(session)
    }

    /// Logs the user out everywhere: the version moves, so every token is dead, and the list of
    /// sessions is empty.
    ///
    /// # Errors
    ///
    /// [`RecordError::Exhausted`] if the version has used up its range.
    pub fn log_out_everywhere(&self, user: &dyn User) -> Result<Decision<()>, RecordError> {
        Ok(Decision::new(Some(Change::logged_out(user, self.now())?), ()))
    }

    fn end(
        &self,
        user: &dyn User,
        is_out: impl FnMut(&Slot) -> bool,
    ) -> Result<Decision<usize>, RecordError> {
        let (next, ended) = table(user)?.without(self.now(), is_out);
        let change = (ended > 0).then(|| Change::none(user).with_sessions(next));
        Ok(Decision::new(change, ended))
    }

    /// The refresh token in force for this slot.
    fn refresh_token(
        &self,
        user: &dyn User,
        record: &Record<'_>,
        context: &Context,
        slot: &Slot,
    ) -> Result<RefreshToken, IssueError> {
        let seconds = |at: i64| {
            let at = u64::try_from(at).ok().filter(|at| *at <= MAX_NUMERIC_DATE);
            at.ok_or(IssueError::Clock)
        };
        self.mint(Draft {
            kind: Kind::refresh(),
            user_id: user.id(),
            record,
            context,
            audience: &[&self.settings.audience],
            iat: seconds(slot.last_seen)?,
            exp: seconds(slot.ends_at(&self.settings.sessions))?,
            session: Some(slot.id()),
            seq: Some(slot.seq),
            own: &|_| Ok(()),
        })
    }
}

impl<'a, C: Serialize + DeserializeOwned> Issue<'a, Access<C>> {
    /// Starts a session: [`Authority::start_session`] with claims, a lifetime, an audience or a
    /// context for its access token. The context binds the refresh token as well; the rest holds
    /// for the first access token alone, and each refresh sets it anew.
    ///
    /// # Errors
    ///
    /// Those of [`Authority::start_session`].
    pub fn start_session(self, label: &str) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let record = self.record()?;
        let now = self.authority.now();
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let policy = &self.authority.settings.sessions;
        let Started { table, slot, evicted } =
            table(self.user)?.start(Label::clean(label), record.version, policy, now)?;
        let mut tokens = self.tokens(&record, &self.context, now, &slot)?;
        tokens.evicted = evicted.map(|slot| SessionInfo::of(&slot, policy));
        Ok(Decision::new(Some(Change::none(self.user).with_sessions(table)), tokens))
    }

    /// Logs all other devices out: [`Authority::log_out_others`] with claims, a lifetime or an
    /// audience for the access token of the one that stays. To be started for
    /// [`Session::user`].
    ///
    /// # Errors
    ///
    /// Those of [`Authority::log_out_others`], and [`SessionOver`](IssueError::SessionOver) for
    /// another record than that.
    pub fn log_out_others<U: User, D>(
        self,
        session: &Session<U, D>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let (read, record) = self.both_records(session)?;
        match record.has_credential_of(&read) {
            true => self.keep_only(session, record),
            false => Err(IssueError::SessionOver(over(Reason::BadSignature))),
        }
    }

    /// [`log_out_others`](Self::log_out_others) with a new password: [`Authority::change_password`]
    /// with claims, a lifetime or an audience. To be started for [`Session::user`] with the new
    /// hash.
    ///
    /// # Errors
    ///
    /// Those of [`Authority::change_password`].
    pub fn change_password<U: User, D>(
        self,
        session: &Session<U, D>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let (read, record) = self.both_records(session)?;
        match record.has_credential_of(&read) {
            true => Err(IssueError::SameCredential),
            false => self.keep_only(session, record),
        }
    }

    /// Starts this session anew: [`Authority::restart_session`] with claims, a lifetime or an audience
    /// for its first access token. To be started for [`Session::user`]; where the hash is replaced
    /// along with it, for that record with the new hash and the carry.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_others`](Self::log_out_others).
    pub fn restart_session<U: User, D>(
        self,
        session: &Session<U, D>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let (read, record) = self.both_records(session)?;
        match record.has_credential_of(&read) {
            true => self.begin_anew(session, &record),
            false => Err(IssueError::SessionOver(over(Reason::BadSignature))),
        }
    }

    /// The record that the session was verified on, and the one that tokens are to be issued for,
    /// which must be the same but for the credential.
    fn both_records<'s, U: User, D>(
        &self,
        session: &'s Session<U, D>,
    ) -> Result<(Record<'s>, Record<'a>), IssueError>
    where
        'a: 's,
    {
        let settings = &self.authority.settings;
        let read = Record::of(settings, Kind::of::<Access<C>>(settings), session.user())?;
        let record = self.record()?;
        let registered = session.registered();
        let is_of = |audience: &str| registered.audience().any(|each| each == audience);
        let reason = match () {
            () if registered.issuer() != Some(&*settings.issuer) => Reason::WrongIssuer,
            () if !is_of(&settings.audience) => Reason::WrongAudience,
            () if registered.subject() != self.user.id() => Reason::UserMismatch,
            () if record.version != read.version => Reason::RevokedByVersion,
            () if record.outer != read.outer => Reason::BadSignature,
            () => return Ok((read, record)),
        };
        Err(IssueError::SessionOver(over(reason)))
    }

    fn keep_only<U, D>(
        self,
        session: &Session<U, D>,
        mut record: Record<'_>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        self.lacks_context()?;
        let now = self.authority.now();
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let registered = session.registered();
        let id = registered.session_id().ok_or(IssueError::NoSession)?;
        if now >= registered.expires_at() + self.authority.leeway() {
            return Err(IssueError::SessionOver(over(Reason::Expired)));
        }
        let table = table(self.user)?;
        let own = table
            .admit(id, &self.authority.settings.sessions, now)
            .map_err(|reason| IssueError::SessionOver(over(reason)))?;
        let version = following(self.user.binding().current_version(), now)?;
        record.move_version(version)?;
        let (table, slot) = table.keep_only(own, record.version, now)?;
        let tokens = self.tokens(&record, session.context(), now, &slot)?;
        let change = Change::none(self.user).with_version(version).with_sessions(table);
        Ok(Decision::new(Some(change), tokens))
    }

    fn begin_anew<U, D>(
        self,
        session: &Session<U, D>,
        record: &Record<'_>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        self.lacks_context()?;
        let now = self.authority.now();
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let id = session.id().ok_or(IssueError::NoSession)?;
        let is_over = |reason| IssueError::SessionOver(over(reason));
        if now >= session.registered().expires_at() + self.authority.leeway() {
            return Err(is_over(Reason::Expired));
        }
        let (table, policy) = (table(self.user)?, &self.authority.settings.sessions);
        let own = table.admit(id, policy, now).map_err(is_over)?;
        let (table, slot) = table.restart(own, record.version, now)?;
        let tokens = self.tokens(record, session.context(), now, &slot)?;
        Ok(Decision::new(Some(Change::none(self.user).with_sessions(table)), tokens))
    }

    /// No other context can be set where one was presented.
    pub(super) fn lacks_context(&self) -> Result<(), IssueError> {
        match self.context.is_empty() {
            true => Ok(()),
            false => Err(IssueError::ContextPresented),
        }
    }

    /// The access token and the refresh token of this slot.
    pub(super) fn tokens(
        &self,
        record: &Record<'_>,
        context: &Context,
        now: OffsetDateTime,
        slot: &Slot,
    ) -> Result<SessionTokens<C>, IssueError> {
        let session = SessionInfo::of(slot, &self.authority.settings.sessions);
        let access = self.mint(record, context, now, Some(&session))?;
        let refresh = self.authority.refresh_token(self.user, record, context, slot)?;
        Ok(SessionTokens { access, refresh, session, evicted: None })
    }
}

const fn over(reason: Reason) -> Rejection {
    Rejection::new(Stage::Session, reason)
}

fn version(user: &dyn User) -> Result<u64, RecordError> {
    count(user.binding().current_version())
}

/// The table of a record that has one.
pub(super) fn table(user: &dyn User) -> Result<&SessionTable, RecordError> {
    user.sessions().ok_or(RecordError::Sessions)
}

/// What a device is handed at login and at each refresh.
#[must_use]
pub struct SessionTokens<C = NoClaims> {
    access: Token<Access<C>>,
    refresh: RefreshToken,
    session: SessionInfo,
    evicted: Option<SessionInfo>,
}

impl<C> SessionTokens<C> {
    /// The access token, for each request.
    pub const fn access(&self) -> &Token<Access<C>> {
        &self.access
    }

    /// The refresh token, for the next refresh alone.
    ///
    /// # Security
    ///
    /// It is the session. Keep it where scripts cannot read it and where it is sent to the refresh
    /// endpoint alone: an `HttpOnly` cookie with that path.
    pub const fn refresh(&self) -> &RefreshToken {
        &self.refresh
    }

    /// The session they are of.
    #[must_use]
    pub const fn session(&self) -> &SessionInfo {
        &self.session
    }

    /// The session that this login put an end to, all slots being taken.
    #[must_use]
    pub const fn evicted(&self) -> Option<&SessionInfo> {
        self.evicted.as_ref()
    }

    /// The two tokens as values of their own.
    #[must_use]
    pub fn into_parts(self) -> (Token<Access<C>>, RefreshToken) {
        (self.access, self.refresh)
    }
}

impl<C> fmt::Debug for SessionTokens<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTokens")
            .field("session", &self.session)
            .field("evicted", &self.evicted)
            .finish_non_exhaustive()
    }
}
