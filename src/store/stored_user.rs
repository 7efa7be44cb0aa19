//! A user as requests see it, and the record that changes are decided on.

use std::{borrow::Cow, fmt, sync::Arc};

use super::{Columns, Lanes, Row, StoreError, Update, UserEpoch};
use crate::{
    authority::decision::Change,
    binding::{
        Binding,
        credential::{Carried, Credential, can_be_password_hash, effective},
        epoch::Epoch,
        key_cache::UserKeys,
    },
    bytes::{constant_time, text::Text},
    counter::Counter,
    sessions::SessionTable,
    user::User,
};

/// A user read from a store: the values that tokens are bound to, and the application's fields. It
/// never holds the password hash, so it can be cached and passed around. A clone is cheap and refers
/// to the same value.
pub struct StoredUser<F = ()>(Arc<Inner<F>>);

/// In the order of their use by a verification, so that it reads few cache lines.
#[repr(C)]
struct Inner<F> {
    id: Text,
    is_active: bool,
    version: Counter,
    /// `None` where the row has no secret at all.
    credential: Option<Credential>,
    /// Boxed, because it is rare.
    carried: Option<Box<Carried>>,
    epochs: Vec<UserEpoch>,
    sessions: SessionTable,
    /// Present if the record is cached.
    keys: Option<UserKeys>,
    lanes: Lanes,
    login: Option<Box<str>>,
    fields: F,
}

impl<F> StoredUser<F> {
    /// The application's further fields of the row.
    #[must_use]
    pub fn fields(&self) -> &F {
        &self.0.fields
    }

    /// The login, as the database holds it: a user name or an e-mail address. `None` for a user without
    /// one. The ready stores read it with each row; another store may not ([`Row::login`]).
    ///
    /// # Security
    ///
    /// If it is an e-mail address, send mail to it, and not to the text that was typed. Under a
    /// collation that ignores case or accents, another address finds the user too, and it may be
    /// somebody else's.
    #[must_use]
    pub fn login(&self) -> Option<&str> {
        self.0.login.as_deref()
    }
}

impl<F: Clone> StoredUser<F> {
    /// The user of a row: for a decision that an application makes by hand on a row that it has read
    /// from a store, to write it by [`Update::new`].
    ///
    /// # Errors
    ///
    /// [`StoreError`], of the kind [`Damaged`](super::StoreErrorKind::Damaged) for a column that
    /// cannot be parsed.
    pub fn of(row: &Row<F>) -> Result<Self, StoreError> {
        let Columns { version, password_hash, secret, carried, sessions, lanes } = &row.columns;
        // An empty text and a placeholder bind nothing.
        let password_hash = password_hash.as_ref().filter(|hash| can_be_password_hash(hash));
        let secret = secret.as_ref().filter(|secret| !secret.is_empty());
        let secrets = [password_hash, secret].into_iter().flatten();
        let credential = match secrets.clone().count() {
            0 => None,
            _ => Some(
                Credential::from_secrets(secrets)
                    .map_err(|error| StoreError::damaged("password_hash", error))?,
            ),
        };
        let carried = carried.as_deref().map(str::parse).transpose();
        Ok(Self(Arc::new(Inner {
            id: row.id.as_str().into(),
            is_active: row.is_active,
            version: (*version).into(),
            credential,
            carried: carried.map_err(|error| StoreError::damaged("carried", error))?.map(Box::new),
            epochs: row.epochs.clone(),
            sessions: SessionTable::from_column(sessions.as_deref())
                .map_err(|error| StoreError::damaged("sessions", error))?,
            lanes: Lanes::from_column(lanes.as_deref())
                .map_err(|error| StoreError::damaged("lanes", error))?,
            login: row.login.as_deref().map(Box::from),
            fields: row.fields.clone(),
            keys: None,
        })))
    }
}

/// A row that was read from the primary database, to decide a change on.
#[derive(Clone)]
pub(crate) struct Record<F> {
    row: Row<F>,
    user: StoredUser<F>,
}

impl Record<()> {
    /// The record that a read has found, without the application's fields, which need not be readable.
    pub(crate) fn bare<F>(
        read: Result<Option<Row<F>>, StoreError>,
    ) -> Result<Option<Self>, StoreError> {
        Row::bare(read)?.map(Self::read).transpose()
    }
}

