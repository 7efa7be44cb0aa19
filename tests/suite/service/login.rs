//! Logging in.

use relatch::{
    Context, Reason, SessionPolicy,
    password::PasswordHasher,
    service::{Client, LoginRefusal, ServiceError},
    sessions::WhenFull,
    store::NewUser,
};

use super::{
    ALICE, BOB, Backend, PASSWORD, World, again, faulty::Faulty, hash, refused, settings,
    settings_of,
};
use crate::common::copy;

over_each_store! {
    a_refused_login_has_one_answer,
    a_login_starts_a_session_of_its_label,
    a_due_rehash_replaces_the_hash_and_logs_nobody_out,
    a_due_rehash_never_overwrites_a_reset_that_came_between,
    a_login_that_a_new_password_overtakes_is_refused,
    a_login_that_a_bump_overtakes_is_good_after_it,
    a_full_table_evicts_or_refuses,
    a_client_is_bound_to_its_context,
}

async fn a_refused_login_has_one_answer<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    world.db.insert(NewUser::with_password_hash("3", "carol", hash())).await;
    service.disable("3").await.unwrap();
    let mut answers = Vec::new();
    for (login, password, refusal) in [
        ("alice", "wrong", LoginRefusal::WrongPassword),
        ("alice", "", LoginRefusal::InvalidPassword),
        ("nobody", "", LoginRefusal::InvalidPassword),
        ("nobody", PASSWORD, LoginRefusal::UnknownLogin),
        ("ALICE", PASSWORD, LoginRefusal::UnknownLogin),
        ("bob", PASSWORD, LoginRefusal::NoPassword),
        ("carol", PASSWORD, LoginRefusal::InactiveUser),
        // Without the right password the answer does not reveal that the user is disabled.
        ("carol", "wrong", LoginRefusal::WrongPassword),
    ] {
        let error = service.login(login, password, "phone").await.unwrap_err();
        let ServiceError::LoginRefused(found) = error else { panic!("{login}: {error:?}") };
        assert_eq!(found, refusal, "{login}");
        assert!(!error.is_unavailable());
        answers.push(error.to_string());
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(world.labels().await.is_empty());
}

async fn a_login_starts_a_session_of_its_label<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.service.login("alice", PASSWORD, "phone").await.unwrap();
    let verified = world.service.authenticate(phone.access()).await.unwrap();
    assert_eq!(verified.claims().role, "guest");
    assert_eq!(verified.session_id(), Some(phone.session().id()));
    assert_eq!(world.labels().await, ["phone"]);
    assert_eq!(world.columns(ALICE).await.password_hash.as_deref(), Some(hash()));

    let passkey = world.service.start_session(BOB, "laptop").await.unwrap();
    world.assert_alive(&passkey).await;
    let unknown = world.service.start_session("nobody", "laptop").await;
    assert!(matches!(unknown, Err(ServiceError::NoSuchUser)));
}

async fn a_due_rehash_replaces_the_hash_and_logs_nobody_out<B: Backend>(db: B) {
    let world = World::new(db).await;
    let before = world.start("before").await;
    let hasher = PasswordHasher::with_cost(20_480, 2, 1).unwrap();
    let costly = world.another(|settings| settings.hasher(hasher));
    let login = costly.login("alice", PASSWORD, "rehashing").await.unwrap();
    let columns = world.columns(ALICE).await;
    let rehashed = columns.password_hash.clone().unwrap();
    assert_ne!(rehashed, hash());
    assert!(rehashed.contains("m=20480,t=2"), "{rehashed}");
    assert!(columns.carried.is_some());
    world.assert_alive(&before).await;
    world.assert_alive(&login).await;
    let before = world.service.refresh(again(&before)).await.unwrap();
    world.assert_alive(&before).await;

    // Rehashed once: the next login changes nothing.
    drop(costly.login("alice", PASSWORD, "later").await.unwrap());
    assert_eq!(world.columns(ALICE).await.password_hash, Some(rehashed));
    world.assert_alive(&before).await;

    // The carried pair ends with the next password.
    world.service.set_password(ALICE, "another battery staple").await.unwrap();
    assert_eq!(world.columns(ALICE).await.carried, None);
    world.assert_dead(&before).await;
    world.assert_dead(&login).await;
}

