//! The store over SQL, generic over the database's driver.

use std::{future::Future, sync::Arc, time::Duration as StdDuration};

use tokio::time::Instant;

use super::{
    Capacity, Dialect, Failure, Fault, Slot,
    capacity::Kind,
    outcome::Effect,
    place::{ACTIVE, CARRIED, FIELDS, GROUPS, ID, LANES, PASSWORD_HASH, SECRET, SESSIONS, VERSION},
    run::Witness,
    statements::{Change, Statements, Switch},
};
use crate::{
    error::ConfigError,
    store::{
        Columns, NewUser, Row, StoreError, Update, UserEpoch, UserKey, UsersTable,
        row::first_version,
        sql::users_table::{IdType, Names, ReadFields},
    },
};

/// Runs statements.
pub(super) trait Driver: Clone + Send + Sync + 'static {
    type Row: Cells;

    /// How this database writes the statements.
    fn dialect(&self) -> Dialect;

    /// Which calls may use the pool.
    fn capacity(&self) -> &Capacity;

    /// The number of connections in the pool now.
    fn connections(&self) -> u32;

    /// Returns the number of changed rows. It times out at `until`.
    fn execute(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> impl Future<Output = Result<u64, Failure>> + Send;

    fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;

    /// Prepares the pool for another attempt after this fault.
    fn recover(&self, fault: Fault);

    /// Counts a change of which no other process was notified.
    fn not_notified(&self, failure: &Failure);
}

/// A row of a result, by the positions of its columns.
pub(super) trait Cells: Send {
    fn text(&self, at: usize) -> sqlx::Result<Option<String>>;
    fn integer(&self, at: usize) -> sqlx::Result<Option<i64>>;
}

/// A parameter to bind.
#[derive(Clone, Copy)]
pub(super) enum Param<'a> {
    Text(Option<&'a str>),
    Integer(Option<i64>),
    Bool(bool),
}

/// The deadline of a call that begins now.
fn by(timeout: StdDuration) -> Instant {
    // A timeout beyond the clock's range: a day is as good as never.
    let never = Instant::now() + StdDuration::from_secs(86_400);
    Instant::now().checked_add(timeout).map_or(never, |at| at.min(never))
}

pub(super) struct Engine<D, F> {
    driver: D,
    shared: Arc<Shared<F>>,
    timeout: StdDuration,
}

struct Shared<F> {
    names: Names,
    read: ReadFields<F>,
    statements: Statements,
}

impl<D: Driver, F> Engine<D, F> {
    /// `timeout` is that of a call.
    pub(super) fn new(
        driver: D,
        table: &UsersTable<F>,
        timeout: StdDuration,
    ) -> Result<Self, ConfigError> {
        let (names, read) = table.checked()?;
        let statements = Statements::new(&names, &driver.dialect());
        Ok(Self { driver, shared: Arc::new(Shared { names, read, statements }), timeout })
    }

    pub(super) const fn driver(&self) -> &D {
        &self.driver
    }

    pub(super) fn names(&self) -> &Names {
        &self.shared.names
    }

    fn id<'a>(&self, id: &'a str) -> Option<Param<'a>> {
        self.shared.names.id(id)
    }
}

impl<D: Driver, F: Send + Sync> Engine<D, F> {
    /// The deadline of a call that begins now.
    pub(super) fn deadline(&self) -> Instant {
        by(self.timeout)
    }

