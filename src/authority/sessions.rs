//! Sessions: starting, listing and ending them. Each is a decision, which the application stores.

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
    /// The user's sessions that are alive, the one that was used last first.
    ///
    /// A bump of the version by the application's own SQL takes them out as well, if it follows the
    /// rule of [`Counter::next`](crate::user::Counter::next) on a clock that is not behind. What dies in
    /// another way stays in this list, and in its slot, until it runs out: with an epoch, with a
    /// key, with a password that is changed by SQL. There, set the column to `NULL` in that
    /// statement (never alone: that is no logout), or commit [`log_out_everywhere`](Self::log_out_everywhere) with it.
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

    /// This session as [`sessions`](Self::sessions) lists it, on the record that it was verified on:
    /// `None` if its token is of no session, or of one that is no longer listed.
    ///
    /// Its [`started_at`](SessionInfo::started_at) is when the user last authenticated on this
    /// device: at login, or since then by [`Issuance::restart_session`](crate::authority::Issuance::restart_session). What asks for
    /// "within the last ten minutes" compares that.
    ///
    /// # Errors
    ///
    /// [`RecordError::Sessions`] for a record that keeps no sessions.
    pub fn session_info<U: User, C>(
        &self,
        verified: &Verified<U, C>,
    ) -> Result<Option<SessionInfo>, RecordError> {
        let Some(own) = verified.id() else { return Ok(None) };
        let (user, policy) = (verified.user(), &self.core.settings.sessions);
        let mut live = sessions_of(user)?.live(version(user)?, policy, self.core.now());
        Ok(live.find(|slot| slot.id() == own).map(|slot| SessionInfo::of(slot, policy)))
    }

    /// Logs one device out: this one, by its token's
    /// [`session_id`](crate::token::RegisteredClaims::session_id), or that one, by an id out of the list.
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
        log_out(user, session, self.now())
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

    /// Logs the user out everywhere: the version moves, so every token is dead, and the list of
    /// sessions is empty.
    ///
    /// # Errors
    ///
    /// [`RecordError::Exhausted`] if the version has used up its range.
    pub fn log_out_everywhere(&self, user: &dyn User) -> Result<Decision<()>, RecordError> {
        Ok(Decision::new(Some(Change::logged_out(user, self.core.now())?), ()))
    }
}

/// Logs one session out; whether the record had it.
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
