//! The proof that a token was verified.

use std::fmt;

use crate::{
    binding::context::Context,
    sessions::SessionId,
    token::{claims::registered::RegisteredClaims, purpose::NoClaims},
};

/// The proof that a token was verified, with the user's record, the private claims and the
/// registered claims.
///
/// Only verification creates it, so a function that takes a `Verified` cannot be called without a
/// verification.
#[derive(Clone)]
#[must_use]
pub struct Verified<U, C = NoClaims> {
    user: U,
    claims: C,
    registered: RegisteredClaims,
    legacy: bool,
    /// The context in which the token was presented.
    context: Context,
}

impl<U, C> Verified<U, C> {
    /// For a token of relatch.
    pub(crate) const fn new(
        user: U,
        claims: C,
        registered: RegisteredClaims,
        context: Context,
    ) -> Self {
        Self { user, claims, registered, legacy: false, context }
    }

    /// For a plain token that was adopted.
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

    /// The private claims.
    pub const fn claims(&self) -> &C {
        &self.claims
    }

    /// The registered claims.
    pub const fn registered(&self) -> &RegisteredClaims {
        &self.registered
    }

    /// The id of the session that the token belongs to, if it was issued with one.
    #[must_use]
    pub const fn session_id(&self) -> Option<SessionId> {
        self.registered.session_id()
    }

    /// Whether the token is a plain one from the setup before relatch, accepted by
    /// [`Adoption`](crate::authority::Adoption).
    ///
    /// # Security
    ///
    /// Anyone who knows the legacy secret can have made such a token. Exchange it for something that lives
    /// longer than it ([`RegisteredClaims::expires_at`]) only after its user has authenticated again, for
    /// example by the password.
    #[must_use]
    pub const fn is_legacy(&self) -> bool {
        self.legacy
    }

    /// The user's record, in exchange for the proof.
    pub fn into_user(self) -> U {
        self.user
    }

    /// The record, the private claims and the registered claims, in exchange for the proof.
    pub fn into_parts(self) -> (U, C, RegisteredClaims) {
        (self.user, self.claims, self.registered)
    }
}

impl<U, C> fmt::Debug for Verified<U, C> {
    /// Omits the record and the private claims, which may hold the application's secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("registered", &self.registered)
            .field("legacy", &self.legacy)
            .finish_non_exhaustive()
    }
}
