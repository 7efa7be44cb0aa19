//! One-time links: password reset, e-mail confirmation, magic link, invitation, "this was not me".
//!
//! Each is a [`Purpose`], like the purposes that an application defines. Nothing is
//! stored per link. A token is used up by the change to the user's record that its use makes
//! anyway, or by the user's counter for its purpose, a *lane*
//! ([`User::lane`](crate::User::lane)).
//!
//! - **The page behind the link (`GET`) only checks** the token: [`Authority::peek`]. Mail scanners
//!   and previews open links too.
//! - **The form on that page (`POST`) uses it up**: [`Authority::open_once`], then
//!   [`OpenedOnce::consume`](crate::authority::OpenedOnce::consume). Of two concurrent requests, one succeeds.
//!
//! # Security
//!
//! - There is one counter per user and purpose: using one link revokes the user's other links of
//!   that purpose, and no others. A login, a refresh or a logout of one device revokes no links. A
//!   password change, an increase of the version and a logout of all other devices revoke all
//!   links.
//! - By default several links of a purpose are valid at the same time, until one is used.
//!   [`Issuance::supersede`](crate::authority::Issuance::supersede) makes a link that revokes the older ones.
//! - A link is a bearer secret in a URL: keep it out of logs, and do not let its page load
//!   resources from other sites (`Referrer-Policy: no-referrer`).
//! - A link that was sent to an address stays valid when the user's address changes. Bind it to the
//!   address ([`Context::with_email`](crate::Context::with_email)), or increase the version then.
//! - Respond "we have sent you a link" whether or not the user exists.
//!
//! # Example
//!
//! ```
//! use std::error::Error;
//!
//! use relatch::{Authority, authority::Change, NoClaims, one_time::PasswordReset, Token, User};
//!
//! /// Your database.
//! trait Users {
//!     type User: User;
//!     fn find(&self, id: &str) -> Result<Option<Self::User>, std::io::Error>;
//!     /// `UPDATE … SET password_hash = :hash … WHERE` the row is the same as in `read`.
//!     fn set_password(&self, read: &Self::User, hash: &str, change: &Change) -> Result<bool, std::io::Error>;
//! }
//!
//! /// The link for the e-mail.
//! fn reset_link(authority: &Authority, user: &dyn User) -> Result<String, Box<dyn Error>> {
//!     let token = authority.issue::<PasswordReset>(user, &NoClaims {}).sign()?;
//!     Ok(format!("https://example.com/reset?token={}", token.expose()))
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
//!     let user = users.find(opened.user_id())?.ok_or_else(|| opened.unknown_user())?;
//!     let decision = opened.consume(&user)?; // this logs all devices out
//!     Ok(decision.commit(|change| users.set_password(&user, hash, change))?.stored().is_some())
//! }
//! ```
//!
//! [`Authority::peek`]: crate::Authority::peek
//! [`Authority::open_once`]: crate::Authority::open_once

use std::marker::PhantomData;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use time::Duration;

use crate::{
    binding::context,
    sessions::SessionId,
    token::purpose::{NoClaims, Purpose, SECOND_STEP_TYP, Usage},
};

/// A link to set a new password. It is valid for 20 minutes, and rejected once the user's hash has
/// changed, by this link or otherwise. It has no lane.
#[derive(Clone, Copy, Debug)]
pub struct PasswordReset<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for PasswordReset<C> {
    type Claims = C;
    const TYP: &'static str = "reset+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::minutes(20));
    const USAGE: Usage = Usage::OnceByCredential;
}

