//! Refresh: the exchange of a refresh token for new tokens, and the detection of reuse.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::{
    Authority,
    issue::{ClaimsFor, Issuance},
    kernel::{kind::Kind, record::Record},
    one_time::OpenedOnce,
    session_tokens::SessionTokens,
    sessions,
};
use crate::{
    authority::{
        decision::{Change, Decision},
        error::{IssueError, RefreshError},
    },
    clock::to_numeric_date,
    rejection::{Reason, Rejection, Stage},
    sessions::{
        Rotation, SessionId, Slot,
        event::{EventKind, SessionEvent},
        instant,
    },
    token::{
        RefreshToken,
        claims::private,
        purpose::{Access, NoClaims, Refresh},
    },
    user::{User, sessions_of},
};

impl Authority {
    /// Checks a refresh token as far as possible without the user's record: the first of two steps
    /// of a refresh. Look up [`OpenedOnce::user_id`], then call [`OpenedOnce::refresh`], or
    /// [`Issuance::refresh`] if the access token has private claims.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] up to [`Stage::Validity`].
    ///
    /// # Example
    ///
    /// ```
    /// use std::error::Error;
    ///
    /// use relatch::{Authority, authority::{Change, Committed}, RefreshToken, SessionTokens, User};
    ///
    /// /// Your database.
    /// trait Users {
    ///     type User: User;
    ///     fn find(&self, id: &str) -> Result<Option<Self::User>, std::io::Error>;
    ///     fn compare_and_set(&self, read: &Self::User, change: &Change) -> Result<bool, std::io::Error>;
    /// }
    ///
    /// fn refresh(
    ///     authority: &Authority,
    ///     users: &impl Users,
    ///     token: RefreshToken,
    /// ) -> Result<SessionTokens, Box<dyn Error>> {
    ///     let opened = authority.open_refresh(token)?;
    ///     for _ in 0..5 {
    ///         let user = users.find(opened.user_id())?.ok_or_else(|| opened.unknown_user())?;
    ///         let decision = opened.refresh(&user)?;
    ///         let committed = decision.commit(|change| users.compare_and_set(&user, change))?;
    ///         let Committed::Stored(refreshed) = committed else { continue };
    ///         if let Some(event) = refreshed.event() {
    ///             eprintln!("{event}");
    ///         }
    ///         return Ok(refreshed.into_tokens()?);
    ///     }
    ///     Err("the record was changed at each attempt".into())
    /// }
    /// ```
    pub fn open_refresh(&self, token: RefreshToken) -> Result<OpenedOnce<'_, Refresh>, Rejection> {
        OpenedOnce::new(&self.core, Kind::refresh(), token)
    }
}

