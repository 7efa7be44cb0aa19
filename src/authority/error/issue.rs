//! Errors of issuing.

use std::{error, fmt};

use crate::{
    binding::context::Context,
    clock::MAX_LIFETIME,
    entropy::EntropyError,
    rejection::Rejection,
    sessions::{DataTooLong, NotStarted, SessionInfo},
    token::claims::private::ClaimsError,
    user::RecordError,
};

/// Why a token could not be issued, or a session not be changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum IssueError {
    /// The user is not active.
    InactiveUser,
    /// The user's record cannot be used.
    Record(RecordError),
    /// The private claims cannot be written into a token.
    Claims(ClaimsError),
    /// The lifetime is not between 1 second and [`MAX_LIFETIME`](crate::token::MAX_LIFETIME).
    Lifetime,
    /// An audience is empty.
    Audience,
    /// A kind or a value of the context is empty or too long.
    Context,
    /// A kind of context that the purpose requires was not set.
    MissingContext {
        /// The kind.
        kind: &'static str,
    },
    /// The token would be longer than the authority's cap, and would be rejected.
    TooLong {
        /// The token's length, in bytes.
        bytes: usize,
        /// The cap, in bytes.
        max: usize,
    },
    /// All of the user's slots are taken by these sessions, the most recently used first, and the policy
    /// then refuses a login ([`WhenFull::Refuse`](crate::sessions::WhenFull::Refuse)). Let the user choose
    /// the one to end ([`NewSession::in_place_of`](crate::sessions::NewSession::in_place_of)).
    SessionsFull(Vec<SessionInfo>),
    /// The end that was set for the new session
    /// ([`NewSession::ends_at`](crate::sessions::NewSession::ends_at)) is not in the future.
    SessionEnd,
    /// The new session's policy
    /// ([`NewSession::policy`](crate::sessions::NewSession::policy)) is not one of the authority's.
    UnknownPolicy {
        /// The name.
        name: String,
    },
    /// The session's data is longer than the policy's bound
    /// ([`SessionPolicy::max_data_bytes`](crate::SessionPolicy::max_data_bytes)).
    SessionData {
        /// The length of the data as JSON, in bytes.
        bytes: usize,
        /// The bound, in bytes.
        max: usize,
    },
    /// The session to keep has ended, or the verified token does not fit the record: treat it as
    /// rejected, for this reason.
    SessionOver(Rejection),
    /// The verified token was issued without a session, so there is no session to keep.
    NoSession,
    /// The record has the old credential, but a new password should be set.
    SameCredential,
    /// A context was set, but the new tokens take the context in which the old token was presented.
    ContextPresented,
    /// The refresh token was opened by another authority.
    OtherAuthority,
    /// This authority has used another purpose whose `typ` differs only in case, or whose `typ` is
    /// the same but whose [`Purpose::PORTABLE`](crate::Purpose::PORTABLE) is not.
    AmbiguousType {
        /// The `typ` of the refused purpose.
        typ: &'static str,
    },
    /// The clock is before 1970 or after 9999.
    Clock,
    /// The source of randomness failed.
    Entropy(EntropyError),
    /// The asymmetric key could not sign.
    Signing,
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InactiveUser => f.write_str("the user is not active"),
            Self::Record(_) => f.write_str("the user's record cannot be used"),
            Self::Claims(_) => f.write_str("the private claims cannot be written into a token"),
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
                 (`Issuance::context`)"
            ),
            Self::TooLong { bytes, max } => write!(
                f,
                "the token has {bytes} bytes and the cap is {max}: carry fewer claims, or raise \
                 `AuthorityBuilder::max_token_bytes`"
            ),
            Self::SessionsFull(_) => f.write_str(
                "all of the user's slots are taken: let the user choose a session to end \
                 (`NewSession::in_place_of`), or evict (`SessionPolicy::when_full`)",
            ),
            Self::SessionEnd => f.write_str("the end of the new session is not in the future"),
            Self::UnknownPolicy { name } => write!(
                f,
                "the policy {name:?} of the new session is not configured (`SessionPolicy::named`)"
            ),
            Self::SessionData { bytes, max } => write!(
                f,
                "the session's data has {bytes} bytes and the bound is {max}: store less, or raise \
                 `SessionPolicy::max_data_bytes`"
            ),
            Self::SessionOver(_) => f.write_str(
                "the session to keep has ended, or its token was verified on another record",
            ),
            Self::NoSession => f.write_str(
                "the token was issued without a session, so there is none to keep: log the user \
                 out everywhere instead",
            ),
            Self::SameCredential => f.write_str(
                "the record has the old credential: pass it with the new hash, and without a carry",
            ),
            Self::ContextPresented => f.write_str(
                "the new tokens take the context in which the old token was presented: do not call \
                 `Issuance::context`",
            ),
            Self::OtherAuthority => f.write_str(
                "the refresh token was opened by another authority: issue the new tokens with that one",
            ),
            Self::AmbiguousType { typ } => write!(
                f,
                "another purpose has the typ {typ:?} too, in another case or with another \
                 `Purpose::PORTABLE`: give each purpose a typ of its own"
            ),
            Self::Clock => f.write_str("the clock is before 1970 or after 9999"),
            Self::Entropy(_) => f.write_str("no random token id could be generated"),
            Self::Signing => f.write_str("the asymmetric key could not sign"),
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

impl From<NotStarted> for IssueError {
    fn from(error: NotStarted) -> Self {
        match error {
            NotStarted::Full => Self::SessionsFull(Vec::new()),
            NotStarted::Exhausted => Self::Record(RecordError::Exhausted),
            NotStarted::Over => Self::SessionEnd,
            NotStarted::UnknownPolicy { name } => Self::UnknownPolicy { name },
            NotStarted::Data(too_long) => too_long.into(),
        }
    }
}

impl From<DataTooLong> for IssueError {
    fn from(DataTooLong { bytes, max }: DataTooLong) -> Self {
        Self::SessionData { bytes, max }
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