    pub(super) async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        let until = self.deadline();
        let slot = self.driver.capacity().enter(Kind::Read, until).await?;
        self.read_row(key, &slot, until).await
    }

    pub(super) async fn read_row(
        &self,
        key: UserKey<'_>,
        slot: &Slot,
        until: Instant,
    ) -> Result<Option<Row<F>>, StoreError> {
        let statements = &self.shared.statements;
        let (sql, param) = match key {
            UserKey::Id(id) => (&statements.read_by_id, self.id(id)),
            UserKey::Login(login) => (&statements.read_by_login, text(login)),
        };
        let Some(param) = param else { return Ok(None) };
        let mut rows = self.fetch(sql, &[param], slot, until).await?;
        match (rows.pop(), rows.pop()) {
            (None, _) => Ok(None),
            (Some(row), None) => self.shared.row(&row).map(Some),
            (Some(_), Some(_)) => Err(StoreError::misconfigured(
                "two users have the same id or login: the column must be unique",
            )),
        }
    }

    pub(super) async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        let Some(id) = self.id(update.id()) else { return Ok(false) };
        let has_secret = self.shared.names.secret.is_some();
        let mut params = vec![id];
        for columns in [update.after(), update.before()] {
            if columns.secret.is_some() && !has_secret {
                return Err(no_secret());
            }
            let Columns { version, password_hash, secret, carried, sessions, lanes } = columns;
            params.push(Param::Integer(*version));
            let texts = [password_hash, carried, sessions, lanes].into_iter();
            let texts = texts.chain(has_secret.then_some(secret));
            params.extend(texts.map(|text| Param::Text(text.as_deref())));
        }
        let statements = &self.shared.statements;
        let (sql, kind) = match update.revokes() {
            true => (&statements.compare_and_revoke, Kind::Revocation),
            false => (&statements.compare_and_set, Kind::Write),
        };
        let witness = Witness { key: UserKey::Id(update.id()), effect: Effect::Set(update) };
        self.change(sql, &params, kind, Some(witness)).await
    }

    pub(super) async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.revoke(id, &self.shared.statements.delete, &[], Effect::Deleted).await
    }

    pub(super) async fn bump_version(&self, id: &str, at_least: i64) -> Result<bool, StoreError> {
        let params = [Param::Integer(Some(at_least))];
        let effect = Effect::LoggedOut { at_least };
        self.revoke(id, &self.shared.statements.bump_version, &params, effect).await
    }

    pub(super) async fn disable(&self, id: &str, at_least: i64) -> Result<bool, StoreError> {
        let Some(Switch { disable, .. }) = &self.shared.statements.switch else {
            return Err(no_status());
        };
        let params = [Param::Integer(Some(at_least)), Param::Bool(false)];
        self.revoke(id, disable, &params, Effect::Disabled { at_least }).await
    }

    pub(super) async fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> Result<bool, StoreError> {
        let Some(Switch { enable, .. }) = &self.shared.statements.switch else {
            return Err(no_status());
        };
        let Some(param) = self.id(id) else { return Ok(false) };
        let least = Param::Integer(Some(at_least));
        let params = [param, least, Param::Bool(true), Param::Integer(version)];
        let effect = Effect::Enabled { version, at_least };
        let witness = Witness { key: UserKey::Id(id), effect };
        self.change(enable, &params, Kind::Write, Some(witness)).await
    }

    pub(super) async fn insert(&self, user: &NewUser) -> Result<bool, StoreError> {
        let not_an_id = || {
            StoreError::unsupported(
                "the new user's id is not in the canonical form of the ids' type",
            )
        };
        let id = self.id(&user.id).ok_or_else(not_an_id)?;
        let columns = &user.columns(first_version());
        let Columns { version, password_hash, secret, .. } = columns;
        let login = text(&user.login).ok_or_else(|| {
            StoreError::unsupported("the new user's login contains a NUL character")
        })?;
        let hash = Param::Text(password_hash.as_deref());
        let mut params = vec![id, login, Param::Integer(*version), hash];
        match (&self.shared.names.secret, secret) {
            (Some(_), secret) => params.push(Param::Text(secret.as_deref())),
            (None, Some(_)) => return Err(no_secret()),
            (None, None) => {}
        }
        let effect = Effect::Inserted { id: &user.id, columns };
        let witness = Witness { key: UserKey::Login(&user.login), effect };
        self.change(&self.shared.statements.insert, &params, Kind::Write, Some(witness)).await
    }

    pub(super) async fn bump_epoch(
        &self,
        kind: &str,
        instance: &str,
        at_least: i64,
    ) -> Result<bool, StoreError> {
        let mut all = self.shared.statements.bump_epoch.iter();
        let (_, sql) = all
            .find(|(name, _)| name == kind)
            .ok_or_else(|| StoreError::unsupported("the users' table has no epoch of this kind"))?;
        let Some(instance) = text(instance) else { return Ok(false) };
        let params = [instance, Param::Integer(Some(at_least))];
        self.change(sql, &params, Kind::Revocation, None).await
    }

    /// Runs a statement whose first parameter is the id, and whose only condition is that there is such
    /// a user.
    async fn revoke(
        &self,
        id: &str,
        sql: &Change,
        params: &[Param<'_>],
        effect: Effect<'_>,
    ) -> Result<bool, StoreError> {
        let Some(param) = self.id(id) else { return Ok(false) };
        let params = [&[param], params].concat();
        let witness = Witness { key: UserKey::Id(id), effect };
        self.change(sql, &params, Kind::Revocation, Some(witness)).await
    }
}

