//! Exchanges of a verified token for new tokens of its session: the other devices are logged out, the
//! password is changed, or the user has authenticated again.

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::{
    issue::Issuance,
    kernel::{kind::Kind, record::Record},
};
use crate::{
    authority::{
        decision::{Change, Decision},
        error::IssueError,
        session_tokens::SessionTokens,
        verified::Verified,
    },
    clock::to_numeric_date,
    rejection::{Reason, Rejection, Stage},
    sessions::{NewSession, Slot},
    token::{purpose::Access, validity::check_validity},
    user::{User, following, sessions_of},
};

impl<'a, C: Serialize + DeserializeOwned> Issuance<'a, Access<C>> {
    /// Sets the session that [`log_out_others`](Self::log_out_others),
    /// [`change_password`](Self::change_password) and [`restart_session`](Self::restart_session) start
    /// for an adopted plain token ([`Verified::is_legacy`]), which has no session. Default: a session
    /// with an empty label. For every other token this setting has no effect.
    pub fn legacy_session(mut self, session: impl Into<NewSession>) -> Self {
        self.legacy_session = Some(session.into());
        self
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
    ///   adopted token this is essential: anybody who knows the legacy secret can make one.
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
    /// [`started_at`](crate::sessions::SessionInfo::started_at) is then the time of the last
    /// authentication, the absolute lifetime starts again, and no copy of an older token profits from the
    /// new authentication.
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
}

const fn over(reason: Reason) -> Rejection {
    Rejection::new(Stage::Session, reason)
}