impl OpenedOnce<'_, Refresh> {
    /// Refreshes, for an access token without private claims: see [`Issuance::refresh`].
    ///
    /// # Errors
    ///
    /// Those of [`Issuance::refresh`].
    pub fn refresh(&self, user: &dyn User) -> Result<Decision<Refreshed>, RefreshError> {
        Issuance::<Access>::new(self.core, user, ClaimsFor::Given(&NoClaims {})).refresh(self)
    }

    /// Logs out the session that this token belongs to, instead of refreshing it (RFC 7009). The
    /// outcome is whether the record had that session.
    ///
    /// It accepts every genuine token of the session. A token that was used up counts too: this is
    /// not reuse, and nothing is reported. A token that is ahead of the record, as after a restored
    /// backup, counts as well. A token of a session that the record does not have, no longer or not
    /// yet, changes nothing: it cannot end the next session in the slot.
    ///
    /// # Errors
    ///
    /// [`RefreshError::Rejected`] for a token that a refresh would refuse as not genuine, and
    /// [`RefreshError::Record`]. In both cases nothing is changed.
    pub fn log_out(&self, user: &dyn User) -> Result<Decision<bool>, RefreshError> {
        self.confirm(user, self.core.now())?;
        let (session, _) = self.session()?;
        if private::has_any(self.own_token.payload.own()) {
            return Err(Rejection::new(Stage::Application, Reason::ApplicationClaims).into());
        }
        sessions::log_out(user, session, self.core.now()).map_err(RefreshError::Record)
    }

    /// The session and the sequence number of this token, if a refresh on this record would give tokens:
    /// a way to look without a refresh. `None` if the refresh would be reuse, or ahead of the record.
    ///
    /// # Errors
    ///
    /// Those of [`refresh`](Self::refresh).
    #[cfg(feature = "axum")]
    pub(crate) fn current(
        &self,
        user: &dyn User,
    ) -> Result<Option<(SessionId, u64)>, RefreshError> {
        let now = self.core.now();
        let record = self.confirm(user, now)?;
        Ok(match self.rotation(user, &record, now)? {
            (_, Rotation::Reused { .. } | Rotation::Ahead(..)) => None,
            (session, _) => Some(session),
        })
    }

    /// What a refresh with this token does to the sessions of this record.
    fn rotation(
        &self,
        user: &dyn User,
        record: &Record<'_>,
        now: OffsetDateTime,
    ) -> Result<((SessionId, u64), Rotation), RefreshError> {
        let session = self.session()?;
        let table = sessions_of(user).map_err(RefreshError::Record)?;
        let policy = &self.core.settings.sessions;
        let rotation = table.rotate(session, record.session_tag(), policy, now);
        let rotation = rotation.map_err(|reason| Rejection::new(Stage::Session, reason))?;
        match private::has_any(self.own_token.payload.own()) {
            true => Err(Rejection::new(Stage::Application, Reason::ApplicationClaims).into()),
            false => Ok((session, rotation)),
        }
    }

    /// The claims `sid` and `seq`. The kernel rejects refresh tokens without them.
    fn session(&self) -> Result<(SessionId, u64), Rejection> {
        let claims = self.own_token.payload.claims();
        claims.session.zip(claims.seq).ok_or(Rejection::new(Stage::Claims, Reason::Malformed))
    }

    fn event(
        &self,
        kind: EventKind,
        (session_id, presented): (SessionId, u64),
        slot: Option<&Slot>,
        at: OffsetDateTime,
    ) -> SessionEvent {
        SessionEvent {
            kind,
            user_id: self.user_id().to_owned(),
            session_id,
            label: slot.map(|slot| slot.label.as_str().to_owned()),
            jti: self.own_token.payload.jti().to_owned(),
            presented,
            current: slot.map(|slot| slot.seq),
            last_seen: slot.map(|slot| instant(slot.last_seen)),
            at,
            ended: 0,
        }
    }
}

