//! Notifications of revocations across processes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use relatch::{
    Authority, MasterKey,
    service::{CachePolicy, Service},
    store::{
        GroupsTable, Listener, NewUser, PostgresOptions, PostgresStore, UserStore, UsersTable,
    },
};
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{Instant, sleep};

use super::{
    HASH,
    databases::{Proxy, postgres, postgres_url, run_postgres, through_pooler, unique},
};

/// The notifications that one process received.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<Option<String>>>>);

impl Heard {
    fn listen(&self, store: &PostgresStore) -> Listener {
        let heard = self.clone();
        store.listen_with(move |id| heard.0.lock().unwrap().push(id.map(str::to_owned)))
    }

    /// The notifications since the last call. Waits for this many, with a deadline.
    async fn take(&self, count: usize) -> Vec<Option<String>> {
        let until = Instant::now() + Duration::from_secs(20);
        while self.0.lock().unwrap().len() < count && Instant::now() < until {
            sleep(Duration::from_millis(10)).await;
        }
        // Time for unexpected ones.
        sleep(Duration::from_millis(150)).await;
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

fn of(id: &str) -> Vec<Option<String>> {
    vec![Some(id.to_owned())]
}

const EVERYBODY: Option<String> = None;

/// An empty table, its store, and its name, which is also the channel's.
async fn store() -> Option<(PostgresStore, PgPool, String)> {
    let pool = postgres().await?;
    let name = unique("news");
    let sql = format!(
        "CREATE TABLE {name}_t (id TEXT PRIMARY KEY);
         INSERT INTO {name}_t VALUES ('x');
         CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT NOT NULL UNIQUE,
                              password_hash TEXT, tenant TEXT, note TEXT)"
    );
    run_postgres(&pool, sql).await;
    let groups = GroupsTable::named(&format!("{name}_t"));
    let table = UsersTable::named(&name).active("is_active").user_epoch("tenant", "tenant", groups);
    let url = format!("{}&application_name={name}", postgres_url()?);
    let (options, url) = through_pooler(PostgresOptions::new().channel(&name), &url);
    let store = options.connect(&url, table).await.unwrap();
    store.migrate().await.unwrap();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap());
    assert!(store.insert(NewUser::with_password_hash("Zoë 2", "zoe", HASH)).await.unwrap());
    Some((store, pool, name))
}

#[tokio::test]
async fn what_revokes_is_heard_once_it_is_committed() {
    let Some((store, pool, name)) = store().await else { return };
    let heard = Heard::default();
    let listener = heard.listen(&store);
    assert_eq!(
        heard.take(1).await,
        [EVERYBODY],
        "notifications before it listened may have been missed"
    );
    assert!(listener.is_connected());

    assert!(store.bump_version("1", 0).await.unwrap().is_some());
    assert_eq!(heard.take(1).await, of("1"));
    assert!(store.disable("Zoë 2", 0).await.unwrap().is_some());
    assert_eq!(heard.take(1).await, of("Zoë 2"));
    assert!(store.bump_version("nobody", 0).await.unwrap().is_none());
    assert!(!store.delete("nobody").await.unwrap());
    assert!(store.bump_epoch("tenant", "x", 1_800_000_000_000).await.unwrap().is_some());
    assert_eq!(heard.take(1).await, [EVERYBODY]);
    assert!(store.delete("1").await.unwrap());
    assert_eq!(heard.take(1).await, of("1"));

    // Notifications by the application's transactions arrive; those of other channels do not.
    let mut transaction = pool.begin().await.unwrap();
    let notify = format!("SELECT pg_notify('{name}', 'rolled back')");
    sqlx::query(AssertSqlSafe(notify)).execute(&mut *transaction).await.unwrap();
    transaction.rollback().await.unwrap();
    run_postgres(&pool, "SELECT pg_notify('relatch_other', 'other')").await;
    run_postgres(&pool, format!("SELECT pg_notify('{name}', 'mine')")).await;
    assert_eq!(heard.take(1).await, of("mine"));

    drop(listener);
    sleep(Duration::from_millis(100)).await;
    assert!(store.bump_version("Zoë 2", 0).await.unwrap().is_some());
    assert!(heard.take(0).await.is_empty());
}

/// Two machines, each with a cache whose bound is a minute.
#[tokio::test]
async fn what_one_machine_revokes_is_refused_by_the_other_at_once() {
    let Some((store, _, _)) = store().await else { return };
    let key = MasterKey::generate("k").unwrap();
    let builder = Authority::builder(key, "https://i", "https://a");
    let authority = builder.user_epoch("tenant").build().unwrap();
    let machine = || {
        let policy = CachePolicy::new(time::Duration::minutes(1), 100).unwrap();
        Service::builder(authority.clone(), store.clone()).cache(policy).build()
    };
    let (here, there) = (machine(), machine());
    let (changes, heard) = (there.changes(), Heard::default());
    let listener = store.listen(changes);
    let ear = heard.listen(&store);
    assert_eq!(heard.take(1).await, [EVERYBODY]);
    while !listener.is_connected() {
        sleep(Duration::from_millis(10)).await;
    }

    let hash = here.hash_password("correct horse battery").await.unwrap();
    assert!(store.insert(NewUser::with_password_hash("3", "eve", hash)).await.unwrap());
    let tokens = here.login("eve", "correct horse battery", "phone").await.unwrap();
    assert!(there.authenticate(tokens.access()).await.is_ok());
    assert!(heard.take(0).await.is_empty(), "a login revokes nothing");
    here.log_out_everywhere("3").await.unwrap();
    assert_eq!(heard.take(1).await, of("3"));
    // Well within the minute.
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while there.authenticate(tokens.access()).await.is_ok() {
        assert!(std::time::Instant::now() < deadline, "no notification in time");
        sleep(Duration::from_millis(10)).await;
    }
    assert!(listener.is_connected() && ear.is_connected());
}

