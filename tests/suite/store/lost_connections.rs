//! Calls succeed although connections are lost, unfit, or in use by others.

use std::{future::Future, time::Duration};
#[cfg(feature = "postgres")]
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Waker},
};

use relatch::store::{NewUser, SqliteOptions, SqliteStore, StoreError, UserStore, UsersTable};
#[cfg(feature = "postgres")]
use relatch::{
    Authority, MasterKey, Token,
    service::Service,
    sessions::SessionEvent,
    store::{GroupsTable, Locked, PostgresOptions, PostgresStore, Row, Update, UserKey},
};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
#[cfg(feature = "postgres")]
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::task::JoinSet;
#[cfg(feature = "postgres")]
use tokio::time::{Instant, sleep, timeout};

#[cfg(feature = "postgres")]
use super::databases::{Proxy, postgres, postgres_url, run_postgres, unique, url_of};
use super::{HASH, databases::Directory};

fn user(id: usize) -> NewUser {
    NewUser::with_password_hash(id.to_string(), format!("user {id}"), HASH)
}

/// Runs one call for each number at once, and returns the answers.
async fn at_once<T, R>(count: usize, call: impl Fn(usize) -> R) -> Vec<Result<T, StoreError>>
where
    T: Send + 'static,
    R: Future<Output = Result<T, StoreError>> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for number in 0..count {
        calls.spawn(call(number));
    }
    calls.join_all().await
}

async fn bump_at_once<S: UserStore + Clone>(store: &S, count: usize) {
    let store = store.clone();
    let bumped = at_once(count, move |number| {
        let store = store.clone();
        async move { store.bump_version(&number.to_string(), 0).await }
    });
    for answer in bumped.await {
        assert!(answer.unwrap());
    }
}

#[cfg(feature = "postgres")]
const USERS: usize = 25;

/// A table of its own with users, the role that owns it, and the URL of that role.
#[cfg(feature = "postgres")]
struct Scratch {
    admin: PgPool,
    table: UsersTable,
    role: String,
}

#[cfg(feature = "postgres")]
impl Scratch {
    async fn new() -> Option<Self> {
        let admin = postgres().await?;
        let role = unique("role");
        let table = UsersTable::named(&role).secret("secret").active("is_active");
        let sql = format!(
            "CREATE ROLE {role} LOGIN; \
             CREATE TABLE {role} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT, \
                 token_version BIGINT, carried TEXT, sessions TEXT, lanes TEXT, secret TEXT, \
                 is_active BOOLEAN DEFAULT true, tenant TEXT); \
             CREATE TABLE {role}_tenants (id TEXT PRIMARY KEY, epoch BIGINT); \
             INSERT INTO {role}_tenants VALUES ('x', 0); \
             GRANT ALL ON {role}, {role}_tenants TO {role}"
        );
        run_postgres(&admin, sql).await;
        let scratch = Self { admin, table, role };
        let store = scratch.connect(&postgres_url()?).await;
        for id in 0..USERS {
            assert!(store.insert(user(id)).await.unwrap());
        }
        Some(scratch)
    }

    fn url(&self) -> String {
        url_of(&self.role, "postgres").unwrap()
    }

    async fn connect(&self, url: &str) -> PostgresStore {
        PostgresStore::connect(url, self.table.clone()).await.unwrap()
    }

    async fn version(&self, id: usize) -> i64 {
        let sql = format!("SELECT token_version FROM {} WHERE id = $1", self.role);
        let query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql)).bind(id.to_string());
        query.fetch_one(&self.admin).await.unwrap()
    }

    /// Ends the role's connections.
    async fn terminate(&self) {
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
        sqlx::query(terminate).bind(&self.role).execute(&self.admin).await.unwrap();
    }
}

/// Fills the pool with connections.
#[cfg(feature = "postgres")]
async fn warm(store: &PostgresStore) {
    let mut held = Vec::new();
    for _ in 0..store.pool().options().get_max_connections() {
        held.push(store.pool().acquire().await.unwrap());
    }
    drop(held);
    sleep(Duration::from_millis(100)).await;
    assert!(store.pool().num_idle() > 1);
}

