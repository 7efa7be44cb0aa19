//! Limits of attempts, in the calls that take a password or a code.

use std::net::IpAddr;

use super::{Client, Service, ServiceError};
use crate::{
    authority::{SessionTokens, device::Device, verified::Verified},
    throttle::{Count, Counters, DeviceToken, TooManyAttempts},
    user::User,
};

impl<F: Clone + Send + Sync + 'static, C> Service<F, C> {
    /// Counts an attempt at this account from this client, by the name and the address, as
    /// [`login`](Self::login) does. Call it before your own operations that need the same limits, such as
    /// a sign-up or sending a link. `account` is any name for the account. A device token has no effect:
    /// it is not known whose account it is.
    ///
    /// # Errors
    ///
    /// [`ServiceError::TooManyAttempts`].
    pub async fn admit(&self, account: &str, client: &Client) -> Result<(), ServiceError> {
        let counters = &self.0.counters;
        let address = client.address.into_iter().flat_map(|address| counters.address(address));
        self.take(&address.chain(counters.name(account)).collect::<Vec<_>>()).await
    }

    /// Counts an attempt from this address. Call it before the calls that take the password of a
    /// logged-in user, which know no address: [`change_password`](Self::change_password),
    /// [`check_password`](Self::check_password), [`reauthenticate`](Self::reauthenticate). The web layer
    /// does so.
    ///
    /// # Errors
    ///
    /// [`ServiceError::TooManyAttempts`].
    pub async fn admit_address(&self, address: IpAddr) -> Result<(), ServiceError> {
        self.take(&self.0.counters.address(address).collect::<Vec<_>>()).await
    }

    /// Counts a code that a logged-in user gives, by the session and by the user: call it before you check
    /// a code that confirms a sensitive operation, for example before
    /// [`restart_session`](Self::restart_session). It has the limit
    /// [`per_second_step`](crate::throttle::Throttle::per_second_step). All sessions of a user together have
    /// four times that.
    ///
    /// # Errors
    ///
    /// [`ServiceError::TooManyAttempts`].
    pub async fn admit_code<U: User, D>(
        &self,
        verified: &Verified<U, D>,
    ) -> Result<(), ServiceError> {
        let codes = self.0.counters.codes(verified.user().id(), &session_of(verified));
        self.take(&codes.into_iter().flatten().collect::<Vec<_>>()).await
    }

    /// Makes a device token for a client that receives these tokens. The client sends it with its next login
    /// ([`Client::device`]). If `sent` is a valid device token of this user, the new one is for the same
    /// device, and otherwise for a new device. The web layer calls this at each login.
    ///
    /// # Security
    ///
    /// Give it only to a client that has authenticated as this user.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Issue`] if the source of randomness fails; [`ServiceError::Record`] for tokens of a
    /// record of your own without the [lane](crate::User::lane) of [`NotMe`](crate::one_time::NotMe).
    pub fn device_token<D>(
        &self,
        tokens: &SessionTokens<D>,
        sent: Option<&DeviceToken>,
    ) -> Result<DeviceToken, ServiceError> {
        Ok(self.authority().issue_device_token(tokens, sent)?)
    }

    /// Whether clients get device tokens.
    #[cfg(feature = "axum")]
    pub(crate) fn uses_devices(&self) -> bool {
        self.0.counters.counts_devices() || self.0.on_new_device.is_some()
    }

    /// Whether attempts are counted by address.
    #[cfg(feature = "axum")]
    pub(crate) fn counts_addresses(&self) -> bool {
        self.0.counters.counts_addresses()
    }

    /// Counts an attempt to log in before the read of the user.
    pub(super) fn attempt<'a>(
        &'a self,
        login: &'a str,
        client: &Client,
    ) -> Result<LoginAttempt<'a>, ServiceError> {
        let counters = &self.0.counters;
        let device = client.device.as_ref().filter(|_| counters.counts_devices());
        let device = device.and_then(|token| self.authority().open_device_token(token));
        let address = client.address.into_iter().flat_map(|address| counters.address(address));
        // The name waits for the read, which tells whose it is.
        let name = counters.name(login).filter(|_| device.is_none());
        let counts: Vec<_> = address.chain(name).collect();
        counters.take(&counts)?;
        Ok(LoginAttempt { counters, login, device, counts, is_counted: false })
    }

    /// Counts a password that is given by a logged-in user, by the session and by the user.
    pub(super) async fn count_within<U: User, D>(
        &self,
        verified: &Verified<U, D>,
    ) -> Result<(), ServiceError> {
        let (counters, user_id) = (&self.0.counters, verified.user().id());
        let session = counters.session(user_id, &session_of(verified));
        let counts: Vec<_> = session.into_iter().chain(counters.user(user_id)).collect();
        self.take(&counts).await
    }

    /// Counts a code that finishes a login, by the address, and by the user or the user's own device.
    pub(super) async fn count_second_step(
        &self,
        user: &impl User,
        client: &Client,
    ) -> Result<(), ServiceError> {
        let counters = &self.0.counters;
        let device = client.device.as_ref().filter(|_| counters.counts_devices());
        let device = device.and_then(|token| self.authority().open_device_token(token));
        let device = device.filter(|device| device.is_of(user));
        let code = counters.second_step(user.id(), device.as_ref().map(|device| &device.id));
        let address = client.address.into_iter().flat_map(|address| counters.address(address));
        self.take(&address.chain(code).collect::<Vec<_>>()).await
    }

    async fn take(&self, counts: &[Count]) -> Result<(), ServiceError> {
        self.0.counters.take(counts)?;
        Ok(self.0.counters.take_shared(counts).await?)
    }
}

/// The session of a token, as it is counted. A token of no session has a budget of its own. An adopted one
/// may have no id.
fn session_of<U, D>(verified: &Verified<U, D>) -> String {
    let registered = verified.registered();
    match (verified.session_id(), registered.jti()) {
        (Some(id), _) => id.to_string(),
        (None, Some(jti)) => jti.to_owned(),
        (None, None) => format!("{:?} {}", registered.issued_at(), registered.expires_at()),
    }
}

/// An attempt to log in.
pub(super) struct LoginAttempt<'a> {
    counters: &'a Counters,
    login: &'a str,
    device: Option<Device>,
    /// What was counted in memory.
    counts: Vec<Count>,
    is_counted: bool,
}

impl<'a> LoginAttempt<'a> {
    /// The name as it was given.
    pub(super) const fn login(&self) -> &'a str {
        self.login
    }

    /// Counts the attempt at the user whom the store has found, before the password is hashed. It does
    /// the same for an unknown name. A further call does nothing.
    pub(super) async fn count(&mut self, found: Option<&impl User>) -> Result<(), ServiceError> {
        if self.is_counted {
            return Ok(());
        }
        self.is_counted = true;
        let is_own = |device: &Device| found.is_some_and(|user| device.is_of(user));
        let more: Vec<_> = match &self.device {
            Some(device) if is_own(device) => {
                self.counters.device(&device.user_id, &device.id).into_iter().collect()
            }
            device => {
                let late = device.as_ref().and_then(|_| self.counters.name(self.login));
                let found = self.counters.found(self.login, found.map(User::id));
                late.into_iter().chain(found).collect()
            }
        };
        self.counters.take(&more)?;
        self.counts.extend(more);
        Ok(self.counters.take_shared(&self.counts).await?)
    }
}

impl From<TooManyAttempts> for ServiceError {
    fn from(TooManyAttempts(retry_after): TooManyAttempts) -> Self {
        Self::TooManyAttempts { retry_after }
    }
}
