//! A revocation does not depend on telling others.

use relatch::{
    Authority, MasterKey,
    service::Service,
    store::{NewUser, PostgresStore, UserKey, UserStore, UsersTable},
};

use super::databases::without_notifications;

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
    assert!(!store.bump_version("nobody", 0).await.unwrap());
    assert!(store.delete("1").await.unwrap());
    is_counted();
    assert!(store.read(UserKey::Id("1")).await.unwrap().is_none());
}
