//! Sessions that begin, and their tokens: at login, after a password change, after a step-up.

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
    sessions::{NewSession, SessionInfo, SessionTable, Slot, Started},
    token::{
        RefreshToken, Token,
        purpose::{Access, NoClaims},
        validity::check_validity,
    },
    user::{User, following, sessions_of},
};

/// The tokens that a device receives at login and at each refresh.
#[must_use]
pub struct SessionTokens<C = NoClaims> {
    access: Token<Access<C>>,
    refresh: RefreshToken,
    session: SessionInfo,
    evicted: Option<SessionInfo>,
}

impl<C> SessionTokens<C> {
    /// The access token, for every request.
    pub const fn access(&self) -> &Token<Access<C>> {
        &self.access
    }

    /// The refresh token, only for the next refresh.
    ///
    /// # Security
    ///
    /// The holder of this token has the session. Keep it where scripts cannot read it and where it
    /// is sent only to the refresh endpoint: an `HttpOnly` cookie with that path.
    pub const fn refresh(&self) -> &RefreshToken {
        &self.refresh
    }

    /// The session that the tokens belong to.
    #[must_use]
    pub const fn session(&self) -> &SessionInfo {
        &self.session
    }

    /// The session that this login ended, because all slots were occupied.
    #[must_use]
    pub const fn evicted(&self) -> Option<&SessionInfo> {
        self.evicted.as_ref()
    }

    /// The access token and the refresh token.
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
    /// Starts a session, at login. Use it in place of [`issue_for_user`](Self::issue_for_user) if a
    /// single device can be logged out, or stays logged in for longer than the lifetime of an
    /// access token.
    ///
    /// `session` is a string, the device's label in the list, or a [`NewSession`], which can also
    /// have data, a policy and a fixed end.
    ///
    /// # Security
    ///
    /// As with [`issue_for_user`](Self::issue_for_user), pass the same record whose password was
    /// verified. If the login rehashes the password, pass that record with the new hash and the
    /// carry, and store both with the change.
    ///
    /// # Errors
    ///
    /// [`IssueError`], especially:
    ///
    /// - [`SessionsFull`](IssueError::SessionsFull) if all slots are taken and the policy refuses
    ///   further logins;
    /// - [`SessionEnd`](IssueError::SessionEnd), [`UnknownPolicy`](IssueError::UnknownPolicy) or
    ///   [`SessionData`](IssueError::SessionData) if `session` has a wrong end, policy or data;
    /// - [`RecordError::Sessions`](crate::user::RecordError::Sessions) for a record that keeps no
    ///   sessions.
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
        session: impl Into<NewSession>,
    ) -> Result<Decision<SessionTokens>, IssueError> {
        self.issue::<Access>(user, &NoClaims {}).start_session(session)
    }
}

impl<'a, C: Serialize + DeserializeOwned> Issuance<'a, Access<C>> {
    /// Sets the session that [`log_out_others`](Self::log_out_others),
    /// [`change_password`](Self::change_password) and [`restart_session`](Self::restart_session) start
    /// for an adopted plain token ([`Verified::is_legacy`]), which has no session. Default: a session
    /// with an empty label. For every other token this setting has no effect.
    pub fn legacy_session(mut self, session: impl Into<NewSession>) -> Self {
        self.legacy_session = Some(session.into());
        self
    }

    /// Starts a session as [`Authority::start_session`] does, with private claims, a lifetime, an
    /// audience or a context for its access token. The context also binds the refresh token. The
    /// other settings apply only to the first access token: each refresh sets them again.
    ///
    /// # Errors
    ///
    /// Those of [`Authority::start_session`].
    pub fn start_session(
        self,
        session: impl Into<NewSession>,
    ) -> Result<Decision<SessionTokens<C>>, IssueError> {
        let record = self.record()?;
        let now = self.core.now();
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let table = sessions_of(self.user)?;
        let (table, tokens) = self.start(&record, table, session.into(), &self.context, now)?;
        Ok(Decision::new(Some(Change::none(self.user).with_sessions(table)), tokens))
    }

