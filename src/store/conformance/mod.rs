//! A conformance check of an application's own store, for its tests.

mod at_once;
mod column;
mod found;
mod run;

pub use self::found::Nonconformance;
use self::{
    at_once::{Answer, changes},
    column::{Column, sample},
    run::Run,
};
use super::{Columns, StoreError, StoreErrorKind, UserKey, UserStore};

/// Checks that a store does what [`UserStore`] requires: a complete [`Conformance`] check.
///
/// # Errors
///
/// [`Nonconformance`]: the first fault, with the column and the remedy.
pub async fn check_conformance<S: UserStore>(store: &S, id: &str) -> Result<(), Nonconformance> {
    Conformance::new(id).check(store).await
}

/// A check that a store does what [`UserStore`] requires, run on one user of a test database.
///
/// It writes each column, with values and with `NULL`. It checks that a compare-and-set notices a
/// difference in each single column. It runs some calls at once, and tries ids that no user has. It runs
/// some hundred statements, and changes no other user. Afterwards the user's row holds test values.
///
/// Run it again while notifications cannot be sent: revocations must still succeed. Also call
/// [`check_locked`](Self::check_locked) and [`check_written`](Self::check_written): they need your test's
/// help.
///
/// It does not check that a deletion deletes, nor how epochs and fields are read. It checks whether a
/// user is active only if the store can disable, and of logins only the one that is
/// [named](Self::login).
///
/// # Example
///
/// ```
/// use relatch::store::{Conformance, MemoryStore, NewUser};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let store = MemoryStore::new();
/// store.insert(NewUser::without_password("scratch", "scratch@example.com")?, ());
/// Conformance::new("scratch").login("scratch@example.com").check(&store).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Conformance {
    id: String,
    login: Option<String>,
    has_secret: bool,
}

impl Conformance {
    /// A check on the user of this id, which must exist.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), login: None, has_secret: true }
    }

    /// Also checks that this login finds the user, and no other one does.
    #[must_use]
    pub fn login(mut self, login: impl Into<String>) -> Self {
        self.login = Some(login.into());
        self
    }

    /// Says that the store has no place for a secret: the check is then that a secret is refused with an
    /// error rather than dropped.
    #[must_use]
    pub const fn without_secret(mut self) -> Self {
        self.has_secret = false;
        self
    }

    fn on<'a, S>(&'a self, store: &'a S) -> Run<'a, S> {
        let Self { id, login, has_secret } = self;
        Run { id, login: login.as_deref(), has_secret: *has_secret, store }
    }

    /// Runs the check.
    ///
    /// # Errors
    ///
    /// [`Nonconformance`]: the first fault, with the column and the remedy.
    pub async fn check<S: UserStore>(&self, store: &S) -> Result<(), Nonconformance> {
        let run = self.on(store);
        run.reads().await?;
        run.writes().await?;
        run.refuses().await?;
        run.bumps().await?;
        run.races().await?;
        run.is_switched().await?;
        run.strangers().await
    }

    /// Checks the calls on a locked row: each must fail as unreachable after its timeout. Call it while
    /// another transaction of the test holds the user's row (`SELECT … FOR UPDATE`; in SQLite,
    /// `BEGIN IMMEDIATE`). Roll that transaction back afterwards.
    ///
    /// # Errors
    ///
    /// [`Nonconformance`]: the first fault.
    pub async fn check_locked<S: UserStore>(&self, store: &S) -> Result<(), Nonconformance> {
        self.on(store).is_locked().await
    }

    /// Checks that each call sets only the columns that change. A trigger of the application may run for
    /// each column in a statement's `SET` list: a trigger that hashes the written password would hash the
    /// hash again.
    ///
    /// `written` returns the names of the fields of [`Columns`] whose columns were in a `SET` list since
    /// its last call. Record them with triggers on the test's table, in SQLite for example:
    ///
    /// ```sql
    /// CREATE TRIGGER of_version AFTER UPDATE OF token_version ON users
    ///     BEGIN INSERT INTO written VALUES ('version'); END
    /// ```
    ///
    /// # Errors
    ///
    /// [`Nonconformance`]: the first fault, with the column.
    pub async fn check_written<S: UserStore>(
        &self,
        store: &S,
        mut written: impl AsyncFnMut() -> Vec<String>,
    ) -> Result<(), Nonconformance> {
        let run = self.on(store);
        for (column, revokes) in run.columns().flat_map(|column| [(column, false), (column, true)])
        {
            run.write(&run.sample(14), false).await?;
            written().await;
            let mut new = run.sample(14);
            column.copy(&run.sample(15), &mut new);
            run.write(&new, revokes).await?;
            are_written(&[column], &written().await)?;
        }
        let bumped = [Column::Version, Column::Sessions];
        let (id, version) = (run.id, run.row().await?.columns.version.unwrap_or(0));
        let calls: [Answer<'_>; 2] = [
            Box::pin(changes(store.bump_version(id, version + 100_000))),
            Box::pin(changes(store.disable(id, version + 200_000))),
        ];
        for call in calls {
            run.write(&run.sample(14), false).await?;
            written().await;
            match call.await {
                Err(error) if error.kind() == StoreErrorKind::Unsupported => continue,
                answer => answer?,
            };
            are_written(&bumped, &written().await)?;
        }
        match store.enable(id, run.row().await?.columns.version, 0).await {
            Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(()),
            answer => answer.map(drop).map_err(Nonconformance::from),
        }
    }
}

