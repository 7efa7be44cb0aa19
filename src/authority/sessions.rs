//! Sessions of a user: listing them, and ending them by decisions that the application stores.

use time::OffsetDateTime;

use super::Authority;
use crate::{
    authority::{
        decision::{Change, Decision},
        verified::Verified,
    },
    sessions::{SessionId, SessionInfo, Slot},
    user::{RecordError, User, count, sessions_of},
};

impl Authority {
    /// Lists the user's live sessions, the most recently used first.
    ///
    /// An increase of the version by the application's own SQL also removes them from the list, if
    /// it follows the rule of [`Counter::next`](crate::user::Counter::next) on a clock that is not
    /// behind. Sessions that are revoked in another way, by an epoch, by a key or by a password
    /// that SQL changes, stay in this list and in their slots until they expire. To remove them,
    /// set the column to `NULL` in the same statement (never alone: that logs nobody out), or
    /// commit [`log_out_everywhere`](Self::log_out_everywhere) with it.
    ///
    /// # Errors
    ///
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn sessions(&self, user: &dyn User) -> Result<Vec<SessionInfo>, RecordError> {
        let policy = &self.core.settings.sessions;
        let mut sessions: Vec<_> =
            sessions_of(user)?.live(version(user)?, policy, self.core.now()).collect();
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
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn session_info<U: User, C>(
        &self,
        verified: &Verified<U, C>,
    ) -> Result<Option<SessionInfo>, RecordError> {
        let Some(own) = verified.session_id() else { return Ok(None) };
        let (user, policy) = (verified.user(), &self.core.settings.sessions);
        let mut live = sessions_of(user)?.live(version(user)?, policy, self.core.now());
        Ok(live.find(|slot| slot.id() == own).map(|slot| SessionInfo::of(slot, policy)))
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
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
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
        let (version, policy, now) = (version(user)?, self.core.settings.sessions, self.core.now());
        end(user, now, |slot| {
            slot.is_alive(version, &policy, now) && is_out(&SessionInfo::of(slot, &policy))
        })
    }

    /// Logs the user out everywhere: the version increases, which revokes every token, and the list
    /// of sessions becomes empty.
    ///
    /// # Errors
    ///
    /// [`RecordError::Exhausted`] if the version has reached the end of its range.
    pub fn log_out_everywhere(&self, user: &dyn User) -> Result<Decision<()>, RecordError> {
        Ok(Decision::new(Some(Change::logged_out(user, self.core.now())?), ()))
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

fn end(
    user: &dyn User,
    now: OffsetDateTime,
    is_out: impl FnMut(&Slot) -> bool,
) -> Result<Decision<usize>, RecordError> {
    let (next, ended) = sessions_of(user)?.without(now, is_out);
    let change = (ended > 0).then(|| Change::none(user).with_sessions(next));
    Ok(Decision::new(change, ended))
}

fn version(user: &dyn User) -> Result<u64, RecordError> {
    count(user.binding().current_version())
}
