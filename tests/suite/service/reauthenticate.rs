//! Step-up: the user authenticates again, and this device's session restarts.

use relatch::{
    Reason,
    password::PasswordHasher,
    service::{LoginRefusal, Service, ServiceError},
    sessions::SessionInfo,
    store::UserKey,
};

use super::{ALICE, BOB, Backend, PASSWORD, Profile, Tokens, World, again, faulty::Faulty};
use crate::common::{Role, copy, role};

over_each_store! {
    who_gives_the_password_again_has_just_authenticated,
    a_wrong_password_restarts_nothing,
    a_user_without_a_password_is_restarted_by_the_application,
    a_due_rehash_is_made_on_the_way_and_logs_nobody_out,
    a_session_that_is_over_is_not_restarted,
    of_two_restarts_at_once_one_wins,
    a_restart_that_a_revocation_overtakes_gives_nothing,
    a_restart_that_a_login_overtakes_is_decided_anew,
    a_refresh_that_a_restart_overtakes_gives_nothing,
    a_restart_whose_client_hangs_up_is_completed,
}

async fn own(service: &Service<Profile, Role>, tokens: &Tokens) -> SessionInfo {
    let verified = service.authenticate(tokens.access()).await.unwrap();
    service.authority().session_info(&verified).unwrap().unwrap()
}

async fn who_gives_the_password_again_has_just_authenticated<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    world.clock.set(3600);
    let refreshed = service.refresh(again(&phone)).await.unwrap();
    assert_eq!(own(service, &refreshed).await.started_at(), world.clock.at(0));

    let restarted = service.reauthenticate(refreshed.access(), PASSWORD).await.unwrap();
    let info = own(service, &restarted).await;
    assert_eq!(&info, restarted.session());
    assert_eq!((info.label(), info.started_at()), ("phone", world.clock.at(3600)));
    // Copies of its own tokens are revoked; other devices are not affected.
    assert_eq!(world.assert_dead(&refreshed).await, Reason::SessionEnded);
    assert_eq!(world.assert_dead(&phone).await, Reason::SessionEnded);
    world.assert_alive(&laptop).await;
    assert_eq!(world.labels().await, ["laptop", "phone"]);
    drop(service.refresh(again(&restarted)).await.unwrap());
}

async fn a_wrong_password_restarts_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let before = world.columns(ALICE).await;
    for (wrong, why) in [
        ("wrong", LoginRefusal::WrongPassword),
        ("", LoginRefusal::InvalidPassword),
        (&"x".repeat(2000), LoginRefusal::InvalidPassword),
    ] {
        let refused = service.reauthenticate(phone.access(), wrong).await;
        assert!(matches!(refused, Err(ServiceError::WrongPassword(found)) if found == why));
    }
    assert!(world.columns(ALICE).await == before);
    world.assert_alive(&phone).await;
}

async fn a_user_without_a_password_is_restarted_by_the_application<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let passkey = service.start_session(BOB, "passkey").await.unwrap();
    let none = service.reauthenticate(passkey.access(), PASSWORD).await;
    assert!(matches!(none, Err(ServiceError::WrongPassword(LoginRefusal::NoPassword))));
    world.assert_alive(&passkey).await;
    world.clock.set(60);
    let restarted = service.restart_session(passkey.access()).await.unwrap();
    assert_eq!(own(service, &restarted).await.started_at(), world.clock.at(60));
    world.assert_dead(&passkey).await;
    world.assert_alive(&restarted).await;
}

async fn a_due_rehash_is_made_on_the_way_and_logs_nobody_out<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    let hasher = PasswordHasher::with_cost(20_480, 2, 1).unwrap();
    let costly = world.another(|settings| settings.hasher(hasher));
    let restarted = costly.reauthenticate(phone.access(), PASSWORD).await.unwrap();
    let columns = world.columns(ALICE).await;
    assert!(columns.password_hash.as_deref().unwrap().contains("m=20480,t=2"));
    assert!(columns.carried.is_some());
    world.assert_alive(&restarted).await;
    world.assert_alive(&laptop).await;
    let restarted = costly.refresh(again(&restarted)).await.unwrap();
    drop(costly.reauthenticate(restarted.access(), PASSWORD).await.unwrap());
    drop(world.service.refresh(again(&laptop)).await.unwrap());
}