/// The connections of a pool stay read-only after a failover, although the server writes again.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_connection_that_became_read_only_is_replaced() {
    let Some(scratch) = Scratch::new().await else { return };
    let (role, set) = (&scratch.role, "SET default_transaction_read_only = on");
    run_postgres(&scratch.admin, format!("ALTER ROLE {role} {set}")).await;
    for own_pool in [true, false] {
        run_postgres(&scratch.admin, format!("ALTER ROLE {role} {set}")).await;
        let store = match own_pool {
            true => scratch.connect(&scratch.url()).await,
            false => {
                let pool = PgPool::connect(&scratch.url()).await.unwrap();
                PostgresStore::new(pool, scratch.table.clone()).unwrap()
            }
        };
        warm(&store).await;
        let error = store.bump_version("1", 0).await.unwrap_err();
        assert!(error.is_unreachable(), "{error:?}");
        // Even new connections are read-only: they are not the fault of the pool.
        warm(&store).await;
        let reset = format!("ALTER ROLE {role} RESET default_transaction_read_only");
        run_postgres(&scratch.admin, reset).await;
        bump_at_once(&store, USERS).await;
        assert!(store.disable("1", 0).await.unwrap());
        assert!(store.delete("1").await.unwrap());
        assert!(store.insert(user(1)).await.unwrap());
    }
}

/// The server ends the connections again and again, in the middle of statements and commits.
#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_because_the_server_ended_its_connection() {
    let Some(scratch) = Scratch::new().await else { return };
    let store = scratch.connect(&scratch.url()).await;
    let until = Instant::now() + Duration::from_secs(2);
    let counts = {
        let store = store.clone();
        let calls = at_once(USERS, move |number| {
            let (store, id) = (store.clone(), number.to_string());
            async move {
                let mut bumps = 0_i64;
                while Instant::now() < until {
                    assert!(store.read(UserKey::Id(&id)).await?.is_some());
                    assert!(store.bump_version(&id, 0).await?);
                    bumps += 1;
                }
                Ok(bumps)
            }
        });
        let killer = async {
            while Instant::now() < until {
                sleep(Duration::from_millis(100)).await;
                scratch.terminate().await;
            }
        };
        tokio::join!(calls, killer).0
    };
    for (id, bumps) in counts.into_iter().map(Result::unwrap).enumerate() {
        assert!(bumps > 0, "user {id} starved");
    }
}

#[cfg(feature = "postgres")]
type Events = std::sync::Arc<std::sync::Mutex<Vec<SessionEvent>>>;

#[cfg(feature = "postgres")]
fn service(store: impl UserStore<Fields = ()>) -> (Service, Events) {
    let key = MasterKey::generate("k").unwrap();
    let authority = Authority::builder(key, "https://i", "https://a").build().unwrap();
    let events = Events::default();
    let heard = std::sync::Arc::clone(&events);
    let service = Service::builder(authority, store)
        .on_event(move |event| heard.lock().unwrap().push(event.clone()))
        .build();
    (service, events)
}

