//! Errors of the service.

use std::{error, fmt};

use time::Duration;

use crate::{
    authority::error::{IssueError, RefreshError, VerifyError},
    password::{PasswordError, PasswordRefusal},
    rejection::{Reason, Rejection},
    sessions::SessionInfo,
    store::StoreError,
    user::RecordError,
};

/// A call of the service that failed.
///
/// | error | [`status`](Self::status) | for the log |
/// | --- | --- | --- |
/// | [`Rejected`](Self::Rejected) | 401 | [`reason`](Self::reason) |
/// | [`LoginRefused`](Self::LoginRefused) | 401 | [`LoginRefusal`] |
/// | [`WrongPassword`](Self::WrongPassword) | 403: the caller's token is valid | [`LoginRefusal`] |
/// | [`WrongCode`](Self::WrongCode) | 403: the pending login is valid | |
/// | [`TooManyAttempts`](Self::TooManyAttempts) | 429, with a `Retry-After` | |
/// | [`is_unavailable`](Self::is_unavailable) | 503: nothing is known of the client, which keeps its token and may try again | the error and its sources |
/// | [`NoSuchUser`](Self::NoSuchUser), [`NoSuchGroup`](Self::NoSuchGroup), [`NoSession`](Self::NoSession) | 404 | |
/// | [`SessionsFull`](Self::SessionsFull) | 409, with the list | |
/// | [`PasswordRefused`](Self::PasswordRefused), [`Password`](Self::Password) of [`PasswordError::Length`] | 422 | |
/// | all others | 500: the fault of the server or its data; the client keeps its token | the error and its sources |
///
/// The errors common to all calls are [`Store`](Self::Store), [`Busy`](Self::Busy),
/// [`Record`](Self::Record) and [`Issue`](Self::Issue).
///
/// The text of the first four is `invalid token`, `wrong name or password`, `wrong password` and `wrong
/// code`, whatever the reason, and may be shown to the client, like that of
/// [`PasswordRefused`](Self::PasswordRefused), which says what to do; that of the others may not.
#[derive(Debug)]
#[non_exhaustive]
pub enum ServiceError {
    /// The token is not accepted.
    Rejected(Rejection),
    /// The name or the password is not accepted.
    LoginRefused(LoginRefusal),
    /// The current password is not accepted; the caller's token is.
    WrongPassword(LoginRefusal),
    /// The code of a second factor is not accepted: for applications, which check codes themselves
    /// ([`PendingLogin`](super::PendingLogin)). Its status is 403 and not 401, because the pending login
    /// is valid (RFC 9110 §15.5.4). After a 403 the client asks for the code again; after a 401 it would begin
    /// a new login.
    WrongCode,
    /// Too many passwords or codes were tried, for this account, from this address or within this session:
    /// the limits are those of [`ServiceBuilder::throttle`](super::ServiceBuilder::throttle). The password
    /// or the code was not checked.
    TooManyAttempts {
        /// The time until the next attempt is accepted.
        retry_after: Duration,
    },
    /// There is no user with the given id.
    NoSuchUser,
    /// There is no group with this kind and name.
    NoSuchGroup,
    /// The token has no session.
    NoSession,
    /// All slots of the user are taken by these sessions, the most recently used first, and the policy then
    /// refuses a login ([`WhenFull::Refuse`](crate::sessions::WhenFull::Refuse)). The password was right, or
    /// the link was valid and is not used up. Let the user choose the session to end, and log in again
    /// [in its place](super::Client::in_place_of).
    SessionsFull(Vec<SessionInfo>),
    /// The store failed.
    Store(StoreError),
    /// Too many passwords wait to be hashed, or another call changed the user's row at each attempt. The
    /// second cause affects only a refresh, and calls over a store without locks
    /// ([`UserStore::lock`](crate::store::UserStore::lock)).
    Busy,
    /// The user's record is unusable.
    Record(RecordError),
    /// A token could not be issued.
    Issue(IssueError),
    /// A password could not be hashed or verified.
    Password(PasswordError),
    /// The policy refuses a new password
    /// ([`ServiceBuilder::password_policy`](super::ServiceBuilder::password_policy)).
    PasswordRefused(PasswordRefusal),
    /// A token of this purpose requires a new password, which was not given:
    /// [`OneTime::set_password`](super::OneTime::set_password).
    NewPasswordRequired,
}

impl ServiceError {
    /// Whether the same call may succeed later. Until then nothing is known about the client.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        match self {
            Self::Store(error) => error.is_unreachable(),
            Self::Busy => true,
            _ => false,
        }
    }

    /// The status to answer with on the web, as in the table [above](Self): 401, 403, 404, 409, 422,
    /// 429, 500 or 503 (RFC 9110 §15, RFC 6585 §4).
    ///
    /// A 401 takes a `WWW-Authenticate` header (RFC 6750 §3). A 429 and a 503 should have a
    /// `Retry-After`. That of a 503 should be shorter than the [grace](crate::SessionPolicy::grace) minus the
    /// [timeout of the store](super::ServiceBuilder::store_timeout).
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Rejected(_) | Self::LoginRefused(_) => 401,
            Self::WrongPassword(_) | Self::WrongCode => 403,
            Self::NoSuchUser | Self::NoSuchGroup | Self::NoSession => 404,
            Self::SessionsFull(_) => 409,
            Self::Password(PasswordError::Length) | Self::PasswordRefused(_) => 422,
            Self::TooManyAttempts { .. } => 429,
            error if error.is_unavailable() => 503,
            _ => 500,
        }
    }

    /// The reason, if a token was rejected: for the log.
    #[must_use]
    pub const fn reason(&self) -> Option<Reason> {
        match self {
            Self::Rejected(rejection) => Some(rejection.reason()),
            _ => None,
        }
    }
}

