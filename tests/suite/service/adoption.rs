//! Plain tokens of the setup before relatch, accepted by an [`Adoption`]: what their users can do with them.

use jsonwebtoken11::{EncodingKey, Header, encode};
use relatch::{
    Access, Context, Reason, Token,
    authority::Adoption,
    password::PasswordHasher,
    service::{LoginRefusal, Service, ServiceError},
    sessions::WhenFull,
};

use super::{
    ALICE, BOB, Backend, Column, PASSWORD, Profile, World, again, faulty::Faulty, refused,
    settings, settings_of,
};
use crate::common::Role;

over_each_store! {
    a_changed_password_exchanges_a_plain_token_for_a_session,
    a_wrong_password_leaves_a_plain_token_as_it_is,
    a_plain_token_logs_the_others_out_and_goes_on_in_a_session,
    a_plain_token_is_exchanged_by_its_password,
    a_plain_token_is_exchanged_once_the_application_has_authenticated_its_user,
    a_due_rehash_of_a_plain_token_s_user_logs_nobody_out,
    an_exchange_takes_a_slot_as_a_login_does,
    a_logout_of_a_plain_token_is_one_of_everywhere,
    a_logout_of_a_plain_token_that_a_bump_overtakes_ends_no_newer_session,
    a_logout_of_a_plain_token_survives_a_changed_hash,
    an_exchange_that_a_bump_overtakes_gives_nothing,
    an_old_refresh_token_is_exchanged_until_the_version_moves,
    a_bump_during_an_exchange_wins,
    a_plain_token_of_a_device_that_is_logged_out_elsewhere_is_no_session,
}

const NEW: &str = "another battery staple";
const SECRET: &[u8] = b"the secret of the old setup";

impl<B: Backend> World<B> {
    /// A service that accepts the plain tokens of this user, who is as the migration found it.
    async fn adopting(&self, user: &str) -> Service<Profile, Role> {
        settings(self.adopting_authority(user).await, self.db.store().clone()).build()
    }

    async fn adopting_authority(&self, user: &str) -> relatch::Authority {
        let version = self.columns(user).await.version.unwrap_or(0);
        let adoption = Adoption::hs256(SECRET, version, self.clock.at(3600));
        settings_of(&self.clock).adopt(adoption).build().unwrap()
    }

    /// A plain token of this user.
    fn plain(&self, user: &str) -> Token<Access<Role>> {
        let exp = self.clock.at(600).unix_timestamp();
        let claims = serde_json::json!({ "sub": user, "exp": exp, "role": "guest" });
        Token::new(encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET)).unwrap())
    }
}

async fn a_changed_password_exchanges_a_plain_token_for_a_session<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.adopting(ALICE).await;
    let (plain, laptop) = (world.plain(ALICE), world.start("laptop").await);
    assert_eq!(refused(&service, &plain).await, None);
    let kept = service.change_password(&plain, PASSWORD, NEW).await.unwrap();
    world.assert_alive(&kept).await;
    assert_eq!(world.assert_dead(&laptop).await, Reason::RevokedByVersion);
    assert_eq!(refused(&service, &plain).await, Some(Reason::RevokedByVersion));
    assert_eq!(world.labels().await, [""]);
    let kept = service.refresh(again(&kept)).await.unwrap();
    world.assert_alive(&kept).await;
    drop(service.login("alice", NEW, "phone").await.unwrap());
    assert!(service.login("alice", PASSWORD, "phone").await.is_err());
}

async fn a_wrong_password_leaves_a_plain_token_as_it_is<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.adopting(ALICE).await;
    let plain = world.plain(ALICE);
    let before = world.columns(ALICE).await;
    let wrong = service.change_password(&plain, "a wrong password", NEW).await;
    assert!(matches!(wrong, Err(ServiceError::WrongPassword(LoginRefusal::WrongPassword))));
    let wrong = service.reauthenticate(&plain, "a wrong password").await;
    assert!(matches!(wrong, Err(ServiceError::WrongPassword(LoginRefusal::WrongPassword))));
    assert!(world.columns(ALICE).await == before);
    assert_eq!(refused(&service, &plain).await, None);
}

