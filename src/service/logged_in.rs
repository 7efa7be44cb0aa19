//! The outcome of a login: the tokens, and the notice of a new device.

use serde::{Serialize, de::DeserializeOwned};

use super::{Client, NewDevice, Service};
use crate::{
    authority::{SessionTokens, decision::Decision, error::IssueError},
    one_time::{NotMe, ReportedSession},
    store::StoredUser,
    token::Token,
    user::User,
};

/// The tokens of a login, and what the user receives if the device is a new one.
pub(super) struct LoggedIn<F, C> {
    tokens: SessionTokens<C>,
    notice: Option<Notice<F>>,
}

struct Notice<F> {
    user: StoredUser<F>,
    link: Token<NotMe>,
}

impl<F, C> Service<F, C>
where
    F: Clone + Send + Sync + 'static,
    C: Serialize + DeserializeOwned,
{
    /// A login: [`start`](Self::start), and the link for the notice. Pass the outcome to
    /// [`notified`](Self::notified) when it is stored.
    pub(super) fn log_in(
        &self,
        user: &dyn User,
        stored: &StoredUser<F>,
        client: &Client,
    ) -> Result<Decision<LoggedIn<F, C>>, IssueError> {
        let started = self.start(user, stored, client)?;
        if !self.is_on_new_device(user, client) {
            return Ok(started.map(|tokens| LoggedIn { tokens, notice: None }));
        }
        let authority = self.authority();
        started.try_map(|tokens| {
            let claims = ReportedSession::new(tokens.session().id());
            let link = authority.issue::<NotMe>(user, &claims).sign()?;
            let notice = Notice { user: stored.clone(), link };
            Ok(LoggedIn { tokens, notice: Some(notice) })
        })
    }

    fn is_on_new_device(&self, user: &dyn User, client: &Client) -> bool {
        if self.0.on_new_device.is_none() || !client.gets_notice {
            return false;
        }
        let authority = self.authority();
        let device = client.device.as_ref().and_then(|token| authority.open_device_token(token));
        !device.is_some_and(|device| device.is_of(user))
    }

    /// The tokens of a login that was stored. The user is notified if the device is a new one.
    pub(super) fn notified(&self, login: LoggedIn<F, C>, client: &Client) -> SessionTokens<C> {
        let LoggedIn { tokens, notice } = login;
        if let (Some(on_new_device), Some(Notice { user, link })) = (&self.0.on_new_device, notice)
        {
            let address = client.address.filter(|address| !address.is_unspecified());
            let session = tokens.session();
            let login = NewDevice { user: &user, session, address, link: &link };
            login.tell(on_new_device);
        }
        tokens
    }
}