impl fmt::Display for ServiceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::LoginRefused(_) => f.write_str("wrong name or password"),
            Self::WrongPassword(_) => f.write_str("wrong password"),
            Self::WrongCode => f.write_str("wrong code"),
            Self::TooManyAttempts { .. } => f.write_str("too many attempts"),
            Self::NoSuchUser => f.write_str("there is no such user"),
            Self::NoSuchGroup => f.write_str("there is no such group of users"),
            Self::NoSession => f.write_str("the token does not belong to a session"),
            Self::SessionsFull(_) => f.write_str("the user has no free slot for another session"),
            Self::Store(error) => error.fmt(f),
            Self::Busy => f.write_str("the service is too busy: try again later"),
            Self::Record(_) => f.write_str("the user's record cannot be used"),
            Self::Issue(_) => f.write_str("the token could not be issued"),
            Self::Password(_) => f.write_str("the password could not be hashed or verified"),
            Self::PasswordRefused(refusal) => refusal.fmt(f),
            Self::NewPasswordRequired => f.write_str(
                "a token of this purpose requires a new password: call `set_password` first",
            ),
        }
    }
}

impl error::Error for ServiceError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Store(error) => error.source(),
            Self::Record(error) => Some(error),
            Self::Issue(error) => Some(error),
            Self::Password(error) => Some(error),
            _ => None,
        }
    }
}

/// The reason why a login was refused: for the log alone. Clients get the same answer for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LoginRefusal {
    /// No user has this login.
    UnknownLogin,
    /// The user has no password.
    NoPassword,
    /// The password is wrong.
    WrongPassword,
    /// The password is empty or too long to be hashed, so it matches no hash.
    InvalidPassword,
    /// The stored hash is of no kind that the hasher verifies, or has an absurd cost. Register a verifier
    /// ([`PasswordHasher::also_verifies`](crate::password::PasswordHasher::also_verifies)), or let the user
    /// reset the password.
    UnsupportedHash,
    /// The password is right, and the user is not active.
    InactiveUser,
}

impl LoginRefusal {
    /// A short name in snake case, for a metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownLogin => "unknown_login",
            Self::NoPassword => "no_password",
            Self::WrongPassword => "wrong_password",
            Self::InvalidPassword => "invalid_password",
            Self::UnsupportedHash => "unsupported_hash",
            Self::InactiveUser => "inactive_user",
        }
    }
}

impl fmt::Display for LoginRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<Rejection> for ServiceError {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<RecordError> for ServiceError {
    fn from(error: RecordError) -> Self {
        Self::Record(error)
    }
}

impl From<PasswordError> for ServiceError {
    fn from(error: PasswordError) -> Self {
        Self::Password(error)
    }
}

impl From<PasswordRefusal> for ServiceError {
    fn from(refusal: PasswordRefusal) -> Self {
        Self::PasswordRefused(refusal)
    }
}

impl From<IssueError> for ServiceError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::SessionOver(rejection) => Self::Rejected(rejection),
            IssueError::NoSession => Self::NoSession,
            IssueError::SessionsFull(sessions) => Self::SessionsFull(sessions),
            IssueError::InactiveUser => Self::LoginRefused(LoginRefusal::InactiveUser),
            IssueError::Record(error) => Self::Record(error),
            other => Self::Issue(other),
        }
    }
}

impl From<RefreshError> for ServiceError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Rejected(rejection) => Self::Rejected(rejection),
            RefreshError::Record(error) => Self::Record(error),
            RefreshError::Issue(error) => error.into(),
        }
    }
}

impl From<VerifyError<StoreError>> for ServiceError {
    fn from(error: VerifyError<StoreError>) -> Self {
        match error {
            VerifyError::Rejected(rejection) => Self::Rejected(rejection),
            VerifyError::Lookup(error) => Self::Store(error),
            VerifyError::Record(error) => Self::Record(error),
        }
    }
}

impl From<VerifyError> for ServiceError {
    fn from(error: VerifyError) -> Self {
        error.map_lookup::<StoreError>(|never| match never {}).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rejection::Stage;

    #[test]
    fn each_error_has_the_status_of_the_table() {
        use ServiceError as E;
        let rejection = Rejection::new(Stage::Lookup, Reason::UnknownUser);
        for (error, status) in [
            (E::Rejected(rejection), 401),
            (E::LoginRefused(LoginRefusal::UnknownLogin), 401),
            (E::WrongPassword(LoginRefusal::WrongPassword), 403),
            (E::WrongCode, 403),
            (E::NoSuchUser, 404),
            (E::NoSuchGroup, 404),
            (E::NoSession, 404),
            (E::SessionsFull(Vec::new()), 409),
            (E::Password(PasswordError::Length), 422),
            (E::PasswordRefused(PasswordRefusal::TooLong), 422),
            (E::Store(StoreError::unreachable("gone")), 503),
            (E::Busy, 503),
            (E::Store(StoreError::misconfigured("no such column")), 500),
            (E::Store(StoreError::damaged("sessions", "not JSON")), 500),
            (E::Store(StoreError::unsupported("no groups")), 500),
            (E::Record(RecordError::Exhausted), 500),
            (E::Password(PasswordError::UnsupportedHash), 500),
            (E::NewPasswordRequired, 500),
        ] {
            assert_eq!(error.status(), status, "{error:?}");
            assert_eq!(error.is_unavailable(), status == 503, "{error:?}");
        }
    }
}
