//! Races, provoked by an attacker, a slow store or chance.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration as StdDuration,
};

use relatch::{
    Authority, MasterKey, NoClaims, Reason, RefreshToken, SessionTokens, Token,
    service::{CachePolicy, LoginRefusal, Service, ServiceBuilder, ServiceError},
    store::{
        GroupsTable, MemoryStore, NewUser, Row, SqliteOptions, SqliteStore, StoreError, Update,
        UserKey, UserStore, UsersTable,
    },
    user::RecordError,
};
use time::Duration;
use tokio::time::{Instant, advance, sleep, timeout};

use crate::common::{Download, HASH, START, TestClock, builder as authority_builder};

/// A memory store that answers late, or not at all.
#[derive(Clone, Default)]
struct Odd {
    inner: MemoryStore,
    how: Arc<How>,
}

#[derive(Default)]
struct How {
    /// The delay between the commit of a compare-and-set and its answer.
    answer_after: Mutex<StdDuration>,
    /// The delay between the call and the commit, which happens even if the caller has gone.
    commit_after: Mutex<StdDuration>,
    loses_answer: AtomicBool,
    /// Runs before the next compare-and-set, which then finds the row changed.
    before_write: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    read_takes: Mutex<StdDuration>,
    reads: AtomicUsize,
    reads_at_once: AtomicUsize,
    most_reads_at_once: AtomicUsize,
}

impl Odd {
    fn with_user() -> Self {
        let odd = Self::default();
        odd.inner.insert(NewUser::with_password_hash("ada", "ada", HASH), ());
        odd
    }
}

impl UserStore for Odd {
    type Fields = ();

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row>, StoreError> {
        self.how.reads.fetch_add(1, Ordering::SeqCst);
        let now = self.how.reads_at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.how.most_reads_at_once.fetch_max(now, Ordering::SeqCst);
        let takes = *self.how.read_takes.lock().unwrap();
        let row = self.inner.read(key).await;
        if !takes.is_zero() {
            sleep(takes).await;
        }
        self.how.reads_at_once.fetch_sub(1, Ordering::SeqCst);
        row
    }
    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        if let Some(first) = self.how.before_write.lock().unwrap().take() {
            first();
            return Ok(false);
        }
        let before = *self.how.commit_after.lock().unwrap();
        let (inner, update) = (self.inner.clone(), update.clone());
        let written = tokio::spawn(async move {
            if !before.is_zero() {
                sleep(before).await;
            }
            inner.compare_and_set(&update).await
        });
        let written = written.await.unwrap()?;
        let after = *self.how.answer_after.lock().unwrap();
        if !after.is_zero() {
            sleep(after).await;
        }
        match self.how.loses_answer.load(Ordering::SeqCst) {
            true => Err(StoreError::unreachable("the answer was lost")),
            false => Ok(written),
        }
    }
    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.delete(id).await
    }
    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.inner.bump_version(id, at_least).await
    }
    async fn disable(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.inner.disable(id, at_least).await
    }
    async fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.inner.enable(id, version, at_least).await
    }
}

fn authority() -> Authority {
    let key = MasterKey::from_bytes("k", &[7; 32]).unwrap();
    Authority::new(key, "https://i", "https://a").unwrap()
}

fn cached(store: &Odd) -> ServiceBuilder {
    let policy = CachePolicy::new(Duration::seconds(30), 100).unwrap();
    Service::builder(authority(), store.clone()).cache(policy)
}

fn twin(token: &RefreshToken) -> RefreshToken {
    RefreshToken::new(token.expose())
}

type Events = Arc<Mutex<Vec<String>>>;

fn recorded(store: &Odd) -> (Service, Events) {
    let events = Events::default();
    let notified = Arc::clone(&events);
    let service = Service::builder(authority(), store.clone())
        .on_event(move |event| notified.lock().unwrap().push(format!("{event}")))
        .build();
    (service, events)
}

/// A refresh token that was used twice over.
async fn used_twice(service: &Service) -> (RefreshToken, SessionTokens) {
    let stolen = service.start_session("ada", "phone").await.unwrap();
    let stolen = twin(stolen.refresh());
    let next = service.refresh(twin(&stolen)).await.unwrap();
    let next = service.refresh(twin(next.refresh())).await.unwrap();
    (stolen, next)
}

