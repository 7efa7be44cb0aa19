//! The answer to a change is lost: the row shows whether it was written.

use std::sync::Arc;

use relatch::{
    Token,
    store::{
        GroupsTable, Locked, PostgresOptions, PostgresStore, Row, StoreError, Update, UserKey,
        UserStore,
    },
};

use super::{
    calls::user,
    databases::Proxy,
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
#[derive(Clone)]
struct Contended {
    store: PostgresStore,
    proxy: Arc<Proxy>,
}

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