/// Compares the columns that were written with those that had to be.
fn are_written(changed: &[Column], written: &[String]) -> Result<(), Nonconformance> {
    let written: Vec<_> = written.iter().filter_map(|name| Column::named(name)).collect();
    if let Some(needless) = written.iter().find(|column| !changed.contains(column)) {
        return Err(Nonconformance::of(
            *needless,
            "the store sets it although it does not change, so a trigger of the application may run: \
             set only the columns that change",
        ));
    }
    match changed.iter().find(|column| !written.contains(column)) {
        Some(missed) => Err(Nonconformance::of(
            *missed,
            "the store wrote it, and `written` did not return it: record each column with a trigger",
        )),
        None => Ok(()),
    }
}

/// An unknown user is not a failure.
const ABSENCE: &str = "a call with an unknown id or login fails: return `None` or `false`, also if the database \
                       cannot store such a text";

/// A revocation must not depend on its notification.
const NOTIFICATION: &str = "a change that revokes fails, and the same change without a revocation succeeds: write \
                            the change also if its notification cannot be sent";

impl<S: UserStore> Run<'_, S> {
    async fn reads(&self) -> Result<(), Nonconformance> {
        let row = self.row().await?;
        if row.id != self.id {
            return Err(Nonconformance::new("`read` returns another id than the requested one"));
        }
        let Some(login) = self.login else { return Ok(()) };
        match self.store.read(UserKey::Login(login)).await? {
            Some(row) if row.id == self.id => {}
            _ => return Err(Nonconformance::new("`read` by the login does not find the user")),
        }
        for nobody in [
            format!("{login}-relatch-nobody"),
            format!("{login}\0"),
            format!("{login}{}", "x".repeat(1_000)),
        ] {
            match self.store.read(UserKey::Login(&nobody)).await {
                Err(error) => return Err(Nonconformance::failed(ABSENCE, error)),
                Ok(Some(_)) => {
                    return Err(Nonconformance::new("`read` finds a user by an unknown login"));
                }
                Ok(None) => {}
            }
        }
        Ok(())
    }

    /// Checks that what is written is read.
    async fn writes(&self) -> Result<(), Nonconformance> {
        self.write(&self.sample(1), false).await?;
        let revoked = self.write(&self.sample(2), true).await;
        revoked.map_err(|fault| fault.if_failed(NOTIFICATION))?;
        for column in self.columns() {
            if self.with_null(column).await? {
                self.write(&self.sample(3), true).await?;
            }
        }
        if self.has_secret {
            return Ok(());
        }
        let row = self.row().await?;
        match self.set(self.id, &row.columns, &sample(4), false).await {
            Err(error) if error.kind() != StoreErrorKind::Unreachable => Ok(()),
            _ => Err(Nonconformance::of(
                Column::Secret,
                "`compare_and_set` accepts a secret that the store cannot store: return an error",
            )),
        }
    }

    /// Checks compare-and-sets for which a single column differs.
    async fn refuses(&self) -> Result<(), Nonconformance> {
        for column in self.columns() {
            self.write(&self.sample(5), false).await?;
            self.refuses_stale(column, Some(&self.other(column)), "another value").await?;
            self.refuses_stale(column, None, "`NULL`").await?;
            if self.with_null(column).await? {
                let told = "a value, where the row has `NULL`";
                self.refuses_stale(column, Some(&self.other(column)), told).await?;
            }
        }
        Ok(())
    }

    /// Compares with the row's own columns, except this one, which is taken from `from`.
    async fn refuses_stale(
        &self,
        column: Column,
        from: Option<&Columns>,
        told: &'static str,
    ) -> Result<(), Nonconformance> {
        let stored = self.row().await?.columns;
        let mut stale = stored.clone();
        column.copy(from.unwrap_or(&Columns::default()), &mut stale);
        let next = self.sample(6);
        // Whichever columns change: all, only another one, only this one.
        let other = if column == Column::Version { Column::Sessions } else { Column::Version };
        let mut news = vec![next.clone()];
        for changed in [other, column] {
            let mut new = stale.clone();
            changed.copy(&next, &mut new);
            news.push(new);
        }
        for (new, revokes) in news.iter().flat_map(|new| [(new, false), (new, true)]) {
            if self.set(self.id, &stale, new, revokes).await? {
                return Err(Nonconformance::stale(column, told));
            }
            if let Some(changed) = self.differs(&stored).await? {
                return Err(Nonconformance::of(
                    changed,
                    "a `compare_and_set` changed it but returned that it wrote nothing: write all \
                     columns in one statement",
                ));
            }
        }
        Ok(())
    }

    async fn bumps(&self) -> Result<(), Nonconformance> {
        self.write(&self.sample(8), false).await?;
        let bumped = self
            .after_bump(100_000, async |at_least| self.store.bump_version(self.id, at_least).await);
        bumped.await.map_err(|fault| fault.if_failed(NOTIFICATION))?;
        self.write(&self.sample(9), false).await?;
        self.after_bump(-100_000, async |at_least| self.store.bump_version(self.id, at_least).await)
            .await
    }

    async fn is_switched(&self) -> Result<(), Nonconformance> {
        let id = self.id;
        self.write(&self.sample(10), false).await?;
        match self.store.disable(id, 0).await {
            Err(error) if error.kind() == StoreErrorKind::Unsupported => return Ok(()),
            answer => answer?,
        };
        let before = self.row().await?;
        self.write(&self.sample(11), false).await?;
        self.after_bump(50_000, async |at_least| self.store.disable(id, at_least).await).await?;
        let is_late = self.store.enable(id, before.columns.version, 0).await?.is_none();
        if before.is_active || !is_late || self.row().await?.is_active {
            return Err(Nonconformance::new(
                "`disable` does not disable, or `enable` undoes a `disable` after the version that it \
                 was called with",
            ));
        }
        let version = self.row().await?.columns.version;
        let enable = async |at_least| self.store.enable(id, version, at_least).await;
        self.after_bump(50_000, enable).await?;
        match self.row().await?.is_active {
            true => Ok(()),
            false => Err(Nonconformance::new("`enable` does not enable")),
        }
    }

    /// Checks a bump whose least version has this distance from the present one.
    async fn after_bump(
        &self,
        distance: i64,
        bump: impl AsyncFnOnce(i64) -> Result<Option<i64>, StoreError>,
    ) -> Result<(), Nonconformance> {
        let mut expected = self.row().await?.columns;
        let version = expected.version.unwrap_or(0);
        let Some(returned) = bump(version + distance).await? else {
            return Err(Nonconformance::new("a bump returned that there is no such user"));
        };
        expected.version = Some(version + distance.max(1));
        expected.sessions = None;
        match self.differs(&expected).await? {
            None if Some(returned) != expected.version => Err(Nonconformance::of(
                Column::Version,
                "a bump must return the version that it has set",
            )),
            Some(column) => Err(Nonconformance::of(
                column,
                "a bump must set the version to `max(coalesce(version, 0) + 1, at_least)` and the \
                 sessions to `NULL`, and change nothing else",
            )),
            None => Ok(()),
        }
    }

    /// Tries ids that no user has, some of which look like the user's own.
    async fn strangers(&self) -> Result<(), Nonconformance> {
        let id = self.id;
        let swapped: String = id.chars().map(column::other_case).collect();
        let row = self.row().await?.columns;
        for stranger in [
            format!("{id}-relatch-nobody"),
            format!("0{id}"),
            format!("+{id}"),
            format!(" {id}"),
            format!("{id} "),
            format!("{id}\0"),
            format!("{id}.0"),
            format!("{id}{}", "0".repeat(1_000)),
            String::new(),
            "\u{10FFFF}".into(),
            swapped,
        ] {
            let absent = |error| Nonconformance::failed(ABSENCE, error);
            match self.store.read(UserKey::Id(&stranger)).await.map_err(absent)? {
                // This user exists after all.
                Some(found) if found.id == stranger => continue,
                Some(_) => {
                    return Err(Nonconformance::new(
                        "`read` finds the user by another form of its id, too: compare ids byte \
                         for byte",
                    ));
                }
                None => {}
            }
            let answers = [
                self.set(&stranger, &row, &self.sample(12), true).await,
                changes(self.store.bump_version(&stranger, 0)).await,
                self.store.delete(&stranger).await,
                if_supported(changes(self.store.disable(&stranger, 0)).await),
                if_supported(changes(self.store.enable(&stranger, row.version, 0)).await),
            ];
            let answers = answers.into_iter().collect::<Result<Vec<_>, _>>().map_err(absent)?;
            if answers.contains(&true) || self.differs(&row).await?.is_some() {
                return Err(Nonconformance::new(
                    "a call with an id that no user has, or with another form of the user's id, \
                     changed something",
                ));
            }
        }
        Ok(())
    }
}

/// The answer; `false` if the store does not do this.
fn if_supported(answer: Result<bool, StoreError>) -> Result<bool, StoreError> {
    match answer {
        Err(error) if error.kind() == StoreErrorKind::Unsupported => Ok(false),
        answer => answer,
    }
}