    /// Logs out all devices except the device of this verified token, whose session continues with
    /// new tokens. Issue for [`Verified::user`].
    ///
    /// The version increases. The session keeps its label, data, policy, start and fixed end under a
    /// new id, and its new tokens are bound to the context in which the verified token was
    /// presented. **Every other token of the user is revoked**, also copies of the caller's own
    /// tokens, tokens without a session, and adopted plain tokens.
    ///
    /// An adopted plain token ([`Verified::is_legacy`]) has no session: a new one starts
    /// ([`legacy_session`](Self::legacy_session)), and the plain token is revoked with the others.
    ///
    /// # Security
    ///
    /// - The decision is made on the record on which the token was verified ([`Verified::user`]).
    ///   The store must compare the row with exactly that record. If the row was changed since
    ///   then, verify the token again: the change may have been a revocation of this session.
    /// - It gives a refresh token to the holder of an access token. Ask for the password first, as
    ///   for a password change, so that the thief of an access token gains nothing by it. For an
    ///   adopted token this is essential: whoever knows the legacy secret can make one.
    /// - The caller's own live connections end as well. They reconnect with the new token.
    ///
    /// # Errors
    ///
    /// [`IssueError`], especially [`NoSession`](IssueError::NoSession) if the token is one of relatch
    /// that was issued without a session, and [`SessionOver`](IssueError::SessionOver) if the token
    /// has expired since it was verified, belongs to another authority, or was verified on another
    /// record than this one.
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

    /// Logs out the other devices as [`log_out_others`](Self::log_out_others) does, with a new
    /// password. Issue for the record on which the token was verified, with the new hash. Store the
    /// new hash with the change; the store compares the row with the record as it was before. An adopted
    /// plain token is revoked as well, and its device continues in a new session.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_others`](Self::log_out_others), and
    /// [`SameCredential`](IssueError::SameCredential) if the record's hash is not a new one.
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

    /// Restarts the session of this verified token, after its user has authenticated again. The
    /// session ends with all its tokens, and a new one starts in its place, with the same label,
    /// data, policy and fixed end. Its tokens are bound to the context in which the verified token
    /// was presented. Other devices stay logged in.
    ///
    /// [`started_at`](SessionInfo::started_at) is then the time of the last authentication, the
    /// absolute lifetime starts again, and no copy of an older token profits from the new
    /// authentication.
    ///
    /// Issue for [`Verified::user`]. If the hash is replaced at the same time, issue for that
    /// record with the new hash and the carry.
    ///
    /// # Security
    ///
    /// - **Ask for the password, the passkey or the code first.** It gives a new session, with a
    ///   refresh token, to the holder of an access token.
    /// - As with [`log_out_others`](Self::log_out_others), the decision is made on the record on
    ///   which the token was verified, and live connections of the old session end.
    /// - An adopted plain token ([`Verified::is_legacy`]) has no session to end: a new one starts
    ///   ([`legacy_session`](Self::legacy_session)), and the plain token stays valid until it expires or
    ///   the version increases.
    ///
    /// # Errors
    ///
    /// Those of [`log_out_others`](Self::log_out_others); for an adopted token also those of
    /// [`start_session`](Self::start_session), such as [`SessionsFull`](IssueError::SessionsFull).
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

