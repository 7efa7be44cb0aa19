//! Sessions of a user: listing them, and ending them by decisions that the application stores.

use time::OffsetDateTime;

use super::Authority;
use crate::{
    authority::{
        decision::{Change, Decision},
        error::IssueError,
        kernel::{kind::Kind, record::Record},
        verified::Verified,
    },
    binding::credential::CredentialError,
    counter::Counter,
    sessions::{SessionData, SessionId, SessionInfo, Slot},
    user::{RecordError, User, sessions_of},
};

impl Authority {
    /// Lists the user's live sessions, the most recently used first: those whose current refresh
    /// token would be accepted on this record.
    ///
    /// Any change that revokes a session's tokens also removes the session from the list, even if the
    /// application's own SQL makes it: another password, a higher version or epoch, a user who is
    /// not active. There are two exceptions, and in both the session stays listed until it expires: a
    /// master key that was removed from the ring or has reached its deadline, if it signed the session's
    /// last token; and a policy with longer lifetimes, if that token, which keeps its `exp`, expires first.
    ///
    /// # Security
    ///
    /// Setting the sessions column to `NULL` makes the list empty, but is not a logout: tokens
    /// without a session stay valid, and no counter records that the others were revoked. SQL that
    /// logs a user out also increases the version in the same statement, as
    /// [`log_out_everywhere`](Self::log_out_everywhere) does.
    ///
    /// # Errors
    ///
    /// [`RecordError`] if the record cannot be used, especially [`RecordError::Sessions`] if it
    /// keeps no sessions.
    pub fn sessions(&self, user: &dyn User) -> Result<Vec<SessionInfo>, RecordError> {
        let policy = &self.core.settings.sessions;
        let mut sessions = self.live_sessions(user, self.core.now())?;
        sessions.sort_by_key(|slot| std::cmp::Reverse((slot.last_seen, slot.generation)));
        Ok(sessions.into_iter().map(|slot| SessionInfo::of(slot, policy)).collect())
    }

    /// The session of a verified token, as [`sessions`](Self::sessions) lists it, from the record
    /// on which the token was verified. `None` if the token has no session, or if its session is no
    /// longer listed.
    ///
    /// [`started_at`](SessionInfo::started_at) is the time of the last authentication on this
    /// device: at login, or at the last
    /// [`Issuance::restart_session`](crate::authority::Issuance::restart_session). Compare it to
    /// require an authentication "within the last ten minutes".
    ///
    /// # Errors
    ///
    /// Those of [`sessions`](Self::sessions).
    pub fn session_info<U: User, C>(
        &self,
        verified: &Verified<U, C>,
    ) -> Result<Option<SessionInfo>, RecordError> {
        let Some(own) = verified.session_id() else { return Ok(None) };
        let live = self.live_sessions(verified.user(), self.core.now())?;
        let found = live.into_iter().find(|slot| slot.id() == own);
        Ok(found.map(|slot| SessionInfo::of(slot, &self.core.settings.sessions)))
    }

    /// Replaces the application's data in a session, or removes it with `None`. The outcome is
    /// whether there was such a session. Private claims that are made from the data
    /// ([`issue_with`](Self::issue_with)) change at the next refresh.
    ///
    /// # Errors
    ///
    /// [`IssueError::SessionData`] for data that is longer than the policy allows, and
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn set_session_data(
        &self,
        user: &dyn User,
        session: SessionId,
        data: Option<SessionData>,
    ) -> Result<Decision<bool>, IssueError> {
        self.core.settings.sessions.check_data(data.as_ref())?;
        let table = sessions_of(user)?;
        let next = table.with_data(session, data);
        let is_found = next.is_some();
        let change = next.filter(|next| next != table);
        let change = change.map(|next| Change::none(user).with_sessions(next));
        Ok(Decision::new(change, is_found))
    }

