//! Sessions: proof of verification.

use std::fmt;

use crate::{
    binding::context::Context,
    sessions::SessionId,
    token::{claims::registered::RegisteredClaims, purpose::NoClaims},
};

/// Proof that a token was verified: the user's record, the application's claims, and the
/// registered ones.
///
/// Only verification makes one, so a function that takes a `Verified` cannot be called without.
#[derive(Clone)]
#[must_use]
pub struct Verified<U, C = NoClaims> {
    user: U,
    claims: C,
    registered: RegisteredClaims,
    legacy: bool,
    /// In which the token was presented.
    context: Context,
}

impl<U, C> Verified<U, C> {
    /// Of a token of relatch's own.
    pub(crate) const fn new(
        user: U,
        claims: C,
        registered: RegisteredClaims,
        context: Context,
    ) -> Self {
        Self { user, claims, registered, legacy: false, context }
    }

    /// Of a plain token of before the adoption.
    pub(crate) const fn legacy(user: U, claims: C, registered: RegisteredClaims) -> Self {
        Self { user, claims, registered, legacy: true, context: Context::new() }
    }

    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// The user's record, as the lookup returned it.
    pub const fn user(&self) -> &U {
        &self.user
    }

    /// The application's own claims.
    pub const fn claims(&self) -> &C {
        &self.claims
    }

    /// The registered claims.
    pub const fn registered(&self) -> &RegisteredClaims {
        &self.registered
    }

    /// Which of the user's sessions this is, if its token was issued with one.
    #[must_use]
    pub const fn id(&self) -> Option<SessionId> {
        self.registered.session_id()
    }

    /// Whether the token is a plain one of before the adoption, accepted by
    /// [`Adoption`](crate::authority::Adoption).
    ///
    /// # Security
    ///
    /// Do not exchange such a session for anything that lives longer than it
    /// ([`RegisteredClaims::expires_at`]): whoever knows the legacy secret could have made its token.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// Gives up the proof for the user's record.
    pub fn into_user(self) -> U {
        self.user
    }

    /// Gives up the proof for its parts.
    pub fn into_parts(self) -> (U, C, RegisteredClaims) {
        (self.user, self.claims, self.registered)
    }
}

impl<U, C> fmt::Debug for Verified<U, C> {
    /// Without the record and the claims, which may hold secrets of the application's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("registered", &self.registered)
            .field("legacy", &self.legacy)
            .finish_non_exhaustive()
    }
}