/// A thief who hangs up while the statement runs still ends the session and causes the event.
#[tokio::test(start_paused = true)]
async fn a_reuse_is_told_although_the_client_hangs_up() {
    let store = Odd::with_user();
    let (service, events) = recorded(&store);
    let (stolen, owner) = used_twice(&service).await;
    *store.how.answer_after.lock().unwrap() = StdDuration::from_millis(50);
    let hung_up = timeout(StdDuration::from_millis(10), service.refresh(stolen)).await;
    assert!(hung_up.is_err());
    sleep(StdDuration::from_secs(1)).await;
    assert!(service.authenticate(owner.access()).await.is_err(), "the session has ended");
    assert_eq!(events.lock().unwrap().len(), 1, "events of the reuse");
}

/// The write succeeds and its answer is lost: the session has ended, and the reuse is an event.
#[tokio::test(start_paused = true)]
async fn a_reuse_is_told_although_the_answer_is_lost() {
    let store = Odd::with_user();
    let (service, events) = recorded(&store);
    let (stolen, owner) = used_twice(&service).await;
    store.how.loses_answer.store(true, Ordering::SeqCst);
    service.refresh(twin(&stolen)).await.unwrap_err();
    store.how.loses_answer.store(false, Ordering::SeqCst);
    let again = service.refresh(stolen).await.unwrap_err();
    assert_eq!(again.reason(), Some(Reason::SessionEnded));
    assert!(service.authenticate(owner.access()).await.is_err());
    assert_eq!(events.lock().unwrap().len(), 1, "events of the reuse");
}

/// Two clicks on "log out": the second answer comes while the first write is in flight.
#[tokio::test(start_paused = true)]
async fn after_log_out_returned_this_process_accepts_the_token_no_more() {
    let store = Odd::with_user();
    let service = cached(&store).build();
    let tokens = service.start_session("ada", "phone").await.unwrap();
    advance(StdDuration::from_millis(5)).await;
    let verified = service.authenticate(tokens.access()).await.unwrap();
    *store.how.answer_after.lock().unwrap() = StdDuration::from_secs(3);
    let first = service.clone();
    let own = service.authenticate(tokens.access()).await.unwrap();
    let first = tokio::spawn(async move { first.log_out(&own).await });
    sleep(StdDuration::from_millis(10)).await;
    assert!(!service.log_out(&verified).await.unwrap(), "it is gone in the database");
    let after = service.authenticate(tokens.access()).await.map(drop);
    first.abort();
    assert!(after.is_err(), "log_out returned, and the token is still accepted");
}

/// The first write times out and is committed later; the user tries again, and gets `Ok`.
#[tokio::test(start_paused = true)]
async fn after_a_late_log_out_and_a_retry_this_process_accepts_the_token_no_more() {
    let store = Odd::with_user();
    let service = cached(&store).build();
    let tokens = service.start_session("ada", "phone").await.unwrap();
    let verified = service.authenticate(tokens.access()).await.unwrap();
    *store.how.commit_after.lock().unwrap() = StdDuration::from_secs(7);
    service.log_out(&verified).await.unwrap_err();
    let _ = service.authenticate(tokens.access()).await.unwrap();
    sleep(StdDuration::from_secs(2)).await;
    assert!(!service.log_out(&verified).await.unwrap(), "it is gone in the database");
    assert!(service.authenticate(tokens.access()).await.is_err(), "and still accepted");
}

/// A `Verified` that a handler still holds changes nothing after its session was revoked.
#[tokio::test(start_paused = true)]
async fn a_dead_session_neither_sees_nor_ends_what_was_started_after_it() {
    let store = Odd::with_user();
    let service = Service::new(authority(), store.clone());
    let thief = service.start_session("ada", "thief").await.unwrap();
    let held = service.authenticate(thief.access()).await.unwrap();
    service.log_out_everywhere("ada").await.unwrap();
    let owner = service.start_session("ada", "owner").await.unwrap();
    let seen = service.sessions(&held).await;
    let ended = service.log_out_device(&held, owner.session().id()).await;
    assert!(
        seen.is_err() && ended.is_err(),
        "it lists {:?}, and ends: {ended:?}",
        seen.map(|all| all.len())
    );
}

