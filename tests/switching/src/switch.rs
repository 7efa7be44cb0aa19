//! The phases of a switch, with instances of each kind, and users at all of them.

use relatch::store::{
    CheckReport, MigrationPhase, PostgresStore, SqliteStore, StoreError, UserStore as _,
};
use sqlx::{AnyPool, AssertSqlSafe};
use tokio::task::JoinSet;

use crate::{
    Failure, failure,
    instance::{Config, Instance, Mode},
    new,
    people::{Address, Counts, People},
    plain, recipe,
};

/// The groups of users that do things at once.
const GROUPS: u64 = 8;

pub struct Extent {
    pub seed: u64,
    /// Of each group, in each phase.
    pub steps: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        }
    }
}

/// Switches a new database over.
pub async fn run(database: Database, url: &str, extent: &Extent) -> Result<(), Failure> {
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(url).await?;
    execute(&pool, plain::TABLES.to_owned()).await?;
    let mut all = Switch::new(database, url, pool, extent);

    all.is_at(None).await?;
    let old = all.start(Mode::Old, None).await?;
    all.phase("0 before", &[&old], extent.steps).await?;

    all.recipe("1").await?;
    all.is_at(Some(MigrationPhase::Columns)).await?;
    all.phase("1 columns", &[&old], extent.steps).await?;

    let later = Some(plain::now() + 3600);
    let beside = all.start(Mode::NewIssuingPlain, later).await?;
    all.phase("2 old and new code", &[&old, &beside], extent.steps * 2).await?;

    drop(old);
    all.phase("3 new code", &[&beside], extent.steps).await?;
    let issuing = all.start(Mode::New, later).await?;
    all.phase("4 new code issues", &[&beside, &issuing], extent.steps * 2).await?;

    drop(beside);
    all.recipe("5").await?;
    all.is_at(Some(MigrationPhase::Complete)).await?;
    all.phase("5 default", &[&issuing], extent.steps).await?;

    drop(issuing);
    let past = Some(plain::now() - 1);
    let deadline = all.start(Mode::New, past).await?;
    all.pass_the_deadline(&deadline).await?;
    all.phase("6 deadline", &[&deadline], extent.steps).await?;
    if !all.people.iter().all(People::are_switched) {
        return Err(failure("a device that is logged in still has plain tokens"));
    }

    drop(deadline);
    execute(&all.pool, recipe::sql("7")?).await?;
    let switched = all.start(Mode::Switched, None).await?;
    all.phase("7 switched", &[&switched], extent.steps).await?;
    all.is_at(Some(MigrationPhase::Complete)).await?;
    all.finish().await
}

struct Switch {
    database: Database,
    pool: AnyPool,
    config: Config,
    people: Vec<People>,
    total: Counts,
}

impl Switch {
    fn new(database: Database, url: &str, pool: AnyPool, extent: &Extent) -> Self {
        let groups = (0..GROUPS).map(|group| {
            People::new(format!("group-{group}"), extent.seed.wrapping_add(group << 32))
        });
        let config = Config {
            mode: Mode::Old,
            url: url.to_owned(),
            secret: "the secret of the old application's tokens".to_owned(),
            access_seconds: 900,
            adopt_until: None,
        };
        println!("{}", database.name());
        println!(
            "  {:20} {:>8} {:>8} {:>7} {:>9} {:>9} {:>9} {:>7} {:>8} {:>9}",
            "phase",
            "requests",
            "sign-ups",
            "logins",
            "refreshes",
            "exchanges",
            "passwords",
            "logouts",
            "refused",
            "as before"
        );
        let total = Counts::default();
        Self { database, pool, config, people: groups.collect(), total }
    }

    /// Starts two instances.
    async fn start(&self, mode: Mode, adopt_until: Option<i64>) -> Result<[Instance; 2], Failure> {
        let config = Config { mode, adopt_until, ..self.config.clone() };
        Ok([Instance::start(&config).await?, Instance::start(&config).await?])
    }

    /// Lets all groups do things at these instances, and then checks each device.
    async fn phase(
        &mut self,
        name: &str,
        instances: &[&[Instance; 2]],
        steps: usize,
    ) -> Result<(), Failure> {
        let addresses = addresses(instances);
        self.each(move |mut people| {
            let addresses = addresses.clone();
            async move {
                people.live(&addresses, steps).await?;
                people.check_all(&addresses).await?;
                Ok(people)
            }
        })
        .await?;
        self.report(name);
        Ok(())
    }

