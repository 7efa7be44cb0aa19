//! Stores that fail, hang or are damaged; clients that hang up.

use std::{sync::Arc, time::Duration as StdDuration};

use relatch::{
    Access, Context, NoClaims, Reason, Token,
    one_time::{MagicLink, PasswordReset},
    service::{LoginRefusal, Service, ServiceError},
    sessions::EventKind,
    store::{Row, StoreError, StoreErrorKind, Update, UserKey, UserStore},
};
use time::Duration;
use tokio::time::{Instant, timeout};

use super::{
    ALICE, Backend, Column, PASSWORD, Profile, Tokens, World, again,
    backends::Memory,
    faulty::{Faulty, Mode},
    store_error,
};
use crate::common::{Role, account, copy};

over_each_store! {
    a_store_that_is_away_says_nothing_of_anybody,
    a_refresh_whose_answer_is_lost_is_tried_again,
    a_change_whose_answer_is_lost_is_not_taken_back,
    a_reuse_that_cannot_be_stored_raises_one_alarm,
    a_damaged_column_is_an_error_and_is_not_overwritten,
    a_bump_mends_damaged_sessions,
    a_login_whose_client_hangs_up_is_completed,
    a_refresh_whose_client_hangs_up_is_completed,
    a_new_password_whose_client_hangs_up_is_completed,
    a_user_who_is_always_changed_by_others_is_busy,
}

/// The outcome of each call that reads or writes.
async fn each_call(
    service: &Service<Profile, Role>,
    tokens: &Tokens,
) -> Vec<(&'static str, ServiceError)> {
    let (authority, alice) = (service.authority(), account(ALICE));
    let magic = authority.issue::<MagicLink>(&alice, &NoClaims {}).sign().unwrap();
    let reset = authority.issue::<PasswordReset>(&alice, &NoClaims {}).sign().unwrap();
    let access = tokens.access();
    let mut errors = Vec::new();
    let mut note = |what, outcome: Result<(), ServiceError>| {
        errors.push((what, outcome.expect_err(what)));
    };
    note("authenticate", service.authenticate(access).await.map(drop));
    note("authenticate_fresh", service.authenticate_fresh(access).await.map(drop));
    note("refresh", service.refresh(again(tokens)).await.map(drop));
    note("login", service.login("alice", PASSWORD, "x").await.map(drop));
    note("a wrong login", service.login("alice", "wrong", "x").await.map(drop));
    note("start_session", service.start_session(ALICE, "x").await.map(drop));
    note("log_out_others", service.log_out_others(access).await.map(drop));
    note(
        "change_password",
        service.change_password(access, PASSWORD, "another battery staple").await.map(drop),
    );
    note("reauthenticate", service.reauthenticate(access, PASSWORD).await.map(drop));
    note("restart_session", service.restart_session(access).await.map(drop));
    for text in [access.expose(), tokens.refresh().expose()] {
        note("revoke", service.revoke(text, Context::new()).await.map(drop));
    }
    note("log_out_everywhere", service.log_out_everywhere(ALICE).await.map(drop));
    note("set_password", service.set_password(ALICE, "another battery staple").await.map(drop));
    note("disable", service.disable(ALICE).await.map(drop));
    note("delete", service.delete(ALICE).await);
    note("find", service.find(UserKey::Id(ALICE)).await.map(drop));
    let issued = service.issue::<MagicLink>(UserKey::Id(ALICE), &NoClaims {}).sign().await;
    note("issue", issued.map(drop));
    note("peek", service.peek(&magic).await.map(drop));
    note("one_time", service.one_time(copy(&magic)).consume().await.map(drop));
    note("one_time login", service.one_time(magic).login("x").await.map(drop));
    note(
        "reset",
        service.one_time(reset).set_password("another battery staple").consume().await.map(drop),
    );
    errors
}

async fn a_store_that_is_away_says_nothing_of_anybody<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = service.start_session(ALICE, "phone").await.unwrap();
    let verified = service.authenticate(phone.access()).await.unwrap();
    let before = world.columns(ALICE).await;
    store.set(Mode::Fail);
    for (what, error) in each_call(&service, &phone).await {
        assert!(
            matches!(error, ServiceError::Store(_)) && error.is_unavailable(),
            "{what}: {error:?}"
        );
        assert_eq!(error.reason(), None, "{what}");
    }
    assert!(service.sessions(&verified).await.unwrap_err().is_unavailable());
    assert!(service.log_out(&verified).await.unwrap_err().is_unavailable());
    // A malformed token is rejected whatever the store does.
    let junk = service.authenticate(&Token::<Access<Role>>::new("junk")).await;
    assert!(junk.unwrap_err().reason().is_some());

    store.set(Mode::Answer);
    assert!(world.columns(ALICE).await == before);
    world.assert_alive(&phone).await;
    drop(service.refresh(again(&phone)).await.unwrap());
}