/// A key that is removed while a decision is retried issues nothing any more.
#[tokio::test(start_paused = true)]
async fn what_is_decided_anew_is_decided_by_the_authority_as_it_is_then() {
    let store = Odd::with_user();
    let service = Service::new(authority(), store.clone());
    let tokens = service.start_session("ada", "phone").await.unwrap();
    // The tokens are issued under the new key; the presented token is of the retiring one.
    let until = time::OffsetDateTime::now_utc() + Duration::hours(1);
    let new = MasterKey::from_bytes("new", &[8; 32]).unwrap();
    let ring = authority().keys().clone().rotate(new, until).unwrap();
    let (other, rotated) = (service.clone(), authority().with_keys(ring).unwrap());
    *store.how.before_write.lock().unwrap() =
        Some(Box::new(move || other.replace_authority(rotated)));
    let kept = service.log_out_others(tokens.access()).await.unwrap();
    let old = authority();
    assert!(old.open(kept.access()).is_err(), "issued under the replaced key");
    assert!(service.authenticate(kept.access()).await.is_ok());
}

/// At the end of the version's range a bump is an error, not a success that changes nothing.
#[tokio::test]
async fn a_bump_at_the_end_of_the_range_logs_out_or_fails() {
    let store = Odd::with_user();
    store.inner.edit("ada", |row| row.columns.version = Some(i64::MAX));
    let service = Service::new(authority(), store.clone());
    let issued = service.issue::<Download>(UserKey::Id("ada"), &NoClaims {}).sign().await;
    let token = issued.unwrap().unwrap().1;
    let _ = service.authenticate(&token).await.unwrap();
    for answer in [service.log_out_everywhere("ada").await, service.disable("ada").await] {
        assert!(matches!(answer, Err(ServiceError::Record(RecordError::Exhausted))), "{answer:?}");
    }
}

/// A user whose hash has another format (bcrypt, Django's `!`) is answered as an unknown user.
#[tokio::test]
async fn a_hash_of_another_kind_does_not_tell_that_there_is_such_a_user() {
    let store = Odd::with_user();
    let service = Service::new(authority(), store.clone());
    let nobody = service.login("nobody", "guess", "x").await.unwrap_err();
    assert!(matches!(nobody, ServiceError::LoginRefused(LoginRefusal::UnknownLogin)));
    for (hash, why) in [
        (
            "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW",
            LoginRefusal::UnsupportedHash,
        ),
        ("!", LoginRefusal::NoPassword),
        ("x", LoginRefusal::NoPassword),
    ] {
        store.inner.edit("ada", |row| row.columns.password_hash = Some(hash.to_owned()));
        let error = service.login("ada", "guess", "x").await.unwrap_err();
        assert!(
            matches!(error, ServiceError::LoginRefused(found) if found == why),
            "{hash}: {error:?}"
        );
        assert_eq!(error.to_string(), nobody.to_string());
    }
}