async fn a_plain_token_logs_the_others_out_and_goes_on_in_a_session<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.adopting(ALICE).await;
    let (plain, laptop) = (world.plain(ALICE), world.start("laptop").await);
    service.check_password(&plain, PASSWORD).await.unwrap();
    let kept = service.log_out_others(&plain).await.unwrap();
    assert_eq!(world.assert_dead(&laptop).await, Reason::RevokedByVersion);
    assert_eq!(refused(&service, &plain).await, Some(Reason::RevokedByVersion));
    assert_eq!(world.labels().await, [""]);
    let kept = service.refresh(again(&kept)).await.unwrap();
    world.assert_alive(&kept).await;
}

async fn a_plain_token_is_exchanged_by_its_password<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.adopting(ALICE).await;
    let (plain, laptop) = (world.plain(ALICE), world.start("laptop").await);
    let tokens = service.reauthenticate(&plain, PASSWORD).await.unwrap();
    assert_eq!(tokens.session().started_at(), world.clock.at(0));
    for tokens in [&tokens, &laptop] {
        world.assert_alive(tokens).await;
    }
    // Nothing but a higher version revokes it.
    assert_eq!(refused(&service, &plain).await, None);
    let tokens = service.refresh(again(&tokens)).await.unwrap();
    world.assert_alive(&tokens).await;
    assert_eq!(world.labels().await, ["", "laptop"]);
}

async fn a_plain_token_is_exchanged_once_the_application_has_authenticated_its_user<B: Backend>(
    db: B,
) {
    let world = World::new(db).await;
    let service = world.adopting(BOB).await;
    let tokens = service.restart_session(&world.plain(BOB)).await.unwrap();
    world.assert_alive(&tokens).await;
    assert!(service.reauthenticate(&world.plain(BOB), PASSWORD).await.is_err(), "bob has none");
}

async fn a_due_rehash_of_a_plain_token_s_user_logs_nobody_out<B: Backend>(db: B) {
    let world = World::new(db).await;
    let strong = PasswordHasher::with_cost(32_768, 3, 1).unwrap();
    let authority = world.adopting_authority(ALICE).await;
    let store = world.db.store().clone();
    let service = settings(authority, store).hasher(strong).build();
    let laptop = world.start("laptop").await;
    let before = world.columns(ALICE).await.password_hash.clone();
    let tokens = service.reauthenticate(&world.plain(ALICE), PASSWORD).await.unwrap();
    assert!(world.columns(ALICE).await.password_hash != before);
    for tokens in [&tokens, &laptop] {
        world.assert_alive(tokens).await;
    }
}

async fn an_exchange_takes_a_slot_as_a_login_does<B: Backend>(db: B) {
    let world = World::new(db).await;
    let version = world.columns(ALICE).await.version.unwrap_or(0);
    let adopting = |when_full| {
        let policy = relatch::SessionPolicy::new().max_sessions(1).when_full(when_full);
        let adoption = Adoption::hs256(SECRET, version, world.clock.at(3600));
        let authority = settings_of(&world.clock).adopt(adoption).sessions(policy).build().unwrap();
        settings(authority, world.db.store().clone()).build()
    };
    let laptop = world.start("laptop").await;
    let full = adopting(WhenFull::Refuse).reauthenticate(&world.plain(ALICE), PASSWORD).await;
    assert!(matches!(full, Err(ServiceError::SessionsFull(_))), "{full:?}");
    world.assert_alive(&laptop).await;
    let evicting = adopting(WhenFull::EvictLeastRecentlyUsed);
    let tokens = evicting.reauthenticate(&world.plain(ALICE), PASSWORD).await.unwrap();
    assert_eq!(tokens.evicted().unwrap().label(), "laptop");
    world.assert_dead(&laptop).await;
}

async fn a_logout_of_a_plain_token_is_one_of_everywhere<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.adopting(ALICE).await;
    let (plain, laptop) = (world.plain(ALICE), world.start("laptop").await);
    let verified = service.authenticate(&plain).await.unwrap();
    assert!(service.log_out(&verified).await.unwrap());
    assert_eq!(refused(&service, &plain).await, Some(Reason::RevokedByVersion));
    assert_eq!(world.assert_dead(&laptop).await, Reason::RevokedByVersion);
    assert!(!service.log_out(&verified).await.unwrap(), "it was over");
}