async fn a_refresh_whose_answer_is_lost_is_tried_again<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = service.start_session(ALICE, "phone").await.unwrap();
    store.set(Mode::FailAfterwards);
    let error = service.refresh(again(&phone)).await.unwrap_err();
    assert!(error.is_unavailable());
    store.set(Mode::Answer);
    let first = service.refresh(again(&phone)).await.unwrap();
    let second = service.refresh(again(&phone)).await.unwrap();
    assert_eq!(first.refresh().expose(), second.refresh().expose());
    let third = service.refresh(again(&first)).await.unwrap();
    world.assert_alive(&third).await;
}

async fn a_change_whose_answer_is_lost_is_not_taken_back<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = service.start_session(ALICE, "phone").await.unwrap();
    store.set(Mode::FailAfterwards);
    assert!(service.log_out_everywhere(ALICE).await.unwrap_err().is_unavailable());
    store.set(Mode::Answer);
    world.assert_dead(&phone).await;
    assert!(service.authenticate(phone.access()).await.unwrap_err().reason().is_some());
}

/// The session does not end, so the token can come again and again. It must not flood the alarm.
async fn a_reuse_that_cannot_be_stored_raises_one_alarm<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let events = Arc::clone(&world.events);
    let service = world.over(store.clone(), |settings| {
        settings.on_event(move |event| events.lock().unwrap().push(event.clone()))
    });
    let phone = service.start_session(ALICE, "phone").await.unwrap();
    let next = service.refresh(again(&phone)).await.unwrap();
    world.clock.set(11);
    store.set(Mode::FailWrites);
    for _ in 0..10 {
        assert!(service.refresh(again(&phone)).await.unwrap_err().is_unavailable());
    }
    let [alarm] = &world.events()[..] else { panic!("one alarm") };
    assert_eq!((alarm.kind(), alarm.session_id()), (EventKind::Reuse, next.session().id()));

    // The reuse that is stored is reported once more.
    store.set(Mode::Answer);
    let error = service.refresh(again(&phone)).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::RefreshReused));
    let [alarm] = &world.events()[..] else { panic!("one alarm") };
    assert_eq!((alarm.kind(), alarm.ended_sessions()), (EventKind::Reuse, 1));
    world.assert_dead(&next).await;
}

async fn a_damaged_column_is_an_error_and_is_not_overwritten<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = &world.service;
    let phone = world.start("phone").await;
    let verified = service.authenticate(phone.access()).await.unwrap();
    let sound = world.columns(ALICE).await;
    let later = r#"{"format":2,"generation":1,"sessions":[]}"#;
    for (column, junk) in [
        (Column::Sessions, "junk"),
        (Column::Sessions, ""),
        (Column::Sessions, later),
        (Column::Lanes, "{}"),
        (Column::Carried, "junk"),
    ] {
        world.db.write(ALICE, column, Some(junk)).await;
        let damaged = world.columns(ALICE).await;
        let access = phone.access();
        for kind in [
            store_error(service.authenticate(access).await),
            store_error(service.refresh(again(&phone)).await),
            store_error(service.start_session(ALICE, "x").await),
            store_error(service.log_out(&verified).await),
            store_error(service.log_out_others(access).await),
            store_error(service.reauthenticate(access, PASSWORD).await),
            store_error(service.revoke(access.expose(), Context::new()).await),
            store_error(service.revoke(phone.refresh().expose(), Context::new()).await),
            store_error(service.login("alice", PASSWORD, "x").await),
            store_error(service.find(UserKey::Login("alice")).await),
        ] {
            assert_eq!(kind, StoreErrorKind::Damaged, "{column:?} {junk}");
        }
        let error = service.authenticate(access).await.unwrap_err();
        assert!(!error.is_unavailable(), "it does not get better by itself");
        assert!(world.columns(ALICE).await == damaged, "{column:?} {junk}");
        let (column_was, text) = match column {
            Column::Sessions => (column, sound.sessions.as_deref()),
            Column::Lanes => (column, sound.lanes.as_deref()),
            _ => (column, sound.carried.as_deref()),
        };
        world.db.write(ALICE, column_was, text).await;
        world.assert_alive(&phone).await;
    }

    // An empty hash and a placeholder bind nothing and are not a password.
    for nothing in ["", "!", "oauth", "no password set"] {
        world.db.write(ALICE, Column::PasswordHash, Some(nothing)).await;
        let error = service.authenticate(phone.access()).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::NoCredential), "{error:?}");
        let started = service.start_session(ALICE, "x").await;
        assert!(matches!(started, Err(ServiceError::Record(_))), "{started:?}");
    }
    for (hash, why) in [
        ("", LoginRefusal::NoPassword),
        ("!", LoginRefusal::NoPassword),
        ("$2b$12$bcrypt", LoginRefusal::UnsupportedHash),
    ] {
        world.db.write(ALICE, Column::PasswordHash, Some(hash)).await;
        let error = service.login("alice", PASSWORD, "x").await.unwrap_err();
        assert!(matches!(error, ServiceError::LoginRefused(found) if found == why), "{error:?}");
    }
}