/// A group's deleted row does not reset its counter.
#[tokio::test]
async fn deleting_a_group_revives_nothing() {
    let directory = std::env::temp_dir().join(format!("relatch-races-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let table =
        UsersTable::named("users").user_epoch("tenant", "tenant", GroupsTable::named("tenants"));
    let store = SqliteStore::open(directory.join("users.sqlite"), table).await.unwrap();
    let sql = "CREATE TABLE tenants (id TEXT PRIMARY KEY);
               INSERT INTO tenants VALUES ('acme');
               CREATE TABLE users (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                                   tenant TEXT)";
    sqlx::raw_sql(sql).execute(store.pool()).await.unwrap();
    store.migrate().await.unwrap();
    store.insert(NewUser::with_password_hash("ada", "ada", HASH)).await.unwrap();
    sqlx::raw_sql("UPDATE users SET tenant = 'acme'").execute(store.pool()).await.unwrap();
    let key = MasterKey::from_bytes("k", &[7; 32]).unwrap();
    let authority =
        Authority::builder(key, "https://i", "https://a").user_epoch("tenant").build().unwrap();
    let service = Service::new(authority, store.clone());
    let tokens = service.start_session("ada", "phone").await.unwrap();
    let _ = service.authenticate(tokens.access()).await.unwrap();
    assert!(service.bump_epoch("tenant", "acme").await.is_ok());
    assert!(service.authenticate(tokens.access()).await.is_err());
    sqlx::raw_sql("DELETE FROM tenants").execute(store.pool()).await.unwrap();
    let revived = service.authenticate(tokens.access()).await.is_ok();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(!revived, "a token from before the bump is valid again");
}

#[test]
fn no_setting_panics() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let hashes = thread::spawn(|| {
        let store = Odd::with_user();
        drop(
            Service::builder(authority(), store)
                .hashes_at_once(std::num::NonZero::<usize>::MAX)
                .build(),
        );
    });
    let hashes = hashes.join();
    assert!(hashes.is_ok(), "{hashes:?}");
    CachePolicy::new(Duration::seconds(30), usize::MAX).unwrap_err();
    let policy = CachePolicy::new(Duration::seconds(30), 100_000_000).unwrap();
    drop(Service::builder(authority(), Odd::with_user()).cache(policy).build());
}

/// A revoked token that is sent repeatedly while reads are slow takes few connections.
#[tokio::test(start_paused = true)]
async fn one_revoked_token_holds_few_reads_of_a_slow_store() {
    let store = Odd::with_user();
    let service = cached(&store).build();
    let dead = service.start_session("ada", "thief").await.unwrap();
    service.log_out_everywhere("ada").await.unwrap();
    let _ = service.start_session("ada", "owner").await.unwrap();
    assert!(service.authenticate(dead.access()).await.is_err());
    *store.how.read_takes.lock().unwrap() = StdDuration::from_millis(4_500);
    store.how.most_reads_at_once.store(0, Ordering::SeqCst);
    let text = dead.access().expose().to_owned();
    for _ in 0..500 {
        let (service, text) = (service.clone(), text.clone());
        tokio::spawn(async move {
            service.authenticate(&Token::<relatch::Access>::new(&*text)).await.is_ok()
        });
        sleep(StdDuration::from_millis(10)).await;
    }
    let most = store.how.most_reads_at_once.load(Ordering::SeqCst);
    assert!(most < 10, "{most} reads at once for one user");
}

/// A revoked refresh token does not evict its user from the cache, which serves an outage.
#[tokio::test(start_paused = true)]
async fn a_dead_refresh_token_drops_nothing_that_is_kept() {
    let store = Odd::with_user();
    let service = cached(&store).build();
    let dead = service.start_session("ada", "thief").await.unwrap();
    service.log_out_everywhere("ada").await.unwrap();
    let owner = service.start_session("ada", "owner").await.unwrap();
    advance(StdDuration::from_millis(5)).await;
    let _ = service.authenticate(owner.access()).await.unwrap();
    for _ in 0..10 {
        let error = service.refresh(twin(dead.refresh())).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::RevokedByVersion));
    }
    store.inner.set_reachable(false);
    let _ = service.authenticate(owner.access()).await.unwrap();
}

/// A panic in the application's functions changes nothing.
#[tokio::test(start_paused = true)]
async fn a_panic_of_the_applications_leaves_the_service_usable() {
    let store = Odd::with_user();
    let service = Service::builder(authority(), store.clone()).on_event(|_| panic!("no")).build();
    let (stolen, owner) = used_twice(&service).await;
    let other = service.clone();
    assert!(tokio::spawn(async move { other.refresh(stolen).await.is_ok() }).await.is_err());
    assert!(service.authenticate(owner.access()).await.is_err());
    let next = service.start_session("ada", "phone").await.unwrap();
    let _ = service.authenticate(next.access()).await.unwrap();
}

#[cfg(feature = "postgres")]
async fn postgres(definition: &str) -> Option<(relatch::store::PostgresStore, String)> {
    let Ok(url) = std::env::var("RELATCH_TEST_POSTGRES") else { return None };
    let name = format!("races_{}_{}", std::process::id(), definition.len());
    let pool = sqlx::PgPool::connect(&url).await.unwrap();
    let sql = definition.replace("TABLE users", &format!("TABLE {name}"));
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.unwrap();
    let store = relatch::store::PostgresStore::new(pool, UsersTable::named(&name)).unwrap();
    store.migrate().await.unwrap();
    Some((store, name))
}

/// The same store, with a channel of its own.
#[cfg(feature = "postgres")]
fn on_channel(store: &relatch::store::PostgresStore, name: &str) -> relatch::store::PostgresStore {
    let options = relatch::store::PostgresOptions::new().channel(name);
    options.over(store.pool().clone(), UsersTable::named(name)).unwrap()
}

/// Waits for the condition, with a deadline for slow machines.
#[cfg(feature = "postgres")]
async fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..1_000 {
        if is_so() {
            return;
        }
        sleep(StdDuration::from_millis(10)).await;
    }
    panic!("the condition was not met in time");
}