impl<F: Clone> Record<F> {
    pub(crate) fn read(row: Row<F>) -> Result<Self, StoreError> {
        let user = StoredUser::of(&row)?;
        Ok(Self { row, user })
    }

    pub(crate) fn into_row(self) -> Row<F> {
        self.row
    }

    pub(crate) const fn user(&self) -> &StoredUser<F> {
        &self.user
    }

    pub(crate) const fn columns(&self) -> &Columns {
        &self.row.columns
    }

    pub(crate) const fn version(&self) -> Option<i64> {
        self.row.columns.version
    }

    pub(crate) fn password_hash(&self) -> Option<&str> {
        self.row.columns.password_hash.as_deref().filter(|hash| can_be_password_hash(hash))
    }

    /// The user alone; with a cache of its keys if the record is to be cached.
    pub(crate) fn into_user(self, is_kept: bool) -> StoredUser<F> {
        let Self { row: _, mut user } = self;
        // It has no other owner yet.
        if let Some(inner) = Arc::get_mut(&mut user.0) {
            inner.keys = is_kept.then(UserKeys::default);
        }
        user
    }

    /// The record with a new password.
    pub(crate) fn with_password(&self, hash: &str) -> Result<Self, StoreError> {
        let mut row = self.row.clone();
        row.columns.password_hash = Some(hash.to_owned());
        row.columns.carried = None;
        Self::read(row)
    }

    /// The record with a new secret beside the password's hash, or without one.
    pub(crate) fn with_secret(&self, secret: Option<&str>) -> Result<Self, StoreError> {
        let mut row = self.row.clone();
        row.columns.secret = secret.map(str::to_owned);
        row.columns.carried = None;
        Self::read(row)
    }

    /// The record with another hash of the same password, which logs nobody out.
    pub(crate) fn rehashed(&self, hash: &str) -> Result<Self, StoreError> {
        let mut next = self.with_password(hash)?;
        if let (Some(old), Some(new)) = (&self.user.0.credential, &next.user.0.credential) {
            let carried = Carried::rehash(self.user.carried(), old, new);
            next.row.columns.carried = Some(carried.expose_text().to_string());
        }
        Self::read(next.row)
    }

    /// The update for a change that was decided on `edited`, which is this record with the service's own
    /// edits.
    pub(crate) fn update(&self, edited: &Self, change: &Change) -> Result<Update, StoreError> {
        if change.user_id() != self.row.id {
            return Err(OTHER_USER);
        }
        let mut next = edited.row.clone();
        next.columns.version = Some(change.version().get());
        if let Some(sessions) = change.sessions() {
            next.columns.sessions = sessions.to_column();
        }
        let mut lanes = self.user.0.lanes.clone();
        change.lanes().for_each(|(typ, counter)| lanes.set(typ, counter));
        next.columns.lanes = lanes.to_column();
        let next = Self::read(next)?;
        Ok(Update {
            id: self.row.id.clone(),
            old: self.row.columns.clone(),
            revokes: self.user.is_revoked_by(&next.user),
            new: next.row.columns,
        })
    }
}

const OTHER_USER: StoreError =
    StoreError::unsupported("the change was decided on the record of another user");

impl Update {
    /// The update for a change that was decided by hand on the user of this row
    /// ([`StoredUser::of`]). Read the row from the primary database. If
    /// [`compare_and_set`](super::UserStore::compare_and_set) returns `false`, read it again and
    /// decide again.
    ///
    /// With a [`Service`](crate::service::Service) over the store, call
    /// [`Service::decide`](crate::service::Service::decide) instead, which also notifies its cache
    /// and its live connections.
    ///
    /// # Errors
    ///
    /// [`StoreError`], of the kind [`Damaged`](super::StoreErrorKind::Damaged) for a column that
    /// cannot be parsed, and of the kind [`Unsupported`](super::StoreErrorKind::Unsupported) for a
    /// change that was decided on another user.
    ///
    /// # Example
    ///
    /// ```
    /// use std::error::Error;
    ///
    /// use relatch::{
    ///     Authority,
    ///     sessions::SessionId,
    ///     store::{StoredUser, Update, UserKey, UserStore},
    /// };
    ///
    /// /// Returns whether there was such a session, or `None` if the row was changed meanwhile.
    /// async fn log_out(
    ///     authority: &Authority,
    ///     users: &impl UserStore,
    ///     id: &str,
    ///     device: SessionId,
    /// ) -> Result<Option<bool>, Box<dyn Error>> {
    ///     let row = users.read(UserKey::Id(id)).await?.ok_or("no such user")?;
    ///     let decision = authority.log_out(&StoredUser::of(&row)?, device)?;
    ///     let store = async |change| users.compare_and_set(&Update::new(&row, &change)?).await;
    ///     Ok(decision.commit_async(store).await?.stored())
    /// }
    /// ```
    pub fn new<F: Clone>(read: &Row<F>, change: &Change) -> Result<Self, StoreError> {
        Self::edited(read, read.columns.clone(), change)
    }