impl<C: Serialize + DeserializeOwned> Issuance<'_, Access<C>> {
    /// Exchanges a refresh token for its successor and a new access token. The access token has the
    /// private claims, lifetime and audience that were set here, and both are bound to the context
    /// in which the refresh token was presented.
    ///
    /// - The current token yields its successor. It is used up when the change is stored.
    /// - Within the policy's grace, its predecessor yields *the same* successor again: two concurrent
    ///   tabs or a lost response log nobody out. The text is the same byte for byte, unless the key
    ///   ring or the policy was changed in between. Nothing is stored, unless two parties may have
    ///   the predecessor by a late repeat: then the first time is stored.
    /// - Where the policy allows a [late repeat](crate::SessionPolicy::late_repeat), the predecessor
    ///   does so also later, until its successor is used. The first time, this is stored.
    /// - An older token, or the predecessor at any other time, is reuse: the session ends.
    ///
    /// # Security
    ///
    /// Read the record from the primary database: the record on a replica may be older than the
    /// token.
    ///
    /// # Errors
    ///
    /// [`RefreshError`]: nothing was changed.
    pub fn refresh(
        self,
        opened: &OpenedOnce<'_, Refresh>,
    ) -> Result<Decision<Refreshed<C>>, RefreshError> {
        if !self.core.is_of(opened.core) {
            return Err(IssueError::OtherAuthority.into());
        }
        let now = self.core.now();
        let record = opened.confirm(self.user, now)?;
        self.lacks_context()?;
        to_numeric_date(now).ok_or(IssueError::Clock)?;
        let (session, rotation) = opened.rotation(self.user, &record, now)?;
        let context = opened.token.context();
        let event = |kind, slot| opened.event(kind, session, slot, now);
        Ok(match rotation {
            Rotation::Advanced(table, slot) => Decision::new(
                Some(Change::none(self.user).with_sessions(table)),
                Refreshed::Rotated(self.tokens(&record, context, now, &slot)?),
            ),
            Rotation::Repeated(table, slot) => Decision::new(
                table.map(|table| Change::none(self.user).with_sessions(table)),
                Refreshed::Repeated(
                    self.tokens(&record, context, now, &slot)?,
                    Some(event(EventKind::GraceHit, Some(&slot))),
                ),
            ),
            Rotation::RepeatedLate(table, slot) => {
                let is_first = table.is_some();
                Decision::new(
                    table.map(|table| Change::none(self.user).with_sessions(table)),
                    Refreshed::Repeated(
                        self.tokens(&record, context, now, &slot)?,
                        is_first.then(|| event(EventKind::LateRepeat, Some(&slot))),
                    ),
                )
            }
            Rotation::Reused { table, slot, ended } => Decision::new(
                Some(Change::none(self.user).with_sessions(table)),
                Refreshed::Reused(SessionEvent { ended, ..event(EventKind::Reuse, Some(&slot)) }),
            ),
            Rotation::Ahead(reason, slot) => Decision::new(
                None,
                Refreshed::Ahead(reason, event(EventKind::RolledBack, slot.as_ref())),
            ),
        })
    }
}

/// The outcome of a refresh with a genuine refresh token.
#[non_exhaustive]
#[must_use]
pub enum Refreshed<C = NoClaims> {
    /// The token was current: its successor, and a new access token.
    Rotated(SessionTokens<C>),
    /// The token was used before, within the grace or the time for a late repeat: the same successor
    /// again. The event is [`GraceHit`](EventKind::GraceHit) for each repeat within the grace, and
    /// [`LateRepeat`](EventKind::LateRepeat) for the first late repeat; further late repeats have none.
    Repeated(SessionTokens<C>, Option<SessionEvent>),
    /// The token had already been used up: the sessions that the policy names were ended.
    Reused(SessionEvent),
    /// The token is ahead of the record, with this reason: nothing was changed.
    Ahead(Reason, SessionEvent),
}

impl<C> Refreshed<C> {
    /// The security event of this outcome, if any.
    #[must_use]
    pub const fn event(&self) -> Option<&SessionEvent> {
        match self {
            Self::Rotated(_) => None,
            Self::Repeated(_, event) => event.as_ref(),
            Self::Reused(event) | Self::Ahead(_, event) => Some(event),
        }
    }

    /// The tokens for the client. Log the [`event`](Self::event) first.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] if the outcome has no tokens.
    pub fn into_tokens(self) -> Result<SessionTokens<C>, Rejection> {
        match self {
            Self::Rotated(tokens) | Self::Repeated(tokens, _) => Ok(tokens),
            Self::Reused(_) => Err(Rejection::new(Stage::Session, Reason::RefreshReused)),
            Self::Ahead(reason, _) => Err(Rejection::new(Stage::Session, reason)),
        }
    }
}

impl<C> fmt::Debug for Refreshed<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rotated(tokens) => f.debug_tuple("Rotated").field(tokens).finish(),
            Self::Repeated(tokens, event) => {
                f.debug_tuple("Repeated").field(tokens).field(event).finish()
            }
            Self::Reused(event) => f.debug_tuple("Reused").field(event).finish(),
            Self::Ahead(reason, event) => {
                f.debug_tuple("Ahead").field(reason).field(event).finish()
            }
        }
    }
}
