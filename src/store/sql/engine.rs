//! The store over SQL, generic over the database's driver.

use std::{
    future::Future,
    sync::{Arc, PoisonError, RwLock},
    time::Duration as StdDuration,
};

use tokio::{
    sync::Mutex,
    time::{Instant, timeout_at},
};

#[cfg(feature = "postgres")]
use super::Batches;
use super::{
    Capacity, Cells, Dialect, Failure, Fault, Param, Slot,
    attempt::Done,
    capacity::Kind,
    outcome::{Effect, Witness},
    param::text,
    rows::Rows,
    statements::{Changed, Sql, Statement, Statements, texts},
    users_table::Names,
};
use crate::{
    error::ConfigError,
    store::{Columns, NewUser, Row, StoreError, Update, UserKey, UsersTable},
};

/// The least time between two look-ups of the tables' shape for keys that are no values of their
/// columns' types.
const RELEARNING: StdDuration = StdDuration::from_secs(1);

/// Runs statements.
pub(super) trait Driver: Clone + Send + Sync + 'static {
    type Row: Cells;

    /// How this database writes the statements over these tables, which it may look up.
    fn dialect(
        &self,
        names: &Names,
        slot: &Slot,
        until: Instant,
    ) -> impl Future<Output = Result<Dialect, Failure>> + Send;

    /// Which calls may use the pool.
    fn capacity(&self) -> &Capacity;

    /// The look-ups by id that share statements; `None` if each has its own.
    #[cfg(feature = "postgres")]
    fn batches(&self) -> Option<&Batches<Self::Row>> {
        None
    }

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

    /// [`execute`](Self::execute) for a statement that returns the rows that it changes.
    fn execute_returning(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;

    /// Reads rows.
    fn fetch(
        &self,
        sql: &Arc<str>,
        params: &[Param<'_>],
        slot: &Slot,
        until: Instant,
    ) -> impl Future<Output = Result<Vec<Self::Row>, Failure>> + Send;

    /// Prepares the pool for another attempt after this fault.
    fn recover(&self, fault: Fault);

    /// Called when a change was written without its notification, which failed.
    fn not_notified(&self, _: Failure) {}
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
    rows: Rows<F>,
    /// Learnt at the first call, and again when a statement no longer fits the tables.
    statements: RwLock<Option<Arc<Statements>>>,
    /// One call at a time learns. It holds when the tables were last found to be as before.
    learning: Mutex<Option<Instant>>,
}

impl<D: Driver, F> Engine<D, F> {
    /// `timeout` is that of a call.
    pub(super) fn new(
        driver: D,
        table: &UsersTable<F>,
        timeout: StdDuration,
    ) -> Result<Self, ConfigError> {
        let (names, read) = table.checked()?;
        let (statements, learning) = (RwLock::default(), Mutex::default());
        let shared = Arc::new(Shared { rows: Rows { names, read }, statements, learning });
        Ok(Self { driver, shared, timeout })
    }

    pub(super) const fn driver(&self) -> &D {
        &self.driver
    }

    pub(super) fn names(&self) -> &Names {
        &self.shared.rows.names
    }

    pub(super) fn id<'a>(&self, id: &'a str) -> Option<Param<'a>> {
        self.names().id(id)
    }
}

