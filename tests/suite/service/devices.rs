//! Listing and ending a user's sessions.

use relatch::{
    Context, IssueError, NoClaims, Reason,
    one_time::Invitation,
    service::{LoginRefusal, ServiceError},
    sessions::{NewSession, SessionData, SessionInfo},
    store::{StoredUser, UserKey},
};

use super::{
    ALICE, BOB, Backend, Column, PASSWORD, Profile, Tokens, World, again, faulty::Faulty, refused,
};
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
    a_session_s_data_is_set_and_seen_by_the_claims,
    a_password_that_sql_changes_empties_the_list,
    a_login_by_a_link_with_a_new_password_is_listed,
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
    let kept =
        service.change_password(phone.access(), PASSWORD, "another battery staple").await.unwrap();
    world.assert_alive(&kept).await;
    world.assert_dead(&phone).await;
    world.assert_dead(&laptop).await;
    assert_eq!(world.labels().await, ["phone"]);
    let old = service.login("alice", PASSWORD, "old").await.unwrap_err();
    assert!(matches!(old, ServiceError::LoginRefused(LoginRefusal::WrongPassword)));
    let kept = service.refresh(again(&kept)).await.unwrap();
    let new = service.login("alice", "another battery staple", "new").await.unwrap();
    world.assert_alive(&new).await;
    world.assert_alive(&kept).await;
}

async fn a_wrong_present_password_changes_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let before = world.columns(ALICE).await;
    let wrong = service.change_password(phone.access(), "wrong", "another battery staple").await;
    assert!(matches!(wrong, Err(ServiceError::WrongPassword(LoginRefusal::WrongPassword))));
    let long = "x".repeat(2000);
    let too_long = service.change_password(phone.access(), PASSWORD, &long).await;
    assert!(matches!(too_long, Err(ServiceError::PasswordRefused(_))), "{too_long:?}");
    assert!(world.columns(ALICE).await == before);
    world.assert_alive(&phone).await;

    let passkey = service.start_session(BOB, "passkey").await.unwrap();
    let none = service.change_password(passkey.access(), PASSWORD, "another battery staple").await;
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
    let changed = service.change_password(dead.access(), PASSWORD, "another battery staple").await;
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
        drop(
            service.change_password(&faster, PASSWORD, "the winner's new password").await.unwrap(),
        );
    });
    let lost = slow
        .change_password(phone.access(), PASSWORD, "the loser's new password")
        .await
        .unwrap_err();
    assert_eq!(lost.reason(), Some(Reason::RevokedByVersion));
    assert_eq!(world.labels().await, ["laptop"]);
    assert!(world.service.login("alice", "the loser's new password", "x").await.is_err());
    drop(world.service.login("alice", "the winner's new password", "x").await.unwrap());
}

async fn a_token_without_a_session_has_none_to_end<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let authority = service.authority();
    let alice = service.find(UserKey::Id(ALICE)).await.unwrap().unwrap();
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

/// A switch of the tenant, and an impersonation: without state of the application's own.
async fn a_session_s_data_is_set_and_seen_by_the_claims<B: Backend>(db: B) {
    let claims = |_: &StoredUser<Profile>, session: Option<&SessionInfo>| {
        let data = session.and_then(SessionInfo::data);
        data.map_or(role("none"), |data| data.read().unwrap())
    };
    let world = World::with(db, |settings| settings.claims(claims)).await;
    let service = &world.service;
    let said = async |tokens: &Tokens| {
        service.authenticate(tokens.access()).await.unwrap().claims().role.clone()
    };
    let data = |name| SessionData::new(&role(name)).unwrap();
    let session = || NewSession::new("phone").data(data("acme")).ends_at(world.clock.at(3600));
    let phone = service.start_session(ALICE, session()).await.unwrap();
    assert_eq!(said(&phone).await, "acme");
    let laptop = service.login("alice", PASSWORD, "laptop").await.unwrap();
    assert_eq!(said(&laptop).await, "none");

    let verified = service.authenticate(phone.access()).await.unwrap();
    let own = verified.session_id().unwrap();
    assert!(service.set_session_data(&verified, own, Some(data("other"))).await.unwrap());
    let phone = service.refresh(again(&phone)).await.unwrap();
    assert_eq!(said(&phone).await, "other");
    assert_eq!(phone.session().ends_at(), Some(world.clock.at(3600)));
    let kept = service.log_out_others(phone.access()).await.unwrap();
    assert_eq!(said(&kept).await, "other");
    let anew = service.reauthenticate(kept.access(), PASSWORD).await.unwrap();
    assert_eq!(said(&anew).await, "other");
    let changed =
        service.change_password(anew.access(), PASSWORD, "another battery staple").await.unwrap();
    assert_eq!(said(&changed).await, "other");
    assert_eq!(changed.session().ends_at(), Some(world.clock.at(3600)));

    let verified = service.authenticate(changed.access()).await.unwrap();
    let own = verified.session_id().unwrap();
    let long = SessionData::new(&role(&"x".repeat(128))).unwrap();
    let refused = service.set_session_data(&verified, own, Some(long)).await;
    assert!(matches!(refused, Err(ServiceError::Issue(IssueError::SessionData { .. }))));
    assert!(service.set_session_data(&verified, own, None).await.unwrap());
    let plain = service.refresh(again(&changed)).await.unwrap();
    assert_eq!(said(&plain).await, "none");
    assert!(!service.set_session_data(&verified, "9.1".parse().unwrap(), None).await.unwrap());
    service.log_out_everywhere(ALICE).await.unwrap();
    let dead = service.set_session_data(&verified, own, Some(data("x"))).await;
    assert!(matches!(dead, Err(ServiceError::Rejected(_))), "{dead:?}");
}

async fn a_password_that_sql_changes_empties_the_list<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let hash = relatch::password::PasswordHasher::new().hash("another battery staple").unwrap();
    world.db.write(ALICE, Column::PasswordHash, Some(&hash)).await;
    assert!(world.labels().await.is_empty());
    world.assert_dead(&phone).await;
    let laptop = world.start("laptop").await;
    assert_eq!(world.labels().await, ["laptop"]);
    world.assert_alive(&laptop).await;
}

async fn a_login_by_a_link_with_a_new_password_is_listed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let _phone = world.start("phone").await;
    let issued = service.issue::<Invitation>(UserKey::Id(ALICE), &NoClaims {}, Context::new());
    let (_, link) = issued.await.unwrap().unwrap();
    let tokens =
        service.one_time(link).set_password("another battery staple").login("tablet").await;
    assert_eq!(world.labels().await, ["tablet"]);
    let _next = service.refresh(again(&tokens.unwrap())).await.unwrap();
    let tokens = service.login("alice", "another battery staple", "laptop").await.unwrap();
    assert_eq!(world.labels().await, ["laptop", "tablet"]);
    world.assert_alive(&tokens).await;
}