async fn a_bump_mends_damaged_sessions<B: Backend>(db: B) {
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    world.db.write(ALICE, Column::Sessions, Some("junk")).await;
    world.service.log_out_everywhere(ALICE).await.unwrap();
    world.assert_dead(&phone).await;
    let phone = world.start("phone").await;
    world.assert_alive(&phone).await;
}

/// Begins a call, hangs up while its write is in flight, then lets the write finish.
pub(super) async fn hang_up<T: Send + 'static>(
    store: &Faulty<impl Clone>,
    call: impl Future<Output = Result<T, ServiceError>> + Send + 'static,
) {
    store.set(Mode::HoldWrites);
    let call = tokio::spawn(call);
    store.held().await;
    call.abort();
    assert!(call.await.is_err_and(|error| error.is_cancelled()));
    store.set(Mode::Answer);
    store.let_through().await;
}

async fn a_login_whose_client_hangs_up_is_completed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let client = service.clone();
    hang_up(&store, async move { client.login("alice", PASSWORD, "who hung up").await }).await;
    assert_eq!(world.labels().await, ["phone", "who hung up"]);
    world.assert_alive(&phone).await;
}

async fn a_refresh_whose_client_hangs_up_is_completed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let (client, token) = (service.clone(), again(&phone));
    hang_up(&store, async move { client.refresh(token).await }).await;
    let retried = service.refresh(again(&phone)).await.unwrap();
    let elsewhere = world.service.refresh(again(&phone)).await.unwrap();
    assert_eq!(retried.refresh().expose(), elsewhere.refresh().expose());
    assert_eq!(world.events()[0].kind(), EventKind::GraceHit, "it had been stored");
    world.assert_alive(&retried).await;
}

async fn a_new_password_whose_client_hangs_up_is_completed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    let phone = world.start("phone").await;
    let (client, token) = (service.clone(), copy(phone.access()));
    hang_up(&store, async move {
        client.change_password(&token, PASSWORD, "another battery staple").await
    })
    .await;
    world.assert_dead(&phone).await;
    assert!(service.login("alice", PASSWORD, "x").await.is_err());
    drop(service.login("alice", "another battery staple", "x").await.unwrap());
}

async fn a_user_who_is_always_changed_by_others_is_busy<B: Backend>(db: B) {
    let world = World::new(db).await;
    let service = world.over(AlwaysOutdated::new(&world), |settings| settings);
    let phone = world.start("phone").await;
    let busy = service.refresh(again(&phone)).await.unwrap_err();
    assert!(matches!(busy, ServiceError::Busy) && busy.is_unavailable(), "{busy:?}");
    // A bump is unconditional.
    service.log_out_everywhere(ALICE).await.unwrap();
    world.assert_dead(&phone).await;
}

/// A store in which every compare-and-set is lost to a concurrent one: a link that is used up.
struct AlwaysOutdated<S> {
    inner: S,
    rival: Service<Profile, Role>,
}

impl<S: UserStore<Fields = Profile> + Clone> AlwaysOutdated<S> {
    fn new<B: Backend<Store = S>>(world: &World<B>) -> Self {
        Self { inner: world.db.store().clone(), rival: world.service.clone() }
    }
}

impl<S: UserStore<Fields = Profile>> UserStore for AlwaysOutdated<S> {
    type Fields = Profile;

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<Profile>>, StoreError> {
        self.inner.read(key).await
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        let (key, rival) = (UserKey::Id(update.id()), &self.rival);
        let issued = rival.issue::<MagicLink>(key, &NoClaims {}).sign().await;
        let (_, link) = issued.unwrap().unwrap();
        let _used = rival.one_time(link).consume().await.unwrap();
        self.inner.compare_and_set(update).await
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.delete(id).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.inner.bump_version(id, at_least).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_given_up_on_in_time() {
    let world = World::new(Memory::new()).await;
    let store = Faulty::new(world.db.store().clone());
    let patience = StdDuration::from_secs(3);
    let service =
        world.over(store.clone(), |settings| settings.store_timeout(Duration::seconds(3)));
    let phone = service.start_session(ALICE, "phone").await.unwrap();
    store.set(Mode::Hang);
    let (mut asked, calls) = (Instant::now(), each_call(&service, &phone));
    let errors = timeout(StdDuration::from_secs(3600), calls).await.unwrap();
    for (what, error) in &errors {
        assert!(matches!(error, ServiceError::Store(_)), "{what}: {error:?}");
        assert!(error.is_unavailable(), "{what}");
        asked += patience + StdDuration::from_millis(2);
    }
    // Each call waited for one timeout.
    assert!(Instant::now() <= asked);
    store.set(Mode::Answer);
    drop(service.authenticate(phone.access()).await.unwrap());
    drop(service.refresh(again(&phone)).await.unwrap());
}

/// A store that does not implement enabling and disabling.
#[tokio::test]
async fn what_a_store_does_not_do_is_told() {
    let world = World::new(Memory::new()).await;
    let service = world.over(AlwaysOutdated::new(&world), |settings| settings);
    assert_eq!(store_error(service.disable(ALICE).await), StoreErrorKind::Unsupported);
    assert!(!service.enable(ALICE).await.unwrap_err().is_unavailable());
}