    /// The record on which the token was verified, and the record to issue tokens for. They must be
    /// the same except for the credential.
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
        let adoption = settings.adoption.as_ref();
        let adopted = || match adoption {
            Some(adoption) => adoption.check_accepted(read.version, self.core.now()),
            None => Err(Reason::WrongIssuer),
        };
        let is_own = !verified.is_legacy();
        let reason = match () {
            () if is_own && registered.issuer() != Some(&*settings.issuer) => Reason::WrongIssuer,
            () if is_own && !is_of(&settings.audience) => Reason::WrongAudience,
            () if let (false, Err(reason)) = (is_own, adopted()) => reason,
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
        let own = self.session_of(verified, now)?;
        let version = following(self.user.binding().current_version(), now)?;
        record.move_version(version)?;
        let table = sessions_of(self.user)?;
        let (table, tokens) = match own {
            Some(own) => {
                let tag = record.session_tag();
                let (table, slot) = table.keep_only(own, record.version, tag, now)?;
                (table, self.tokens(&record, verified.context(), now, &slot)?)
            }
            None => {
                let session = self.new_session();
                self.start(&record, &table.emptied(now), session, verified.context(), now)?
            }
        };
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
        let own = self.session_of(verified, now)?;
        let table = sessions_of(self.user)?;
        let (table, tokens) = match own {
            Some(own) => {
                let tag = record.session_tag();
                let (table, slot) = table.restart(own, record.version, tag, now)?;
                (table, self.tokens(record, verified.context(), now, &slot)?)
            }
            None => self.start(record, table, self.new_session(), verified.context(), now)?,
        };
        Ok(Decision::new(Some(Change::none(self.user).with_sessions(table)), tokens))
    }

    /// The session of a verified token, checked again; `None` for an adopted token, which has none.
    fn session_of<U, D>(
        &self,
        verified: &Verified<U, D>,
        now: OffsetDateTime,
    ) -> Result<Option<&'a Slot>, IssueError> {
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let id = match verified.session_id() {
            None if !verified.is_legacy() => return Err(IssueError::NoSession),
            id => id,
        };
        let is_over = |reason| IssueError::SessionOver(over(reason));
        let (exp, settings) = (verified.registered().exp, &self.core.settings);
        check_validity(exp, None, now.unix_timestamp(), settings.leeway)
            .map_err(|rejection| is_over(rejection.reason()))?;
        let Some(id) = id else { return Ok(None) };
        let slot = sessions_of(self.user)?.admit(id, &settings.sessions, now.unix_timestamp());
        slot.map(Some).map_err(is_over)
    }

    /// The session that an adopted token is exchanged for.
    fn new_session(&self) -> NewSession {
        self.legacy_session.clone().unwrap_or_else(|| NewSession::new(""))
    }

    /// Starts a session in this table.
    fn start(
        &self,
        record: &Record<'_>,
        table: &SessionTable,
        session: NewSession,
        context: &Context,
        now: OffsetDateTime,
    ) -> Result<(SessionTable, SessionTokens<C>), IssueError> {
        let policy = &self.core.settings.sessions;
        let tag = record.session_tag();
        let Started { table, slot, evicted } =
            table.start(session, record.version, tag, policy, now)?;
        let mut tokens = self.tokens(record, context, now, &slot)?;
        tokens.evicted = evicted.map(|slot| SessionInfo::of(&slot, policy));
        Ok((table, tokens))
    }

    /// Refuses a context that was set here: the new tokens take the presented one.
    pub(super) fn lacks_context(&self) -> Result<(), IssueError> {
        match self.context.is_empty() {
            true => Ok(()),
            false => Err(IssueError::ContextPresented),
        }
    }

    /// The tokens of the session in this slot.
    pub(super) fn tokens(
        &self,
        record: &Record<'_>,
        context: &Context,
        now: OffsetDateTime,
        slot: &Slot,
    ) -> Result<SessionTokens<C>, IssueError> {
        let session = SessionInfo::of(slot, &self.core.settings.sessions);
        let access = self.mint(record, context, now.unix_timestamp(), Some(&session))?;
        let refresh = refresh_token(self.core, self.user, record, context, slot)?;
        Ok(SessionTokens { access, refresh, session, evicted: None })
    }
}

const fn over(reason: Reason) -> Rejection {
    Rejection::new(Stage::Session, reason)
}

/// The current refresh token of the session in this slot.
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
        exp: seconds(slot.end(&core.settings.sessions))?,
        session: Some(slot.id()),
        seq: Some(slot.seq),
        own: &|_| Ok(()),
    })
}
