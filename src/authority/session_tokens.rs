//! The tokens of a session, and the session that begins at login.

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
    },
    binding::context::Context,
    clock::{MAX_NUMERIC_DATE, to_numeric_date},
    sessions::{NewSession, NotStarted, SessionInfo, SessionTable, Slot, Started},
    token::{
        RefreshToken, Token,
        purpose::{Access, NoClaims},
    },
    user::{User, sessions_of},
};
#[cfg(feature = "service")]
use crate::{counter::Counter, one_time::NotMe, token::purpose::Purpose};

/// The tokens that a device receives at login and at each refresh.
#[must_use]
pub struct SessionTokens<C = NoClaims> {
    access: Token<Access<C>>,
    refresh: RefreshToken,
    session: SessionInfo,
    evicted: Option<SessionInfo>,
    user_id: String,
    /// The user's lane of [`NotMe`].
    #[cfg(feature = "service")]
    not_me_lane: Option<Counter>,
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

    /// The session that this login ended: the one that the user has chosen
    /// ([`NewSession::in_place_of`]), or the least recently used one, because all slots were taken.
    #[must_use]
    pub const fn evicted(&self) -> Option<&SessionInfo> {
        self.evicted.as_ref()
    }

    /// The id of the user whom the tokens are for.
    #[must_use]
    pub fn user_id(&self) -> &str {
        &self.user_id
    }

    #[cfg(feature = "service")]
    pub(super) const fn not_me_lane(&self) -> Option<Counter> {
        self.not_me_lane
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

    /// Starts a session in this table.
    pub(super) fn start(
        &self,
        record: &Record<'_>,
        table: &SessionTable,
        session: NewSession,
        context: &Context,
        now: OffsetDateTime,
    ) -> Result<(SessionTable, SessionTokens<C>), IssueError> {
        let policy = &self.core.settings.sessions;
        let tag = record.session_tag();
        let started = table.start(session, record.version, tag, policy, now);
        let Started { table, slot, evicted } = started.map_err(|error| match error {
            NotStarted::Full => {
                IssueError::SessionsFull(SessionInfo::list(table.live(tag, policy, now), policy))
            }
            other => other.into(),
        })?;
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
        Ok(SessionTokens {
            access,
            refresh,
            session,
            evicted: None,
            user_id: self.user.id().to_owned(),
            #[cfg(feature = "service")]
            not_me_lane: self.user.lane(NotMe::TYP),
        })
    }
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
