//! A store in memory, for tests.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{NewUser, Row, StoreError, Update, UserEpoch, UserKey, UserStore};
use crate::counter::Counter;

/// A store of users in memory, for tests. A clone is cheap and refers to the same users.
///
/// # Example
///
/// ```
/// use relatch::{service::Service, store::{MemoryStore, NewUser}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let key = relatch::MasterKey::generate("2026-11")?;
/// # let authority = relatch::Authority::new(key, "https://login.example.com", "https://api.example.com")?;
/// let users = MemoryStore::new();
/// let service = Service::new(authority, users.clone());
/// let hash = service.hash_password("correct horse battery").await?;
/// users.insert(NewUser::with_password_hash("1", "alice", hash), ());
///
/// let tokens = service.login("alice", "correct horse battery", "Firefox on Linux").await?;
/// assert!(service.authenticate(tokens.access()).await.is_ok());
///
/// // An outage.
/// users.set_reachable(false);
/// let error = service.authenticate(tokens.access()).await.unwrap_err();
/// assert!(error.is_unavailable());
/// # Ok(())
/// # }
/// ```
pub struct MemoryStore<F = ()>(Arc<Mutex<Users<F>>>);

struct Users<F> {
    rows: HashMap<String, Stored<F>>,
    /// The counters of the groups, by their kinds and instances.
    groups: HashMap<String, HashMap<String, Counter>>,
    is_reachable: bool,
}

struct Stored<F> {
    login: String,
    row: Row<F>,
}

impl<F: Clone> MemoryStore<F> {
    /// Makes a store without users.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Users {
            rows: HashMap::new(),
            groups: HashMap::new(),
            is_reachable: true,
        })))
    }

    /// Inserts a user, and returns whether there was none of this id or login before. Otherwise nothing
    /// changes.
    pub fn insert(&self, user: NewUser, fields: F) -> bool {
        let mut users = self.lock();
        let is_taken =
            |(id, stored): (&String, &Stored<F>)| *id == user.id || stored.login == user.login;
        if users.rows.iter().any(is_taken) {
            return false;
        }
        let mut row = Row::new(&user.id, user.columns(), fields);
        row.login = Some(user.login.clone());
        users.rows.insert(user.id.clone(), Stored { login: user.login.clone(), row });
        true
    }

    /// Moves the user into this group, such as a tenant, and returns whether there is such a user. A user
    /// is in one group of each kind. A new group has the counter
    /// [`Counter::INITIAL`](crate::user::Counter::INITIAL). [`bump_epoch`](UserStore::bump_epoch) bumps
    /// the counter for all users of the group.
    pub fn set_group(&self, id: &str, kind: &str, instance: &str) -> bool {
        let mut users = self.lock();
        let Users { rows, groups, .. } = &mut *users;
        let Some(Stored { row, .. }) = rows.get_mut(id) else { return false };
        let of_kind = groups.entry(kind.to_owned()).or_default();
        let counter = *of_kind.entry(instance.to_owned()).or_default();
        let epoch = UserEpoch::new(kind, Some(instance.to_owned()), counter);
        match row.epochs.iter_mut().find(|epoch| epoch.kind == kind) {
            Some(other) => *other = epoch,
            None => row.epochs.push(epoch),
        }
        true
    }

    /// Changes a user's row without any condition, as the application's own SQL would, and returns
    /// whether there is such a user. It does not move the counter of a group that
    /// [`set_group`](Self::set_group) named.
    pub fn edit(&self, id: &str, edit: impl FnOnce(&mut Row<F>)) -> bool {
        let mut users = self.lock();
        let stored = users.rows.get_mut(id);
        stored.map(|stored| edit(&mut stored.row)).is_some()
    }

    /// Sets whether the store answers. While it does not, each call fails as
    /// [`StoreErrorKind::Unreachable`](super::StoreErrorKind::Unreachable).
    pub fn set_reachable(&self, is_reachable: bool) {
        self.lock().is_reachable = is_reachable;
    }

    fn reach(&self) -> Result<MutexGuard<'_, Users<F>>, StoreError> {
        let users = self.lock();
        match users.is_reachable {
            true => Ok(users),
            false => Err(StoreError::unreachable("`set_reachable` simulates an outage")),
        }
    }

    /// A poisoned lock guards a whole value, unless the application's own closure panicked halfway.
    fn lock(&self) -> MutexGuard<'_, Users<F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Clone + Send + Sync + 'static> UserStore for MemoryStore<F> {
    type Fields = F;

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        let users = self.reach()?;
        let stored = match key {
            UserKey::Id(id) => users.rows.get(id),
            UserKey::Login(login) => users.rows.values().find(|stored| stored.login == login),
        };
        Ok(stored.map(|stored| users.with_epochs(stored.row.clone())))
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        let mut users = self.reach()?;
        match users.rows.get_mut(update.id()) {
            Some(stored) if stored.row.columns == *update.before() => {
                stored.row.columns = update.after().clone();
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        Ok(self.reach()?.rows.remove(id).is_some())
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        Ok(self.reach()?.rows.get_mut(id).and_then(|stored| stored.row.bump(at_least)))
    }

    async fn bump_epoch(
        &self,
        kind: &str,
        instance: &str,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        let mut users = self.reach()?;
        let of_kind = users
            .groups
            .get_mut(kind)
            .ok_or_else(|| StoreError::unsupported("no user is in a group of this kind"))?;
        let Some(counter) = of_kind.get_mut(instance) else { return Ok(None) };
        let next = counter.get().checked_add(1).map(|next| next.max(at_least));
        *counter = next.map_or(*counter, Into::into);
        Ok(next)
    }

    async fn disable(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        let mut users = self.reach()?;
        let Some(Stored { row, .. }) = users.rows.get_mut(id) else { return Ok(None) };
        let version = row.bump(at_least);
        row.is_active &= version.is_none();
        Ok(version)
    }

    async fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        let mut users = self.reach()?;
        let Some(Stored { row, .. }) = users.rows.get_mut(id) else { return Ok(None) };
        if row.columns.version != version {
            return Ok(None);
        }
        let version = row.bump(at_least);
        row.is_active |= version.is_some();
        Ok(version)
    }
}

impl<F> Users<F> {
    /// The row with its groups' present counters.
    fn with_epochs(&self, mut row: Row<F>) -> Row<F> {
        for UserEpoch { kind, instance, counter } in &mut row.epochs {
            let of_kind = instance.as_ref().zip(self.groups.get(kind));
            let present = of_kind.and_then(|(instance, of_kind)| of_kind.get(instance));
            *counter = present.copied().unwrap_or(*counter);
        }
        row
    }
}

impl<F: Clone> Default for MemoryStore<F> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F> Clone for MemoryStore<F> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<F> fmt::Debug for MemoryStore<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}