async fn a_session_that_is_over_is_not_restarted<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let verified = service.authenticate(phone.access()).await.unwrap();
    assert!(service.log_out(&verified).await.unwrap());
    let before = world.columns(ALICE).await;
    let over = service.reauthenticate(phone.access(), PASSWORD).await.unwrap_err();
    assert_eq!(over.reason(), Some(Reason::SessionEnded));
    let over = service.restart_session(phone.access()).await.unwrap_err();
    assert_eq!(over.reason(), Some(Reason::SessionEnded));
    assert!(world.columns(ALICE).await == before);

    let alice = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
    let authority = service.authority();
    let plain = authority.issue::<relatch::Access<_>>(&alice, &role("bot")).sign().unwrap();
    let none = service.reauthenticate(&plain, PASSWORD).await;
    assert!(matches!(none, Err(ServiceError::NoSession)));
    assert!(matches!(service.restart_session(&plain).await, Err(ServiceError::NoSession)));
}

async fn of_two_restarts_at_once_one_wins<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let (service, faster) = (world.service.clone(), copy(phone.access()));
    let (send, won) = tokio::sync::oneshot::channel();
    store.before_next_write(async move {
        let tokens = service.reauthenticate(&faster, PASSWORD).await.unwrap();
        assert!(send.send(tokens).is_ok());
    });
    let lost = slow.reauthenticate(phone.access(), PASSWORD).await.unwrap_err();
    assert_eq!(lost.reason(), Some(Reason::SessionEnded));
    world.assert_alive(&won.await.unwrap()).await;
    assert_eq!(world.labels().await, ["phone"]);

    // In any order.
    let phone = world.start("phone").await;
    let restart = || world.service.restart_session(phone.access());
    let (a, b, c) = tokio::join!(restart(), restart(), restart());
    let all = [a, b, c];
    assert_eq!(all.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for outcome in all {
        match outcome {
            Ok(tokens) => world.assert_alive(&tokens).await,
            Err(lost) => assert_eq!(lost.reason(), Some(Reason::SessionEnded)),
        }
    }
}

async fn a_restart_that_a_revocation_overtakes_gives_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    for act in 0..5 {
        let phone = world.start("phone").await;
        let verified = world.service.authenticate(phone.access()).await.unwrap();
        let (service, text) = (world.service.clone(), again(&phone));
        store.before_next_write(async move {
            match act {
                0 => {
                    service.log_out_everywhere(ALICE).await.unwrap();
                }
                1 => assert!(service.log_out(&verified).await.unwrap()),
                2 => assert!(service.revoke(text.expose(), <_>::default()).await.unwrap()),
                3 => {
                    service.set_password(ALICE, "another battery staple").await.unwrap();
                }
                _ => {
                    service.disable(ALICE).await.unwrap();
                }
            }
        });
        let lost = match act {
            0 => slow.reauthenticate(phone.access(), PASSWORD).await,
            _ => slow.restart_session(phone.access()).await,
        };
        let lost = lost.unwrap_err();
        assert!(matches!(lost, ServiceError::Rejected(_)), "{act}: {lost:?}");
        world.assert_dead(&phone).await;
        assert!(world.labels().await.is_empty(), "{act}: no session is left");
    }
}

async fn a_restart_that_a_login_overtakes_is_decided_anew<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let service = world.service.clone();
    store.before_next_write(async move {
        drop(service.start_session(ALICE, "laptop").await.unwrap());
    });
    let restarted = slow.reauthenticate(phone.access(), PASSWORD).await.unwrap();
    world.assert_alive(&restarted).await;
    assert_eq!(world.labels().await, ["laptop", "phone"]);
}

async fn a_refresh_that_a_restart_overtakes_gives_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let (service, own) = (world.service.clone(), copy(phone.access()));
    store.before_next_write(async move {
        drop(service.restart_session(&own).await.unwrap());
    });
    let lost = slow.refresh(again(&phone)).await.unwrap_err();
    assert_eq!(lost.reason(), Some(Reason::SessionEnded));
    assert_eq!(world.labels().await, ["phone"], "only the new session");
    assert!(world.events().is_empty(), "not a reuse");
}

async fn a_restart_whose_client_hangs_up_is_completed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let own = copy(phone.access());
    super::failures::hang_up(&store, async move { service.restart_session(&own).await }).await;
    world.assert_dead(&phone).await;
    assert_eq!(world.labels().await, ["phone"], "a session whose tokens were not delivered");
}