/// An id column with a nondeterministic collation.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn postgres_takes_one_form_of_an_id_alone() {
    let sql = "CREATE COLLATION IF NOT EXISTS races_ci
                   (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
               CREATE TABLE users (id TEXT COLLATE races_ci PRIMARY KEY, login TEXT UNIQUE,
                                   password_hash TEXT)";
    let Some((store, _)) = postgres(sql).await else { return };
    store.insert(NewUser::with_password_hash("ada", "ada", HASH)).await.unwrap();
    let policy = CachePolicy::new(Duration::seconds(30), 100).unwrap();
    let service = Service::builder(authority(), store.clone()).cache(policy).build();
    let tokens = service.start_session("ada", "phone").await.unwrap();
    let _ = service.authenticate(tokens.access()).await.unwrap();
    let bumped = service.log_out_everywhere("ADA").await;
    let accepted = service.authenticate(tokens.access()).await.is_ok();
    assert!(!(bumped.is_ok() && accepted), "Ok, and the token is still accepted");
}

/// A listener continues after its function panicked.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_listener_outlives_a_panic_of_what_it_tells() {
    let sql = "CREATE TABLE users (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT)";
    let Some((store, name)) = postgres(sql).await else { return };
    let store = on_channel(&store, &name);
    store.insert(NewUser::with_password_hash("ada", "ada", HASH)).await.unwrap();
    let notified = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&notified);
    let listener = store.listen_with(move |_| {
        if count.fetch_add(1, Ordering::SeqCst) == 1 {
            panic!("once");
        }
    });
    let notified = async |times| until(|| notified.load(Ordering::SeqCst) >= times).await;
    notified(1).await;
    store.bump_version("ada", 0).await.unwrap();
    notified(2).await;
    store.bump_version("ada", 0).await.unwrap();
    notified(3).await;
    assert!(listener.is_connected());
}

/// UUIDs in upper case in SQLite are reported as damage, not as a busy server.
#[tokio::test]
async fn an_id_of_another_form_is_no_busy_server() {
    let directory = std::env::temp_dir().join(format!("relatch-races-id-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let table = UsersTable::named("users").id_type(relatch::store::IdType::Uuid);
    let store = SqliteStore::open(directory.join("users.sqlite"), table).await.unwrap();
    let sql = "CREATE TABLE users (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT)";
    sqlx::raw_sql(sql).execute(store.pool()).await.unwrap();
    store.migrate().await.unwrap();
    let service = Service::new(authority(), store.clone());
    let hash = service.hash_password("correct horse battery").await.unwrap();
    let insert = "INSERT INTO users (id, login, password_hash)
                  VALUES ('67E55044-10B1-426F-9247-BB680E5FE0C8', 'ada', $1)";
    sqlx::query(insert).bind(hash).execute(store.pool()).await.unwrap();
    let error = service.login("ada", "correct horse battery", "phone").await.unwrap_err();
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(!error.is_unavailable(), "{error:?}");
}

/// Ids of the type `CHAR(n)` are published without padding, as they are read.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn triggers_tell_the_id_as_it_is_read() {
    let sql =
        "CREATE TABLE users (id CHAR(10) PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT) ";
    let Some((store, name)) = postgres(sql).await else { return };
    let store = on_channel(&store, &name);
    store.insert(NewUser::with_password_hash("ada", "ada", HASH)).await.unwrap();
    store.migrate_triggers().await.unwrap();
    let notified = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&notified);
    let _listener = store.listen_with(move |id| heard.lock().unwrap().push(id.map(str::to_owned)));
    until(|| notified.lock().unwrap().len() == 1).await;
    let sql = format!("UPDATE {name} SET token_version = token_version + 1");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(store.pool()).await.unwrap();
    until(|| notified.lock().unwrap().len() > 1).await;
    let read = store.read(UserKey::Id("ada")).await.unwrap().unwrap().id;
    assert_eq!(notified.lock().unwrap()[1..], [Some(read)]);
}

