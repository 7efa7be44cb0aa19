//! Issuing a token.

use std::{error, fmt};

use time::{Duration, OffsetDateTime};

use super::{
    Authority,
    kernel::{
        kind::Kind,
        mint::Draft,
        record::{Record, next_lane},
    },
};
use crate::{
    authority::decision::{Change, Decision},
    binding::context::Context,
    clock::{MAX_LIFETIME, MAX_NUMERIC_DATE, to_numeric_date},
    entropy::EntropyError,
    rejection::Rejection,
    sessions::{NoSlot, SessionInfo},
    token::{
        Token,
        claims::private::{self, ClaimsError},
        purpose::{Purpose, Use},
    },
    user::{RecordError, User},
};

/// A token in the making: see [`Authority::issue`].
#[must_use = "nothing is issued before `sign`"]
pub struct Issue<'a, P: Purpose> {
    pub(super) authority: &'a Authority,
    pub(super) user: &'a dyn User,
    claims: &'a P::Claims,
    lifetime: Option<Duration>,
    audience: Vec<String>,
    pub(super) context: Context,
}

impl<'a, P: Purpose> Issue<'a, P> {
    pub(super) const fn new(
        authority: &'a Authority,
        user: &'a dyn User,
        claims: &'a P::Claims,
    ) -> Self {
        let context = Context::new();
        Self { authority, user, claims, lifetime: None, audience: Vec::new(), context }
    }

    /// Sets how long the token lives: 1 second to [`MAX_LIFETIME`]. A fraction of a second is
    /// dropped. An access token never outlives its session.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = Some(lifetime);
        self
    }

    /// Addresses the token to this audience in place of the authority's own. Each further call
    /// adds one. The authority itself then accepts the token only if its own is among them.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience.push(audience.into());
        self
    }

    /// Binds the token to a context, which it does not carry: the token that is returned is not in
    /// it, and whoever presents it puts it there with [`Token::in_context`].
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// Makes the token.
    ///
    /// # Errors
    ///
    /// [`IssueError`]: nothing was issued.
    pub fn sign(self) -> Result<Token<P>, IssueError> {
        let record = self.record()?;
        self.mint(&record, &self.context, self.authority.now(), None)
    }

    /// Makes the token, and all older ones of this user and purpose void: the user's counter for
    /// the purpose moves. For a purpose that is [`Use::OnceByLane`]; of another it does not build.
    ///
    /// # Errors
    ///
    /// [`IssueError`]: nothing was issued.
    pub fn supersede(self) -> Result<Decision<Token<P>>, IssueError> {
        const {
            assert!(
                matches!(P::USE, Use::OnceByLane),
                "only a purpose that is used once by its lane can make older tokens void"
            );
        };
        let mut record = self.record()?;
        let now = self.authority.now();
        let lane = next_lane::<P>(self.user, now)?;
        record.move_lane(lane)?;
        let token = self.mint(&record, &self.context, now, None)?;
        Ok(Decision::new(Some(Change::none(self.user).with_lane(P::TYP, lane)), token))
    }

    /// The user's record, if a token can be issued for it.
    pub(super) fn record(&self) -> Result<Record<'a>, IssueError> {
        if !self.user.is_active() {
            return Err(IssueError::InactiveUser);
        }
        if !self.context.is_sound() {
            return Err(IssueError::Context);
        }
        if let Some(kind) = self.context.lacks(P::CONTEXT) {
            return Err(IssueError::MissingContext { kind });
        }
        let settings = &self.authority.settings;
        Ok(Record::of(settings, Kind::of::<P>(settings), self.user)?)
    }

    /// The token for this record, and for a session, which it does not outlive.
    pub(super) fn mint(
        &self,
        record: &Record<'_>,
        context: &Context,
        now: OffsetDateTime,
        session: Option<&SessionInfo>,
    ) -> Result<Token<P>, IssueError> {
        let (iat, exp) = self.validity(now, session)?;
        let default = [&*self.authority.settings.audience];
        let named = self.addressees()?;
        self.authority.mint(Draft {
            kind: Kind::of::<P>(&self.authority.settings),
            user_id: self.user.id(),
            record,
            context,
            audience: if named.is_empty() { &default } else { &named },
            iat,
            exp,
            session: session.map(SessionInfo::id),
            seq: None,
            own: &|json| private::add(json, self.claims),
        })
    }

    /// `iat` and `exp`.
    fn validity(
        &self,
        now: OffsetDateTime,
        session: Option<&SessionInfo>,
    ) -> Result<(u64, u64), IssueError> {
        let lifetime = self.lifetime.or(P::LIFETIME).unwrap_or(self.authority.settings.lifetime);
        if !(Duration::SECOND..=MAX_LIFETIME).contains(&lifetime) {
            return Err(IssueError::Lifetime);
        }
        let iat = to_numeric_date(now).ok_or(IssueError::Clock)?;
        let exp = iat + lifetime.whole_seconds().unsigned_abs();
        let session_end =
            session.map_or(exp, |info| info.expires_at().unix_timestamp().unsigned_abs());
        match exp.min(session_end) {
            exp @ ..=MAX_NUMERIC_DATE => Ok((iat, exp)),
            _ => Err(IssueError::Clock),
        }
    }

    /// The audiences that were named, if any.
    fn addressees(&self) -> Result<Vec<&str>, IssueError> {
        match self.audience.iter().any(String::is_empty) {
            true => Err(IssueError::Audience),
            false => Ok(self.audience.iter().map(String::as_str).collect()),
        }
    }
}