/// A link to confirm that an e-mail address belongs to the user. It is valid for 24 hours and works
/// once, by a lane.
///
/// It is bound to the address. Set the address at issue
/// ([`Context::with_email`](crate::Context::with_email)), and present with the token
/// ([`OpenedOnce::in_context`](crate::authority::OpenedOnce::in_context)) the unconfirmed address that the
/// record holds. A link for one address confirms no other.
///
/// ```
/// use std::error::Error;
///
/// use relatch::{
///     Authority, Context, Token, User,
///     authority::{Decision, Used},
///     one_time::EmailConfirmation,
/// };
///
/// /// POST. For GET, `peek(user)` in place of `consume(user)`.
/// fn confirm<U: User>(
///     authority: &Authority,
///     find: impl FnOnce(&str) -> Option<(U, String)>, // with the address to be confirmed
///     text: &str,
/// ) -> Result<Decision<Used<relatch::NoClaims>>, Box<dyn Error>> {
///     let mut opened = authority.open_once(Token::<EmailConfirmation>::new(text))?;
///     let (user, pending) = find(opened.user_id()).ok_or_else(|| opened.unknown_user())?;
///     // The statement that stores it must write this address and compare the record's with it.
///     Ok(opened.in_context(Context::new().with_email(&pending)).consume(&user)?)
/// }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct EmailConfirmation<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for EmailConfirmation<C> {
    type Claims = C;
    const TYP: &'static str = "email+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::hours(24));
    const USAGE: Usage = Usage::OnceByLane;
    const CONTEXT: &'static [&'static str] = &[context::EMAIL];
}

/// A link to log in without a password. It is valid for 10 minutes and works once, by a lane.
#[derive(Clone, Copy, Debug)]
pub struct MagicLink<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for MagicLink<C> {
    type Claims = C;
    const TYP: &'static str = "magic+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::minutes(10));
    const USAGE: Usage = Usage::OnceByLane;
}

/// An invitation for a new user whose record has a random credential
/// ([`Credential::generate_secret`](crate::user::Credential::generate_secret)). It is valid for 7 days
/// and works once, by a lane.
#[derive(Clone, Copy, Debug)]
pub struct Invitation<C = NoClaims>(PhantomData<fn() -> C>);

impl<C: Serialize + DeserializeOwned> Purpose for Invitation<C> {
    type Claims = C;
    const TYP: &'static str = "invite+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::days(7));
    const USAGE: Usage = Usage::OnceByLane;
}

/// A login whose password was right and that waits for its second step, such as a code. It is valid for 5
/// minutes and works once, by a lane: a finished login ends the user's other pending logins. A new
/// password and an increase of the version end it too, as they end every link.
///
/// It is not a link. The client gets it as the answer to the password and sends it back with the code. It gives
/// no access: its `typ` and its key are not those of an access token, in either binding mode.
///
/// With a service, `VerifiedLogin::pending` issues it, and `Service::second_step` takes it and counts each
/// attempt. Therefore `Service::one_time` does not compile for it. The guide's page on
/// [second factors](crate::guide::second_factor) has the handlers.
///
/// # Security
///
/// By hand ([`Authority::open_once`]), limit the codes that are tried for one user: a code has six digits.
///
/// [`Authority::open_once`]: crate::Authority::open_once
#[derive(Clone, Copy, Debug)]
pub struct SecondStep(());

impl Purpose for SecondStep {
    type Claims = NoClaims;
    const TYP: &'static str = SECOND_STEP_TYP;
    const LIFETIME: Option<Duration> = Some(Duration::minutes(5));
    const USAGE: Usage = Usage::OnceByLane;
}

/// A link by which a user reports a login on a new device: "this was not me". It is valid for 7 days and
/// works once, by a lane.
///
/// It names the session that the login has started. Its use ends that session, and all
/// [device tokens](crate::guide::format#device-tokens) of the user, because they are bound to its lane.
///
/// # Security
///
/// A new password revokes it, as it revokes every link. So a thief who knows the password can change it,
/// which disables the link. Therefore the page behind the link must offer a password reset in every case, also
/// for a rejected link. The reset goes to the user's mailbox, to which the thief has no access. It logs out
/// every device, and replaces the password that the thief knows.
#[derive(Clone, Copy, Debug)]
pub struct NotMe(());

impl Purpose for NotMe {
    type Claims = ReportedSession;
    const TYP: &'static str = "not-me+jwt";
    const LIFETIME: Option<Duration> = Some(Duration::days(7));
    const USAGE: Usage = Usage::OnceByLane;
}

/// The claims of a [`NotMe`] link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ReportedSession {
    /// The session that the login has started.
    pub session: SessionId,
}

impl ReportedSession {
    /// The claims of a link that reports this session.
    #[must_use]
    pub const fn new(session: SessionId) -> Self {
        Self { session }
    }
}
