//! An administrator's operations, and which tokens they revoke.

use relatch::{
    Authority, MasterKey, Reason, User,
    service::{LoginRefusal, Service, ServiceError},
    store::{MemoryStore, NewUser, StoreErrorKind, UserKey, UserStore},
};
use time::OffsetDateTime;

use super::{ALICE, BOB, Backend, Column, PASSWORD, Tokens, World, again, hash, refused};

over_each_store! {
    each_change_kills_every_token_and_no_other_user_s,
    a_change_past_the_library_counts_too,
    enabling_a_user_again_revives_nothing,
    an_id_that_is_made_again_revives_nothing,
    changes_of_unknown_users_are_told,
    a_set_password_is_the_one_that_logs_in,
    keys_are_rotated_while_it_serves,
    a_user_is_found_by_id_and_by_login,
    the_first_version_is_computed_from_the_given_time,
}

async fn each_change_kills_every_token_and_no_other_user_s<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let bob = service.start_session(BOB, "bob's").await.unwrap();
    let both = async || [world.start("phone").await, world.start("laptop").await];
    let dead = async |tokens: [Tokens; 2], reason| {
        for tokens in tokens {
            assert_eq!(world.assert_dead(&tokens).await, reason);
        }
        world.assert_alive(&bob).await;
    };

    let tokens = both().await;
    let before = world.columns(ALICE).await.version;
    service.log_out_everywhere(ALICE).await.unwrap();
    assert!(world.columns(ALICE).await.version > before);
    assert!(world.labels().await.is_empty());
    dead(tokens, Reason::RevokedByVersion).await;

    let tokens = both().await;
    service.set_password(ALICE, "another battery staple").await.unwrap();
    dead(tokens, Reason::RevokedByVersion).await;

    let tokens = both().await;
    service.disable(ALICE).await.unwrap();
    dead(tokens, Reason::InactiveUser).await;
    service.enable(ALICE).await.unwrap();

    let tokens = both().await;
    service.delete(ALICE).await.unwrap();
    dead(tokens, Reason::UnknownUser).await;
}

async fn a_change_past_the_library_counts_too<B: Backend>(db: B) {
    let world = World::new(db).await;
    let tokens = world.start("phone").await;
    let other = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g";
    world.db.write(ALICE, Column::PasswordHash, Some(other)).await;
    assert_eq!(world.assert_dead(&tokens).await, Reason::BadSignature);

    let tokens = world.start("phone").await;
    let version = world.columns(ALICE).await.version.unwrap() + 1;
    world.db.write(ALICE, Column::Version, Some(&version.to_string())).await;
    assert_eq!(world.assert_dead(&tokens).await, Reason::RevokedByVersion);

    let tokens = world.start("phone").await;
    world.db.write(ALICE, Column::Version, None).await;
    assert_eq!(world.assert_dead(&tokens).await, Reason::AheadOfRecord);
}

async fn enabling_a_user_again_revives_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let before = world.service.login("alice", PASSWORD, "before").await.unwrap();
    service.disable(ALICE).await.unwrap();
    assert_eq!(world.assert_dead(&before).await, Reason::InactiveUser);
    let refusal = service.login("alice", PASSWORD, "meanwhile").await.unwrap_err();
    assert!(matches!(refusal, ServiceError::LoginRefused(LoginRefusal::InactiveUser)));
    service.enable(ALICE).await.unwrap();
    assert_eq!(world.assert_dead(&before).await, Reason::RevokedByVersion);
    let after = service.login("alice", PASSWORD, "after").await.unwrap();
    world.assert_alive(&after).await;
}

async fn an_id_that_is_made_again_revives_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let before = world.start("before").await;
    world.service.delete(ALICE).await.unwrap();
    assert_eq!(world.assert_dead(&before).await, Reason::UnknownUser);
    // A new user's version is the time in milliseconds.
    let now = || OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    let deleted = now();
    while now() == deleted {
        std::hint::spin_loop();
    }
    // Even with the same id and login and, by a bad import, the same hash.
    world.db.insert(NewUser::with_password_hash(ALICE, "alice", hash())).await;
    assert_eq!(world.assert_dead(&before).await, Reason::RevokedByVersion);
    let after = world.service.login("alice", PASSWORD, "after").await.unwrap();
    world.assert_alive(&after).await;
    world.assert_dead(&before).await;
}

async fn changes_of_unknown_users_are_told<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    for outcome in [
        service.log_out_everywhere("nobody").await,
        service.disable("nobody").await,
        service.enable("").await,
        service.delete("nobody").await,
        service.set_password("nobody", "another battery staple").await,
    ] {
        assert!(matches!(outcome, Err(ServiceError::NoSuchUser)), "{outcome:?}");
    }
}

async fn a_set_password_is_the_one_that_logs_in<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    service.set_password(ALICE, "another battery staple").await.unwrap();
    assert!(service.login("alice", PASSWORD, "phone").await.is_err());
    drop(service.login("alice", "another battery staple", "phone").await.unwrap());

    // A first password, for a user without one; the random secret stays beside it.
    let passkey = service.start_session(BOB, "passkey").await.unwrap();
    let secret = world.columns(BOB).await.secret.clone();
    service.set_password(BOB, "another battery staple").await.unwrap();
    world.assert_dead(&passkey).await;
    assert_eq!(world.columns(BOB).await.secret, secret);
    let password = service.login("bob", "another battery staple", "phone").await.unwrap();
    world.assert_alive(&password).await;

    let long = service.set_password(BOB, &"x".repeat(2000)).await;
    assert!(matches!(long, Err(ServiceError::PasswordRefused(_))), "{long:?}");
    world.assert_alive(&password).await;
}

