//! Revocation of a session by one of its tokens (RFC 7009).

use super::{
    Service, ServiceError,
    to_the_end::{Decided, to_the_end},
};
use crate::{
    authority::{Authority, OpenedOnce},
    binding::context::Context,
    rejection::Reason,
    store::{Record, UserKey},
    token::{AccessToken, RefreshToken, purpose::Refresh},
};

impl<F: Clone + Send + Sync + 'static, C: 'static> Service<F, C> {
    /// Ends the session of this access or refresh token, presented in this context, and returns whether
    /// there was such a session. A revocation endpoint calls it (RFC 7009 §2.1). If the client
    /// disconnects before the service has decided, nothing happens; afterwards the service completes the
    /// call.
    ///
    /// A refresh token is accepted until it expires, even if it was used before. This call does not treat
    /// that as reuse. If the session of a refresh token had already ended, it returns `false`.
    ///
    /// # Security
    ///
    /// It requires nothing but the token. The holder of a token can end its session, and nothing else.
    ///
    /// # Errors
    ///
    /// [`ServiceError::Rejected`], for an access token also if its session had ended before: for the
    /// client that equals a revocation (RFC 7009 §2.2), so answer 200. [`ServiceError::NoSession`] for
    /// an access token without a session, which only
    /// [`log_out_everywhere`](Self::log_out_everywhere) ends; and the errors common to all calls.
    pub async fn revoke(&self, token: &str, context: Context) -> Result<bool, ServiceError> {
        let this = self.clone();
        let access = AccessToken::new(token).in_context(context.clone());
        let refresh = RefreshToken::new(token).in_context(context);
        to_the_end(|decided| async move { this.revoke_either(access, refresh, &decided).await })
            .await
    }

    /// Chooses by the `typ` of the header. An adopted plain token is an access token.
    async fn revoke_either(
        &self,
        access: AccessToken,
        refresh: RefreshToken,
        decided: &Decided,
    ) -> Result<bool, ServiceError> {
        let authority = self.authority();
        match authority.open(&access) {
            Ok(opened) => {
                let user_id = opened.user_id().to_owned();
                self.revoke_access(&authority, &access, &user_id, decided).await
            }
            Err(rejection) if rejection.reason() == Reason::WrongType => {
                self.revoke_refresh(&authority.open_refresh(refresh)?, decided).await
            }
            Err(rejection) => Err(rejection.into()),
        }
    }

    async fn revoke_access(
        &self,
        authority: &Authority,
        token: &AccessToken,
        user_id: &str,
        decided: &Decided,
    ) -> Result<bool, ServiceError> {
        self.decide_bare(UserKey::Id(user_id), |read| {
            let verified = authority.open(token)?.verify(read.map(Record::user))?;
            let own = verified.session_id().ok_or(ServiceError::NoSession)?;
            let decision = authority.log_out(verified.user(), own)?;
            decided.note(&decision);
            Ok(decision)
        })
        .await
    }

    async fn revoke_refresh(
        &self,
        opened: &OpenedOnce<'_, Refresh>,
        decided: &Decided,
    ) -> Result<bool, ServiceError> {
        let ended = self.decide_bare(UserKey::Id(opened.user_id()), |read| {
            let user = read.ok_or_else(|| opened.unknown_user())?.user();
            let decision = opened.log_out(user)?;
            decided.note(&decision);
            Ok(decision)
        });
        let ended = ended.await?;
        if !ended {
            // It has already ended, perhaps unseen by the cache.
            self.0.records.forget(opened.user_id());
        }
        Ok(ended)
    }
}
