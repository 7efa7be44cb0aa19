//! The service over a store in memory.

use relatch::{
    Authority, Context, MasterKey, NoClaims, Reason, User,
    one_time::{MagicLink, PasswordReset},
    service::{LoginRefusal, Service, ServiceError},
    store::{Key, MemoryStore, NewUser},
};

fn is_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn a_story() {
    let authority =
        Authority::new(MasterKey::generate("k").unwrap(), "https://i", "https://a").unwrap();
    let users = MemoryStore::new();
    let service = Service::new(authority, users.clone());
    let hash = service.hash_password("correct horse").await.unwrap();
    users.insert(NewUser::with_password_hash("1", "alice", hash), ());
    let phone = is_send(service.login("alice", "correct horse", "phone")).await.unwrap();
    let laptop = service.login("alice", "correct horse", "laptop").await.unwrap();
    let error = service.login("alice", "wrong", "phone").await.unwrap_err();
    assert!(matches!(error, ServiceError::LoginRefused(LoginRefusal::WrongPassword)));
    let session = is_send(service.authenticate(phone.access())).await.unwrap();
    assert_eq!(session.user().id(), "1");
    assert_eq!(is_send(service.sessions(&session)).await.unwrap().len(), 2);
    let (access, refresh) = laptop.into_parts();
    let laptop = is_send(service.refresh(refresh)).await.unwrap();
    assert!(is_send(service.log_out(&session)).await.unwrap());
    assert_eq!(
        service.authenticate(phone.access()).await.unwrap_err().reason(),
        Some(Reason::SessionEnded)
    );
    let laptop =
        is_send(service.change_password(laptop.access(), "correct horse", "battery staple"))
            .await
            .unwrap();
    assert!(service.authenticate(&access).await.is_err());
    let laptop = is_send(service.log_out_others(laptop.access())).await.unwrap();
    let issued =
        is_send(service.issue::<PasswordReset>(Key::Login("alice"), &NoClaims {}, Context::new()))
            .await
            .unwrap();
    let (_, link) = issued.unwrap();
    is_send(service.peek(&link)).await.unwrap();
    is_send(service.one_time(link).set_password("new one").consume()).await.unwrap();
    assert!(service.authenticate(laptop.access()).await.is_err());
    let issued =
        service.issue::<MagicLink>(Key::Id("1"), &NoClaims {}, Context::new()).await.unwrap();
    let tablet = is_send(service.one_time(issued.unwrap().1).login("tablet")).await.unwrap();
    service.authenticate(tablet.access()).await.unwrap();
    is_send(service.disable("1")).await.unwrap();
    is_send(service.set_password("1", "again")).await.unwrap();
}