async fn keys_are_rotated_while_it_serves<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let clone = service.clone();
    let old = world.start("old").await;
    let authority = service.authority();
    let new_key = MasterKey::from_bytes("k2", &[2; 32]).unwrap();
    let ring = authority.keys().clone().rotate(new_key, world.clock.at(3600)).unwrap();
    service.replace_authority(authority.with_keys(ring.clone()).unwrap());
    let new = clone.start_session(ALICE, "new").await.unwrap();
    world.assert_alive(&old).await;
    world.assert_alive(&new).await;
    let old = clone.refresh(again(&old)).await.unwrap();
    let foreign = world.another(|settings| settings);
    assert_eq!(refused(&foreign, old.access()).await, Some(Reason::UnknownKey));

    let of_the_old_key = foreign.start_session(ALICE, "another process").await.unwrap();
    world.assert_alive(&of_the_old_key).await;
    service.replace_authority(service.authority().with_keys(ring.remove("k1").unwrap()).unwrap());
    assert_eq!(world.assert_dead(&of_the_old_key).await, Reason::UnknownKey);
    world.assert_alive(&old).await;
    world.assert_alive(&new).await;
}

async fn a_user_is_found_by_id_and_by_login<B: Backend>(db: B) {
    let world = World::new(db).await;
    world.db.write(ALICE, Column::Email, Some("alice@example.com")).await;
    for key in [UserKey::Id(ALICE), UserKey::Login("alice")] {
        let user = world.service.find(key).await.unwrap().unwrap();
        assert_eq!(user.id(), ALICE);
        assert_eq!(user.fields().email.as_deref(), Some("alice@example.com"));
    }
    for key in [UserKey::Id("alice"), UserKey::Login(ALICE), UserKey::Id(""), UserKey::Login("")] {
        assert!(world.service.find(key).await.unwrap().is_none(), "{key:?}");
    }
}

/// A test with a frozen clock has one clock.
async fn the_first_version_is_computed_from_the_given_time<B: Backend>(db: B) {
    let world = World::new(db).await;
    let frozen = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let user = NewUser::without_password("frozen", "frozen").unwrap().created_at(frozen);
    world.db.insert(user).await;
    assert_eq!(world.columns("frozen").await.version, Some(1_700_000_000_000));
    let before = OffsetDateTime::now_utc();
    world.db.insert(NewUser::without_password("now", "now").unwrap()).await;
    let version = i128::from(world.columns("now").await.version.unwrap());
    assert!(version >= before.unix_timestamp_nanos() / 1_000_000);
}

#[tokio::test]
async fn the_store_in_memory_has_groups() {
    let users = MemoryStore::new();
    for id in ["ada", "bob", "eve", "alone"] {
        assert!(users.insert(NewUser::without_password(id, id).unwrap(), ()));
    }
    assert!(users.set_group("ada", "tenant", "acme"));
    assert!(users.set_group("bob", "tenant", "acme"));
    assert!(users.set_group("eve", "tenant", "other"));
    assert!(!users.set_group("nobody", "tenant", "acme"));
    let key = MasterKey::generate("k").unwrap();
    let authority = Authority::builder(key, "https://a.example", "https://a.example");
    let authority = authority.user_epoch("tenant").build().unwrap();
    let service = Service::new(authority, users.clone());
    let (ada, bob) = (
        service.start_session("ada", "x").await.unwrap(),
        service.start_session("bob", "x").await.unwrap(),
    );
    let eve = service.start_session("eve", "x").await.unwrap();

    service.bump_epoch("tenant", "acme").await.unwrap();
    for dead in [&ada, &bob] {
        assert!(service.authenticate(dead.access()).await.unwrap_err().reason().is_some());
    }
    drop(service.authenticate(eve.access()).await.unwrap());
    let ada = service.start_session("ada", "x").await.unwrap();
    drop(service.authenticate(ada.access()).await.unwrap());

    // A user who comes later has the group's counter, and so has a row that was edited.
    assert!(users.set_group("eve", "tenant", "acme"));
    assert!(service.authenticate(eve.access()).await.unwrap_err().reason().is_some());
    let counter = async |id| {
        let row = users.read(UserKey::Id(id)).await.unwrap().unwrap();
        row.epochs.iter().map(|epoch| epoch.counter.get()).collect::<Vec<_>>()
    };
    assert_eq!(counter("eve").await, counter("ada").await);
    assert!(users.edit("eve", |row| row.epochs[0].counter = 0.into()));
    assert_eq!(counter("eve").await, counter("ada").await);
    assert!(counter("alone").await.is_empty());

    assert!(matches!(
        service.bump_epoch("tenant", "nobody's").await.unwrap_err(),
        ServiceError::NoSuchGroup
    ));
    let error = service.bump_epoch("team", "acme").await;
    assert_eq!(super::store_error(error), StoreErrorKind::Unsupported);
}
