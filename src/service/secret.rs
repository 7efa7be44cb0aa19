//! The secret of a second factor, to which tokens are bound beside the password's hash.

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Service, ServiceError,
    transact::{Proposal, transact, verify_on},
};
use crate::{
    authority::SessionTokens,
    binding::credential::{Credential, CredentialError},
    counter::Counter,
    sessions::NewSession,
    store::{Record, UserKey},
    token::{Token, purpose::Access},
    user::RecordError,
};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Sets the secret in the row of any user, or removes it with `None`, and logs the user out everywhere,
    /// in one statement: for an administrator who removes a lost second factor. For the user's own call see
    /// [`change_secret`](Self::change_secret). The user's [device tokens](crate::throttle::DeviceToken) end
    /// too. Returns the new version, as [`log_out_everywhere`](Self::log_out_everywhere) does.
    ///
    /// # Security
    ///
    /// Check first that the caller may do this, and that the person who asks is the user: it takes the second
    /// factor away.
    ///
    /// # Errors
    ///
    /// [`ServiceError::NoSuchUser`]; [`ServiceError::Record`] as for `change_secret`; and the errors common to
    /// all calls.
    pub async fn set_secret(
        &self,
        user_id: &str,
        secret: Option<&str>,
    ) -> Result<Counter, ServiceError> {
        check(secret)?;
        let authority = self.authority();
        transact!(bare self, UserKey::Id(user_id), |read| {
            let edited = edited(read.ok_or(ServiceError::NoSuchUser)?, secret)?;
            let devices = authority.end_devices(edited.user())?;
            let both = devices.and_then(edited.user(), |user| authority.log_out_everywhere(user))?;
            Proposal { decision: both.map(|((), version)| version), edited }
        })
    }
}

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// Changes the secret in the user's row ([`Columns::secret`](crate::store::Columns::secret)), or removes
    /// it with `None`: when the user sets a second factor up, replaces it or removes it. The same statement
    /// logs all other devices out; this one continues with the returned tokens, as after
    /// [`change_password`](Self::change_password). All [device tokens](crate::throttle::DeviceToken) of the
    /// user end too: give this device [a new one](Self::device_token), as the web layer does.
    ///
    /// The secret is text of at least 16 bytes: the base32 text of a TOTP secret (RFC 4226 §4 requires 128
    /// bits), or for passkeys a random one
    /// ([`Credential::generate_secret`](crate::user::Credential::generate_secret)) that is replaced when the
    /// set of passkeys changes.
    ///
    /// # Security
    ///
    /// - It gives a refresh token to the holder of an access token, and it takes no password. Require that
    ///   the user has just authenticated ([`reauthenticate`](Self::reauthenticate), on the web `Recent`), and
    ///   that the new factor works: a code of the new secret was right.
    /// - The device tokens end because each has a limit of its own for codes, and somebody who knew the
    ///   password before can have collected many.
    /// - The secret is in the database as it is, for a check of codes. A leaked database then holds the second
    ///   factor, but forges no token without the master key. To encrypt the secret, store its ciphertext
    ///   here: tokens are bound to that text as well.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Record`] with [`RecordError::Credential`] for a secret shorter than 16 bytes or longer
    /// than 1 MiB, and if nothing is left to which tokens are bound: the user has no password;
    /// [`ServiceError::Issue`] with [`IssueError::SameCredential`](crate::IssueError::SameCredential) if the
    /// secret is the present one; and those of [`log_out_others`](Self::log_out_others).
    pub async fn change_secret(
        &self,
        token: &Token<Access<C>>,
        secret: Option<&str>,
    ) -> Result<SessionTokens<C>, ServiceError> {
        self.change_secret_of(token, secret, &NewSession::new("")).await
    }

    /// [`change_secret`](Self::change_secret), with the session that an adopted token is exchanged for.
    pub(crate) async fn change_secret_of(
        &self,
        token: &Token<Access<C>>,
        secret: Option<&str>,
        session: &NewSession,
    ) -> Result<SessionTokens<C>, ServiceError> {
        check(secret)?;
        transact!(self, UserKey::Id(self.authority().open(token)?.user_id()), |read| {
            let authority = self.authority();
            let (verified, read) = verify_on(&authority, token, read)?;
            let edited = edited(read, secret)?;
            let devices = authority.end_devices(edited.user())?;
            let both = devices.and_then(edited.user(), |user| {
                self.issue_access(&authority, user, edited.user(), |issue| {
                    issue.legacy_session(session.clone()).change_password(&verified)
                })
            });
            Proposal { decision: both?.map(|((), tokens)| tokens), edited }
        })
    }
}

fn check(secret: Option<&str>) -> Result<(), ServiceError> {
    let refused = |error| Err(RecordError::Credential(error).into());
    match secret.map(str::len) {
        Some(0) => refused(CredentialError::Empty),
        Some(..Credential::MIN_SECRET_BYTES) => refused(CredentialError::TooShort),
        Some(length) if length > Credential::MAX_SECRET_BYTES => refused(CredentialError::TooLong),
        _ => Ok(()),
    }
}

/// The record with this secret, if tokens can be bound to what it leaves.
fn edited<F: Clone>(read: &Record<F>, secret: Option<&str>) -> Result<Record<F>, ServiceError> {
    match secret.is_none() && read.password_hash().is_none() {
        true => Err(RecordError::Credential(CredentialError::Empty).into()),
        false => Ok(read.with_secret(secret)?),
    }
}