#[tokio::test]
async fn triggers_hear_the_application_s_own_sql() {
    let Some((store, pool, name)) = store().await else { return };
    store.migrate_triggers().await.unwrap();
    let heard = Heard::default();
    let _listener = heard.listen(&store);
    assert_eq!(heard.take(1).await, [EVERYBODY]);
    let run = async |sql: &str| run_postgres(&pool, sql.replace("users", &name)).await;

    run("UPDATE users SET sessions = 's' WHERE id = '1'").await;
    run("UPDATE users SET note = 'x', carried = 'c', lanes = 'l'").await;
    run("UPDATE users SET password_hash = password_hash, token_version = token_version").await;
    run("BEGIN; UPDATE users SET token_version = 7; ROLLBACK").await;
    assert!(heard.take(0).await.is_empty(), "nothing is revoked");
    for set in [
        "token_version = 7",
        "password_hash = 'other'",
        "password_hash = NULL",
        "is_active = FALSE",
        "sessions = NULL",
        "tenant = 'x'",
    ] {
        run(&format!("UPDATE users SET {set} WHERE id = '1'")).await;
        assert_eq!(heard.take(1).await, of("1"), "{set}");
    }
    // The statement's own notification and the trigger's are one.
    assert!(store.bump_version("Zoë 2", 0).await.unwrap().is_some());
    assert_eq!(heard.take(1).await, of("Zoë 2"));
    run("UPDATE users_t SET epoch = 8").await;
    assert_eq!(heard.take(1).await, [EVERYBODY]);
    run("DELETE FROM users WHERE id = '1'").await;
    assert_eq!(heard.take(1).await, of("1"));
    run("TRUNCATE users").await;
    assert_eq!(heard.take(1).await, [EVERYBODY]);
}

/// A user whose row stays in the table.
#[tokio::test]
async fn triggers_hear_a_soft_deletion() {
    let Some(pool) = postgres().await else { return };
    let name = unique("gone");
    let sql = format!(
        "CREATE TABLE {name} (id TEXT PRIMARY KEY, login TEXT UNIQUE, password_hash TEXT,
                              gone_at TIMESTAMPTZ, is_gone BOOLEAN)"
    );
    run_postgres(&pool, sql).await;
    let table = UsersTable::named(&name).deleted_at("gone_at").is_deleted("is_gone");
    let store = PostgresOptions::new().channel(&name).over(pool.clone(), table).unwrap();
    store.migrate().await.unwrap();
    store.migrate_triggers().await.unwrap();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", HASH)).await.unwrap());
    let heard = Heard::default();
    let _listener = heard.listen(&store);
    assert_eq!(heard.take(1).await, [EVERYBODY]);
    for set in ["gone_at = now()", "gone_at = NULL", "is_gone = TRUE"] {
        run_postgres(&pool, format!("UPDATE {name} SET {set}")).await;
        assert_eq!(heard.take(1).await, of("1"), "{set}");
    }
}

#[tokio::test]
async fn a_connection_that_is_killed_is_made_again() {
    let Some((store, pool, name)) = store().await else { return };
    let heard = Heard::default();
    let listener = heard.listen(&store);
    assert_eq!(heard.take(1).await, [EVERYBODY]);
    let measured = |listener: &Listener| {
        let (heard, round_trip) = (listener.last_heard(), listener.round_trip().unwrap());
        assert!(heard < time::Duration::seconds(15), "{heard}");
        assert!(
            round_trip.is_positive() && round_trip < time::Duration::seconds(5),
            "{round_trip}"
        );
    };
    measured(&listener);
    assert_eq!(listener.reconnections(), 0);
    for times in 1..4 {
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"
        );
        run_postgres(&pool, kill).await;
        assert_eq!(heard.take(1).await, [EVERYBODY], "notifications may have been missed");
        assert!(listener.is_connected());
        assert_eq!(listener.reconnections(), times);
        measured(&listener);
        run_postgres(&pool, format!("SELECT pg_notify('{name}', '1')")).await;
        assert_eq!(heard.take(1).await, of("1"));
    }
}

/// A connection over which no data passes any more, and that neither side closes.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_silent_is_noticed() {
    let Some((_, pool, name)) = store().await else { return };
    let proxy = Proxy::start();
    let url = proxy.url();
    let options = PostgresOptions::new().channel(&name);
    let store = options.connect(&url, UsersTable::named(&name)).await.unwrap();
    let heard = Heard::default();
    let listener = heard.listen(&store);
    assert_eq!(heard.take(1).await, [EVERYBODY]);

    proxy.set_silent(true);
    run_postgres(&pool, format!("SELECT pg_notify('{name}', 'missed')")).await;
    let until = Instant::now() + Duration::from_secs(18);
    while listener.is_connected() && Instant::now() < until {
        sleep(Duration::from_millis(50)).await;
    }
    assert!(!listener.is_connected());
    proxy.set_silent(false);
    assert_eq!(heard.take(1).await.first(), Some(&EVERYBODY));
    assert!(listener.is_connected());
}