    /// [`new`](Self::new) with columns that the application itself changes in the same statement,
    /// such as the hash of a new password: `columns` are those of the row with that change. The
    /// change must be decided on the user of the row as it will be then.
    ///
    /// A new password takes `carried` = `None`. For another hash of the same password, set it by
    /// [`Carried::rehash`](crate::user::Carried::rehash), which logs nobody out.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub fn edited<F: Clone>(
        read: &Row<F>,
        columns: Columns,
        change: &Change,
    ) -> Result<Self, StoreError> {
        let read = Record::read(read.clone().with_fields(()))?;
        let edited = Record::read(Row { columns, ..read.row.clone() })?;
        read.update(&edited, change)
    }
}

impl<F> StoredUser<F> {
    #[cfg(feature = "cache")]
    pub(crate) fn has_id(&self, id: &str) -> bool {
        self.0.id.as_bytes() == id.as_bytes()
    }

    /// Whether some token of this record is no longer valid on the next one.
    fn is_revoked_by(&self, next: &Self) -> bool {
        !self.has_binding_of(next) || !next.0.sessions.has_all_of(&self.0.sessions)
    }

    /// Whether a bump can move the version.
    pub(crate) fn has_version_left(&self) -> bool {
        self.0.version.get() < i64::MAX
    }

    /// Whether both bind tokens to the same values, apart from sessions.
    pub(crate) fn has_binding_of<G>(&self, other: &StoredUser<G>) -> bool {
        let is_same_credential = match (self.effective(), other.effective()) {
            (Some(own), Some(theirs)) => constant_time::equal(own.as_bytes(), theirs.as_bytes()),
            (own, theirs) => own.is_none() && theirs.is_none(),
        };
        self.0.version == other.0.version && self.0.epochs == other.0.epochs && is_same_credential
    }
}

impl<F> StoredUser<F> {
    fn effective(&self) -> Option<Credential> {
        let present = self.0.credential.clone()?;
        Some(effective(Cow::Owned(present), self.carried()).into_owned())
    }
}

impl<F> User for StoredUser<F> {
    fn id(&self) -> &str {
        self.0.id.as_str()
    }

    fn binding(&self) -> Binding<'_> {
        let binding = match &self.0.credential {
            Some(credential) => Binding::credential(credential),
            None => Binding::secrets::<&str>([]),
        };
        binding.version(self.0.version)
    }

    fn is_active(&self) -> bool {
        self.0.is_active
    }

    fn carried(&self) -> Option<&Carried> {
        self.0.carried.as_deref()
    }

    fn epochs(&self) -> Vec<Epoch<'_>> {
        self.0.epochs.iter().map(UserEpoch::as_epoch).collect()
    }

    fn sessions(&self) -> Option<&SessionTable> {
        Some(&self.0.sessions)
    }

    fn user_keys(&self) -> Option<&UserKeys> {
        self.0.keys.as_ref()
    }

    fn lane(&self, typ: &str) -> Option<Counter> {
        Some(self.0.lanes.get(typ))
    }
}

impl<F> Clone for StoredUser<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for StoredUser<F> {
    /// Without the application's fields, which may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredUser")
            .field("id", &self.0.id.as_str())
            .field("is_active", &self.0.is_active)
            .field("version", &self.0.version)
            .finish_non_exhaustive()
    }
}