impl<P: Purpose> fmt::Debug for Issue<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issue")
            .field("typ", &P::TYP)
            .field("user", &self.user.id())
            .field("lifetime", &self.lifetime)
            .field("audience", &self.audience)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}

/// Why a token could not be issued.
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The user is not active.
    InactiveUser,
    /// The user's record is not fit to be bound to.
    Record(RecordError),
    /// The application's claims are not fit for a token.
    Claims(ClaimsError),
    /// The lifetime is not 1 second to [`MAX_LIFETIME`].
    Lifetime,
    /// An audience is empty.
    Audience,
    /// A kind or a value of the context is empty or too long.
    Context,
    /// A kind of context that the purpose demands was not set.
    MissingContext {
        /// The kind.
        kind: &'static str,
    },
    /// The token would be longer than the authority's cap, and so rejected.
    TooLong {
        /// The token's length, in bytes.
        bytes: usize,
        /// The cap, in bytes.
        max: usize,
    },
    /// All of the user's session slots are taken, and the policy refuses a login then
    /// ([`WhenFull::Refuse`](crate::WhenFull::Refuse)).
    SessionsFull,
    /// The session that was to be kept is not alive: its token is as good as rejected.
    SessionOver(Rejection),
    /// The session that was to be kept is that of a token that was issued without one.
    NoSession,
    /// A new password was to be set, and the record has the credential that it had.
    SameCredential,
    /// The new tokens take the context in which the old one was presented, and another one was
    /// set.
    ContextPresented,
    /// The refresh token was opened by another authority.
    OtherAuthority,
    /// The clock stands before 1970 or after 9999.
    Clock,
    /// The source of randomness failed.
    Entropy(EntropyError),
    /// The asymmetric key did not sign.
    Signing,
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InactiveUser => f.write_str("the user is not active"),
            Self::Record(_) => f.write_str("the user's record is not fit to be bound to"),
            Self::Claims(_) => f.write_str("the application's claims are not fit for a token"),
            Self::Lifetime => {
                write!(
                    f,
                    "the lifetime, of the call or of the purpose, takes 1 second to {} days",
                    MAX_LIFETIME.whole_days()
                )
            }
            Self::Audience => f.write_str("an audience is empty"),
            Self::Context => write!(
                f,
                "kinds and values of a context take 1 to {} bytes each",
                Context::MAX_BYTES
            ),
            Self::MissingContext { kind } => write!(
                f,
                "a token of this purpose is bound to the context {kind:?}, which was not set \
                 (`Issue::context`)"
            ),
            Self::TooLong { bytes, max } => write!(
                f,
                "the token takes {bytes} bytes and the cap is {max}: carry fewer claims, or raise \
                 `AuthorityBuilder::max_token_bytes`"
            ),
            Self::SessionsFull => f.write_str(
                "all of the user's sessions are taken: let the user log another device out first, \
                 or evict (`SessionPolicy::when_full`)",
            ),
            Self::SessionOver(_) => f.write_str(
                "the session to keep is over, or the record is another one than it was verified on",
            ),
            Self::NoSession => f.write_str(
                "the token was issued without a session: there is none to keep; log the user out \
                 everywhere instead",
            ),
            Self::SameCredential => f.write_str(
                "the record has the credential that it had: pass it with the new hash, and without \
                 a carry",
            ),
            Self::ContextPresented => f.write_str(
                "the new tokens take the context in which the old one was presented: leave \
                 `Issue::context` out",
            ),
            Self::OtherAuthority => f.write_str(
                "the refresh token was opened by another authority: issue the new ones by that one",
            ),
            Self::Clock => f.write_str("the clock stands before 1970 or after 9999"),
            Self::Entropy(_) => f.write_str("the token got no random id"),
            Self::Signing => f.write_str("the asymmetric key did not sign"),
        }
    }
}

impl error::Error for IssueError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Record(error) => Some(error),
            Self::SessionOver(rejection) => Some(rejection),
            Self::Claims(error) => Some(error),
            Self::Entropy(error) => Some(error),
            _ => None,
        }
    }
}

impl From<NoSlot> for IssueError {
    fn from(error: NoSlot) -> Self {
        match error {
            NoSlot::Full => Self::SessionsFull,
            NoSlot::Exhausted => Self::Record(RecordError::Exhausted),
        }
    }
}

impl From<RecordError> for IssueError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<ClaimsError> for IssueError {
    fn from(error: ClaimsError) -> Self {
        Self::Claims(error)
    }
}

impl From<EntropyError> for IssueError {
    fn from(error: EntropyError) -> Self {
        Self::Entropy(error)
    }
}
