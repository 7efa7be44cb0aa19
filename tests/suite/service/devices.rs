//! Listing and ending a user's sessions.

use relatch::{
    NoClaims, Reason,
    service::{LoginRefusal, ServiceError},
    sessions::SessionInfo,
};

use super::{ALICE, BOB, Backend, PASSWORD, World, again, faulty::Faulty, refused};
use crate::common::{copy, role};

over_each_store! {
    devices_are_listed_and_logged_out_one_by_one,
    all_other_devices_are_logged_out,
    devices_are_logged_out_by_a_rule,
    a_changed_password_leaves_this_device_alone,
    a_wrong_present_password_changes_nothing,
    a_token_of_a_dead_session_changes_nothing,
    one_change_of_password_wins_over_another,
    a_token_without_a_session_has_none_to_end,
}

async fn devices_are_listed_and_logged_out_one_by_one<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    world.clock.set(60);
    let laptop = world.start("laptop").await;
    let tablet = world.start("tablet").await;
    let bob = service.start_session(BOB, "bob's").await.unwrap();
    world.clock.set(120);
    let phone = service.refresh(again(&phone)).await.unwrap();

    let session = service.authenticate(phone.access()).await.unwrap();
    let listed = service.sessions(&session).await.unwrap();
    assert_eq!(listed.len(), 3);
    // The most recently used session is listed first.
    assert_eq!((listed[0].label(), Some(listed[0].id())), ("phone", session.session_id()));
    assert_eq!(listed[0].started_at(), world.clock.at(0));

    let device = laptop.session().id();
    assert!(service.log_out_device(&session, device).await.unwrap());
    assert!(!service.log_out_device(&session, device).await.unwrap(), "already ended");
    assert_eq!(world.assert_dead(&laptop).await, Reason::SessionEnded);
    // Another user's session cannot be ended.
    let bobs = bob.session().id();
    assert!(
        !service.log_out_device(&session, bobs).await.unwrap() || bobs == tablet.session().id()
    );
    world.assert_alive(&bob).await;
    world.assert_alive(&phone).await;

    assert!(service.log_out(&session).await.unwrap());
    assert_eq!(world.assert_dead(&phone).await, Reason::SessionEnded);
    assert!(!service.log_out(&session).await.unwrap());
    world.assert_alive(&bob).await;
}

async fn devices_are_logged_out_by_a_rule<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let old = [world.start("old phone").await, world.start("old laptop").await];
    world.clock.set(60);
    let phone = world.start("phone").await;
    let session = service.authenticate(phone.access()).await.unwrap();
    let is_old = |info: &SessionInfo| info.started_at() < world.clock.at(60);
    assert_eq!(service.log_out_where(&session, is_old).await.unwrap(), 2);
    for old in &old {
        assert_eq!(world.assert_dead(old).await, Reason::SessionEnded);
    }
    world.assert_alive(&phone).await;
    assert_eq!(service.log_out_where(&session, is_old).await.unwrap(), 0);
    // A session that was logged out in the meantime can end no other.
    service.log_out_everywhere(ALICE).await.unwrap();
    let laptop = world.start("laptop").await;
    let error = service.log_out_where(&session, |_| true).await.unwrap_err();
    assert!(matches!(error, ServiceError::Rejected(_)), "{error:?}");
    world.assert_alive(&laptop).await;
}

async fn all_other_devices_are_logged_out<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let laptop = world.start("laptop").await;
    let link = {
        let verified = world.service.authenticate(phone.access()).await.unwrap();
        assert_eq!(world.service.sessions(&verified).await.unwrap().len(), 2);
        copy(phone.access())
    };
    let kept = world.service.log_out_others(&link).await.unwrap();
    world.assert_alive(&kept).await;
    assert_eq!(world.labels().await, ["phone"]);
    assert_eq!(world.assert_dead(&laptop).await, Reason::RevokedByVersion);
    // Copies of this session's earlier tokens too.
    assert_eq!(world.assert_dead(&phone).await, Reason::RevokedByVersion);
    let kept = world.service.refresh(again(&kept)).await.unwrap();
    world.assert_alive(&kept).await;
    let error = world.service.log_out_others(phone.access()).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RevokedByVersion));
}