async fn a_logout_of_a_plain_token_that_a_bump_overtakes_ends_no_newer_session<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let slow = settings(world.adopting_authority(ALICE).await, store.clone()).build();
    let verified = slow.authenticate(&world.plain(ALICE)).await.unwrap();
    let service = world.service.clone();
    let (send, started) = tokio::sync::oneshot::channel();
    store.before_next_write(async move {
        service.log_out_everywhere(ALICE).await.unwrap();
        let tokens = service.start_session(ALICE, "a newer one").await.unwrap();
        assert!(send.send(tokens).is_ok());
    });
    assert!(!slow.log_out(&verified).await.unwrap());
    world.assert_alive(&started.await.unwrap()).await;
}

/// A plain token is not bound to the hash, so that a change of it must not stop the logout.
async fn a_logout_of_a_plain_token_survives_a_changed_hash<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.adopting(ALICE).await;
    let plain = world.plain(ALICE);
    let verified = service.authenticate(&plain).await.unwrap();
    let hash = PasswordHasher::new().hash(NEW).unwrap();
    world.db.write(ALICE, Column::PasswordHash, Some(&hash)).await;
    assert!(service.log_out(&verified).await.unwrap());
    assert_eq!(refused(&service, &plain).await, Some(Reason::RevokedByVersion));
}

async fn an_exchange_that_a_bump_overtakes_gives_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let authority = world.adopting_authority(ALICE).await;
    let plain = world.plain(ALICE);
    let store = Faulty::new(world.db.store().clone());
    let slow = settings(authority, store.clone()).build();
    let service = world.service.clone();
    store.before_next_write(async move {
        service.log_out_everywhere(ALICE).await.unwrap();
    });
    let lost = slow.change_password(&plain, PASSWORD, NEW).await.unwrap_err();
    assert_eq!(lost.reason(), Some(Reason::RevokedByVersion));
    assert!(world.labels().await.is_empty());
    assert!(world.service.login("alice", NEW, "x").await.is_err());
}

async fn a_plain_token_of_a_device_that_is_logged_out_elsewhere_is_no_session<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.adopting(ALICE).await;
    let (plain, laptop) = (world.plain(ALICE), world.start("laptop").await);
    let verified = service.authenticate(&plain).await.unwrap();
    assert_eq!(service.sessions(&verified).await.unwrap().len(), 1);
    assert!(service.log_out_device(&verified, laptop.session().id()).await.unwrap());
    let none = service.revoke(plain.expose(), Context::new()).await;
    assert!(matches!(none, Err(ServiceError::NoSession)), "{none:?}");
    assert_eq!(refused(&service, &plain).await, None, "it is not reported as revoked");
}

async fn an_old_refresh_token_is_exchanged_until_the_version_moves<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let version = world.columns(ALICE).await.version.unwrap_or(0);
    let phone = service.adopt_session(ALICE, version, "phone").await.unwrap();
    let laptop = service.adopt_session(ALICE, version, "laptop").await.unwrap();
    world.assert_alive(&phone).await;
    assert_eq!(world.labels().await, ["laptop", "phone"]);
    let kept = service.change_password(phone.access(), PASSWORD, NEW).await.unwrap();
    world.assert_dead(&laptop).await;
    let late = service.adopt_session(ALICE, version, "tablet").await.unwrap_err();
    assert_eq!(late.reason(), Some(Reason::RevokedByVersion));
    let unknown = service.adopt_session("nobody", 0, "tablet").await.unwrap_err();
    assert_eq!(unknown.reason(), Some(Reason::UnknownUser));
    world.assert_alive(&kept).await;
    assert_eq!(world.labels().await, ["phone"]);
}

async fn a_bump_during_an_exchange_wins<B: Backend>(db: B) {
    let world = World::new(db).await;
    let version = world.columns(ALICE).await.version.unwrap_or(0);
    let store = Faulty::new(world.db.store().clone());
    let slow = world.over(store.clone(), |settings| settings);
    let service = world.service.clone();
    store.before_next_write(async move {
        service.log_out_everywhere(ALICE).await.unwrap();
    });
    let lost = slow.adopt_session(ALICE, version, "phone").await.unwrap_err();
    assert_eq!(lost.reason(), Some(Reason::RevokedByVersion));
    assert!(world.labels().await.is_empty());
}
