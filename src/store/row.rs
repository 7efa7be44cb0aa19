//! The types that a store reads and writes: a user's row, as the database holds it.

use std::fmt;

use time::OffsetDateTime;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    binding::{credential::Credential, epoch::Epoch},
    counter::Counter,
    entropy::EntropyError,
};

/// A lookup of a user's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a store must know each")]
pub enum UserKey<'a> {
    /// By the user's id: [`User::id`](crate::User::id).
    Id(&'a str),
    /// By the login: a user name or an e-mail address, in the form in which the application stores it.
    /// Trim it and fold its case before.
    Login(&'a str),
}

/// The columns of a user's row that tokens are bound to, as the database holds them.
///
/// A store's table may have other names for them. All but [`version`](Self::version) are text. `NULL`
/// is `None`; a new user begins with it. The secrets are redacted in `Debug`, and all is zeroized on
/// drop.
///
/// Make it with [`default`](Self::default), where all columns are `NULL`, and set the fields.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
#[non_exhaustive]
pub struct Columns {
    /// The version counter (`BIGINT`).
    pub version: Option<i64>,
    /// The password's hash: `None` for a user without a password. An empty text, and a placeholder that
    /// cannot be a hash (`!`, `oauth`), mean the same.
    pub password_hash: Option<String>,
    /// A random secret ([`Credential::generate_secret`]), for a user without a password; or the secret of a
    /// second factor ([`Service::change_secret`](crate::service::Service::change_secret)). A user must
    /// have a hash or a secret. If there are both, tokens are bound to both, and a change of either
    /// logs the user out.
    pub secret: Option<String>,
    /// The value carried over the last rehash: [`Carried`](crate::user::Carried) as text.
    pub carried: Option<String>,
    /// The sessions: [`SessionTable`](crate::sessions::SessionTable) as text.
    pub sessions: Option<String>,
    /// The counters of one-time tokens: [`Lanes`](super::Lanes) as text.
    pub lanes: Option<String>,
}

impl fmt::Debug for Columns {
    /// Without the secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Columns")
            .field("version", &self.version)
            .field("sessions", &self.sessions)
            .field("lanes", &self.lanes)
            .finish_non_exhaustive()
    }
}

/// A user's row, as a store reads it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Row<F = ()> {
    /// The user's id: [`User::id`](crate::User::id).
    pub id: String,
    /// Whether the user is active: [`User::is_active`](crate::User::is_active).
    pub is_active: bool,
    /// The columns that tokens are bound to.
    pub columns: Columns,
    /// The epochs of the groups that the user is in: [`User::epochs`](crate::User::epochs).
    pub epochs: Vec<UserEpoch>,
    /// The login, as the database holds it ([`UserKey::Login`]): `None` for a user without one, and
    /// for a store that does not read it.
    pub login: Option<String>,
    /// The application's further fields.
    pub fields: F,
}

impl<F> Row<F> {
    /// The row of an active user who is in no group with an epoch, without a
    /// [`login`](Self::login). `id` is that of the row, not of the lookup.
    pub fn new(id: impl Into<String>, columns: Columns, fields: F) -> Self {
        Self { id: id.into(), is_active: true, columns, epochs: Vec::new(), login: None, fields }
    }
}

impl<F> Row<F> {
    /// The same row with these fields.
    pub(crate) fn with_fields<G>(self, fields: G) -> Row<G> {
        let Self { id, is_active, columns, epochs, login, fields: _ } = self;
        Row { id, is_active, columns, epochs, login, fields }
    }

    /// Logs out everywhere, and returns the new version; `None` if the version could not grow.
    pub(super) fn bump(&mut self, at_least: i64) -> Option<i64> {
        let next = self.columns.version.unwrap_or(0).checked_add(1)?.max(at_least);
        self.columns.version = Some(next);
        self.columns.sessions = None;
        Some(next)
    }
}

impl<F> fmt::Debug for Row<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("id", &self.id)
            .field("is_active", &self.is_active)
            .field("columns", &self.columns)
            .field("epochs", &self.epochs)
            .finish_non_exhaustive()
    }
}

/// The epoch of a group that a user is in, as it is stored: an owned [`Epoch`](crate::user::Epoch).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UserEpoch {
    /// The kind of group, as [`AuthorityBuilder::user_epoch`](crate::AuthorityBuilder::user_epoch)
    /// named it.
    pub kind: String,
    /// The group among those of its kind, such as a tenant's id.
    pub instance: Option<String>,
    /// The group's counter.
    pub counter: Counter,
}

impl UserEpoch {
    /// The epoch of the group `instance` of this kind, or of the only group for `None`.
    pub fn new(
        kind: impl Into<String>,
        instance: Option<String>,
        counter: impl Into<Counter>,
    ) -> Self {
        Self { kind: kind.into(), instance, counter: counter.into() }
    }

