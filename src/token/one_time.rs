//! Links that work once: password reset, e-mail confirmation, magic link, invitation.
//!
//! Each is a [`Purpose`], of the form that an application's own has. Nothing is
//! stored for a link: a token is used up by a change to the user's record that its use makes
//! anyway, or by the user's counter for its purpose, a *lane*
//! ([`User::lane`](crate::User::lane)).
//!
//! - **The page behind the link (`GET`) looks** at the token: [`Authority::peek`]. Mail scanners
//!   and previews open links too.
//! - **The form on that page (`POST`) uses it up**: [`Authority::open_once`], then
//!   [`OpenedOnce::consume`](crate::OpenedOnce::consume). Of two requests at once, one wins.
//!
//! # Security
//!
//! - There is one counter per user and purpose: using one link makes the user's other links of that
//!   purpose void, and no others. A login, a refresh or a logout of one device voids none; a
//!   password change, a bump of the version and a logout of all others void them all.
//! - By default several links of a purpose are good side by side, until one is used.
//!   [`Issue::supersede`](crate::Issue::supersede) makes a link that voids the older ones.
//! - A link is a bearer secret in a URL: keep it out of logs, and let its page load nothing from
//!   elsewhere (`Referrer-Policy: no-referrer`).
//! - A link that was sent to an address stays good when the address is changed. Bind it to the
//!   address ([`Context::with_email`](crate::Context::with_email)) or bump the version then.
//! - Answer "we have sent you a link" whether or not there is such a user.
//!
//! # Example
//!
//! ```
//! use std::error::Error;
//!
//! use relatch::{Authority, Change, NoClaims, Token, User, one_time::PasswordReset};
//!
//! /// Your database.
//! trait Users {
//!     type User: User;
//!     fn find(&self, id: &str) -> Result<Option<Self::User>, std::io::Error>;
//!     /// `UPDATE … SET password_hash = :hash … WHERE` nothing was changed since `read`.
//!     fn set_password(&self, read: &Self::User, hash: &str, change: &Change) -> Result<bool, std::io::Error>;
//! }
//!
//! /// For the mail.
//! fn reset_link(authority: &Authority, user: &dyn User) -> Result<String, Box<dyn Error>> {
//!     let token = authority.issue::<PasswordReset>(user, &NoClaims {}).sign()?;
//!     Ok(format!("https://example.com/reset#{}", token.expose()))
//! }
//!
//! /// GET: whether to show the form.
//! fn is_good(authority: &Authority, users: &impl Users, text: &str) -> bool {
//!     authority.peek(&Token::<PasswordReset>::new(text), |id| users.find(id)).is_ok()
//! }
//!
//! /// POST: stores the new hash, once.
//! fn reset(authority: &Authority, users: &impl Users, text: &str, hash: &str) -> Result<bool, Box<dyn Error>> {
//!     let opened = authority.open_once(Token::<PasswordReset>::new(text))?;
//!     let user = users.find(opened.user_id())?.ok_or(opened.unknown_user())?;
//!     let decision = opened.consume(&user)?; // which logs all devices out
//!     Ok(decision.commit(|change| users.set_password(&user, hash, change))?.stored().is_some())
//! }
//! ```
//!
//! [`Authority::peek`]: crate::Authority::peek
//! [`Authority::open_once`]: crate::Authority::open_once

use std::marker::PhantomData;

use serde::{Serialize, de::DeserializeOwned};
use time::Duration;

use crate::{
    binding::context,
    token::purpose::{NoClaims, Purpose, Use},
};

/// Sets a new password: good for 20 minutes, and dead once the user's hash has changed, by this
/// link or otherwise. It takes no lane.
#[derive(Clone, Copy, Debug)]
pub struct PasswordReset<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for PasswordReset<C> {
    type Claims = C;
    const TYP: &'static str = "reset+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::minutes(20));
    const USE: Use = Use::OnceByCredential;
}

/// Confirms that an e-mail address is the user's: good for 24 hours, once, by a lane.
///
/// It is bound to the address, which must be set at issue
/// ([`Context::with_email`](crate::Context::with_email)) and presented with the token
/// ([`OpenedOnce::in_context`](crate::OpenedOnce::in_context)): what the record holds as the
/// address to be confirmed. A link for one address confirms no other.
///
/// ```
/// use std::error::Error;
///
/// use relatch::{Authority, Context, Decision, Token, Used, User, one_time::EmailConfirmation};
///
/// /// POST. For GET, `peek(user)` in place of `consume(user)`.
/// fn confirm<U: User>(
///     authority: &Authority,
///     find: impl FnOnce(&str) -> Option<(U, String)>, // with the address to be confirmed
///     text: &str,
/// ) -> Result<Decision<Used<relatch::NoClaims>>, Box<dyn Error>> {
///     let mut opened = authority.open_once(Token::<EmailConfirmation>::new(text))?;
///     let (user, pending) = find(opened.user_id()).ok_or(opened.unknown_user())?;
///     // Whoever stores it writes that very address, and compares the record's with it.
///     Ok(opened.in_context(Context::new().with_email(&pending)).consume(&user)?)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EmailConfirmation<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for EmailConfirmation<C> {
    type Claims = C;
    const TYP: &'static str = "email+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::hours(24));
    const USE: Use = Use::OnceByLane;
    const CONTEXT: &'static [&'static str] = &[context::EMAIL];
}

/// Logs in without a password: good for 10 minutes, once, by a lane.
#[derive(Clone, Copy, Debug)]
pub struct MagicLink<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for MagicLink<C> {
    type Claims = C;
    const TYP: &'static str = "magic+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::minutes(10));
    const USE: Use = Use::OnceByLane;
}

/// Invites somebody for whom a record was made, with a random credential
/// ([`Credential::generate_secret`](crate::Credential::generate_secret)): good for 7 days, once,
/// by a lane.
#[derive(Clone, Copy, Debug)]
pub struct Invitation<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for Invitation<C> {
    type Claims = C;
    const TYP: &'static str = "invite+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::days(7));
    const USE: Use = Use::OnceByLane;
}