/// The answer to a commit is lost: the row tells that it was written.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_lost_answer_to_a_commit_is_read_from_the_row() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Proxy::start();
    let store = scratch.connect(&proxy.url()).await;
    let (service, events) = service(store.clone());
    let tokens = service.start_session("1", "laptop").await.unwrap();

    proxy.lose_answer(b"UPDATE 1\0");
    let next = service.refresh(Token::new(tokens.refresh().expose())).await.unwrap();
    assert!(proxy.has_lost_answer());
    assert!(
        service.refresh(Token::new(next.refresh().expose())).await.is_ok(),
        "the successor is the stored one"
    );
    assert!(events.lock().unwrap().is_empty(), "the service took its own commit for a reuse");

    // Statements that notify return the number of their notifications.
    let notified = b"SELECT 1\0";
    for round in 0..2 {
        let version = scratch.version(2).await;
        proxy.lose_answer(notified);
        match round {
            0 => assert!(store.bump_version("2", version + 5).await.unwrap()),
            _ => assert!(store.disable("2", version + 5).await.unwrap()),
        }
        assert!(proxy.has_lost_answer());
        assert!(scratch.version(2).await >= version + 5);
    }
    let version = scratch.version(2).await;
    proxy.lose_answer(notified);
    assert!(store.enable("2", Some(version), version + 5).await.unwrap());
    assert!(proxy.has_lost_answer());
    proxy.lose_answer(notified);
    assert!(store.delete("2").await.unwrap());
    assert!(proxy.has_lost_answer());
    proxy.lose_answer(b"INSERT 0 1\0");
    assert!(store.insert(user(2)).await.unwrap());
    assert!(proxy.has_lost_answer());
    let groups = GroupsTable::named(&format!("{}_tenants", scratch.role)).counter("epoch");
    let table = scratch.table.clone().user_epoch("tenant", "tenant", groups);
    let store = PostgresStore::connect(&proxy.url(), table).await.unwrap();
    proxy.lose_answer(notified);
    assert!(store.bump_epoch("tenant", "x", 5).await.unwrap());
    assert!(proxy.has_lost_answer());
}

/// A store in which others change each row before it is written, until it is locked. The answer to the
/// commit that ends the lock is lost.
#[cfg(feature = "postgres")]
#[derive(Clone)]
struct Contended {
    store: PostgresStore,
    proxy: Arc<Proxy>,
}

#[cfg(feature = "postgres")]
impl UserStore for Contended {
    type Fields = ();

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
        self.store.read(key).await
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        self.store.bump_version(update.id(), 0).await?;
        self.store.compare_and_set(update).await
    }

    async fn lock(&self, key: UserKey<'_>) -> Result<Option<Locked<()>>, StoreError> {
        let locked = self.store.lock(key).await;
        self.proxy.lose_answer(b"C\0\0\0\x0bCOMMIT\0");
        locked
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.store.delete(id).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<bool, StoreError> {
        self.store.bump_version(id, at_least).await
    }
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_lost_answer_to_the_commit_under_a_lock_is_read_from_the_row() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Arc::new(Proxy::start());
    for options in [PostgresOptions::new(), PostgresOptions::new().behind_pooler()] {
        let store = options.connect(&proxy.url(), scratch.table.clone()).await.unwrap();
        let (service, _) = service(Contended { store, proxy: Arc::clone(&proxy) });
        let tokens = service.start_session("1", "laptop").await.unwrap();
        assert!(proxy.has_lost_answer());
        let verified = service.authenticate(tokens.access()).await.unwrap();
        assert_eq!(service.sessions(&verified).await.unwrap().len(), 1, "it was written once");
    }
}

/// The network between drops everything, and tells neither side.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn half_open_connections_are_replaced_within_the_timeout() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Proxy::start();
    for own_pool in [true, false] {
        let store = match own_pool {
            true => scratch.connect(&proxy.url()).await,
            false => {
                let pool = PgPool::connect(&proxy.url()).await.unwrap();
                PostgresStore::new(pool, scratch.table.clone()).unwrap()
            }
        };
        for write in [true, false] {
            warm(&store).await;
            proxy.strand();
            let began = Instant::now();
            match write {
                true => assert!(store.bump_version("1", 0).await.unwrap()),
                false => assert!(store.read(UserKey::Id("1")).await.unwrap().is_some()),
            }
            assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
            let began = Instant::now();
            assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());
            assert!(began.elapsed() < Duration::from_secs(1), "the others were not given up");
        }
    }
}

