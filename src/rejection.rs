//! Rejections of tokens: one text for the client, and a reason for the log.

use std::{error, fmt};

/// The rejection of a token.
///
/// Its text is always `invalid token`, so clients see no difference between rejections. For logs it
/// has the [`Reason`] and the [`Stage`] of verification.
///
/// # Security
///
/// Do not send the reason to a client: it shows an attacker which part of a forgery to correct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    reason: Reason,
    stage: Stage,
}

impl Rejection {
    pub(crate) const fn new(stage: Stage, reason: Reason) -> Self {
        Self { reason, stage }
    }

    /// The reason, for logs and metrics.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The stage of verification that rejected the token.
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
/// In key mode, all reasons found before the signature check, up to and including
/// [`RevokedByLane`](Self::RevokedByLane), depend on unverified claims of the token. They are true
/// of a genuine token, but anyone who has a genuine token can modify it to cause most of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The token is longer than the authority's limit.
    TooLong,
    /// The token is not in relatch's format.
    Malformed,
    /// The header's `alg` is not the algorithm that this authority uses with this `kid`.
    WrongAlgorithm,
    /// No key in the ring has the header's `kid`.
    UnknownKey,
    /// The deadline of the key with the header's `kid` has passed.
    RetiredKey,
    /// The header's `typ` belongs to another purpose, or the purpose's own `typ` is ambiguous
    /// ([`IssueError::AmbiguousType`](crate::IssueError::AmbiguousType)).
    WrongType,
    /// The guard (key mode) or the server's signature (stamp mode) is wrong: this server did not
    /// issue the token for this user, expiry and purpose.
    Forged,
    /// The time `exp` is reached.
    Expired,
    /// `iat` is in the future: the clock of the issuing machine is ahead of this machine's.
    NotYetValid,
    /// `iss` is not this authority's issuer.
    WrongIssuer,
    /// `aud` does not contain this authority's audience.
    WrongAudience,
    /// The lookup found no such user.
    UnknownUser,
    /// The lookup returned another user than the requested one.
    UserMismatch,
    /// The user is not active.
    InactiveUser,
    /// The user's record has no credential: the password hash is empty.
    NoCredential,
    /// The user's version is newer than the token's.
    RevokedByVersion,
    /// The token's version is newer than the record's: the record is stale, or was restored from a
    /// backup.
    AheadOfRecord,
    /// The user's counter for this purpose differs from the token's: the token was used or revoked.
    RevokedByLane,
    /// Stamp mode: the credential, an epoch or the context has changed, or a holder of the server's
    /// signing key has modified the token.
    RevokedByStamp,
    /// Key mode: the signature is wrong although the guard is valid. The context, the credential or
    /// an epoch has changed, or the payload was modified; the server cannot know which. Also a
    /// plain token from before the adoption that is presented in a context.
    BadSignature,
    /// The token's session has ended: logged out, evicted by a login, or ended by the reuse of a
    /// refresh token.
    SessionEnded,
    /// The token's session is past the policy's idle or absolute lifetime.
    SessionExpired,
    /// The token's session is newer than the record's sessions: the record is stale, was lost, or
    /// was restored from a backup.
    SessionAhead,
    /// The slot of the token's session is beyond the policy's number of sessions.
    SlotOutOfRange,
    /// The refresh token was used before. The session, or all sessions, ended as the policy says.
    RefreshReused,
    /// The refresh token's sequence number is newer than the record's: the record was restored from
    /// a backup.
    RefreshAhead,
    /// The session's sequence number is at the end of its range of 63 bits.
    SequenceExhausted,
    /// The token is genuine, but its private claims do not deserialise into the requested type.
    ApplicationClaims,
    /// A plain token from before the adoption, presented after the adoption's deadline.
    AdoptionOver,
}

impl Reason {
    /// Whether no server will accept this token again, so that the client can discard it. This is
    /// the only list of such reasons.
    ///
    /// | final | not final |
    /// | --- | --- |
    /// | the token or its session is past its lifetime, or the adoption is over | `iat` is in the future: this machine's clock is behind |
    /// | the session has ended, by a logout, an eviction or the reuse of a refresh token | the record is stale or was restored from a backup, or the policy has fewer slots than when the session began |
    /// | the user's version or counter has moved | the signature or the stamp is wrong: the context may differ, such as the client's network, or this machine may have other epochs or keys |
    /// | the user does not exist | the user is not active, or has no credential now |
    /// | the key is past its deadline | this machine does not have the key, the format, the issuer, the audience or the claims: another release or configuration may have issued the token |
    ///
    /// In the second column the token may become valid again, for example when a roll-out is complete.
    /// A client that keeps it loses nothing. The web layer deletes a client's cookies only for a final
    /// reason.
    ///
    /// A client receives only a 401 and cannot know the reason. It asks its user to log in, and keeps its
    /// token until the login has replaced it.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Expired
            | Self::RetiredKey
            | Self::UnknownUser
            | Self::RevokedByVersion
            | Self::RevokedByLane
            | Self::SessionEnded
            | Self::SessionExpired
            | Self::RefreshReused
            | Self::SequenceExhausted
            | Self::AdoptionOver => true,
            Self::TooLong
            | Self::Malformed
            | Self::WrongAlgorithm
            | Self::UnknownKey
            | Self::WrongType
            | Self::Forged
            | Self::NotYetValid
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::UserMismatch
            | Self::InactiveUser
            | Self::NoCredential
            | Self::AheadOfRecord
            | Self::RevokedByStamp
            | Self::BadSignature
            | Self::SessionAhead
            | Self::SlotOutOfRange
            | Self::RefreshAhead
            | Self::ApplicationClaims => false,
        }
    }

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

/// The stages of verification, in order. Shape and header are one step: the header is compared
/// before the other parts are decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Stage {
    /// The limit of the token's length.
    Length,
    /// Three parts of canonical base64url.
    Shape,
    /// The pinned header.
    Header,
    /// The registered claims, as JSON.
    Claims,
    /// The guard, or the server's signature.
    Guard,
    /// Expiry, issuer and audience: the last check before the lookup.
    Validity,
    /// The user's record.
    Lookup,
    /// The token's binding to the record, and in key mode the signature.
    Binding,
    /// The token's session, in the user's sessions table.
    Session,
    /// The private claims of the application.
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
