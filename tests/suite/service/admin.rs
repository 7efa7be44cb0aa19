//! An administrator's operations, and which tokens they revoke.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use relatch::{
    Authority, IssueError, MasterKey, Reason, User,
    authority::{Committed, Decision},
    service::{LoginRefusal, Service, ServiceError},
    sessions::{SessionData, SessionInfo},
    store::{MemoryStore, NewUser, StoreErrorKind, StoredUser, Update, UserKey, UserStore},
};
use time::OffsetDateTime;

use super::{ALICE, BOB, Backend, Column, PASSWORD, Tokens, World, again, hash, refused};

over_each_store! {
    each_change_kills_every_token_and_no_other_user_s,
    a_change_past_the_library_counts_too,
    enabling_a_user_again_revives_nothing,
    an_id_that_is_made_again_revives_nothing,
    changes_of_unknown_users_are_told,
    each_change_that_revokes_returns_the_new_version,
    a_set_password_is_the_one_that_logs_in,
    keys_are_rotated_while_it_serves,
    a_user_is_found_by_id_and_by_login,
    the_first_version_is_computed_from_the_given_time,
    an_administrator_lists_and_ends_one_device_of_another_user,
    an_administrator_sets_the_data_of_another_user_s_session,
    a_decision_made_by_hand_is_stored_by_the_service,
    a_logout_everywhere_made_by_hand_gives_the_new_version,
    a_decision_made_by_hand_is_stored_without_a_service,
}

async fn an_administrator_lists_and_ends_one_device_of_another_user<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    world.clock.set(60);
    let laptop = world.start("laptop").await;
    let bob = service.start_session(BOB, "bob's").await.unwrap();

    let listed = service.sessions_of(ALICE).await.unwrap();
    assert_eq!(listed.iter().map(SessionInfo::label).collect::<Vec<_>>(), ["laptop", "phone"]);
    let device = phone.session().id();
    assert!(service.log_out_device_of(ALICE, device).await.unwrap());
    assert!(!service.log_out_device_of(ALICE, device).await.unwrap(), "already ended");
    assert_eq!(world.assert_dead(&phone).await, Reason::SessionEnded);
    world.assert_alive(&laptop).await;

    let tablet = world.start("tablet").await;
    let is_old = |info: &SessionInfo| info.label() == "laptop";
    assert_eq!(service.log_out_where_of(ALICE, is_old).await.unwrap(), 1);
    assert_eq!(service.log_out_where_of(ALICE, is_old).await.unwrap(), 0);
    assert_eq!(world.assert_dead(&laptop).await, Reason::SessionEnded);
    world.assert_alive(&tablet).await;
    world.assert_alive(&bob).await;

    service.disable(BOB).await.unwrap();
    assert!(service.sessions_of(BOB).await.unwrap().is_empty());
    for outcome in [
        service.sessions_of("nobody").await.map(|listed| listed.len()),
        service.log_out_device_of("nobody", device).await.map(usize::from),
        service.log_out_where_of("nobody", |_| true).await,
        service.set_session_data_of("nobody", device, None).await.map(usize::from),
        service.decide("nobody", |_, _| Ok::<_, ServiceError>(Decision::unchanged(0))).await,
    ] {
        assert!(matches!(outcome, Err(ServiceError::NoSuchUser)), "{outcome:?}");
    }
}

async fn an_administrator_sets_the_data_of_another_user_s_session<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let own = phone.session().id();
    let data: SessionData = r#"{"tenant":"acme"}"#.parse().unwrap();
    assert!(service.set_session_data_of(ALICE, own, Some(data.clone())).await.unwrap());
    assert_eq!(service.sessions_of(ALICE).await.unwrap()[0].data(), Some(&data));
    world.assert_alive(&phone).await;
    let long: SessionData = format!(r#"{{"a":"{}"}}"#, "x".repeat(200)).parse().unwrap();
    let error = service.set_session_data_of(ALICE, own, Some(long)).await.unwrap_err();
    assert!(matches!(error, ServiceError::Issue(IssueError::SessionData { .. })), "{error:?}");
    assert!(service.set_session_data_of(ALICE, own, None).await.unwrap());
    assert_eq!(service.sessions_of(ALICE).await.unwrap()[0].data(), None);
    assert!(service.log_out_device_of(ALICE, own).await.unwrap());
    assert!(!service.set_session_data_of(ALICE, own, None).await.unwrap(), "it has ended");
}

/// Two of the authority's calls, joined into one change.
async fn a_decision_made_by_hand_is_stored_by_the_service<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    let data: SessionData = r#"{"tenant":"acme"}"#.parse().unwrap();
    let mut decisions = 0;
    let outcome = service.decide(ALICE, |authority, user| {
        decisions += 1;
        let out = authority.log_out(user, phone.session().id())?;
        out.and_then(user, |user| {
            authority.set_session_data(user, laptop.session().id(), Some(data.clone()))
        })
    });
    assert_eq!(outcome.await.unwrap(), (true, true));
    assert_eq!(decisions, 1);
    assert_eq!(world.assert_dead(&phone).await, Reason::SessionEnded);
    world.assert_alive(&laptop).await;
    assert_eq!(service.sessions_of(ALICE).await.unwrap()[0].data(), Some(&data));

    // What is decided is stored on the row of which it was decided, or not at all.
    let bob = service.find(UserKey::Id(BOB)).await.unwrap().unwrap();
    let before = world.columns(ALICE).await;
    let foreign = service.decide(ALICE, |authority, _| authority.log_out_everywhere(&bob)).await;
    let error = foreign.unwrap_err();
    assert!(
        matches!(&error, ServiceError::Store(error) if error.kind() == StoreErrorKind::Unsupported)
    );
    let refused = service.decide(ALICE, |authority, user| {
        let decision = authority.log_out(user, laptop.session().id())?;
        drop(decision);
        Err::<Decision<()>, _>(ServiceError::NoSession)
    });
    assert!(matches!(refused.await, Err(ServiceError::NoSession)));
    assert!(world.columns(ALICE).await == before);
}

