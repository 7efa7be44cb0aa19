//! A revocation does not depend on telling others.

use relatch::{
    Authority, MasterKey,
    service::Service,
    store::{NewUser, PostgresStore, UserKey, UserStore, UsersTable},
};

use sqlx::postgres::PgListener;

use super::{
    HASH,
    databases::{database, run_postgres, without_notifications},
};

#[tokio::test]
async fn a_revocation_is_written_although_the_server_refuses_to_notify() {
    let Some((url, _)) = without_notifications().await else { return };
    let store = PostgresStore::connect(&url, UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    let hash = crate::service::hash();
    assert!(store.insert(NewUser::with_password_hash("1", "ada", hash)).await.unwrap());
    let key = MasterKey::generate("k").unwrap();
    let authority = Authority::builder(key, "https://i", "https://a").build().unwrap();
    let service = Service::new(authority, store.clone());

    let mut unsent = 0;
    let mut is_counted = || {
        unsent += 1;
        assert_eq!(store.unsent_notifications(), unsent);
    };
    let login = async || service.start_session("1", "phone").await.unwrap();
    let tokens = login().await;
    service.log_out_everywhere("1").await.unwrap();
    assert!(service.authenticate(tokens.access()).await.is_err());
    is_counted();
    let tokens = login().await;
    let user = service.authenticate(tokens.access()).await.unwrap();
    service.log_out(&user).await.unwrap();
    assert!(service.authenticate(tokens.access()).await.is_err());
    is_counted();
    let tokens = login().await;
    service.set_password("1", "another horse battery").await.unwrap();
    assert!(service.authenticate(tokens.access()).await.is_err());
    is_counted();
    let tokens = login().await;
    let mut transaction = store.pool().begin().await.unwrap();
    let revoked = store.revoke_in(&mut transaction, &service, "1").await.unwrap();
    transaction.commit().await.unwrap();
    revoked.committed();
    assert!(service.authenticate(tokens.access()).await.is_err());
    is_counted();
    service.disable("1").await.unwrap();
    is_counted();
    service.enable("1").await.unwrap();
    is_counted();
    assert!(store.bump_version("nobody", 0).await.unwrap().is_none());
    assert!(store.delete("1").await.unwrap());
    is_counted();
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_none());
}

/// The queue is as full as the table says: `pg_notification_queue_usage` is replaced.
const QUEUE: &str = "
    ALTER FUNCTION pg_catalog.pg_notification_queue_usage() RENAME TO real_queue_usage;
    CREATE TABLE queue AS SELECT CAST(0 AS FLOAT8) AS usage;
    CREATE FUNCTION pg_catalog.pg_notification_queue_usage() RETURNS FLOAT8
        LANGUAGE sql SECURITY DEFINER AS 'SELECT usage FROM public.queue'";

/// A transaction that notifies fails at its commit if the queue is full.
#[tokio::test]
async fn in_a_transaction_of_the_application_nothing_is_sent_to_a_queue_that_is_nearly_full() {
    let Some((url, admin)) = database(QUEUE).await else { return };
    let store = PostgresStore::connect(&url, UsersTable::ready()).await.unwrap();
    store.migrate().await.unwrap();
    store.migrate_triggers().await.unwrap();
    for id in ["1", "2"] {
        assert!(store.insert(NewUser::with_password_hash(id, id, HASH)).await.unwrap());
    }
    let key = MasterKey::generate("k").unwrap();
    let authority = Authority::builder(key, "https://i", "https://a").build().unwrap();
    let service = Service::new(authority, store.clone());
    let mut listener = PgListener::connect(&url).await.unwrap();
    listener.listen("relatch").await.unwrap();
    let mut unsent = 0;
    for (usage, is_sent) in
        [("0.5", true), ("0.89", true), ("0.9", false), ("1", false), ("0", true)]
    {
        run_postgres(&admin, format!("UPDATE queue SET usage = {usage}")).await;
        // By the triggers, and by the store itself.
        let bump = "UPDATE relatch_users SET token_version = token_version + 1 WHERE id = '1'";
        sqlx::query(bump).execute(store.pool()).await.unwrap();
        let mut transaction = store.pool().begin().await.unwrap();
        let revoked = store.revoke_in(&mut transaction, &service, "2").await.unwrap();
        transaction.commit().await.unwrap();
        revoked.committed();
        unsent += u64::from(!is_sent);
        assert_eq!(store.unsent_notifications(), unsent, "{usage}");
        run_postgres(&admin, "NOTIFY relatch, 'end'").await;
        let mut ids = Vec::new();
        loop {
            match listener.recv().await.unwrap().payload() {
                "end" => break,
                id => ids.push(id.to_owned()),
            }
        }
        let expected: &[&str] = if is_sent { &["1", "2"] } else { &[] };
        assert_eq!(ids, expected, "{usage}");
    }
}