/// A caller that hangs up leaves its place to others, even if its connection is half-open.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_caller_that_hung_up_occupies_no_connection() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Proxy::start();
    let pool = PgPoolOptions::new().max_connections(2).test_before_acquire(false);
    let pool = pool.connect(&proxy.url()).await.unwrap();
    let store = PostgresStore::new(pool, scratch.table.clone()).unwrap();
    warm(&store).await;
    proxy.strand();
    for _ in 0..2 {
        let read = timeout(Duration::from_millis(50), store.read(UserKey::Id("1"))).await;
        assert!(read.is_err());
    }
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());

    // Calls that are dropped while they wait, and in the middle of a statement.
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1000 {
        let mut read = pin!(store.read(UserKey::Id("1")));
        assert!(read.as_mut().poll(&mut context).is_pending());
        tokio::task::yield_now().await;
        let _ = read.as_mut().poll(&mut context);
    }
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_some());
    assert!(store.bump_version("1", 0).await.unwrap());
}

/// Ten thousand reads wait for a connection, for hours if need be. A revocation does not wait for them.
/// They are reads by login, of which each has a statement of its own.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_revocation_waits_for_no_read() {
    let Some(scratch) = Scratch::new().await else { return };
    for own_pool in [true, false] {
        let url = scratch.url();
        let store = match own_pool {
            true => scratch.connect(&url).await,
            false => {
                let pool = PgPool::connect(&url).await.unwrap();
                PostgresStore::new(pool, scratch.table.clone()).unwrap()
            }
        };
        let (service, _) = service(store.clone());
        let mut reads = JoinSet::new();
        for number in 0..10_000 {
            let (store, login) = (store.clone(), format!("user {}", number % USERS));
            reads.spawn(async move { store.read(UserKey::Login(&login)).await.map(drop) });
        }
        sleep(Duration::from_millis(50)).await;
        for id in ["1", "2", "3"] {
            service.log_out_everywhere(id).await.unwrap();
        }
        assert!(reads.try_join_next().is_some_and(|first| first.unwrap().is_ok()));
        let mut rest = 0;
        while reads.try_join_next().is_some() {
            rest += 1;
        }
        assert!(rest < 5_000, "the revocations waited for {rest} reads");
        reads.shutdown().await;
    }
}

/// A process' own writes wait for each other in line. SQLite itself lets them try again and again, and
/// some of them give up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sqlite_file_is_not_busy_with_its_own_writes() {
    let directory = Directory::new();
    let pool = SqlitePoolOptions::new().max_connections(10);
    let options = SqliteConnectOptions::new().filename(directory.file()).create_if_missing(true);
    // A connection that finds the file locked gives up at once.
    let pool = pool.connect_with(options.busy_timeout(Duration::ZERO)).await.unwrap();
    let store = SqliteStore::new(pool, UsersTable::ready()).unwrap();
    store.migrate().await.unwrap();
    let inserting = store.clone();
    let inserted = at_once(64, move |id| {
        let store = inserting.clone();
        async move { store.insert(user(id)).await }
    });
    for answer in inserted.await {
        assert!(answer.unwrap());
    }
    for _ in 0..4 {
        bump_at_once(&store, 64).await;
    }
}

/// A revocation waits for the writer that has the file, and at most for one more.
#[tokio::test]
async fn an_sqlite_revocation_overtakes_the_writers_in_line() {
    let directory = Directory::new();
    // The last writer waits for all the others.
    let patient = SqliteOptions::new().timeout(time::Duration::minutes(2));
    let store = patient.open(directory.file(), UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(user(0)).await.unwrap());
    let mut writers = JoinSet::new();
    for id in 1..200 {
        let store = store.clone();
        writers.spawn(async move { assert!(store.insert(user(id)).await.unwrap()) });
    }
    // All are in line, and the first have written.
    for _ in 0..3 {
        writers.join_next().await.unwrap().unwrap();
    }
    let before = writers.len();
    assert!(store.bump_version("0", 0).await.unwrap());
    while writers.try_join_next().is_some() {}
    let overtaken = writers.len();
    assert!(overtaken + 3 >= before, "{before} were in line, and {overtaken} still are");
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
}