/// Inserting or deleting a group's row changes its users' epoch.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn triggers_tell_of_a_group_that_appears_or_goes() {
    let sql = "CREATE TABLE users (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                                   tenant TEXT)";
    let Some((store, name)) = postgres(sql).await else { return };
    let groups = format!("{name}_g");
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(store.pool()).await.unwrap();
    };
    run(format!("CREATE TABLE {groups} (id TEXT PRIMARY KEY)")).await;
    let table = UsersTable::named(&name).user_epoch("t", "tenant", GroupsTable::named(&groups));
    let options = relatch::store::PostgresOptions::new().channel(&name);
    let store = options.over(store.pool().clone(), table).unwrap();
    store.migrate().await.unwrap();
    store.migrate_triggers().await.unwrap();
    let notified = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&notified);
    let _listener = store.listen_with(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    let notified = async |times| until(|| notified.load(Ordering::SeqCst) == times).await;
    notified(1).await;
    run(format!("INSERT INTO {groups} VALUES ('acme', 1800000000000)")).await;
    notified(2).await;
    run(format!("DELETE FROM {groups}")).await;
    notified(3).await;
}

/// Two processes with caches over a slow store, at random.
#[tokio::test(start_paused = true)]
async fn at_random_no_revoked_token_outlives_its_bound_and_no_good_one_is_refused() {
    struct Held {
        text: String,
        revoking: bool,
        revoked: Option<(usize, Instant)>,
        id: relatch::sessions::SessionId,
    }
    const BOUND: StdDuration = StdDuration::from_secs(2);
    let mut checks = 0;
    for seed in 0_u64..40 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) % below
        };
        let store = Odd::with_user();
        let nodes: Vec<Service> = (0..2)
            .map(|_| {
                let policy = CachePolicy::new(Duration::seconds(2), 100).unwrap();
                Service::builder(authority(), store.clone()).cache(policy).build()
            })
            .collect();
        let held: Arc<Mutex<Vec<Held>>> = Arc::default();
        let verdicts = Arc::new(AtomicUsize::new(0));
        let verifiers: Vec<_> = (0..16_u64)
            .map(|number| {
                let (held, nodes, verdicts) = (held.clone(), nodes.clone(), verdicts.clone());
                tokio::spawn(async move {
                    let mut turn = number + seed * 31;
                    loop {
                        turn = turn
                            .wrapping_mul(6364136223846793005)
                            .wrapping_add(1442695040888963407);
                        sleep(StdDuration::from_millis(1 + (turn >> 40) % 30)).await;
                        let node = (turn >> 33) as usize % 2;
                        let picked = {
                            let held = held.lock().unwrap();
                            let len = held.len();
                            (len > 0).then(|| {
                                let at = len - 1 - ((turn >> 20) as usize % len.min(12));
                                (at, held[at].text.clone(), held[at].revoked)
                            })
                        };
                        let Some((at, text, revoked)) = picked else { continue };
                        let began = Instant::now();
                        let token = Token::<relatch::Access>::new(&*text);
                        let outcome = nodes[node].authenticate(&token).await;
                        verdicts.fetch_add(1, Ordering::SeqCst);
                        match (outcome, revoked) {
                            (Ok(_), Some((by, when))) => {
                                assert!(by != node, "seed {seed}: by the process that revoked it");
                                assert!(began < when + BOUND, "seed {seed}: beyond the bound");
                            }
                            (Ok(_), None) => {}
                            (Err(error), _) => {
                                let known = held.lock().unwrap()[at].revoking;
                                assert!(known, "seed {seed}: a good token: {error:?}");
                            }
                        }
                    }
                })
            })
            .collect();
        for _ in 0..60 {
            *store.how.read_takes.lock().unwrap() = StdDuration::from_millis(random(80));
            *store.how.answer_after.lock().unwrap() = StdDuration::from_millis(random(40));
            *store.how.commit_after.lock().unwrap() = StdDuration::from_millis(random(40));
            let node = random(2) as usize;
            let service = &nodes[node];
            let alive: Vec<usize> = {
                let held = held.lock().unwrap();
                (0..held.len()).filter(|at| !held[*at].revoking).collect()
            };
            let mark = |gone: &[usize]| {
                let mut held = held.lock().unwrap();
                gone.iter().for_each(|at| held[*at].revoking = true);
            };
            let done = |gone: &[usize]| {
                let mut held = held.lock().unwrap();
                gone.iter().for_each(|at| held[*at].revoked = Some((node, Instant::now())));
            };
            match random(8) {
                0..=2 if alive.len() < 10 => {
                    let tokens = service.start_session("ada", "x").await.unwrap();
                    let id = tokens.session().id();
                    let text = tokens.access().expose().to_owned();
                    let new = Held { text, revoking: false, revoked: None, id };
                    held.lock().unwrap().push(new);
                }
                3 if alive.len() < 2 => {}
                3 | 4 if !alive.is_empty() => {
                    let at = alive[random(alive.len() as u64) as usize];
                    let (text, id) = {
                        let held = held.lock().unwrap();
                        (held[at].text.clone(), held[at].id)
                    };
                    let session =
                        service.authenticate(&Token::<relatch::Access>::new(&*text)).await.unwrap();
                    mark(&[at]);
                    assert!(service.log_out_device(&session, id).await.unwrap());
                    done(&[at]);
                }
                5 if random(3) == 0 => {
                    mark(&alive);
                    service.log_out_everywhere("ada").await.unwrap();
                    done(&alive);
                }
                6 if random(3) == 0 => {
                    mark(&alive);
                    service.disable("ada").await.unwrap();
                    done(&alive);
                    sleep(StdDuration::from_millis(random(300))).await;
                    nodes[random(2) as usize].enable("ada").await.unwrap();
                }
                7 if !alive.is_empty() => {
                    let at = alive[random(alive.len() as u64) as usize];
                    let text = held.lock().unwrap()[at].text.clone();
                    mark(&alive);
                    let kept = service.log_out_others(&Token::new(&*text)).await.unwrap();
                    done(&alive);
                    let id = kept.session().id();
                    let text = kept.access().expose().to_owned();
                    held.lock().unwrap().push(Held { text, revoking: false, revoked: None, id });
                }
                _ => sleep(StdDuration::from_millis(random(1_500))).await,
            }
        }
        for verifier in &verifiers {
            assert!(!verifier.is_finished(), "seed {seed}: a verifier panicked");
            verifier.abort();
        }
        checks += verdicts.load(Ordering::SeqCst);
    }
    println!("{checks} verdicts");
    assert!(checks > 10_000, "{checks}");
}

