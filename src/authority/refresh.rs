//! Refresh: one token for the next, and what a token that was used before tells.

use std::fmt;

use serde::{Serialize, de::DeserializeOwned};
use time::OffsetDateTime;

use super::{
    Authority, issue::Issuance, kernel::kind::Kind, one_time::OpenedOnce,
    session_tokens::SessionTokens, sessions,
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
    /// The first of two steps of a refresh. Look up [`OpenedOnce::user_id`], then go on with
    /// [`OpenedOnce::refresh`], or with [`Issuance::refresh`] where the access token has claims.
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
    ///         let user = users.find(opened.user_id())?.ok_or(opened.unknown_user())?;
    ///         let decision = opened.refresh(&user)?;
    ///         let committed = decision.commit(|change| users.compare_and_set(&user, change))?;
    ///         let Committed::Stored(refreshed) = committed else { continue };
    ///         if let Some(event) = refreshed.event() {
    ///             eprintln!("{event}");
    ///         }
    ///         return Ok(refreshed.into_tokens()?);
    ///     }
    ///     Err("the record was changed again and again".into())
    /// }
    /// ```
    pub fn open_refresh(&self, token: RefreshToken) -> Result<OpenedOnce<'_, Refresh>, Rejection> {
        OpenedOnce::new(&self.core, Kind::refresh(), token)
    }
}

impl OpenedOnce<'_, Refresh> {
    /// Refreshes: [`Issuance::refresh`] for an access token without claims of the application's own.
    ///
    /// # Errors
    ///
    /// Those of [`Issuance::refresh`].
    pub fn refresh(&self, user: &dyn User) -> Result<Decision<Refreshed>, RefreshError> {
        Issuance::<Access>::new(self.core, user, &NoClaims {}).refresh(self)
    }

    /// Logs out the session that this token is of, in place of refreshing it (RFC 7009); whether the
    /// record had that session.
    ///
    /// Any genuine token of the session will do, one that was used up too: that is no reuse, and
    /// nothing is reported. So will one whose place in the chain the record has not come to, as in a
    /// restored backup. A token of a session that the record does not have, no more or not yet,
    /// changes nothing: it cannot hurt the slot's next occupant.
    ///
    /// # Errors
    ///
    /// [`RefreshError::Rejected`], for a token that a refresh would refuse as not genuine, and
    /// [`RefreshError::Record`]. Nothing was changed then.
    pub fn log_out(&self, user: &dyn User) -> Result<Decision<bool>, RefreshError> {
        self.confirm(user, self.core.now())?;
        let (session, _) = self.session()?;
        if private::has_any(self.own_token.payload.own()) {
            return Err(Rejection::new(Stage::Application, Reason::ApplicationClaims).into());
        }
        sessions::log_out(user, session, self.core.now()).map_err(RefreshError::Record)
    }

    /// `sid` and `seq`, without which the kernel lets no refresh token pass.
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
    /// Exchanges a refresh token for its successor and a fresh access token, with the claims,
    /// lifetime and audience that were set here, in the context in which the refresh token was
    /// presented.
    ///
    /// - The token in force gives its successor, and is used up when that is stored.
    /// - Its predecessor gives *the same* successor again within the policy's grace, byte for byte
    ///   unless the key ring or the policy was changed in between, and nothing is stored: two tabs
    ///   at once, or a response that was lost, log nobody out.
    /// - Anything older, or later, is reuse: the session ends.
    ///
    /// # Security
    ///
    /// Read the record from the primary database: a replica's may be older than the token.
    ///
    /// # Errors
    ///
    /// [`RefreshError`]. Nothing was changed then.
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
        let session = opened.session()?;
        let table = sessions_of(self.user).map_err(RefreshError::Record)?;
        let policy = &self.core.settings.sessions;
        let rotation = table.rotate(session, record.version, policy, now);
        let rotation = rotation.map_err(|reason| Rejection::new(Stage::Session, reason))?;
        if private::has_any(opened.own_token.payload.own()) {
            return Err(Rejection::new(Stage::Application, Reason::ApplicationClaims).into());
        }
        let context = opened.token.context();
        let event = |kind, slot| opened.event(kind, session, slot, now);
        Ok(match rotation {
            Rotation::Advanced(table, slot) => Decision::new(
                Some(Change::none(self.user).with_sessions(table)),
                Refreshed::Rotated(self.tokens(&record, context, now, &slot)?),
            ),
            Rotation::Repeated(slot) => Decision::new(
                None,
                Refreshed::Repeated(
                    self.tokens(&record, context, now, &slot)?,
                    event(EventKind::GraceHit, Some(&slot)),
                ),
            ),
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

/// What presenting a genuine refresh token came to.
#[non_exhaustive]
#[must_use]
pub enum Refreshed<C = NoClaims> {
    /// The token was used, and here is its successor.
    Rotated(SessionTokens<C>),
    /// The token had just been used: the same successor again.
    Repeated(SessionTokens<C>, SessionEvent),
    /// The token had been used up before: what the policy says was ended.
    Reused(SessionEvent),
    /// The token is ahead of the record, for this reason: nothing was changed.
    Ahead(Reason, SessionEvent),
}

impl<C> Refreshed<C> {
    /// What a security team wants to hear of, if anything.
    #[must_use]
    pub const fn event(&self) -> Option<&SessionEvent> {
        match self {
            Self::Rotated(_) => None,
            Self::Repeated(_, event) | Self::Reused(event) | Self::Ahead(_, event) => Some(event),
        }
    }

    /// What the client is answered. Log the [`event`](Self::event) first.
    ///
    /// # Errors
    ///
    /// A [`Rejection`] where there are no tokens.
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