impl Names {
    /// The id in its column's type; `None` if it can be no user's.
    fn id<'a>(&self, id: &'a str) -> Option<Param<'a>> {
        match self.id_type {
            IdType::Text => text(id),
            IdType::Integer => {
                let number = id.parse::<i64>().ok().filter(|number| number.to_string() == id);
                number.map(|number| Param::Integer(Some(number)))
            }
            IdType::Uuid => is_uuid(id).then_some(Param::Text(Some(id))),
        }
    }
}

impl<F> Shared<F> {
    fn row<C: Cells>(&self, cells: &C) -> Result<Row<F>, StoreError> {
        let text = |column, at| cells.text(at).map_err(|error| damaged(column, &error));
        let integer = |column, at| cells.integer(at).map_err(|error| damaged(column, &error));
        let columns = Columns {
            version: integer("version", VERSION)?,
            password_hash: text("password_hash", PASSWORD_HASH)?,
            secret: text("secret", SECRET)?,
            carried: text("carried", CARRIED)?,
            sessions: text("sessions", SESSIONS)?,
            lanes: text("lanes", LANES)?,
        };
        let id = text("id", ID)?.ok_or_else(|| StoreError::damaged("id", "it is NULL"))?;
        if self.names.id(&id).is_none() {
            return Err(StoreError::damaged("id", "it is not in the canonical form of its type"));
        }
        let mut row = Row::new(id, columns, ());
        row.is_active = integer("active", ACTIVE)? == Some(1);
        for (group, at) in self.names.groups.iter().zip((GROUPS..).step_by(2)) {
            let (instance, counter) = (text("epochs", at)?, integer("epochs", at + 1)?);
            if instance.is_some() && counter.is_none() {
                // Without its counter, tokens from before its bumps would be valid again.
                let text = format!("the user's group of the kind {} has no row", group.kind);
                return Err(StoreError::damaged("epochs", text));
            }
            row.epochs.push(UserEpoch::new(group.kind.clone(), instance, counter));
        }
        match self.fields(cells) {
            Ok(fields) => Ok(row.with_fields(fields)),
            Err(error) => Err(StoreError::damaged_fields(row, error)),
        }
    }

    /// The application's own fields; or why they cannot be read.
    fn fields<C: Cells>(&self, cells: &C) -> Result<F, String> {
        let json = cells.text(FIELDS).map_err(|error| error.to_string())?;
        (self.read)(json.as_deref().unwrap_or("null")).map_err(|error| {
            // The error's own text may quote a field.
            let (kind, at) = (error.classify(), error.column());
            format!("their JSON cannot be parsed as their type: {kind:?} at byte {at}")
        })
    }
}

impl<D: Clone, F> Clone for Engine<D, F> {
    fn clone(&self) -> Self {
        Self {
            driver: self.driver.clone(),
            shared: Arc::clone(&self.shared),
            timeout: self.timeout,
        }
    }
}

/// PostgreSQL stores no text with a NUL, so no user can have such a name.
fn text(text: &str) -> Option<Param<'_>> {
    (!text.contains('\0')).then_some(Param::Text(Some(text)))
}

/// Whether this is a UUID in the form of RFC 9562 §4, in lower case.
fn is_uuid(id: &str) -> bool {
    id.len() == 36
        && id.bytes().enumerate().all(|(at, c)| match at {
            8 | 13 | 18 | 23 => c == b'-',
            _ => matches!(c, b'0'..=b'9' | b'a'..=b'f'),
        })
}

const fn no_status() -> StoreError {
    StoreError::unsupported(
        "the users' table has no column that says whether a user is active: name it with `active`",
    )
}

fn no_secret() -> StoreError {
    StoreError::misconfigured("the users' table has no column for a secret: name it with `secret`")
}

fn damaged(column: &'static str, error: &sqlx::Error) -> StoreError {
    StoreError::damaged(column, error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_one_form() {
        let uuid = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        assert!(is_uuid(uuid));
        for other in [
            &uuid.to_uppercase(),
            &uuid.replace('-', ""),
            &format!("{{{uuid}}}"),
            &uuid[1..],
            &uuid.replace("44-", "4g-"),
            "",
        ] {
            assert!(!is_uuid(other), "{other}");
        }
    }
}