/// Under any race a link is used once, and a refresh token has one successor.
#[tokio::test(start_paused = true)]
async fn what_works_once_works_once_and_no_chain_forks() {
    for round in 0..60_u64 {
        let store = Odd::with_user();
        *store.how.read_takes.lock().unwrap() = StdDuration::from_millis(round % 7);
        *store.how.answer_after.lock().unwrap() = StdDuration::from_millis(round % 5);
        *store.how.commit_after.lock().unwrap() = StdDuration::from_millis(round % 3);
        let service = Service::new(authority(), store.clone());
        let issued = service
            .issue::<relatch::one_time::MagicLink>(UserKey::Id("ada"), &NoClaims {})
            .sign()
            .await;
        let link = issued.unwrap().unwrap().1.expose().to_owned();
        let first = service.start_session("ada", "phone").await.unwrap();
        let uses = (0..6).map(|number| {
            let (service, link) = (service.clone(), link.clone());
            tokio::spawn(async move {
                sleep(StdDuration::from_millis(number * round % 4)).await;
                service
                    .one_time(Token::<relatch::one_time::MagicLink>::new(&*link))
                    .login("x")
                    .await
            })
        });
        let uses: Vec<_> = uses.collect();
        let refreshes: Vec<_> = (0..6)
            .map(|number| {
                let (service, token) = (service.clone(), twin(first.refresh()));
                tokio::spawn(async move {
                    sleep(StdDuration::from_millis(number * round % 4)).await;
                    service.refresh(token).await
                })
            })
            .collect();
        let mut used = 0;
        for each in uses {
            match each.await.unwrap() {
                Ok(_) => used += 1,
                Err(error) => assert!(error.reason().is_some() || error.is_unavailable()),
            }
        }
        assert_eq!(used, 1, "round {round}");
        let mut successors = std::collections::BTreeSet::new();
        for each in refreshes {
            match each.await.unwrap() {
                Ok(tokens) => drop(successors.insert(tokens.refresh().expose().to_owned())),
                Err(error) => assert!(error.is_unavailable(), "{error:?}"),
            }
        }
        assert_eq!(successors.len(), 1, "round {round}");
    }
}

