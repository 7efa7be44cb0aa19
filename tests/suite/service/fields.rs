//! Users whose application fields cannot be read: only what needs them fails.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use relatch::{
    Context, NoClaims, Token,
    one_time::{MagicLink, PasswordReset, ReportedSession},
    service::{Service, ServiceError},
    store::{Row, StoreError, StoreErrorKind, Update, UserKey, UserStore},
};

use super::{ALICE, Backend, PASSWORD, Profile, Tokens, World, again, store_error};
use crate::common::{Role, copy};

over_each_store! {
    calls_that_need_the_fields_fail_and_change_nothing,
    every_revocation_works,
    a_reported_login_ends,
}

/// A store whose users' fields can be read or not, as the test sets it.
#[derive(Clone)]
struct Unreadable<S> {
    inner: S,
    is_damaged: Arc<AtomicBool>,
}

impl<S: UserStore<Fields = Profile>> UserStore for Unreadable<S> {
    type Fields = Profile;

    async fn read(&self, key: UserKey<'_>) -> Result<Option<Row<Profile>>, StoreError> {
        let read = self.inner.read(key).await?;
        if !self.is_damaged.load(Ordering::SeqCst) {
            return Ok(read);
        }
        let Some(read) = read else { return Ok(None) };
        let mut row = Row::new(read.id, read.columns, ());
        row.is_active = read.is_active;
        row.epochs = read.epochs;
        Err(StoreError::damaged_fields(row, "set to be damaged"))
    }

    async fn compare_and_set(&self, update: &Update) -> Result<bool, StoreError> {
        self.inner.compare_and_set(update).await
    }

    async fn delete(&self, id: &str) -> Result<bool, StoreError> {
        self.inner.delete(id).await
    }

    async fn bump_version(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.inner.bump_version(id, at_least).await
    }

    async fn disable(&self, id: &str, at_least: i64) -> Result<Option<i64>, StoreError> {
        self.inner.disable(id, at_least).await
    }

    async fn enable(
        &self,
        id: &str,
        version: Option<i64>,
        at_least: i64,
    ) -> Result<Option<i64>, StoreError> {
        self.inner.enable(id, version, at_least).await
    }
}

struct Damaged<B: Backend> {
    world: World<B>,
    service: Service<Profile, Role>,
    is_damaged: Arc<AtomicBool>,
}

impl<B: Backend> Damaged<B> {
    async fn new(db: B) -> Self {
        let world = World::new(db).await;
        let is_damaged = Arc::new(AtomicBool::new(true));
        let store = world.db.store().clone();
        let store = Unreadable { inner: store, is_damaged: Arc::clone(&is_damaged) };
        let service = world.over(store, |settings| settings);
        Self { world, service, is_damaged }
    }

    async fn links(&self) -> (Token<MagicLink>, Token<PasswordReset>) {
        let (key, service) = (UserKey::Id(ALICE), &self.world.service);
        let magic = service.issue::<MagicLink>(key, &NoClaims {}).sign().await;
        let reset = service.issue::<PasswordReset>(key, &NoClaims {}).sign().await;
        (magic.unwrap().unwrap().1, reset.unwrap().unwrap().1)
    }
}

async fn calls_that_need_the_fields_fail_and_change_nothing<B: Backend>(db: B) {
    let damaged = Damaged::new(db).await;
    let (world, service) = (&damaged.world, &damaged.service);
    let phone = world.start("phone").await;
    let (magic, _) = damaged.links().await;
    let (before, access) = (world.columns(ALICE).await, phone.access());
    for kind in [
        store_error(service.authenticate(access).await),
        store_error(service.refresh(again(&phone)).await),
        store_error(service.login("alice", PASSWORD, "x").await),
        store_error(service.start_session(ALICE, "x").await),
        store_error(service.find(UserKey::Id(ALICE)).await),
        store_error(service.one_time(copy(&magic)).login("x").await),
        store_error(service.one_time(magic).in_context(|_| Context::new()).consume().await),
    ] {
        assert_eq!(kind, StoreErrorKind::Damaged);
    }
    assert!(world.columns(ALICE).await == before);
    damaged.is_damaged.store(false, Ordering::SeqCst);
    assert!(service.authenticate(access).await.is_ok());
}

async fn every_revocation_works<B: Backend>(db: B) {
    let damaged = Damaged::new(db).await;
    let (world, service) = (&damaged.world, &damaged.service);
    let dead = async |what: &str, tokens: Tokens, done: Result<(), ServiceError>| {
        done.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        println!("{what}");
        world.assert_dead(&tokens).await;
    };
    let begin = async || {
        let phone = world.start("phone").await;
        let verified = world.service.authenticate(phone.access()).await.unwrap();
        (phone, verified)
    };

    let (phone, _) = begin().await;
    dead("log_out_everywhere", phone, service.log_out_everywhere(ALICE).await.map(drop)).await;
    let (phone, verified) = begin().await;
    dead("log_out", phone, service.log_out(&verified).await.map(drop)).await;
    let (phone, verified) = begin().await;
    assert_eq!(service.sessions(&verified).await.unwrap().len(), 1);
    let device = verified.session_id().unwrap();
    dead("log_out_device", phone, service.log_out_device(&verified, device).await.map(drop)).await;
    let (phone, verified) = begin().await;
    dead("log_out_where", phone, service.log_out_where(&verified, |_| true).await.map(drop)).await;
    for is_access in [true, false] {
        let (phone, _) = begin().await;
        let text = match is_access {
            true => phone.access().expose().to_owned(),
            false => phone.refresh().expose().to_owned(),
        };
        dead("revoke", phone, service.revoke(&text, Context::new()).await.map(drop)).await;
    }
    let (phone, _) = begin().await;
    dead(
        "set_password",
        phone,
        service.set_password(ALICE, "another battery staple").await.map(drop),
    )
    .await;
    let (phone, _) = begin().await;
    let (_, reset) = damaged.links().await;
    let reset = service.one_time(reset).set_password("correct battery").consume().await;
    dead("reset", phone, reset.map(drop)).await;
    let (phone, _) = begin().await;
    let (magic, _) = damaged.links().await;
    let _used = service.one_time(magic).consume().await.unwrap();
    world.assert_alive(&phone).await;
    dead("disable", phone, service.disable(ALICE).await.map(drop)).await;
    service.enable(ALICE).await.unwrap();
    let (phone, _) = begin().await;
    dead("delete", phone, service.delete(ALICE).await).await;
}

async fn a_reported_login_ends<B: Backend>(db: B) {
    let damaged = Damaged::new(db).await;
    let phone = damaged.world.start("phone").await;
    let reported = ReportedSession::new(phone.session().id());
    let issued = damaged.world.service.issue(UserKey::Id(ALICE), &reported).sign().await;
    let (_, link) = issued.unwrap().unwrap();
    assert_eq!(damaged.service.not_me(link).await.unwrap().ended(), 1);
    damaged.world.assert_dead(&phone).await;
}
