//! Rejections: one text for the client, a reason for the log.

use std::{error, fmt};

/// A token was not accepted.
///
/// To a client all rejections are one: the text is always `invalid token`. For a log there are
/// the [`Reason`] and the [`Stage`] at which it was found.
///
/// # Security
///
/// Do not answer a client with the reason: it tells an attacker which part of a forgery to mend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    reason: Reason,
    stage: Stage,
}

impl Rejection {
    pub(crate) const fn new(stage: Stage, reason: Reason) -> Self {
        Self { reason, stage }
    }

    /// Why, for a log and for counters.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How far the token got.
    #[must_use]
    pub const fn stage(&self) -> Stage {
        self.stage
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid token")
    }
}

impl error::Error for Rejection {}

/// Why a token was rejected.
///
/// In key mode all that is found before the signature is checked, up to and including
/// [`RevokedByLane`](Self::RevokedByLane), rests on what the token claims: true of a genuine
/// token, but whoever holds one can provoke most of these with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Longer than the authority's cap.
    TooLong,
    /// Not in the form in which relatch writes tokens.
    Malformed,
    /// The header's `alg` is not the one that this authority issues under this `kid`.
    WrongAlgorithm,
    /// The header's `kid` is of no key in the ring.
    UnknownKey,
    /// The header's `kid` is of a key whose deadline has passed.
    RetiredKey,
    /// The header's `typ` is of another purpose.
    WrongType,
    /// The guard (key mode) or the server's signature (stamp mode) is wrong: not a token that
    /// this server issued for this user, expiry and purpose.
    Forged,
    /// `exp` has come.
    Expired,
    /// `iat` is still to come: the clock of the machine that issued it is ahead of this one's.
    NotYetValid,
    /// `iss` is not this authority.
    WrongIssuer,
    /// `aud` does not name this authority's audience.
    WrongAudience,
    /// The lookup found nobody.
    UnknownUser,
    /// The lookup returned another user than it was asked for.
    UserMismatch,
    /// The user is not active.
    InactiveUser,
    /// The user's record has no credential: the password hash is empty.
    NoCredential,
    /// The user's version has moved on.
    RevokedByVersion,
    /// The token's version is ahead of the record's: the record is stale, or was restored from a
    /// backup.
    AheadOfRecord,
    /// The user's counter for this purpose is another one: the token was used, or is void.
    RevokedByLane,
    /// Stamp mode: the credential, an epoch or the context is another one.
    RevokedByStamp,
    /// Key mode: the signature is wrong behind a valid guard. The context, the credential or an
    /// epoch is another one, or the payload was tampered with; which of them cannot be told. Also a
    /// plain token of before the adoption that is presented in a context.
    BadSignature,
    /// The token's session is over: logged out, evicted by a login, or ended by the reuse of a
    /// refresh token.
    SessionEnded,
    /// The token's session is over by the policy's idle or absolute lifetime.
    SessionExpired,
    /// The token's session is one that the record does not have yet: the record is stale, lost or
    /// was restored from a backup.
    SessionAhead,
    /// The token's session is in a slot beyond the policy's number of sessions.
    SlotOutOfRange,
    /// The refresh token had been used up before, and what the policy says was ended.
    RefreshReused,
    /// The refresh token is one that the record has not come to yet: the record was restored from
    /// a backup.
    RefreshAhead,
    /// The session was refreshed as often as 63 bits can count.
    SequenceExhausted,
    /// A genuine token, whose claims of the application's own do not deserialise into the type
    /// that was asked for.
    ApplicationClaims,
    /// A plain token of before the adoption, after the adoption's deadline.
    AdoptionOver,
}

impl Reason {
    /// A short name in snake case, for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::WrongAlgorithm => "wrong_algorithm",
            Self::UnknownKey => "unknown_key",
            Self::RetiredKey => "retired_key",
            Self::WrongType => "wrong_type",
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::UnknownUser => "unknown_user",
            Self::UserMismatch => "user_mismatch",
            Self::InactiveUser => "inactive_user",
            Self::NoCredential => "no_credential",
            Self::RevokedByVersion => "revoked_by_version",
            Self::AheadOfRecord => "ahead_of_record",
            Self::RevokedByLane => "revoked_by_lane",
            Self::RevokedByStamp => "revoked_by_stamp",
            Self::BadSignature => "bad_signature",
            Self::SessionEnded => "session_ended",
            Self::SessionExpired => "session_expired",
            Self::SessionAhead => "session_ahead",
            Self::SlotOutOfRange => "slot_out_of_range",
            Self::RefreshReused => "refresh_reused",
            Self::RefreshAhead => "refresh_ahead",
            Self::SequenceExhausted => "sequence_exhausted",
            Self::ApplicationClaims => "application_claims",
            Self::AdoptionOver => "adoption_over",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a token got before it was rejected, in the order of verification. Shape and header are
/// one step: the header, which is only compared, is judged before the other parts are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The cap on its length.
    Length,
    /// Three parts of canonical base64url.
    Shape,
    /// The pinned header.
    Header,
    /// The registered claims, as JSON.
    Claims,
    /// The guard, or the server's signature.
    Guard,
    /// Expiry, issuer and audience. All that comes before the lookup ends here.
    Validity,
    /// The user's record.
    Lookup,
    /// What binds the token to the record, and the signature in key mode.
    Binding,
    /// The user's session that the token is of.
    Session,
    /// The application's own claims.
    Application,
}

impl Stage {
    /// A short name in snake case, for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Shape => "shape",
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Guard => "guard",
            Self::Validity => "validity",
            Self::Lookup => "lookup",
            Self::Binding => "binding",
            Self::Session => "session",
            Self::Application => "application",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