async fn a_due_rehash_never_overwrites_a_reset_that_came_between<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let hasher = PasswordHasher::with_cost(20_480, 2, 1).unwrap();
    let login = world.over(store.clone(), |settings| settings.hasher(hasher));
    let service = world.service.clone();
    store.before_next_write(async move {
        service.set_password(ALICE, "another battery staple").await.unwrap();
    });
    let error = login.login("alice", PASSWORD, "phone").await.unwrap_err();
    assert!(matches!(error, ServiceError::LoginRefused(LoginRefusal::WrongPassword)), "{error:?}");
    let columns = world.columns(ALICE).await;
    assert!(!columns.password_hash.as_deref().unwrap().contains("m=20480"));
    assert_eq!(columns.carried, None);
    assert!(world.labels().await.is_empty());
    drop(world.service.login("alice", "another battery staple", "phone").await.unwrap());
}

async fn a_login_that_a_new_password_overtakes_is_refused<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let login = world.over(store.clone(), |settings| settings);
    let service = world.service.clone();
    let phone = world.start("phone").await;
    store.before_next_write(async move {
        drop(
            service
                .change_password(phone.access(), PASSWORD, "another battery staple")
                .await
                .unwrap(),
        );
    });
    let error = login.login("alice", PASSWORD, "laptop").await.unwrap_err();
    assert!(matches!(error, ServiceError::LoginRefused(LoginRefusal::WrongPassword)), "{error:?}");
    assert_eq!(world.labels().await, ["phone"]);
}

async fn a_login_that_a_bump_overtakes_is_good_after_it<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let login = world.over(store.clone(), |settings| settings);
    let service = world.service.clone();
    store.before_next_write(async move {
        service.log_out_everywhere(ALICE).await.unwrap();
    });
    let phone = login.login("alice", PASSWORD, "phone").await.unwrap();
    world.assert_alive(&phone).await;
    assert_eq!(world.labels().await, ["phone"]);
}

async fn a_full_table_evicts_or_refuses<B: Backend>(db: B) {
    let world = World::new(db).await;
    let policy = SessionPolicy::new().max_sessions(2);
    let with = |policy| {
        let authority = settings_of(&world.clock).sessions(policy).build().unwrap();
        settings(authority, world.db.store().clone()).build()
    };
    let (evicting, refusing) = (with(policy.clone()), with(policy.when_full(WhenFull::Refuse)));
    let oldest = evicting.start_session(ALICE, "oldest").await.unwrap();
    world.clock.set(1);
    let other = evicting.start_session(ALICE, "other").await.unwrap();
    let refused_login = refusing.login("alice", PASSWORD, "third").await;
    assert!(matches!(refused_login, Err(ServiceError::SessionsFull(_))));
    world.clock.set(2);
    let third = evicting.start_session(ALICE, "third").await.unwrap();
    assert_eq!(third.evicted().unwrap().id(), oldest.session().id());
    assert_eq!(refused(&evicting, oldest.access()).await, Some(Reason::SessionEnded));
    assert!(evicting.refresh(again(&oldest)).await.is_err());
    assert_eq!(refused(&evicting, other.access()).await, None);
    assert_eq!(refused(&evicting, third.access()).await, None);
}

async fn a_client_is_bound_to_its_context<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (service, here) = (&world.service, || Context::new().with("cookie", "c1"));
    let client = Client::new("phone").in_context(here());
    let tokens = service.login("alice", PASSWORD, client).await.unwrap();
    assert_eq!(refused(service, tokens.access()).await, Some(Reason::BadSignature));
    let elsewhere = copy(tokens.access()).in_context(Context::new().with("cookie", "c2"));
    assert_eq!(refused(service, &elsewhere).await, Some(Reason::BadSignature));
    assert_eq!(refused(service, &copy(tokens.access()).in_context(here())).await, None);

    // A thief without the cookie can neither refresh nor end the session.
    let stolen = service.refresh(again(&tokens)).await.unwrap_err();
    assert_eq!(stolen.reason(), Some(Reason::BadSignature));
    let refreshed = service.refresh(again(&tokens).in_context(here())).await.unwrap();
    assert_eq!(refused(service, &copy(refreshed.access()).in_context(here())).await, None);
    assert_eq!(refused(service, refreshed.access()).await, Some(Reason::BadSignature));
    assert!(world.events().is_empty());
}