async fn a_changed_password_leaves_this_device_alone<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    let kept = service.change_password(phone.access(), PASSWORD, "battery staple").await.unwrap();
    world.assert_alive(&kept).await;
    world.assert_dead(&phone).await;
    world.assert_dead(&laptop).await;
    assert_eq!(world.labels().await, ["phone"]);
    let old = service.login("alice", PASSWORD, "old").await.unwrap_err();
    assert!(matches!(old, ServiceError::LoginRefused(LoginRefusal::WrongPassword)));
    let kept = service.refresh(again(&kept)).await.unwrap();
    let new = service.login("alice", "battery staple", "new").await.unwrap();
    world.assert_alive(&new).await;
    world.assert_alive(&kept).await;
}

async fn a_wrong_present_password_changes_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let before = world.columns(ALICE).await;
    let wrong = service.change_password(phone.access(), "wrong", "battery staple").await;
    assert!(matches!(wrong, Err(ServiceError::WrongPassword(LoginRefusal::WrongPassword))));
    let long = "x".repeat(2000);
    let too_long = service.change_password(phone.access(), PASSWORD, &long).await;
    assert!(matches!(too_long, Err(ServiceError::Password(_))), "{too_long:?}");
    assert!(world.columns(ALICE).await == before);
    world.assert_alive(&phone).await;

    let passkey = service.start_session(BOB, "passkey").await.unwrap();
    let none = service.change_password(passkey.access(), "", "battery staple").await;
    assert!(matches!(none, Err(ServiceError::WrongPassword(LoginRefusal::NoPassword))));
    world.assert_alive(&passkey).await;
}

async fn a_token_of_a_dead_session_changes_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let dead = world.start("phone").await;
    let verified = service.authenticate(dead.access()).await.unwrap();
    assert!(service.log_out(&verified).await.unwrap());
    let before = world.columns(ALICE).await;
    let changed = service.change_password(dead.access(), PASSWORD, "battery staple").await;
    assert_eq!(changed.unwrap_err().reason(), Some(Reason::SessionEnded));
    let others = service.log_out_others(dead.access()).await;
    assert_eq!(others.unwrap_err().reason(), Some(Reason::SessionEnded));
    assert!(world.columns(ALICE).await == before);
}

async fn one_change_of_password_wins_over_another<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    let (service, faster) = (world.service.clone(), copy(laptop.access()));
    store.before_next_write(async move {
        drop(service.change_password(&faster, PASSWORD, "the winner's").await.unwrap());
    });
    let lost = slow.change_password(phone.access(), PASSWORD, "the loser's").await.unwrap_err();
    assert_eq!(lost.reason(), Some(Reason::RevokedByVersion));
    assert_eq!(world.labels().await, ["laptop"]);
    assert!(world.service.login("alice", "the loser's", "x").await.is_err());
    drop(world.service.login("alice", "the winner's", "x").await.unwrap());
}

async fn a_token_without_a_session_has_none_to_end<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let authority = service.authority();
    let alice = service.find(relatch::store::UserKey::Id(ALICE)).await.unwrap().unwrap();
    let plain = authority.issue::<relatch::Access<_>>(&alice, &role("bot")).sign().unwrap();
    assert_eq!(refused(service, &plain).await, None);
    let verified = service.authenticate(&plain).await.unwrap();
    assert!(matches!(service.log_out(&verified).await, Err(ServiceError::NoSession)));
    assert!(matches!(service.log_out_others(&plain).await, Err(ServiceError::NoSession)));
    let unclaimed = authority.issue_for_user(&alice).unwrap();
    let verified = service.authenticate(&unclaimed).await.unwrap();
    assert_eq!(verified.claims(), &NoClaims {});
    assert_eq!(service.sessions(&verified).await.unwrap().len(), 0);
}
