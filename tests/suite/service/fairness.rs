//! A user whose row others change all the time can still log in and log out.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use relatch::{
    Context, NoClaims, Token,
    one_time::{MagicLink, PasswordReset},
    service::{Service, ServiceError},
    store::{Locked, Row, StoreError, Update, UserKey, UserStore},
};
use tokio::task::JoinSet;

use super::{ALICE, Backend, PASSWORD, Profile, Tokens, World, again, hash};
use crate::common::Role;

over_each_database! {
    an_owner_wins_against_a_thief_who_refreshes_before_each_write,
    a_refresh_gives_way_and_locks_nothing,
    no_password_is_hashed_under_a_lock,
    all_of_many_logins_at_once_succeed,
    an_owner_wins_against_a_thief_who_refreshes_in_a_loop,
    a_dropped_lock_is_released,
}

/// A change of the row by somebody else.
type Rival = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A store whose rows a rival changes before each write that holds no lock. Clones share their state.
#[derive(Clone)]
struct Contended<S> {
    inner: S,
    rival: Rival,
    calls: Arc<Mutex<Vec<&'static str>>>,
}

impl<S> Contended<S> {
    fn new<W>(inner: S, rival: impl Fn() -> W + Send + Sync + 'static) -> Self
    where
        W: Future<Output = ()> + Send + 'static,
    {
        let rival = Arc::new(move || Box::pin(rival()) as _);
        Self { inner, rival, calls: Arc::default() }
    }

    fn note(&self, call: &'static str) {
        self.calls.lock().unwrap().push(call);
    }

    fn calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

impl<S: UserStore<Fields = Profile> + Clone> UserStore for Contended<S> {
    type Fields = Profile;

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<Profile>>, StoreError> {
        self.inner.read(key).await
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        (self.rival)().await;
        self.note("write");
        self.inner.compare_and_set(update).await
    }

    async fn lock(&self, key: UserKey<'_>) -> Result<Option<Locked<Profile>>, StoreError> {
        let Some(locked) = self.inner.lock(key).await? else { return Ok(None) };
        self.note("lock");
        let (row, released) = (locked.row().cloned(), Released(Arc::clone(&self.calls)));
        let write = async move |update| {
            let _released = released;
            locked.compare_and_set(update).await
        };
        Ok(Some(Locked::new(row, write)))
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.delete(id).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.inner.bump_version(id, at_least).await
    }
}

/// Notes the end of a lock.
struct Released(Arc<Mutex<Vec<&'static str>>>);

impl Drop for Released {
    fn drop(&mut self) {
        self.0.lock().unwrap().push("released");
    }
}

/// The store, with a thief who refreshes these tokens before each write.
fn with_a_thief<B: Backend>(world: &World<B>, tokens: &Tokens) -> Contended<B::Store> {
    let chain = Arc::new(tokio::sync::Mutex::new(again(tokens)));
    let service = world.service.clone();
    Contended::new(world.db.store().clone(), move || {
        let (service, chain) = (service.clone(), Arc::clone(&chain));
        async move {
            let mut token = chain.lock().await;
            let presented = Token::new(token.expose());
            if let Ok(next) = service.refresh(presented).await {
                *token = again(&next);
            }
        }
    })
}

async fn an_owner_wins_against_a_thief_who_refreshes_before_each_write<B: Backend>(db: B) {
    let world = World::new(db).await;
    let owner = async |world: &World<B>| {
        let stolen = world.start("stolen").await;
        let (tokens, store) = (world.start("owner").await, with_a_thief(world, &stolen));
        (stolen, tokens, world.over(store, |settings| settings))
    };
    let (stolen, _, service) = owner(&world).await;
    drop(service.login("alice", PASSWORD, "phone").await.unwrap());
    drop(service.start_session(ALICE, "passkey").await.unwrap());
    world.assert_alive(&stolen).await;

    let (stolen, tokens, service) = owner(&world).await;
    let verified = service.authenticate(tokens.access()).await.unwrap();
    assert!(service.log_out_device(&verified, stolen.session().id()).await.unwrap());
    world.assert_dead(&stolen).await;

    let (_, tokens, service) = owner(&world).await;
    assert!(service.revoke(tokens.refresh().expose(), Context::new()).await.unwrap());
    world.assert_dead(&tokens).await;

    let (stolen, tokens, service) = owner(&world).await;
    let tokens = service.reauthenticate(tokens.access(), PASSWORD).await.unwrap();
    let tokens = service.log_out_others(tokens.access()).await.unwrap();
    world.assert_dead(&stolen).await;
    world.assert_alive(&tokens).await;

    let (stolen, tokens, service) = owner(&world).await;
    let new = "another battery staple";
    let tokens = service.change_password(tokens.access(), PASSWORD, new).await.unwrap();
    world.assert_dead(&stolen).await;
    world.assert_alive(&tokens).await;

    let (stolen, _, service) = owner(&world).await;
    service.set_password(ALICE, PASSWORD).await.unwrap();
    world.assert_dead(&stolen).await;

    let (_, _, service) = owner(&world).await;
    let key = UserKey::Id(ALICE);
    let link = service.issue::<MagicLink>(key, &NoClaims {}).sign().await;
    drop(service.one_time(link.unwrap().unwrap().1).login("tablet").await.unwrap());
    let link = service.issue::<PasswordReset>(key, &NoClaims {}).sign().await;
    let reset = service.one_time(link.unwrap().unwrap().1).set_password(new).consume();
    drop(reset.await.unwrap());
}

async fn a_refresh_gives_way_and_locks_nothing<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (phone, other) = (world.start("phone").await, world.start("other").await);
    let store = with_a_thief(&world, &other);
    let service = world.over(store.clone(), |settings| settings);
    let outcome = service.refresh(again(&phone)).await;
    assert!(matches!(outcome, Err(ServiceError::Busy)), "{outcome:?}");
    let calls = store.calls();
    assert!(calls.iter().all(|call| *call == "write"), "{calls:?}");
    // The same token may be tried again.
    drop(world.service.refresh(again(&phone)).await.unwrap());
}

/// Before each of the first four writes the hash is replaced by another one of the same password.
async fn no_password_is_hashed_under_a_lock<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (rival, left) = (world.service.clone(), Arc::new(AtomicUsize::new(4)));
    let store = Contended::new(world.db.store().clone(), move || {
        let (rival, left) = (rival.clone(), Arc::clone(&left));
        async move {
            let one_less = |left: usize| left.checked_sub(1);
            if left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less).is_ok() {
                rival.set_password(ALICE, PASSWORD).await.unwrap();
            }
        }
    });
    let service = world.over(store.clone(), |settings| settings);
    drop(service.login("alice", PASSWORD, "phone").await.unwrap());
    // Under each lock the hash is a new one: the lock ends before the password is hashed, and the
    // write that follows holds none.
    let under_a_lock = ["lock", "released", "write"];
    let calls = [["write"; 3], under_a_lock, under_a_lock].concat();
    assert_eq!(store.calls(), calls);
}