/// The new version, for those who keep a copy of it.
async fn a_logout_everywhere_made_by_hand_gives_the_new_version<B: Backend>(db: B) {
    let world = World::new(db).await;
    let before = world.start("before").await;
    let decide = world.service.decide(ALICE, |authority, user| authority.log_out_everywhere(user));
    let version = decide.await.unwrap();
    assert_eq!(world.columns(ALICE).await.version, Some(version.get()));
    assert_eq!(world.assert_dead(&before).await, Reason::RevokedByVersion);
    let after = world.start("after").await;
    let verified = world.service.authenticate(after.access()).await.unwrap();
    assert_eq!(verified.registered().version(), version);
}

async fn a_decision_made_by_hand_is_stored_without_a_service<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (store, authority) = (world.db.store(), world.service.authority());
    let (phone, laptop) = (world.start("phone").await, world.start("laptop").await);
    let row = store.read(UserKey::Id(ALICE)).await.unwrap().unwrap();
    let decide = |row: &_| {
        let user = StoredUser::of(row).unwrap();
        authority.log_out(&user, phone.session().id()).unwrap()
    };
    let set = async |change| store.compare_and_set(&Update::new(&row, &change)?).await;
    assert_eq!(decide(&row).commit_async(set).await.unwrap(), Committed::Stored(true));
    assert_eq!(world.assert_dead(&phone).await, Reason::SessionEnded);
    world.assert_alive(&laptop).await;
    // The row is no longer the one that was read.
    assert_eq!(decide(&row).commit_async(set).await.unwrap(), Committed::RecordChanged);

    // With a column that the application changes in the same statement.
    let row = store.read(UserKey::Id(ALICE)).await.unwrap().unwrap();
    let mut columns = row.columns.clone();
    columns.password_hash =
        Some("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$c29tZWhhc2g".to_owned());
    let mut edited = row.clone();
    edited.columns = columns.clone();
    let decision = authority.log_out_everywhere(&StoredUser::of(&edited).unwrap()).unwrap();
    let update = Update::edited(&row, columns.clone(), decision.change().unwrap()).unwrap();
    assert!(update.revokes());
    assert!(store.compare_and_set(&update).await.unwrap());
    assert_eq!(world.columns(ALICE).await.password_hash, columns.password_hash);
    assert_eq!(world.assert_dead(&laptop).await, Reason::RevokedByVersion);

    let bob = store.read(UserKey::Id(BOB)).await.unwrap().unwrap();
    let error = Update::new(&bob, decision.change().unwrap()).unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Unsupported);
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
        service.log_out_everywhere("nobody").await.map(drop),
        service.disable("nobody").await.map(drop),
        service.enable("").await.map(drop),
        service.delete("nobody").await,
        service.set_password("nobody", "another battery staple").await.map(drop),
    ] {
        assert!(matches!(outcome, Err(ServiceError::NoSuchUser)), "{outcome:?}");
    }
}

/// For others who keep a copy of the version.
async fn each_change_that_revokes_returns_the_new_version<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let mut before = None;
    for change in 0..4 {
        let version = match change {
            0 => service.log_out_everywhere(ALICE).await,
            1 => service.set_password(ALICE, "another battery staple").await,
            2 => service.disable(ALICE).await,
            _ => service.enable(ALICE).await,
        };
        let version = Some(version.unwrap().get());
        assert_eq!(version, world.columns(ALICE).await.version);
        assert!(version > before, "{change}");
        before = version;
    }
    let phone = world.start("phone").await;
    let payload = phone.access().expose().split('.').nth(1).unwrap();
    let claims: serde_json::Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    assert_eq!(claims["ver"].as_i64(), before, "the claim that others compare");
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

    let counter = service.bump_epoch("tenant", "acme").await.unwrap();
    let stored = users.read(UserKey::Id("ada")).await.unwrap().unwrap().epochs;
    assert_eq!(stored.iter().map(|epoch| epoch.counter).collect::<Vec<_>>(), [counter]);
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

#[tokio::test]
async fn a_decision_made_by_hand_is_made_again_on_the_row_that_another_change_has_left() {
    let users = MemoryStore::new();
    users.insert(NewUser::without_password("1", "alice").unwrap(), ());
    let key = MasterKey::from_bytes("k", &[7; 32]).unwrap();
    let authority = Authority::new(key, "https://a.example", "https://a.example").unwrap();
    let service = Service::new(authority, users.clone());
    let tokens = service.start_session("1", "phone").await.unwrap();
    let mut seen = Vec::new();
    let outcome = service.decide("1", |authority, user| {
        seen.push(authority.sessions(user)?.len());
        if seen.len() == 1 {
            users.edit("1", |row| row.columns.sessions = None);
        }
        authority.log_out_everywhere(user)
    });
    outcome.await.unwrap();
    assert_eq!(seen, [1, 0]);
    assert!(service.authenticate(tokens.access()).await.is_err());
}
