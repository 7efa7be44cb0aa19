//! The answer to a change is lost: the row shows whether it was written.

use std::{sync::Arc, time::Duration};

use relatch::{
    Token,
    store::{
        GroupsTable, Locked, PostgresOptions, PostgresStore, Row, StoreError, Update, UserKey,
        UserStore,
    },
};

use sqlx::AssertSqlSafe;
use tokio::time::sleep;

use super::{
    calls::user,
    databases::{Proxy, run_postgres},
    scratch::{Scratch, service},
};

/// The answer to a commit is lost: the row tells that it was written.
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
            0 => assert!(store.bump_version("2", version + 5).await.unwrap().is_some()),
            _ => assert!(store.disable("2", version + 5).await.unwrap().is_some()),
        }
        assert!(proxy.has_lost_answer());
        assert!(scratch.version(2).await >= version + 5);
    }
    let version = scratch.version(2).await;
    proxy.lose_answer(notified);
    let enabled = store.enable("2", Some(version), version + 5).await.unwrap();
    assert!(proxy.has_lost_answer());
    assert_eq!(enabled, Some(scratch.version(2).await));
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
    assert!(store.bump_epoch("tenant", "x", 5).await.unwrap().is_some());
    assert!(proxy.has_lost_answer());
}

/// A store in which others change each row before it is written, until it is locked. Then the commit
/// meets with trouble.
#[derive(Clone)]
struct Contended<F> {
    store: PostgresStore<F>,
    proxy: Arc<Proxy>,
    trouble: fn(&Proxy),
}

impl<F: Clone + Send + Sync + 'static> UserStore for Contended<F> {
    type Fields = F;

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<F>>, StoreError> {
        self.store.read(key).await
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        self.store.bump_version(update.id(), 0).await?;
        self.store.compare_and_set(update).await
    }

    async fn lock(&self, key: UserKey<'_>) -> Result<Option<Locked<F>>, StoreError> {
        let locked = self.store.lock(key).await;
        (self.trouble)(&self.proxy);
        locked
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.store.delete(id).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.store.bump_version(id, at_least).await
    }
}

fn lose_the_answer_to_the_commit(proxy: &Proxy) {
    proxy.lose_answer(b"C\0\0\0\x0bCOMMIT\0");
}

fn hold_the_commit(proxy: &Proxy) {
    proxy.hold_request(b"Q\0\0\0\x0bCOMMIT\0");
}

/// A lock is waited for as long as it takes on a busy machine.
fn both_ways() -> [PostgresOptions; 2] {
    let patient = || PostgresOptions::new().timeout(time::Duration::minutes(1));
    [patient(), patient().behind_pooler()]
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_under_a_lock_is_read_from_the_row() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Arc::new(Proxy::start());
    for options in both_ways() {
        let store = options.connect(&proxy.url(), scratch.table.clone()).await.unwrap();
        let trouble = lose_the_answer_to_the_commit;
        let (service, _) = service(Contended { store, proxy: Arc::clone(&proxy), trouble });
        let tokens = service.start_session("1", "laptop").await.unwrap();
        assert!(proxy.has_lost_answer());
        let verified = service.authenticate(tokens.access()).await.unwrap();
        assert_eq!(service.sessions(&verified).await.unwrap().len(), 1, "it was written once");
    }
}

/// The connection is lost while the commit is on its way: the row does not show it yet.
#[tokio::test]
async fn a_commit_on_its_way_is_waited_for() {
    let Some(scratch) = Scratch::new().await else { return };
    let proxy = Arc::new(Proxy::start());
    for options in both_ways() {
        let url = proxy.url().replace("postgres@", &format!("{}@", scratch.role));
        let store = options.connect(&url, scratch.table.clone()).await.unwrap();
        let contended = Contended { store, proxy: Arc::clone(&proxy), trouble: hold_the_commit };
        let (service, _) = service(contended);
        let login = tokio::spawn({
            let service = service.clone();
            async move { service.start_session("1", "laptop").await }
        });
        while scratch.waiting().await == 0 && !login.is_finished() {
            sleep(Duration::from_millis(5)).await;
        }
        proxy.release_request();
        let tokens = login.await.unwrap().unwrap();
        let verified = service.authenticate(tokens.access()).await.unwrap();
        assert_eq!(service.sessions(&verified).await.unwrap().len(), 1, "it was written once");
    }
}

#[derive(Clone, serde::Deserialize)]
struct Profile {
    #[expect(dead_code, reason = "it must only be there")]
    tenant: String,
}

/// A trigger sets a field to what the application cannot read, in the change whose answer is lost.
#[tokio::test]
async fn a_lost_answer_is_read_from_a_row_whose_fields_cannot_be_read() {
    let Some(scratch) = Scratch::new().await else { return };
    let (proxy, role) = (Arc::new(Proxy::start()), &scratch.role);
    let trigger = format!(
        "CREATE FUNCTION {role}_spoils() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             NEW.tenant := CASE WHEN NEW.sessions IS NULL THEN 'x' END; \
             RETURN NEW; \
         END $$; \
         CREATE TRIGGER spoils BEFORE UPDATE ON {role} FOR EACH ROW EXECUTE FUNCTION {role}_spoils()"
    );
    run_postgres(&scratch.admin, trigger).await;
    let sessions = format!("SELECT count(*) FROM {role} WHERE id = '1' AND sessions IS NOT NULL");
    let cases = [true, false].map(|is_locked| both_ways().map(|options| (is_locked, options)));
    for (is_locked, options) in cases.into_iter().flatten() {
        let table = scratch.table.clone().fields::<Profile>(["tenant"]);
        let store = options.connect(&proxy.url(), table).await.unwrap();
        assert!(store.bump_version("1", 0).await.unwrap().is_some());
        let (service, _) = match is_locked {
            true => {
                let trouble = lose_the_answer_to_the_commit;
                service(Contended { store, proxy: Arc::clone(&proxy), trouble })
            }
            false => {
                proxy.lose_answer(b"UPDATE 1\0");
                service(store)
            }
        };
        drop(service.start_session("1", "laptop").await.unwrap());
        assert!(proxy.has_lost_answer());
        let query = sqlx::query_scalar::<_, i64>(AssertSqlSafe(sessions.clone()));
        assert_eq!(query.fetch_one(&scratch.admin).await.unwrap(), 1);
    }
}