    /// Logs one device out: the caller's own, by its token's
    /// [`session_id`](crate::token::RegisteredClaims::session_id), or another, by an id from the
    /// list. The outcome is whether there was such a session.
    ///
    /// # Errors
    ///
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn log_out(
        &self,
        user: &dyn User,
        session: SessionId,
    ) -> Result<Decision<bool>, RecordError> {
        log_out(user, session, self.now())
    }

    /// Logs out the listed devices for which `is_out` returns `true`. The outcome is their number.
    ///
    /// # Errors
    ///
    /// Those of [`sessions`](Self::sessions).
    ///
    /// # Example
    ///
    /// ```
    /// # use relatch::{Authority, authority::Decision, User, user::RecordError};
    /// use time::{Duration, OffsetDateTime};
    ///
    /// fn log_out_the_old(authority: &Authority, user: &dyn User) -> Result<Decision<usize>, RecordError> {
    ///     let start = OffsetDateTime::now_utc() - Duration::days(30);
    ///     authority.log_out_where(user, |session| session.started_at() < start)
    /// }
    /// ```
    pub fn log_out_where(
        &self,
        user: &dyn User,
        mut is_out: impl FnMut(&SessionInfo) -> bool,
    ) -> Result<Decision<usize>, RecordError> {
        let (policy, now) = (&self.core.settings.sessions, self.core.now());
        let live = self.live_sessions(user, now)?.into_iter();
        let out: Vec<_> = live.filter(|slot| is_out(&SessionInfo::of(slot, policy))).collect();
        let out: Vec<_> = out.into_iter().map(Slot::id).collect();
        end(user, now, |slot| out.contains(&slot.id()))
    }

    /// Logs the user out everywhere: the version increases, which revokes every token, and the list
    /// of sessions becomes empty. The outcome is the new version, for others who keep a copy of it: each
    /// token of the user with a lower `ver` is revoked.
    ///
    /// # Errors
    ///
    /// [`RecordError::Exhausted`] if the version has reached the end of its range.
    pub fn log_out_everywhere(&self, user: &dyn User) -> Result<Decision<Counter>, RecordError> {
        let change = Change::logged_out(user, self.core.now())?;
        let version = change.version();
        Ok(Decision::new(Some(change), version))
    }

    #[cfg(feature = "axum")]
    pub(crate) fn session_policy(&self) -> &crate::sessions::SessionPolicy {
        &self.core.settings.sessions
    }

    /// The sessions that have a valid refresh token, but for the exceptions of [`sessions`](Self::sessions).
    fn live_sessions<'u>(
        &self,
        user: &'u dyn User,
        now: OffsetDateTime,
    ) -> Result<Vec<&'u Slot>, RecordError> {
        let table = sessions_of(user)?;
        let settings = &self.core.settings;
        if !user.is_active() {
            return Ok(Vec::new());
        }
        match Record::of(settings, Kind::refresh(), user) {
            Ok(record) => Ok(table.live(record.session_tag(), &settings.sessions, now).collect()),
            Err(RecordError::Credential(CredentialError::Empty | CredentialError::Placeholder)) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

/// Ends one session. The outcome is whether the record had it.
pub(super) fn log_out(
    user: &dyn User,
    session: SessionId,
    now: OffsetDateTime,
) -> Result<Decision<bool>, RecordError> {
    Ok(end(user, now, |slot| slot.id() == session)?.map(|ended| ended > 0))
}

/// Ends this session, and all that have begun or restarted since. The outcome is their number.
pub(super) fn end_since(
    user: &dyn User,
    session: SessionId,
    now: OffsetDateTime,
) -> Result<Decision<usize>, RecordError> {
    end(user, now, |slot| slot.generation >= session.generation)
}

fn end(
    user: &dyn User,
    now: OffsetDateTime,
    is_out: impl FnMut(&Slot) -> bool,
) -> Result<Decision<usize>, RecordError> {
    let (next, ended) = sessions_of(user)?.without(now, is_out);
    let change = (ended > 0).then(|| Change::none(user).with_sessions(next));
    Ok(Decision::new(change, ended))
}
