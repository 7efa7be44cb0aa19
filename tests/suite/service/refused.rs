//! Databases that change no row and report no error: by row-level security or by a trigger.

use relatch::{
    Context, NoClaims,
    one_time::{MagicLink, PasswordReset},
    service::{Service, ServiceError},
    store::{StoreErrorKind, UserKey},
};

#[cfg(feature = "postgres")]
use super::backends::Postgres;
use super::{
    ALICE, Backend, PASSWORD, Profile, Tokens, World, again,
    backends::{Memory, Sqlite},
    faulty::{Faulty, Mode},
};
use crate::common::Role;

fn is_misconfigured(what: &str, outcome: Result<(), ServiceError>) {
    let Err(ServiceError::Store(error)) = outcome else { panic!("{what}: {outcome:?}") };
    assert_eq!(error.kind(), StoreErrorKind::Misconfigured, "{what}");
    let text = std::error::Error::source(&error).unwrap().to_string();
    assert!(text.contains("row-level security") && text.contains("trigger"), "{what}: {text}");
}

/// Checks that each change in the application's own transaction fails as misconfigured.
macro_rules! each_change_in_a_transaction_is_misconfigured {
    ($world:expr, $begin:literal) => {{
        let (store, service) = ($world.db.store(), &$world.service);
        let mut transaction = store.pool().begin_with($begin).await.unwrap();
        let revoked = store.revoke_in(&mut transaction, service, ALICE).await.map(drop);
        is_misconfigured("revoke_in", revoked);
        let set = store.set_password_in(&mut transaction, service, ALICE, "another battery staple");
        is_misconfigured("set_password_in", set.await.map(drop));
    }};
}

/// Checks that each change fails as misconfigured, and that nothing has changed.
async fn each_change_is_misconfigured<B: Backend>(
    world: &World<B>,
    service: &Service<Profile, Role>,
    phone: &Tokens,
) {
    let verified = service.authenticate(phone.access()).await.unwrap();
    let (before, access) = (world.columns(ALICE).await, phone.access());
    let key = || UserKey::Id(ALICE);
    let issued = service.issue::<MagicLink>(key(), &NoClaims {}).sign().await;
    let (_, magic) = issued.unwrap().unwrap();
    let issued = service.issue::<PasswordReset>(key(), &NoClaims {}).sign().await;
    let (_, reset) = issued.unwrap().unwrap();
    for (what, outcome) in [
        ("refresh", service.refresh(again(phone)).await.map(drop)),
        ("login", service.login("alice", PASSWORD, "x").await.map(drop)),
        ("log_out", service.log_out(&verified).await.map(drop)),
        ("log_out_others", service.log_out_others(access).await.map(drop)),
        ("revoke", service.revoke(access.expose(), Context::new()).await.map(drop)),
        ("log_out_everywhere", service.log_out_everywhere(ALICE).await.map(drop)),
        ("set_password", service.set_password(ALICE, "another battery staple").await.map(drop)),
        (
            "change_password",
            service.change_password(access, PASSWORD, "another battery staple").await.map(drop),
        ),
        ("disable", service.disable(ALICE).await.map(drop)),
        ("enable", service.enable(ALICE).await.map(drop)),
        ("delete", service.delete(ALICE).await),
        ("one_time", service.one_time(magic).consume().await.map(drop)),
        (
            "reset",
            service
                .one_time(reset)
                .set_password("another battery staple")
                .consume()
                .await
                .map(drop),
        ),
    ] {
        is_misconfigured(what, outcome);
    }
    assert!(world.columns(ALICE).await == before);
    let error = service.log_out_everywhere("nobody").await.unwrap_err();
    assert!(matches!(error, ServiceError::NoSuchUser), "{error:?}");
}

#[tokio::test]
async fn a_store_that_changes_nothing_is_misconfigured() {
    let world = World::new(Memory::new()).await;
    let phone = world.start("phone").await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    store.set(Mode::SkipWrites);
    each_change_is_misconfigured(&world, &service, &phone).await;
}

#[tokio::test]
async fn a_trigger_in_sqlite_that_skips_changes_is_reported() {
    let world = World::new(Sqlite::new().await).await;
    let phone = world.start("phone").await;
    let triggers = "CREATE TRIGGER no_update BEFORE UPDATE ON accounts
                        BEGIN SELECT RAISE(IGNORE); END;
                    CREATE TRIGGER no_delete BEFORE DELETE ON accounts
                        BEGIN SELECT RAISE(IGNORE); END";
    world.db.run(triggers).await;
    each_change_is_misconfigured(&world, &world.service, &phone).await;
    each_change_in_a_transaction_is_misconfigured!(world, "BEGIN IMMEDIATE");
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn a_trigger_in_postgres_that_skips_changes_is_reported() {
    let Some(db) = Postgres::new().await else { return };
    let world = World::new(db).await;
    let phone = world.start("phone").await;
    let trigger = "CREATE FUNCTION accounts_skip() RETURNS trigger LANGUAGE plpgsql
                       AS 'BEGIN RETURN NULL; END';
                   CREATE TRIGGER skip BEFORE UPDATE OR DELETE ON accounts
                       FOR EACH ROW EXECUTE FUNCTION accounts_skip()";
    world.db.run(trigger).await;
    each_change_is_misconfigured(&world, &world.service, &phone).await;
    each_change_in_a_transaction_is_misconfigured!(world, "BEGIN");
}

/// One answer of that kind can be a race, such as a transaction that was rolled back.
#[tokio::test]
async fn one_change_that_is_skipped_is_tried_again() {
    let world = World::new(Memory::new()).await;
    let store = Faulty::new(world.db.store().clone());
    let service = world.over(store.clone(), |settings| settings);
    for skipped in [1, 2] {
        let phone = world.start("phone").await;
        store.skip(skipped);
        service.revoke(phone.refresh().expose(), Context::new()).await.unwrap();
        world.assert_dead(&phone).await;
        let phone = world.start("phone").await;
        store.skip(skipped);
        service.log_out_everywhere(ALICE).await.unwrap();
        world.assert_dead(&phone).await;
    }
}