    pub(super) fn as_epoch(&self) -> Epoch<'_> {
        match &self.instance {
            Some(instance) => Epoch::of(&self.kind, instance, self.counter),
            None => Epoch::new(&self.kind, self.counter),
        }
    }
}

/// A compare-and-set of one user's row.
#[derive(Clone, Debug)]
pub struct Update {
    pub(crate) id: String,
    pub(crate) old: Columns,
    pub(crate) new: Columns,
    pub(crate) revokes: bool,
}

impl Update {
    /// The id of the row's user.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The columns that the row must hold, all of them.
    #[must_use]
    pub const fn before(&self) -> &Columns {
        &self.old
    }

    /// The new columns. Write only those that differ from [`before`](Self::before): a trigger may run for
    /// each column in the `SET` list, also for one that does not change.
    #[must_use]
    pub const fn after(&self) -> &Columns {
        &self.new
    }

    /// Whether the update revokes a token that was valid until now. If so, notify other processes in the
    /// transaction that writes it. A login that evicts no session and the rotation of a refresh token
    /// revoke nothing.
    #[must_use]
    pub const fn revokes(&self) -> bool {
        self.revokes
    }
}

/// A new user to insert into a ready store.
#[derive(Clone)]
pub struct NewUser {
    pub(crate) id: String,
    pub(crate) login: String,
    pub(crate) password_hash: Option<String>,
    pub(crate) secret: Option<String>,
    version: FirstVersion,
}

/// The version that a new user begins with.
#[derive(Clone, Copy)]
enum FirstVersion {
    /// The time of the insertion.
    Now,
    At(OffsetDateTime),
    /// `NULL`.
    Initial,
}

impl NewUser {
    /// A user with a password, by its hash:
    /// [`Service::hash_password`](crate::service::Service::hash_password).
    ///
    /// `id` never changes and is never given to another user: make it random, such as a UUID, and not
    /// the login. `login` is what the user logs in by, stored as it is: fold its case before, here and
    /// at each login.
    pub fn with_password_hash(
        id: impl Into<String>,
        login: impl Into<String>,
        hash: impl Into<String>,
    ) -> Self {
        let password_hash = Some(hash.into());
        Self::new(id.into(), login.into(), password_hash, None)
    }

    /// A user without a password (passkey, OAuth, invitation), whose tokens are bound to a random
    /// secret.
    ///
    /// # Errors
    ///
    /// [`EntropyError`] if the operating system returns no random bytes.
    pub fn without_password(
        id: impl Into<String>,
        login: impl Into<String>,
    ) -> Result<Self, EntropyError> {
        let secret = Some(Credential::generate_secret()?.to_string());
        Ok(Self::new(id.into(), login.into(), None, secret))
    }

    const fn new(
        id: String,
        login: String,
        password_hash: Option<String>,
        secret: Option<String>,
    ) -> Self {
        Self { id, login, password_hash, secret, version: FirstVersion::Now }
    }

    /// Sets the time from which the user's first version is computed. Default: the system's time at the
    /// insertion. In a test with its own clock, pass the time of that clock.
    ///
    /// # Security
    ///
    /// If you insert a user with the id of a deleted user, the time must be later than the deleted user's
    /// last revocation. Otherwise a token of the deleted user could be valid again.
    #[must_use]
    pub const fn created_at(mut self, time: OffsetDateTime) -> Self {
        self.version = FirstVersion::At(time);
        self
    }

    /// Begins with the initial version, `NULL` in the database, as a user has whom code from before relatch
    /// inserts. It is for the phases of a migration in which such code runs beside
    /// ([Switching over](crate::guide::switching_over)): plain tokens that it issues to this user are then
    /// covered by the [`Adoption`](crate::authority::Adoption).
    ///
    /// # Security
    ///
    /// Never insert a user with the id of a deleted user in this way: a token of the deleted user could be
    /// valid again.
    #[must_use]
    pub const fn initial_version(mut self) -> Self {
        self.version = FirstVersion::Initial;
        self
    }

    /// The first columns of the user's row. The version is the time in milliseconds, so that an id
    /// that is reused repeats no version; or it is the initial one.
    pub(crate) fn columns(&self) -> Columns {
        let at = |time| Some(Counter::INITIAL.next(time).unwrap_or_default().get());
        let mut columns = Columns::default();
        columns.version = match self.version {
            FirstVersion::Now => at(OffsetDateTime::now_utc()),
            FirstVersion::At(time) => at(time),
            FirstVersion::Initial => None,
        };
        columns.password_hash.clone_from(&self.password_hash);
        columns.secret.clone_from(&self.secret);
        columns
    }
}

impl fmt::Debug for NewUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewUser").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Drop for NewUser {
    fn drop(&mut self) {
        self.password_hash.zeroize();
        self.secret.zeroize();
    }
}
