//! Sessions and their tokens: at login, after a new password, after a step-up.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::{
    issue::Issuance,
    kernel::{kind::Kind, mint::Draft, record::Record},
};
use crate::{
    authority::{
        Authority,
        decision::{Change, Decision},
        error::IssueError,
        kernel::core::Core,
        verified::Verified,
    },
    binding::context::Context,
    clock::{MAX_NUMERIC_DATE, to_numeric_date},
    rejection::{Reason, Rejection, Stage},
    sessions::{Label, SessionInfo, Slot, Started},
    token::{
        RefreshToken, Token,
        purpose::{Access, NoClaims},
    },
    user::{User, following, sessions_of},
};

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
    /// refuses, and a [`RecordError::Sessions`](crate::user::RecordError::Sessions) for a record that keeps no sessions.
    ///
    /// # Example
    ///
    /// ```
    /// use relatch::{Authority, authority::{Change, Committed}, SessionTokens, User};
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
}

impl<'a, C: Serialize + DeserializeOwned> Issuance<'a, Access<C>> {
    /// Starts a session: [`Authority::start_session`](crate::Authority::start_session) with claims, a lifetime, an audience or a
    /// context for its access token. The context binds the refresh token as well; the rest holds
    /// for the first access token alone, and each refresh sets it anew.
    ///
    /// # Errors
    ///
    /// Those of [`Authority::start_session`](crate::Authority::start_session).
    pub fn start_session(self, label: &str) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let record = self.record()?;
        let now = self.core.now();
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let policy = &self.core.settings.sessions;
        let Started { table, slot, evicted } =
            sessions_of(self.user)?.start(Label::clean(label), record.version, policy, now)?;
        let mut tokens = self.tokens(&record, &self.context, now, &slot)?;
        tokens.evicted = evicted.map(|slot| SessionInfo::of(&slot, policy));
        Ok(Decision::new(Some(Change::none(self.user).with_sessions(table)), tokens))
    }

    /// Logs all devices out but that of this session, which stays alive with fresh tokens.
    ///
    /// The version moves, and the kept session begins anew under its old label and start, in the
    /// context in which its token was presented: **every token of the user but those in the
    /// outcome is dead**, copies of the caller's own too, and tokens without a session.
    ///
    /// # Security
    ///
    /// - It is decided on the record that the session was verified on ([`Verified::user`]): let the
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
    ///
    /// It is to be started for [`Verified::user`]: with another record than that it is
    /// [`SessionOver`](IssueError::SessionOver).
    pub fn log_out_others<U: User, D>(
        self,
        verified: &Verified<U, D>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let (read, record) = self.both_records(verified)?;
        match record.has_credential_of(&read) {
            true => self.keep_only(verified, record),
            false => Err(IssueError::SessionOver(over(Reason::BadSignature))),
        }
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
    /// # use relatch::{Access, Authority, authority::{Change, Committed}, Binding, NoClaims, SessionTokens, User, Verified};
    /// # #[derive(Clone)]
    /// # struct Account { password_hash: String }
    /// # impl User for Account {
    /// #     fn id(&self) -> &str { "alice" }
    /// #     fn binding(&self) -> Binding<'_> { Binding::password_hash(&self.password_hash) }
    /// # }
    /// # fn store(read: &Account, new: &Account, change: &Change) -> io::Result<bool> { Ok(true) }
    /// fn change_password(
    ///     authority: &Authority,
    ///     verified: &Verified<Account>,
    ///     password_hash: String,
    /// ) -> Result<Committed<SessionTokens>, Box<dyn std::error::Error>> {
    ///     let read = verified.user();
    ///     let new = Account { password_hash, ..read.clone() }; // and no carry
    ///     let decision = authority.issue::<Access>(&new, &NoClaims {}).change_password(verified)?;
    ///     // `UPDATE … SET password_hash = new … WHERE password_hash = read …`
    ///     Ok(decision.commit(|change| store(read, &new, change))?)
    /// }
    /// ```
    pub fn change_password<U: User, D>(
        self,
        verified: &Verified<U, D>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let (read, record) = self.both_records(verified)?;
        match record.has_credential_of(&read) {
            true => Err(IssueError::SameCredential),
            false => self.keep_only(verified, record),
        }
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
    ///
    /// It is to be started for [`Verified::user`]; where the hash is replaced along with it, for that
    /// record with the new hash and the carry.
    pub fn restart_session<U: User, D>(
        self,
        verified: &Verified<U, D>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let (read, record) = self.both_records(verified)?;
        match record.has_credential_of(&read) {
            true => self.begin_anew(verified, &record),
            false => Err(IssueError::SessionOver(over(Reason::BadSignature))),
        }
    }

    /// The record that the session was verified on, and the one that tokens are to be issued for,
    /// which must be the same but for the credential.
    fn both_records<'s, U: User, D>(
        &self,
        verified: &'s Verified<U, D>,
    ) -> Result<(Record<'s>, Record<'a>), IssueError>
    where
        'a: 's,
    {
        let settings = &self.core.settings;
        let read = Record::of(settings, Kind::of::<Access<C>>(settings), verified.user())?;
        let record = self.record()?;
        let registered = verified.registered();
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
        verified: &Verified<U, D>,
        mut record: Record<'_>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        self.lacks_context()?;
        let now = self.core.now();
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let registered = verified.registered();
        let id = registered.session_id().ok_or(IssueError::NoSession)?;
        if now >= registered.expires_at() + self.core.leeway() {
            return Err(IssueError::SessionOver(over(Reason::Expired)));
        }
        let table = sessions_of(self.user)?;
        let own = table
            .admit(id, &self.core.settings.sessions, now)
            .map_err(|reason| IssueError::SessionOver(over(reason)))?;
        let version = following(self.user.binding().current_version(), now)?;
        record.move_version(version)?;
        let (table, slot) = table.keep_only(own, record.version, now)?;
        let tokens = self.tokens(&record, verified.context(), now, &slot)?;
        let change = Change::none(self.user).with_version(version).with_sessions(table);
        Ok(Decision::new(Some(change), tokens))
    }

    fn begin_anew<U, D>(
        self,
        verified: &Verified<U, D>,
        record: &Record<'_>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        self.lacks_context()?;
        let now = self.core.now();
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let id = verified.id().ok_or(IssueError::NoSession)?;
        let is_over = |reason| IssueError::SessionOver(over(reason));
        if now >= verified.registered().expires_at() + self.core.leeway() {
            return Err(is_over(Reason::Expired));
        }
        let (table, policy) = (sessions_of(self.user)?, &self.core.settings.sessions);
        let own = table.admit(id, policy, now).map_err(is_over)?;
        let (table, slot) = table.restart(own, record.version, now)?;
        let tokens = self.tokens(record, verified.context(), now, &slot)?;
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
        let session = SessionInfo::of(slot, &self.core.settings.sessions);
        let access = self.mint(record, context, now, Some(&session))?;
        let refresh = refresh_token(self.core, self.user, record, context, slot)?;
        Ok(SessionTokens { access, refresh, session, evicted: None })
    }
}

const fn over(reason: Reason) -> Rejection {
    Rejection::new(Stage::Session, reason)
}

/// The refresh token in force for this slot.
fn refresh_token(
    core: &Core,
    user: &dyn User,
    record: &Record<'_>,
    context: &Context,
    slot: &Slot,
) -> Result<RefreshToken, IssueError> {
    let seconds = |at: i64| {
        let at = u64::try_from(at).ok().filter(|at| *at <= MAX_NUMERIC_DATE);
        at.ok_or(IssueError::Clock)
    };
    core.mint(Draft {
        kind: Kind::refresh(),
        user_id: user.id(),
        record,
        context,
        audience: &[&core.settings.audience],
        iat: seconds(slot.last_seen)?,
        exp: seconds(slot.ends_at(&core.settings.sessions))?,
        session: Some(slot.id()),
        seq: Some(slot.seq),
        own: &|_| Ok(()),
    })
}
