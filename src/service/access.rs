//! Access tokens, with the claims and the options that the application makes for them.

use serde::{Serialize, de::DeserializeOwned};

use super::Service;
use crate::{
    authority::{Authority, Issuance},
    sessions::SessionInfo,
    store::StoredUser,
    token::{TokenOptions, purpose::Access},
    user::User,
};

impl<F, C: Serialize + DeserializeOwned> Service<F, C> {
    /// Issues an access token for this user, who is the stored one after other changes. `issue` starts
    /// or continues the session.
    pub(super) fn issue_access<T>(
        &self,
        authority: &Authority,
        user: &dyn User,
        stored: &StoredUser<F>,
        issue: impl FnOnce(Issuance<'_, Access<C>>) -> T,
    ) -> T {
        let claims = |session: Option<&SessionInfo>| (self.0.claims)(stored, session);
        let options = |session: Option<&SessionInfo>| {
            for_this_service((self.0.access_options)(stored, session), authority)
        };
        issue(authority.issue_with::<Access<C>>(user, &claims).options_of_session(&options))
    }
}

/// The options with the authority's own audience, without which the service would refuse the token.
fn for_this_service(options: TokenOptions, authority: &Authority) -> TokenOptions {
    let is_own = |audience: &String| audience == authority.audience();
    match options.audience.is_empty() || options.audience.iter().any(is_own) {
        true => options,
        false => options.audience(authority.audience()),
    }
}