impl<D: Driver, F: Send + Sync + 'static> Engine<D, F> {
    /// The deadline of a call that begins now.
    pub(super) fn deadline(&self) -> Instant {
        by(self.timeout)
    }

    pub(super) async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        let until = self.deadline();
        #[cfg(feature = "postgres")]
        if let (UserKey::Id(id), Some(batches)) = (key, self.driver.batches()) {
            return match self.id(id) {
                Some(_) => self.shared.rows.only(batches.read(self, id, until).await),
                None => Ok(None),
            };
        }
        let slot = self.driver.capacity().enter(Kind::Read, until).await?;
        self.read_row(key, &slot, until).await
    }

    pub(super) async fn read_row(
        &self,
        key: UserKey<'_>,
        slot: &Slot,
        until: Instant,
    ) -> Result<Option<Row<F>>, StoreError> {
        self.shared.rows.only(self.rows(key, slot, until).await)
    }

    /// The rows with this key.
    pub(super) async fn rows(
        &self,
        key: UserKey<'_>,
        slot: &Slot,
        until: Instant,
    ) -> Result<Vec<D::Row>, Failure> {
        let Some((statement, param)) = self.read_statement(key) else { return Ok(Vec::new()) };
        self.fetch(statement, &[param], slot, until).await
    }

    /// The statement that reads a row, and its parameter; `None` if the key can be no user's.
    pub(super) fn read_statement<'a>(&self, key: UserKey<'a>) -> Option<(Statement, Param<'a>)> {
        match key {
            UserKey::Id(id) => Some((Statement::ReadById, self.id(id)?)),
            UserKey::Login(login) => Some((Statement::ReadByLogin, text(login)?)),
        }
    }

    /// The row of a statement that reads one.
    pub(super) fn one(&self, rows: Vec<D::Row>) -> Result<Option<Row<F>>, StoreError> {
        self.shared.rows.only(Ok(rows))
    }

    pub(super) async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        let Some((statement, params)) = self.set_statement(update)? else { return Ok(false) };
        if statement.reads() {
            let until = self.deadline();
            let slot = self.driver.capacity().enter(Kind::Read, until).await?;
            return Ok(!self.fetch(statement, &params, &slot, until).await?.is_empty());
        }
        let kind = if update.revokes() { Kind::Revocation } else { Kind::Write };
        let witness = Witness { key: UserKey::Id(update.id()), effect: Effect::Set(update) };
        Ok(self.execute(statement, &params, kind, Some(witness)).await?.changes_rows)
    }

    /// The statement of a compare-and-set, and its parameters; `None` if the id can be no user's.
    pub(super) fn set_statement<'a>(
        &self,
        update: &'a Update,
    ) -> Result<Option<(Statement, Vec<Param<'a>>)>, StoreError> {
        let Some(id) = self.id(update.id()) else { return Ok(None) };
        let (before, after) = (update.before(), update.after());
        let has_secret = self.names().secret.is_some();
        if !has_secret && (before.secret.is_some() || after.secret.is_some()) {
            return Err(no_secret());
        }
        let changed = Changed::between(before, after);
        let mut params = vec![id];
        params.extend(self.columns(before).map(|(_, param)| param));
        let new = self.columns(after).filter(|(at, _)| changed.has(*at));
        params.extend(new.map(|(_, param)| param));
        Ok(Some((Statement::CompareAndSet { changed, revokes: update.revokes() }, params)))
    }

    /// The columns that are compared and set, with their places.
    fn columns<'a>(&self, columns: &'a Columns) -> impl Iterator<Item = (usize, Param<'a>)> {
        let Columns { version, password_hash, secret, carried, sessions, lanes } = columns;
        let texts_of = [password_hash, carried, sessions, lanes, secret];
        let texts_of = texts_of.into_iter().take(texts(self.names()).count());
        let params = texts_of.map(|text| Param::Text(text.as_deref()));
        [Param::Integer(*version)].into_iter().chain(params).enumerate()
    }

    pub(super) async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        let done = self.change(Statement::Delete, id, &[], Some(Effect::Deleted)).await?;
        Ok(done.changes_rows)
    }

    pub(super) async fn bump_version(
        &self,
        id: &str,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        let params = [Param::Integer(Some(at_least))];
        self.change(Statement::BumpVersion, id, &params, None).await?.moved()
    }

    pub(super) async fn disable(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.has_status()?;
        let params = [Param::Integer(Some(at_least)), Param::Bool(false)];
        self.change(Statement::Disable, id, &params, None).await?.moved()
    }

    pub(super) async fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.has_status()?;
        let effect = Some(Effect::Enabled { version, at_least });
        let (version, at_least) = (Param::Integer(version), Param::Integer(Some(at_least)));
        let params = [at_least, Param::Bool(true), version];
        self.change(Statement::Enable, id, &params, effect).await?.moved()
    }

    fn has_status(&self) -> Result<(), StoreError> {
        self.names().active.as_ref().map(drop).ok_or(NO_STATUS)
    }

    pub(super) async fn insert(&self, user: &NewUser) -> Result<bool, StoreError> {
        let not_an_id = || {
            StoreError::unsupported(
                "the new user's id is not in the canonical form of the ids' type",
            )
        };
        let id = self.id(&user.id).ok_or_else(not_an_id)?;
        let columns = &user.columns();
        let Columns { version, password_hash, secret, .. } = columns;
        let login = text(&user.login).ok_or_else(|| {
            StoreError::unsupported("the new user's login contains a NUL character")
        })?;
        let mut params = vec![id];
        match self.names().login_is_id() {
            false => params.push(login),
            true if user.id == user.login => {}
            true => {
                return Err(StoreError::unsupported(
                    "the new user's login is not its id, which are one column",
                ));
            }
        }
        params.extend([Param::Integer(*version), Param::Text(password_hash.as_deref())]);
        match (&self.names().secret, secret) {
            (Some(_), secret) => params.push(Param::Text(secret.as_deref())),
            (None, Some(_)) => return Err(no_secret()),
            (None, None) => {}
        }
        let effect = Effect::Inserted { id: &user.id, columns };
        let witness = Witness { key: UserKey::Login(&user.login), effect };
        Ok(self.execute(Statement::Insert, &params, Kind::Write, Some(witness)).await?.changes_rows)
    }

    pub(super) async fn bump_epoch(
        &self,
        kind: &str,
        instance: &str,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        let at = self.names().groups.iter().position(|group| group.kind == kind);
        let at = at
            .ok_or_else(|| StoreError::unsupported("the users' table has no epoch of this kind"))?;
        let Some(instance) = text(instance) else { return Ok(None) };
        let params = [instance, Param::Integer(Some(at_least))];
        let done = self.execute(Statement::BumpEpoch(at), &params, Kind::Revocation, None).await;
        done.or_else(nobody)?.moved()
    }

    /// Changes the user of this id. The id is the first parameter.
    /// Without an effect to look for, twice is as good as once.
    async fn change(
        &self,
        statement: Statement,
        id: &str,
        params: &[Param<'_>],
        effect: Option<Effect<'_>>,
    ) -> Result<Done, StoreError> {
        let Some(param) = self.id(id) else { return Ok(Done::new(0)) };
        let params = [&[param], params].concat();
        let witness = effect.map(|effect| Witness { key: UserKey::Id(id), effect });
        let done = self.execute(statement, &params, Kind::Revocation, witness).await;
        done.or_else(nobody)
    }

    pub(super) fn sql(&self, statements: &Statements, statement: Statement) -> Arc<Sql> {
        statements.get(self.names(), statement)
    }

    pub(super) async fn statements(
        &self,
        slot: &Slot,
        until: Instant,
    ) -> Result<Arc<Statements>, Failure> {
        match self.shared.known() {
            Some(known) => Ok(known),
            None => Box::pin(self.learn(None, slot, until)).await,
        }
    }

    /// Other statements, if the tables are no longer those that `old` is for; or else the failure.
    pub(super) async fn relearnt(
        &self,
        failure: Failure,
        old: &Arc<Statements>,
        slot: &Slot,
        until: Instant,
    ) -> Result<Arc<Statements>, Failure> {
        if !failure.is_misfit() {
            return Err(failure);
        }
        match Box::pin(self.learn(Some(old), slot, until)).await {
            Ok(learnt) if !Arc::ptr_eq(&learnt, old) => Ok(learnt),
            _ => Err(failure),
        }
    }

    /// Whether a read failed by its key, and the tables were just found to be as before. Anybody may
    /// present keys that are no values of the column's type.
    pub(super) async fn is_of_its_key(&self, failure: &Failure, until: Instant) -> bool {
        failure.fault == Fault::Value
            && timeout_at(until, self.shared.learning.lock())
                .await
                .is_ok_and(|unchanged| unchanged.is_some_and(|at| at.elapsed() < RELEARNING))
    }

    /// Learns the tables' shape, unless another call has done it since `old`.
    /// Callers box it: it is rare, and would make the futures of all calls larger.
    async fn learn(
        &self,
        old: Option<&Arc<Statements>>,
        slot: &Slot,
        until: Instant,
    ) -> Result<Arc<Statements>, Failure> {
        let turn = timeout_at(until, self.shared.learning.lock()).await;
        let mut unchanged = turn.map_err(|_| Failure::timed_out())?;
        match self.shared.known() {
            Some(known) if old.is_none_or(|old| !Arc::ptr_eq(old, &known)) => return Ok(known),
            _ => {}
        }
        let dialect = self.driver.dialect(self.names(), slot, until).await?;
        match old {
            Some(old) if *old.dialect() == dialect => {
                *unchanged = Some(Instant::now());
                Ok(Arc::clone(old))
            }
            _ => {
                let learnt = Arc::new(Statements::new(dialect));
                let mut statements =
                    self.shared.statements.write().unwrap_or_else(PoisonError::into_inner);
                *statements = Some(Arc::clone(&learnt));
                Ok(learnt)
            }
        }
    }
}

impl<F> Shared<F> {
    fn known(&self) -> Option<Arc<Statements>> {
        self.statements.read().unwrap_or_else(PoisonError::into_inner).clone()
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

/// A key that the database cannot hold is no row's.
fn nobody(failure: Failure) -> Result<Done, StoreError> {
    match failure.fault {
        Fault::Value => Ok(Done::new(0)),
        _ => Err(failure.into()),
    }
}

const NO_STATUS: StoreError = StoreError::unsupported(
    "the table's description has no `active` column: name one with `UsersTable::active`",
);

fn no_secret() -> StoreError {
    StoreError::misconfigured("the users' table has no column for a secret: name it with `secret`")
}