async fn all_of_many_logins_at_once_succeed<B: Backend>(db: B) {
    let world = World::new(db).await;
    let mut logins = JoinSet::new();
    for _ in 0..64 {
        let service: Service<Profile, Role> = world.service.clone();
        logins.spawn(async move { service.start_session(ALICE, "phone").await.map(drop) });
    }
    let outcomes = logins.join_all().await;
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
    assert!(failed.is_empty(), "{} failed: {:?}", failed.len(), failed[0]);
}

async fn an_owner_wins_against_a_thief_who_refreshes_in_a_loop<B: Backend>(db: B) {
    let world = World::new(db).await;
    let owner = world.start("owner").await;
    let mut stolen = Vec::new();
    for _ in 0..6 {
        stolen.push(world.start("stolen").await);
    }
    let mut thief = JoinSet::new();
    for tokens in &stolen {
        let (service, mut token) = (world.service.clone(), again(tokens));
        thief.spawn(async move {
            loop {
                let presented = Token::new(token.expose());
                match service.refresh(presented).await {
                    Ok(next) => token = again(&next),
                    Err(ServiceError::Rejected(_)) => return,
                    Err(_) => {}
                }
            }
        });
    }
    let verified = world.service.authenticate(owner.access()).await.unwrap();
    for tokens in &stolen[1..] {
        drop(world.service.start_session(ALICE, "phone").await.unwrap());
        let device = tokens.session().id();
        assert!(world.service.log_out_device(&verified, device).await.unwrap());
    }
    world.service.set_password(ALICE, "another battery staple").await.unwrap();
    // Each of its sessions is over.
    thief.join_all().await;
}

async fn a_dropped_lock_is_released<B: Backend>(db: B) {
    let world = World::new(db).await;
    let (store, key) = (world.db.store(), UserKey::Id(ALICE));
    let locked = store.lock(key).await.unwrap().expect("this store has locks");
    let row = locked.row().unwrap();
    assert_eq!((&*row.id, row.columns.password_hash.as_deref()), (ALICE, Some(hash())));
    assert!(store.read(key).await.unwrap().is_some(), "a read waits for no lock");
    let bump = tokio::spawn({
        let store = store.clone();
        async move { store.bump_version(ALICE, 1).await }
    });
    tokio::task::yield_now().await;
    drop(locked);
    assert!(bump.await.unwrap().unwrap().is_some());
    // Nobody is locked, and nothing is left of a lock.
    let nobody = store.lock(UserKey::Id("nobody")).await.unwrap().expect("this store has locks");
    assert!(nobody.row().is_none());
    drop(nobody);
    assert!(store.bump_version(ALICE, 1).await.unwrap().is_some());
    // A lock waits for another one.
    let first = store.lock(key).await.unwrap().unwrap();
    let second = tokio::spawn({
        let store = store.clone();
        async move { store.lock(UserKey::Id(ALICE)).await.map(|locked| locked.is_some()) }
    });
    tokio::task::yield_now().await;
    drop(first);
    assert!(second.await.unwrap().unwrap());
}