    async fn pass_the_deadline(&mut self, instances: &[Instance; 2]) -> Result<(), Failure> {
        let addresses = addresses(&[instances]);
        self.each(move |mut people| {
            let addresses = addresses.clone();
            async move {
                people.pass_the_deadline(&addresses).await?;
                Ok(people)
            }
        })
        .await
    }

    async fn each<W>(&mut self, work: impl Fn(People) -> W) -> Result<(), Failure>
    where
        W: Future<Output = Result<People, Failure>> + Send + 'static,
    {
        let mut tasks: JoinSet<_> = self.people.drain(..).map(work).collect();
        while let Some(people) = tasks.join_next().await {
            self.people.push(people??);
        }
        Ok(())
    }

    fn report(&mut self, name: &str) {
        let mut counts = Counts::default();
        self.people.iter_mut().for_each(|people| counts += people.take_counts());
        self.total += counts;
        print(name, counts);
    }

    async fn finish(&self) -> Result<(), Failure> {
        print("all", self.total);
        let rehashed = "SELECT count(*) FROM accounts WHERE password_hash LIKE '$argon2id$%'";
        let rehashed: i64 = sqlx::query_scalar(rehashed).fetch_one(&self.pool).await?;
        let sizes = self.people.iter().map(People::size);
        let (users, devices) = sizes.fold((0, 0), |sum, size| (sum.0 + size.0, sum.1 + size.1));
        println!(
            "  {users} users, {rehashed} of them with argon2id, {devices} devices logged in; nobody was \
             logged out who should not be, and nobody stayed in who should not"
        );
        Ok(())
    }

    /// Runs the guide's SQL of this phase, which is what the store prints.
    async fn recipe(&self, phase: &str) -> Result<(), Failure> {
        let (columns, version) = match self.database {
            Database::Sqlite => {
                let store = self.sqlite().await?;
                (store.columns_sql(), store.first_version_sql())
            }
            Database::Postgres => {
                let store = self.postgres().await?;
                (store.columns_sql(), store.first_version_sql())
            }
        };
        let printed = if phase == "1" { columns } else { version };
        let sql = recipe::sql(&format!("{phase}. {}", self.database.name()))?;
        if sql != printed {
            return Err(failure(&format!("the guide's SQL is not this:\n{printed}")));
        }
        execute(&self.pool, format!("BEGIN;\n{sql}COMMIT;")).await
    }

    /// Checks the phase that the store finds. There are no problems but missing columns.
    async fn is_at(&self, phase: Option<MigrationPhase>) -> Result<(), Failure> {
        let report = self.check().await?;
        let wanted = phase.unwrap_or(MigrationPhase::Begun);
        match report.phase() == Some(wanted) && (report.is_ok() == phase.is_some()) {
            true => Ok(()),
            false => Err(failure(&format!("not {wanted:?} but {:?}: {report}", report.phase()))),
        }
    }

    async fn check(&self) -> Result<CheckReport, Failure> {
        Ok(match self.database {
            Database::Sqlite => self.sqlite().await?.check().await?,
            Database::Postgres => self.postgres().await?.check().await?,
        })
    }

    async fn sqlite(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(new::sqlite_file(&self.config.url), new::accounts()).await
    }

    async fn postgres(&self) -> Result<PostgresStore, StoreError> {
        PostgresStore::connect(&self.config.url, new::accounts()).await
    }
}

fn addresses(instances: &[&[Instance; 2]]) -> Vec<Address> {
    let instances = instances.iter().flat_map(|pair| pair.iter());
    instances.map(|instance| Address { mode: instance.mode, port: instance.port }).collect()
}

async fn execute(pool: &AnyPool, sql: String) -> Result<(), Failure> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(pool).await?;
    Ok(())
}

fn print(name: &str, counts: Counts) {
    let Counts {
        requests,
        sign_ups,
        logins,
        refreshes,
        exchanges,
        password_changes,
        logouts,
        refused,
        as_before,
    } = counts;
    println!(
        "  {name:20} {requests:>8} {sign_ups:>8} {logins:>7} {refreshes:>9} {exchanges:>9} \
         {password_changes:>9} {logouts:>7} {refused:>8} {as_before:>9}"
    );
}
