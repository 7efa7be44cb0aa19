//! A token to be issued: its lifetime, audience and context, and its signature.

use std::{borrow::Cow, fmt};

use time::Duration;

use super::kernel::{
    kind::Kind,
    mint::Draft,
    record::{Record, next_lane},
};
use crate::{
    authority::{
        decision::{Change, Decision},
        error::IssueError,
        kernel::core::Core,
    },
    binding::context::Context,
    clock::{MAX_LIFETIME, MAX_NUMERIC_DATE, of_unix_timestamp},
    sessions::{NewSession, SessionInfo},
    token::{
        Token, TokenOptions,
        claims::private,
        purpose::{Purpose, Usage},
    },
    user::User,
};

/// The private claims of a token that is to be issued.
pub(super) enum ClaimsFor<'a, C> {
    Given(&'a C),
    OfSession(&'a dyn Fn(Option<&SessionInfo>) -> C),
}

type OptionsOfSession<'a> = &'a dyn Fn(Option<&SessionInfo>) -> TokenOptions;

/// A token that is to be issued: see [`Authority::issue`](crate::Authority::issue).
#[must_use = "nothing is issued before `sign`"]
pub struct Issuance<'a, P: Purpose> {
    pub(super) core: &'a Core,
    pub(super) user: &'a dyn User,
    claims: ClaimsFor<'a, P::Claims>,
    options: TokenOptions,
    /// In place of the options, for a token with a session.
    options_of_session: Option<OptionsOfSession<'a>>,
    pub(super) context: Context,
    /// The session that an adopted token is exchanged for.
    pub(super) legacy_session: Option<NewSession>,
}

impl<'a, P: Purpose> Issuance<'a, P> {
    pub(super) const fn new(
        core: &'a Core,
        user: &'a dyn User,
        claims: ClaimsFor<'a, P::Claims>,
    ) -> Self {
        Self {
            core,
            user,
            claims,
            options: TokenOptions::new(),
            options_of_session: None,
            context: Context::new(),
            legacy_session: None,
        }
    }

    /// Sets the token's lifetime: [`TokenOptions::lifetime`].
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.options.lifetime = Some(lifetime);
        self
    }

    /// Sets the token's audience, in place of the authority's. Each further call adds one:
    /// [`TokenOptions::audience`].
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.options = self.options.audience(audience);
        self
    }

    /// Sets the lifetime and the audience at once.
    pub fn options(mut self, options: TokenOptions) -> Self {
        self.options = options;
        self
    }

    /// Sets a function that makes the options from the session as it will be stored.
    #[cfg(feature = "service")]
    pub(crate) const fn options_of_session(mut self, options: OptionsOfSession<'a>) -> Self {
        self.options_of_session = Some(options);
        self
    }

    /// Binds the token to a context, which the token does not carry: the code that presents the
    /// token must set the context again with [`Token::in_context`].
    pub fn context(mut self, context: Context) -> Self {
        self.context = context;
        self
    }

    /// Issues the token.
    ///
    /// # Errors
    ///
    /// [`IssueError`]: nothing was issued.
    pub fn sign(self) -> Result<Token<P>, IssueError> {
        let record = self.record()?;
        self.mint(&record, &self.context, self.core.second(), None)
    }

    /// Issues the token, and revokes all older ones of this user and purpose, by increasing the
    /// user's counter for the purpose. Only for a purpose with [`Usage::OnceByLane`]; it does not
    /// compile for others.
    ///
    /// # Errors
    ///
    /// [`IssueError`]: nothing was issued.
    pub fn supersede(self) -> Result<Decision<Token<P>>, IssueError> {
        const {
            assert!(
                matches!(P::USAGE, Usage::OnceByLane),
                "only tokens of a purpose with `Usage::OnceByLane` can be superseded"
            );
        };
        let mut record = self.record()?;
        let now = self.core.now();
        let lane = next_lane::<P>(self.user, now)?;
        record.move_lane(lane)?;
        let token = self.mint(&record, &self.context, now.unix_timestamp(), None)?;
        Ok(Decision::new(Some(Change::none(self.user).with_lane(P::TYP, lane)), token))
    }

    /// The validated record, if a token can be issued for it.
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
        let settings = &self.core.settings;
        Ok(Record::of(settings, Kind::of::<P>(settings), self.user)?)
    }

    /// The token for this record, issued in this second, and for this session, which it does not
    /// outlive.
    pub(super) fn mint(
        &self,
        record: &Record<'_>,
        context: &Context,
        second: i64,
        session: Option<&SessionInfo>,
    ) -> Result<Token<P>, IssueError> {
        let options = match self.options_of_session {
            Some(make) => Cow::Owned(make(session)),
            None => Cow::Borrowed(&self.options),
        };
        let (iat, exp) = self.validity(&options, second, session)?;
        let default = [&*self.core.settings.audience];
        let named = addressees(&options)?;
        self.core.mint(Draft {
            kind: Kind::of::<P>(&self.core.settings),
            user_id: self.user.id(),
            record,
            context,
            audience: if named.is_empty() { &default } else { &named },
            iat,
            exp,
            session: session.map(SessionInfo::id),
            seq: None,
            own: &|json| match self.claims {
                ClaimsFor::Given(claims) => private::add(json, claims),
                ClaimsFor::OfSession(claims) => private::add(json, &claims(session)),
            },
        })
    }

    /// `iat` and `exp`.
    fn validity(
        &self,
        options: &TokenOptions,
        second: i64,
        session: Option<&SessionInfo>,
    ) -> Result<(u64, u64), IssueError> {
        let lifetime = options.lifetime.or(P::LIFETIME).unwrap_or(self.core.settings.lifetime);
        if !(Duration::SECOND..=MAX_LIFETIME).contains(&lifetime) {
            return Err(IssueError::Lifetime);
        }
        let iat = of_unix_timestamp(second).ok_or(IssueError::Clock)?;
        let exp = iat + lifetime.whole_seconds().unsigned_abs();
        let session_end =
            session.map_or(exp, |info| info.expires_at().unix_timestamp().unsigned_abs());
        match exp.min(session_end) {
            exp @ ..=MAX_NUMERIC_DATE => Ok((iat, exp)),
            _ => Err(IssueError::Clock),
        }
    }
}

/// The audiences that were set, if any.
fn addressees(TokenOptions { audience, .. }: &TokenOptions) -> Result<Vec<&str>, IssueError> {
    match audience.iter().any(String::is_empty) {
        true => Err(IssueError::Audience),
        false => Ok(audience.iter().map(String::as_str).collect()),
    }
}

impl<P: Purpose> fmt::Debug for Issuance<'_, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuance")
            .field("typ", &P::TYP)
            .field("user", &self.user.id())
            .field("options", &self.options)
            .field("context", &self.context)
            .finish_non_exhaustive()
    }
}