/// A login with the old password, which rehashes, races a reset.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_login_with_the_old_password_survives_a_reset() {
    use relatch::password::PasswordHasher;
    let old_cost = PasswordHasher::with_cost(7_168, 5, 1).unwrap();
    let hash = old_cost.hash("the old password").unwrap();
    for round in 0..15_u64 {
        let store = Odd::with_user();
        store.inner.edit("ada", |row| row.columns.password_hash = Some(hash.clone()));
        *store.how.read_takes.lock().unwrap() = StdDuration::from_millis(round % 4);
        *store.how.commit_after.lock().unwrap() = StdDuration::from_millis(round % 3);
        let hasher = PasswordHasher::with_cost(9_216, 5, 1).unwrap();
        let service = Service::builder(authority(), store.clone()).hasher(hasher).build();
        let logins: Vec<_> = (0..3)
            .map(|number| {
                let service = service.clone();
                tokio::spawn(async move {
                    sleep(StdDuration::from_millis(number * round)).await;
                    service.login("ada", "the old password", "x").await
                })
            })
            .collect();
        sleep(StdDuration::from_millis(5 * round)).await;
        service.set_password("ada", "the new password").await.unwrap();
        for login in logins {
            if let Ok(tokens) = login.await.unwrap() {
                assert!(service.authenticate(tokens.access()).await.is_err(), "round {round}");
            }
        }
        assert!(service.login("ada", "the old password", "x").await.is_err(), "round {round}");
        let tokens = service.login("ada", "the new password", "x").await.unwrap();
        let _ = service.authenticate(tokens.access()).await.unwrap();
    }
}

/// An `enable` that timed out still waits in SQLite's busy loop, and runs after a `disable` has
/// returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enable_that_was_given_up_undoes_no_later_disable() {
    let directory = std::env::temp_dir().join(format!("relatch-races-late-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let store =
        SqliteStore::open(directory.join("users.sqlite"), UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    store.insert(NewUser::with_password_hash("ada", "ada", HASH)).await.unwrap();
    let service = Service::new(authority(), store.clone());
    service.disable("ada").await.unwrap();

    let version = store.read(UserKey::Id("ada")).await.unwrap().unwrap().columns.version;
    let mut writer = store.pool().acquire().await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut *writer).await.unwrap();
    let hasty = SqliteOptions::new().timeout(Duration::milliseconds(100));
    let hasty = hasty.over(store.pool().clone(), UsersTable::ready()).unwrap();
    let given_up = hasty.enable("ada", version, 0).await;
    let admin = service.clone();
    let disabling = tokio::spawn(async move { admin.disable("ada").await });
    sleep(StdDuration::from_millis(300)).await;
    sqlx::raw_sql("COMMIT").execute(&mut *writer).await.unwrap();
    disabling.await.unwrap().unwrap();
    // Both waited for the writer, and both have run by now.
    sleep(StdDuration::from_secs(1)).await;
    let is_active = store.read(UserKey::Id("ada")).await.unwrap().unwrap().is_active;
    std::fs::remove_dir_all(&directory).unwrap();
    assert!(given_up.is_err());
    assert!(!is_active, "`disable` returned, and the user is active: {given_up:?}");
}

/// Two counters in one table of groups, with a common prefix in their names.
#[cfg(feature = "postgres")]
#[tokio::test]
async fn each_counter_of_a_group_has_a_trigger_of_its_own() {
    let pool = sqlx::PgPool::connect_lazy("postgres://nobody@localhost/none").unwrap();
    let long = "a_counter_with_a_name_of_forty_characters";
    let groups = |end: &str| GroupsTable::named("tenants").counter(&format!("{long}_{end}"));
    let table = UsersTable::named("users").user_epoch("one", "tenant", groups("one")).user_epoch(
        "two",
        "tenant_two",
        groups("two"),
    );
    let store = relatch::store::PostgresStore::new(pool, table).unwrap();
    let sql = store.triggers_sql();
    let names: std::collections::BTreeSet<_> = sql
        .lines()
        .filter_map(|line| line.split("TRIGGER ").nth(1)?.split(' ').next())
        .filter(|name| name.ends_with("_bumped"))
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

/// A clock before 1970 still revokes.
#[tokio::test]
async fn a_clock_of_before_1970_revokes_all_the_same() {
    let clock = TestClock::new();
    let store = Odd::with_user();
    let service = Service::new(authority_builder(&clock).build().unwrap(), store.clone());
    let tokens = service.start_session("ada", "phone").await.unwrap();
    clock.set(-START - 1_000);
    service.log_out_everywhere("ada").await.unwrap();
    clock.set(10);
    assert!(service.authenticate(tokens.access()).await.is_err());
}
